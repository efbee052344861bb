# SPDX-License-Identifier: Apache-2.0
"""The shipped binary: one static, hardened, small file. EGW_BIN and EGW_RELEASE_BIN name it."""
import os
import re
import subprocess
import time

import pytest

LIMIT = 12 * 1000 * 1000  # bytes


def readelf(option, path):
    command = ["readelf", "-W", option, path]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def faults(path):
    """What a hardened static binary must not be, as a set of words."""
    header, segments = readelf("-h", path), readelf("-l", path)
    dynamic, sections = readelf("-d", path), readelf("-S", path)
    stack = re.search(r"GNU_STACK.* (R\w*) ", segments)
    # Not the IBT and SHSTK notes: Debian's static glibc has none, so no static binary of it does.
    bad = {
        "not position independent": not re.search(r"Type:\s+DYN", header) or "PIE" not in dynamic,
        "has an interpreter": "INTERP" in segments,
        "needs shared libraries": "(NEEDED)" in dynamic,
        "not stripped": ".symtab" in sections or ".debug_" in sections,
        "no RELRO": "GNU_RELRO" not in segments,
        "lazy binding": "NOW" not in dynamic,
        "executable stack": not stack or "E" in stack[1],
        "writable code": bool(re.search(r"LOAD.* RWE ", segments)),
        "relocations not packed": "(RELR)" not in dynamic,
    }
    return {what for what, wrong in bad.items() if wrong}


@pytest.fixture(params=["EGW_BIN", "EGW_RELEASE_BIN"])
def binary(request):
    return os.environ[request.param]


def test_hardened_and_static(binary):
    assert faults(binary) == set()


def test_small(binary):
    assert 0 < os.path.getsize(binary) < LIMIT


def test_version_is_that_of_git(binary):
    told = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    git = subprocess.run(["git", "describe", "--tags", "--always", "--dirty", "--match", "v[0-9]*"],
                         capture_output=True, text=True, check=True).stdout
    assert told == f"egw {git}"


def test_starts_at_once(binary):
    def start():
        begin = time.monotonic()
        subprocess.run([binary, "--version"], stdout=subprocess.DEVNULL, check=True)
        return time.monotonic() - begin
    assert min(start() for _ in range(10)) < 0.02


def compile_c(tmp_path, *options):
    (tmp_path / "x.c").write_text("int main(void) { return 0; }\n")
    subprocess.run(["gcc", *options, "x.c", "-o", "x"], cwd=tmp_path, check=True)
    return str(tmp_path / "x")


@pytest.mark.parametrize("options, expected", [
    (["-s"], {"has an interpreter", "needs shared libraries"}),
    (["-static", "-s"], {"not position independent"}),
    (["-static-pie"], {"not stripped"}),
    (["-static-pie", "-s", "-Wl,-z,norelro"], {"no RELRO"}),
    (["-static-pie", "-s", "-Wl,-z,execstack"], {"executable stack"}),
    (["-static-pie", "-s", "-Wl,-z,nopack-relative-relocs"], {"relocations not packed"}),
])
def test_a_softer_binary_is_told_apart(tmp_path, options, expected):
    assert expected <= faults(compile_c(tmp_path, *options))
