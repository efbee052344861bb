# SPDX-License-Identifier: Apache-2.0
"""The checks of this folder must be able to fail."""
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import house
import include_directions
import tidy

SPDX = "// SPDX-License-Identifier: Apache-2.0\n"


def tree(root: Path, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize("name, line", [
    ("base/ip.cpp", '#include "api/meta.hpp"'),
    ("net/rtnl.cpp", '#include "api/meta.hpp"'),
    ("k8s/watch.cpp", '#include "net/state.hpp"'),
    ("peer/probe.cpp", '#include "net/state.hpp"'),
    ("egress/node_plan.cpp", '#include "net/kernel.hpp"'),
    ("egress/node_plan.cpp", "#include <sys/socket.h>"),
    ("egress/node_plan.cpp", "#include <mutex>"),
    ("egress/world.cpp", '#include "cmd/agent.hpp"'),
    ("api/json.cpp", '#include "json.hpp"'),
    ("egress/world.cpp", "#include <rapidjson/document.h>"),
    ("k8s/client.cpp", "#  include <libmnl/libmnl.h>"),
    ("cmd/agent.cpp", "#include <libnftnl/table.h>"),
    ("net/kernel.cpp", "#include <httplib.h>"),
    ("api/json.cpp", "#include <yaml-cpp/yaml.h>"),
    ("k8s/client.cpp", "#include <CLI/CLI.hpp>"),
    ("attic/old.cpp", ""),
])
def test_wrong_include_is_found(tmp_path, name, line):
    found = list(include_directions.complaints(tree(tmp_path, {name: line + "\n"})))
    assert len(found) == 1 and f"src/{name}" in found[0]


@pytest.mark.parametrize("name, line", [
    ("egress/node_plan.hpp", '#include "net/state.hpp"'),
    ("egress/node_plan.hpp", '#include "base/ip.hpp"'),
    ("k8s/watch.cpp", '#include "k8s/client.hpp"'),
    ("k8s/watch.cpp", "#include <thread>"),
    ("k8s/watch.cpp", "#include <httplib.h>"),
    ("net/nft.cpp", "#include <libnftnl/set.h>"),
    ("cmd/agent.cpp", '#include "version.hpp"'),
    ("main.cpp", '#include "cmd/main.hpp"'),
    ("base/ip.cpp", '// #include "api/meta.hpp"'),
])
def test_right_include_passes(tmp_path, name, line):
    assert not list(include_directions.complaints(tree(tmp_path, {name: line + "\n"})))


def test_house_rules(tmp_path):
    files = {"a.cpp": "int a;\n", "b.py": "# " + SPDX + "x = 1 \n", "c.sh": SPDX + "#" * 101,
             "d.hpp": SPDX + "\n" * 401, "README.md": "no licence line " * 20}
    errors, warnings = house.check(tree(tmp_path, files), [*files, "gone.cpp"])
    assert [e.split(":")[0] for e in errors] == ["a.cpp", "b.py", "c.sh"]
    assert [w.split(":")[0] for w in warnings] == ["d.hpp"]


@pytest.fixture
def project(tmp_path):
    tree(tmp_path, {
        ".clang-tidy": "Checks: '-*,clang-diagnostic-*,bugprone-*'\nWarningsAsErrors: '*'\n",
        "src/a.cpp": '#include "b/b.hpp"\nint main() { return b(); }\n',
        "src/b/b.hpp": '#include "b/c.hpp"\ninline int b() { return c(); }\n',
        "src/b/c.hpp": "inline int c() { return 1; }\n",
        "build/compile_commands.json": json.dumps([{
            "directory": str(tmp_path / "build"), "file": "../src/a.cpp",
            "command": "clang++ -Wconversion -I../src -c ../src/a.cpp"}])})
    return tmp_path


def run_tidy(project, capfd):
    status = tidy.main(project / "build", project / "cache", project)
    return status, capfd.readouterr().out


def test_tidy_looks_again_only_at_what_changed(project, capfd):
    assert run_tidy(project, capfd) == (0, "clang-tidy: 1 sources, 1 of them changed\n")
    assert run_tidy(project, capfd) == (0, "clang-tidy: 1 sources, 0 of them changed\n")
    (project / "src/b/c.hpp").write_text("inline int c() { return 2; }\n")
    assert run_tidy(project, capfd) == (0, "clang-tidy: 1 sources, 1 of them changed\n")
    (project / ".clang-tidy").write_text("Checks: '-*,misc-*'\n")
    assert run_tidy(project, capfd) == (0, "clang-tidy: 1 sources, 1 of them changed\n")


@pytest.mark.parametrize("code, name", [
    ("int main() { long x = 1L << 40; int y = x; return y; }", "conversion"),
    ("int main(int n, char**) { if (n) { return 1; } else { return 1; } }", "branch-clone"),
])
def test_tidy_fails_and_does_not_remember(project, capfd, code, name):
    (project / "src/a.cpp").write_text(code + "\n")
    for _ in range(2):
        status, output = run_tidy(project, capfd)
        assert status == 1 and name in output and "1 of them changed" in output


def test_tidy_of_nothing_fails(project, capfd):
    (project / "build/compile_commands.json").write_text("[]")
    assert run_tidy(project, capfd)[0] == 1
