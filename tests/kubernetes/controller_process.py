# SPDX-License-Identifier: Apache-2.0
"""The controller as a process of its own. EGW_BIN names the binary; else build/egw."""

import os
import re
import urllib.error
import urllib.request
from pathlib import Path

from childprocess import ChildProcess, wait_until

TOP = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("EGW_BIN") or TOP / "build" / "egw"
QUICK = ("--lease-duration=3s", "--renew-deadline=2s", "--retry-period=250ms")


class Controller:
    restarted = False  # the API server: it refuses everything until it has read the roles again

    def __init__(self, name, directory, *arguments, enter=(), env=None, election=QUICK,
                 log_level="debug"):
        """enter: words that start the command in another place; env: instead of the own one;
        election: options about the Lease."""
        self.process = ChildProcess(name, [
            *enter, BINARY, "controller", f"--identity={name}", "--metrics-address=127.0.0.1:0",
            f"--log-level={log_level}", *election, *arguments], directory / f"{name}.log", env=env)
        found = wait_until(
            lambda: re.search(r"metrics and health on port (\d+)", self.log()) or
            self.process.check(), 10, f"{name} listens")
        self.url = f"http://127.0.0.1:{found[1]}"

    def log(self):
        return self.process.log.read_text()

    def get(self, path):
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name):
        """The sum of all samples of a family."""
        text = self.get("/metrics")[1]
        return sum(float(value) for value in re.findall(
            rf"^{name}(?:{{.*}})? ([-+.\deInf]+)$", text, re.M))

    def leads(self):
        self.process.check()
        return self.metric("egw_controller_leader") == 1
