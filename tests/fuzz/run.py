#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run.py [--seconds N] BUILD_DIR [TARGET...]: builds fuzz targets and runs each for a while.

Two run at a time. What a target learns stays in BUILD_DIR/fuzz/corpus and helps the next run; an
input that breaks it is kept in BUILD_DIR/fuzz/found, made small, and printed as a test case. Its
last line is what ./dev test counts.
"""
import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
HERE = TOP / "tests" / "fuzz"
RECORDED = TOP / "tests" / "data" / "netlink"  # what real kernels sent
AT_ONCE = 2
SECONDS_FOR_ONE_INPUT = 30  # other work may run beside, and first
MEGABYTES = 2048
SECONDS_TO_MAKE_SMALL = 20
ENVIRONMENT = {
    "ASAN_OPTIONS": "external_symbolizer_path=/usr/bin/addr2line",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}


def targets():
    return sorted(file.stem for file in HERE.glob("*.cpp"))


def seeds(name):
    own = HERE / "seeds" / name
    folders = [own] if own.is_dir() else []
    if '"fuzz/netlink.hpp"' in (HERE / f"{name}.cpp").read_text():
        folders.append(RECORDED)
    if not folders:
        sys.exit(f"fuzz {name}: no seeds in {own}: add one valid input at least")
    return folders


def execute(command, log, seconds):
    """Status of a target, which ends by itself; one that does not has hung."""
    with log.open("w") as out:
        try:
            return subprocess.run(command, stdout=out, stderr=subprocess.STDOUT,
                                  env=ENVIRONMENT | dict(os.environ), timeout=seconds + 120,
                                  check=False).returncode
        except subprocess.TimeoutExpired:
            out.write("\nended by run.py: it went on far beyond its time\n")
            return -1


def as_test_case(data):
    rows = [data[i:i + 16] for i in range(0, len(data), 16)]
    lines = ["  " + " ".join(f"0x{byte:02x}," for byte in row) for row in rows]
    return "\n".join(["const std::uint8_t input[] = {", *lines, "};", f"as text: {data!r}"])


def made_small(program, found, log):
    small = found.with_name(found.name + "-small")
    execute([program, "-minimize_crash=1", f"-max_total_time={SECONDS_TO_MAKE_SMALL}",
             f"-exact_artifact_path={small}", found], log, SECONDS_TO_MAKE_SMALL)
    return small if small.is_file() else found


def run(name, build, seconds, seed):
    """(whether it passed, what there is to tell)"""
    program = build / "tests" / "fuzz" / f"fuzz-{name}"
    work = build / "fuzz"
    corpus, found, log = work / "corpus" / name, work / "found", work / f"{name}.log"
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(exist_ok=True)
    prefix = found / f"{name}-"
    begun = time.time()
    status = execute(
        [program, f"-max_total_time={seconds}", f"-seed={seed}",
         f"-timeout={SECONDS_FOR_ONE_INPUT}",
         f"-rss_limit_mb={MEGABYTES}", "-print_final_stats=1", f"-artifact_prefix={prefix}",
         corpus, *seeds(name)], log, seconds)
    text = log.read_text(errors="replace")
    tried = re.search(r"number_of_executed_units: (\d+)", text)
    coverage = re.findall(r" cov: (\d+) ft: \d+ corp: (\d+)", text)
    if status == 0 and tried and coverage:
        edges, inputs = coverage[-1]
        return True, (f"ok     {name:14} {tried[1]:>9} inputs tried, {inputs:>5} kept, "
                      f"{edges:>5} edges reached, {time.time() - begun:.0f} s")
    told = [f"FAILED {name:14} status {status}, all of it: {log}", *text.splitlines()[-60:]]
    kept = re.findall(r"Test unit written to (.*)", text)
    if kept:
        small = made_small(program, Path(kept[-1]), work / f"{name}-small.log")
        settings = " ".join(f"{name}={value}" for name, value in ENVIRONMENT.items())
        told += [f"kept as {small}; once mended, it belongs into {HERE / 'seeds' / name}",
                 f"again by: {settings} {program} {small}", as_test_case(small.read_bytes())]
    return False, "\n".join(told)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=" ".join(targets()))
    parser.add_argument("--seconds", type=int, default=int(os.environ.get("EGW_FUZZ_SECONDS", 60)))
    # The same each time: what a change is judged by does not depend on luck. 0: another each time.
    parser.add_argument("--seed", type=int, default=int(os.environ.get("EGW_FUZZ_SEED", 1)))
    parser.add_argument("--build-only", action="store_true")
    options = parser.parse_args()
    names = options.targets or targets()
    for name in names:
        if name not in targets():
            parser.error(f"no target is called '{name}': they are {' '.join(targets())}")
    if options.seconds < 1:
        parser.error(f"--seconds {options.seconds}: 1 at least, since 0 means for ever here")
    build = options.build.resolve()
    subprocess.run(["ninja", "-C", build, *(f"tests/fuzz/fuzz-{name}" for name in names)],
                   check=True)
    if options.build_only:
        return 0
    passed = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        runs = [pool.submit(run, name, build, options.seconds, options.seed) for name in names]
        for done in concurrent.futures.as_completed(runs):
            good, told = done.result()
            passed += good
            print(told, flush=True)
    failed = len(names) - passed
    print(f"[fuzz] targets: {len(names)} | {passed} passed | {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
