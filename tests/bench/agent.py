#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What policies and pods cost an agent, by their number: its core on the kernel of a network
namespace, with events as the watches give them. No cluster is needed.

agent.py [--json FILE] [--policies 1,100,1000,5000,10000]"""

import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), HERE]

from facts import CpuShare, machine  # noqa: E402
from lab.control import TOP  # noqa: E402
from tables import row  # noqa: E402

# Row, part, figure, what is expected at how many policies.
ROWS = (
    ("first load: agent's CPU (ms)", "first_load", "agent_ms", None),
    ("first load: netlink, kernel (ms)", "first_load", "apply_ms", (5000, 1000)),
    ("one more pod: agent's CPU (ms)", "pod", "agent_ms", (10000, 5)),
    ("one more pod: netlink, kernel (ms)", "pod", "apply_ms", (10000, 1)),
    ("one more policy: agent's CPU (ms)", "policy", "agent_ms", (10000, 5)),
    ("one more policy: netlink, kernel (ms)", "policy", "apply_ms", (10000, 1)),
    ("one more EIP for one: agent's CPU (ms)", "eip", "agent_ms", None),
    ("one more EIP for one: netlink, kernel (ms)", "eip", "apply_ms", None),
)


# The agent of the node that has the pods, and of the gateway that holds their EIPs.
SIDES = (("node", ()), ("gateway", ("gateway",)))


def measure(program, count, side):
    command = [program, str(count), *side]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {answer.stderr.strip()}")
    return json.loads(answer.stdout)


def lines(side, counts):
    yield row(f"by policies, 3 pods each: the {side}'s", counts, 10)
    for name, part, figure, expected in ROWS:
        cells = [f"{entry[part][figure]:.2f}" for entry in counts.values()]
        line = row(name, cells, 10)
        yield line if not expected else f"{line}  expected: <= {expected[1]} at {expected[0]}"
    yield row("resident memory (MiB)", [f"{e['rss_mib']:.1f}" for e in counts.values()], 10)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    numbers = lambda text: sorted(int(n) for n in text.split(","))
    parser.add_argument(
        "--json", metavar="FILE", default=os.path.join(TOP, "build", "bench-agent.json")
    )
    parser.add_argument("--policies", type=numbers, default=[1, 100, 1000, 5000, 10000])
    options = parser.parse_args()
    program = os.path.join(TOP, "build", "tests", "bench", "bench-agent")
    share = CpuShare()
    results = {"machine": machine(), "policies": {}}
    for name, side in SIDES:
        results["policies"][name] = {str(n): measure(program, n, side) for n in options.policies}
    results["cpu_of_others_percent"] = share.of_others()
    for name, counts in results["policies"].items():
        print("\n".join(lines(name, counts)) + "\n")
    print(f"others took {results['cpu_of_others_percent']:.0f} % of all CPUs meanwhile")
    with open(options.json, "w", encoding="ascii") as file:
        json.dump(results, file, indent=1)
    print(f"kept in {options.json}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
