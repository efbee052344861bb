# SPDX-License-Identifier: Apache-2.0
"""The controller as a process of its own. EGW_BIN names the binary; else build/egw."""

import os
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

from childprocess import ChildProcess, wait_until

TOP = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("EGW_BIN") or TOP / "build" / "egw"
QUICK = ("--lease-duration=3s", "--renew-deadline=2s", "--retry-period=250ms")


class Controller:
    restarted = False  # the API server: it refuses everything until it has read the roles again

    def __init__(self, name, directory, *arguments, enter=(), env=None, webhook="",
                 election=QUICK, log_level="debug"):
        """enter: words that start the command in another place; env: instead of the own one;
        webhook: the address of the admission webhook, none by default; election: options about
        the Lease."""
        self.process = ChildProcess(name, [
            *enter, BINARY, "controller", f"--identity={name}", "--metrics-address=127.0.0.1:0",
            f"--log-level={log_level}", f"--webhook-address={webhook}", *election, *arguments],
            directory / f"{name}.log", env=env)
        found = wait_until(
            lambda: re.search(r"metrics and health on port (\d+)", self.log()) or
            self.process.check(), 10, f"{name} listens")
        self.url = f"http://127.0.0.1:{found[1]}"
        if webhook:
            self.webhook_port = int(re.search(r"admission webhook on port (\d+)", self.log())[1])

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
        return sum_of(self.get("/metrics")[1], name)

    def watches_down(self):
        lines = self.get("/metrics")[1].splitlines()
        return [x for x in lines if x.startswith("egw_watch_up{") and x.endswith(" 0")]

    def leads(self):
        self.process.check()
        return self.metric("egw_controller_leader") == 1

    def ready(self):
        return self.get("/readyz")[0] == 200

    def await_quiet(self, seconds=1.2, timeout=60):
        """Returns when it has nothing to write, and has written nothing for so long: what people
        alone read comes up to a second after the rest."""
        seen = [None, 0.0]

        def quiet():
            text = self.get("/metrics")[1]
            now = time.monotonic()
            writes = sum_of(text, "egw_writes_total")
            if writes != seen[0] or sum_of(text, "egw_objects_pending") != 0:
                seen[:] = writes, now
            return now - seen[1] >= seconds
        wait_until(quiet, timeout, f"{self.process.name} has written all", interval=0.05)


def sum_of(text, name):
    """Of all samples of a family."""
    return sum(float(value) for value in re.findall(
        rf"^{name}(?:{{.*}})? ([-+.\deInf]+)$", text, re.M))
