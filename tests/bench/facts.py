# SPDX-License-Identifier: Apache-2.0
"""What was measured, and where."""

import os
import platform
import subprocess
import time

from lab.control import binary


def machine():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        model = next(
            (line.split(":", 1)[1].strip() for line in file if line.startswith("model name")),
            "unknown",
        )
    return {
        "cpu": model,
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "load": os.getloadavg()[0],
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def version():
    said = subprocess.run(
        [binary(), "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return {"version": said, "bytes": os.path.getsize(binary())}


class CpuShare:
    """How much of the machine others take while something is measured."""

    def __init__(self):
        self.began = self._now()

    @staticmethod
    def _now():
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
        busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), busy, sum(os.times()[:4])

    def of_others(self):
        """In percent of all CPUs. What this process and children that it waited for took is no
        part of it."""
        spent, busy, own = (now - then for now, then in zip(self._now(), self.began))
        return 100 * max(0.0, busy - own) / spent / os.cpu_count()
