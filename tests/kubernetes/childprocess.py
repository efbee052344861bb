# SPDX-License-Identifier: Apache-2.0
"""Processes that a test starts: their log in a file, a network namespace of their own if asked,
and gone when the test is gone, however it ended."""

import concurrent.futures
import contextlib
import ctypes
import errno
import os
import signal
import subprocess
import time
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_PATIENCE = float(os.environ.get("EGW_PATIENCE", "1"))  # times as many, where all is emulated

# The kernel sends the parent-death signal when the *thread* that forked ends (prctl(2)), so all
# forks are made by one thread that lives as long as this process.
_forker = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="forker")


def wait_until(condition, timeout, what, interval=0.01):
    """Returns the first true value of condition(); TimeoutError names what did not come about."""
    timeout *= _PATIENCE
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout} s: {what}")
        time.sleep(interval)


@contextlib.contextmanager
def inside_netns(name):
    """Sockets made inside this block by this thread belong to that `ip netns` namespace, also
    after the block. None: the namespace of the process."""
    if name is None:
        yield
        return
    with open("/proc/thread-self/ns/net") as own, open(f"/run/netns/{name}") as other:
        _setns(other.fileno(), name)
        try:
            yield
        finally:
            _setns(own.fileno(), "the thread's own")


def _setns(fd, name):
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"entering network namespace {name}: {os.strerror(number)}")


class ChildProcess:
    """A started process. Signals go to its pid alone and never after it has been reaped."""

    def __init__(self, name, command, log, netns=None, env=None, cwd=None):
        self.name = name
        self.log = Path(log)
        self.netns = netns
        command = ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)]
        if netns is not None:
            command = ["nsenter", f"--net=/run/netns/{netns}", "--", *command]
        self.command = command
        with open(self.log, "ab") as output:
            # A session of its own: Ctrl-C reaches the test alone, which stops this in order.
            self._process = _forker.submit(
                subprocess.Popen, command, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, env=env, cwd=cwd, start_new_session=True,
            ).result()
        self._paused = False

    @property
    def pid(self):
        return self._process.pid

    @property
    def exit_status(self):
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll()

    def running(self):
        return self._process.poll() is None

    def check(self):
        """Raises with the end of its log when it has ended."""
        status = self.exit_status
        if status is not None:
            raise RuntimeError(f"{self.name} ended with status {status}; its log {self.log} "
                               f"ends:\n{self.log_tail()}")

    def log_tail(self, lines=15):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def signal(self, number):
        self._process.send_signal(number)

    def pause(self):
        """Returns when all its threads stand still."""
        self.signal(signal.SIGSTOP)
        self._paused = True
        wait_until(lambda: self._state() in "TZ", 5, f"{self.name} (pid {self.pid}) stopped")

    def resume(self):
        self.signal(signal.SIGCONT)
        self._paused = False

    def stop(self, timeout=15):
        """SIGTERM, and SIGKILL when that took longer than timeout. Returns the exit status."""
        if self._paused:
            return self.kill()
        self._process.terminate()
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self):
        self._process.kill()
        return self._process.wait()

    def rss_mib(self):
        return self._memory("VmRSS")

    def peak_rss_mib(self):
        return self._memory("VmHWM")

    def _memory(self, field):
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
        raise ProcessLookupError(errno.ESRCH, f"{self.name} (pid {self.pid}) has no {field}")

    def _state(self):
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        return stat[stat.rindex(")") + 2]
