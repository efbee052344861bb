#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""include_directions.py SRC: includes point down only, and each outside library has its owners."""
import re
import sys
from pathlib import Path

# folder -> what it may include besides itself and src/version.hpp
BELOW = {
    "base": [],
    "api": ["base"],
    "net": ["base"],
    "peer": ["base"],
    # of net the values alone
    "egress": ["base", "api", "peer", "net/diff.hpp", "net/expr.hpp", "net/state.hpp"],
    "k8s": ["base", "api"],
    "cmd": ["base", "api", "net", "peer", "egress", "k8s"],
    "": ["base", "cmd"],  # src/main.cpp
}
# outside headers -> the folders that may know them
PURE = "egress"
OWNERS = {
    r"libmnl/|libnftnl/": ["net"],
    r"rapidjson/": ["api", "k8s"],
    r"httplib\.h": ["k8s", "cmd"],
    r"CLI/": ["cmd"],
    r"yaml-cpp/": ["k8s", "cmd"],
    # the brain has no sockets, threads or files
    r"(sys/(socket|epoll|ioctl)\.h|netdb\.h|poll\.h|thread|mutex|fstream)$":
        [folder for folder in BELOW if folder != PURE],
}
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)', re.M)


def complaints(src: Path):
    for file in sorted([*src.rglob("*.hpp"), *src.rglob("*.cpp")]):
        name = file.relative_to(src)
        folder = name.parts[0] if len(name.parts) > 1 else ""
        if folder not in BELOW:
            yield f"src/{name}: '{folder}' has no floor in {Path(__file__).name}"
            continue
        allowed = sorted(b if b.endswith(".hpp") else b + "/" for b in [folder, *BELOW[folder]])
        for kind, header in INCLUDE.findall(file.read_text()):
            if kind == '"' and header != "version.hpp" and not header.startswith(tuple(allowed)):
                yield f'src/{name}: includes "{header}", but may include {" ".join(allowed)}'
            for pattern, owners in OWNERS.items():
                if re.match(pattern, header) and folder not in owners:
                    yield f"src/{name}: includes <{header}>, which only {' '.join(owners)} may"


if __name__ == "__main__":
    found = list(complaints(Path(sys.argv[1])))
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(bool(found))
