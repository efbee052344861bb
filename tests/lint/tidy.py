#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tidy.py BUILD_DIR CACHE_DIR: clang-tidy over the sources of a compile database, EGW_JOBS at once.

A source that passed is not looked at again until its command, one of the project's headers that it
reaches, a .clang-tidy or clang-tidy itself changes: the cache holds one empty file for each pass.
The database should be one made for clang, so that clang's own warnings count too.
"""
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
QUOTED = re.compile(rb'^\s*#\s*include\s*"([^"]+)"', re.M)


def reached(source: Path, top: Path):
    """The source and the project's headers that it includes, directly or not."""
    seen, todo = {}, [source]
    while todo:
        file = todo.pop()
        if file in seen:
            continue
        seen[file] = file.read_bytes()
        for name in QUOTED.findall(seen[file]):
            for base in (file.parent, top / "src", top / "tests"):
                if (candidate := (base / name.decode()).resolve()).is_file():
                    todo.append(candidate)
                    break
    return seen


def key(entry, top: Path, tool: str):
    digest = hashlib.sha256(tool.encode())
    source = (Path(entry["directory"]) / entry["file"]).resolve()
    # the folder of the checkout does not matter, what is in it does
    digest.update(entry["command"].replace(str(top), "").encode())
    for config in (".clang-tidy", "tests/.clang-tidy"):
        if (top / config).is_file():
            digest.update((top / config).read_bytes())
    for file, content in sorted(reached(source, top).items()):
        digest.update(str(file).replace(str(top), "").encode() + b"\0" + content + b"\0")
    return digest.hexdigest()


def main(build: Path, cache: Path, top: Path = TOP):
    cache.mkdir(parents=True, exist_ok=True)
    tool = subprocess.run(["clang-tidy", "--version"], capture_output=True, text=True).stdout
    entries, todo = [], []
    for entry in json.loads((build / "compile_commands.json").read_text()):
        source = (Path(entry["directory"]) / entry["file"]).resolve()
        if source.is_relative_to(top / "src") or source.is_relative_to(top / "tests"):
            entries.append(entry)
            mark = cache / key(entry, top, tool)
            if not mark.exists():
                todo.append((source, mark))
            else:
                os.utime(mark)
    todo.sort(key=lambda item: -item[0].stat().st_size)
    print(f"clang-tidy: {len(entries)} sources, {len(todo)} of them changed", flush=True)
    if not entries:
        print("the compile database names no source of this project")
        return 1
    failed = 0

    def run(item):
        command = ["clang-tidy", "--quiet", "-p", str(build), str(item[0])]
        return item, subprocess.run(command, capture_output=True, text=True)

    jobs = int(os.environ.get("EGW_JOBS", os.cpu_count()))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for (source, mark), result in pool.map(run, todo):
            if result.returncode == 0:
                mark.touch()
                continue
            failed += 1
            print(f"{source.relative_to(top)}:\n{result.stdout}{result.stderr}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), Path(sys.argv[2])))
