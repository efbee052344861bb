# SPDX-License-Identifier: Apache-2.0
"""A real process of the lab: in a namespace, its output in a file, ended by its own id."""

import os
import signal
import subprocess

from .wait import until


def cpu_seconds(pid):
    """User and system time of all its threads, ended ones too."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Process:
    def __init__(self, netns, name, argv, directory, env=None, stdin=None, stdout=None):
        self.netns, self.name, self.argv = netns, name, [str(a) for a in argv]
        self.log = os.path.join(directory, f"{name}.log")
        self.env = {**os.environ, **(env or {})}
        self.stdin, self.stdout = stdin, stdout
        self.popen = None

    def start(self):
        if self.running():
            raise RuntimeError(f"{self.name} runs already (pid {self.popen.pid})")
        with open(self.log, "ab") as log:
            log.write(f"--- start: {' '.join(self.argv)}\n".encode())
            log.flush()
            # A session of its own: Ctrl-C reaches the lab alone, which then ends things in order.
            self.popen = self.netns.popen(
                self.argv,
                stdin=self.stdin or subprocess.DEVNULL,
                stdout=self.stdout or log,
                stderr=log,
                start_new_session=True,
                env=self.env,
            )
        return self

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen is not None and self.popen.poll() is None

    def signal(self, number):
        if self.running():
            self.popen.send_signal(number)

    def kill(self):
        """SIGKILL: what a crash or a power cut looks like."""
        if self.popen is None:
            return
        if self.running():
            self.popen.send_signal(signal.SIGCONT)
            self.popen.kill()
        self.popen.wait(timeout=10)

    def stop(self, timeout=10.0):
        """SIGTERM and wait; returns the exit status. Not ending in time is an error, not a wait."""
        if self.popen is None:
            return None
        if self.running():
            self.popen.terminate()
        try:
            return self.popen.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(
                f"{self.name} did not end within {timeout:g} s of SIGTERM; "
                f"last lines: {self.tail()}"
            ) from None

    def restart(self, timeout=10.0):
        self.stop(timeout)
        return self.start()

    def output(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def tail(self, lines=15):
        return "\n".join(self.output().splitlines()[-lines:])

    def rss(self):
        """Resident memory in bytes."""
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Rss:"):
                    return int(line.split()[1]) * 1024
        raise RuntimeError(f"no Rss in smaps_rollup of {self.name}")

    def wait_for_log(self, text, timeout=20.0):
        def seen():
            if not self.running():
                raise RuntimeError(f"{self.name} ended: {self.tail()}")
            return text in self.output()

        until(seen, f"{self.name} says {text!r}", timeout)
