#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""house.py TOP FILE...: house rules that no other tool holds. A long file is asked why, no more."""
import re
import sys
from pathlib import Path

SOURCE = re.compile(r"\.(cpp|hpp|cpp\.in|py|sh|go)$|(^|/)(meson\.build|meson\.options|dev|run)$")
SPDX = "SPDX-License-Identifier: Apache-2.0"


def check(top: Path, names):
    """(errors, warnings) for the files named relative to top."""
    errors, warnings = [], []
    for name in names:
        if not SOURCE.search(name) or not (top / name).is_file():
            continue
        lines = (top / name).read_text().split("\n")
        if not any(SPDX in line for line in lines[:3]):
            errors.append(f"{name}: no '{SPDX}' in its first three lines")
        for number, line in enumerate(lines, 1):
            if len(line) > 100 and not name.endswith(".go"):
                errors.append(f"{name}:{number}: {len(line)} columns, 100 are allowed")
            if line != line.rstrip():
                errors.append(f"{name}:{number}: blanks at the end of the line")
        if len(lines) > 401:
            warnings.append(f"{name}: {len(lines) - 1} lines; has it one purpose?")
    return errors, warnings


if __name__ == "__main__":
    errors, warnings = check(Path(sys.argv[1]), sys.argv[2:])
    print(*(f"note: {w}" for w in warnings), *errors, sep="\n")
    sys.exit(bool(errors))
