# SPDX-License-Identifier: Apache-2.0
"""Writes to etcd behind the API server's back, many times faster than through it."""

import json
import subprocess

from binaries import binaries


class StoreError(RuntimeError):
    pass


def store(server, changes, rate=0):
    """Carries out changes, as `kubernetes store` takes them (store.go): {"key", "from", "replace",
    "delete"}. rate: at most so many a second; 0: no limit. Returns {"changes", "seconds"}."""
    url = (server.directory / "etcd" / "client-url").read_text()
    process = subprocess.Popen(
        [*binaries().command("store"), f"--rate={rate:g}", url], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    with process:
        try:
            for change in changes:
                process.stdin.write(json.dumps(change, separators=(",", ":")) + "\n")
        except BrokenPipeError:
            pass  # it ended early, and says why
        said, why = process.communicate()
    if process.returncode != 0:
        last = (why.strip().splitlines() or [f"it ended with {process.returncode}"])[-1]
        raise StoreError(last)  # before it, gRPC may have told of itself
    return json.loads(said)
