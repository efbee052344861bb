# SPDX-License-Identifier: Apache-2.0
"""A process as the kernel and its own metrics tell of it."""

import re
import time
from pathlib import Path

from childprocess import wait_until
from controller_process import Controller
from lab.netns import run
from lab.process import cpu_seconds

SAMPLE = re.compile(r"^(\w+)(?:{(.*)})? ([-+.\deInf]+)$", re.M)


def peak_mib(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB$", text, re.M)[1]) / 1024


def reset_peak(pid):
    """VmHWM begins anew at what is resident now (proc_pid_clear_refs(5))."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def at_rest(process, timeout=60):
    """Waits until it neither computes nor gives memory back; returns what is resident, in MiB. What
    a burst took is given back a second after it."""
    last = [0.0, 0.0]

    def rests():
        now = [cpu_seconds(process.pid), process.rss_mib()]
        quiet = now[0] - last[0] < 0.1 and now[1] >= last[1]
        last[:] = now
        return quiet

    wait_until(rests, timeout, f"{process.name} rests", interval=1.25)
    return last[1]


def quiet_cpu(process, timeout=600, pause=0.5):
    """Its CPU time once it has nothing to do any more: less than a hundredth of the time goes to
    it. Asks the kernel alone, which costs the process nothing."""
    last = cpu_seconds(process.pid)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        time.sleep(pause)
        now = cpu_seconds(process.pid)
        if now - last <= 0.01:
            return now
        last = now
    raise TimeoutError(f"{process.name} has not become quiet within {timeout} s")


ABSENT = ('kind="IPPool"', 'kind="CiliumNode"')  # kinds that this cluster does not have


class MeasuredController(Controller):
    def __init__(self, name, directory, *arguments):
        self.started_wall, self.started = time.time(), time.monotonic()
        super().__init__(name, directory, *arguments, election=(), log_level="info")

    @property
    def cpu(self):
        return cpu_seconds(self.process.pid)

    def samples(self):
        """{(family, labels as text): value}; {} while it is too busy to answer."""
        self.process.check()
        try:
            status, text = self.get("/metrics")
        except OSError:  # its answer takes longer than the patience of get()
            return {}
        if status != 200:
            return {}
        return {(name, labels): float(value) for name, labels, value in SAMPLE.findall(text)}

    def listed_at(self, samples):
        """When the last of the first lists had come, in Unix time; None: not yet."""
        times = [time for kind, time in values(
            samples, "egw_watch_listed_timestamp_seconds").items() if kind not in ABSENT]
        return max(times) if times and min(times) > 0 else None

    def connections(self, port):
        """How many it has with the API server on that port."""
        lines = run("ss", "-tnHp", "state", "established", "dport", "=", f":{port}").splitlines()
        return sum(f"pid={self.process.pid}," in line for line in lines)


def values(samples, family):
    """{labels as text: value} of one family."""
    return {labels: value for (name, labels), value in samples.items() if name == family}


def total(samples, family, *with_labels):
    return sum(value for labels, value in values(samples, family).items()
               if all(label in labels for label in with_labels))
