# SPDX-License-Identifier: Apache-2.0
"""Watches over a lab from outside: when the lab's process is gone, even by SIGKILL, its namespaces,
processes and files go too.

Run as `python3 reaper.py PREFIX DIRECTORY [COMMAND...]` with the lab's pipe as standard input; the
command takes away what else there is, when all processes are gone."""

import os
import shutil
import signal
import subprocess
import sys

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from lab import netns

    prefix, directory, *command = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # The lab never writes: the read ends when the last holder of the other end is gone.
    sys.stdin.buffer.read()
    names = netns.named(prefix)
    if names:
        netns.remove(*names)
    if command:
        subprocess.run(command, check=False)
    shutil.rmtree(directory, ignore_errors=True)
