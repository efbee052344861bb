#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the definitions from kinds.py beside it, or to the directory named: one file a kind."""

import sys
from pathlib import Path

import yaml

from kinds import all_kinds


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data):  # what is shared in Python is written out each time
        return True


def files():
    """Name of each file and its text."""
    head = "# SPDX-License-Identifier: Apache-2.0\n# Made by generate.py from kinds.py.\n"
    for definition in all_kinds():
        body = yaml.dump(definition, Dumper=_Dumper, sort_keys=False, width=100)
        yield definition["spec"]["names"]["plural"] + ".yaml", head + body


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    for name, body in files():
        (target / name).write_text(body)
