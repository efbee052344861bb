# SPDX-License-Identifier: Apache-2.0
"""Network namespaces: made, entered by a thread, and taken down with everything that runs in
them."""

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import threading
import time

from .wait import PATIENCE, until

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, IFF_RUNNING = 0x8913, 0x40
RUN = "/run/netns"
_libc = ctypes.CDLL(None, use_errno=True)


class CommandError(RuntimeError):
    pass


def run(*argv, stdin=None, check=True, timeout=60):
    """Run a command and return what it printed; an error carries all that it said."""
    done = subprocess.run(
        [str(a) for a in argv],
        input=stdin,
        text=True,
        timeout=timeout * PATIENCE,
        capture_output=True,
        start_new_session=True,
    )
    if check and done.returncode != 0:
        said = (done.stderr + done.stdout).strip()
        sent = f"\n--- stdin\n{stdin}" if stdin else ""
        raise CommandError(f"{' '.join(map(str, argv))}: exit {done.returncode}: {said}{sent}")
    return done.stdout


class Netns:
    """A named network namespace. A namespace belongs to a thread, so `call` enters it in a thread
    of its own: sockets and processes made there stay in the namespace, the caller stays outside."""

    def __init__(self, name):
        self.name = name
        self.path = f"{RUN}/{name}"
        run("ip", "netns", "add", name)
        self.sysctl(
            {
                # Duplicate address detection would keep every IPv6 address back for a second.
                "net.ipv6.conf.all.accept_dad": 0,
                "net.ipv6.conf.default.accept_dad": 0,
                "net.ipv6.conf.default.dad_transmits": 0,
                "net.ipv6.conf.default.accept_ra": 0,
                "net.ipv6.conf.default.router_solicitations": 0,
            }
        )
        self.batch("link set lo up")

    def call(self, function, *args, **kwargs):
        box = {}

        def body():
            try:
                fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    if _libc.setns(fd, CLONE_NEWNET) != 0:
                        code = ctypes.get_errno()
                        raise OSError(code, f"enter {self.path}: {os.strerror(code)}")
                finally:
                    os.close(fd)
                box["value"] = function(*args, **kwargs)
            except BaseException as error:  # handed to the caller's thread below
                box["error"] = error

        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        thread.join()
        if "error" in box:
            raise box["error"]
        return box["value"]

    def run(self, *argv, **kwargs):
        return self.call(run, *argv, **kwargs)

    def popen(self, argv, **kwargs):
        return self.call(subprocess.Popen, [str(a) for a in argv], **kwargs)

    def batch(self, text):
        """Several `ip` commands, one a line, in one process."""
        lines = "\n".join(line.strip() for line in text.strip().splitlines() if line.strip())
        return self.run("ip", "-batch", "-", stdin=lines + "\n")

    def ip(self, *argv, check=True):
        return self.run("ip", *argv, check=check)

    def ip_json(self, *argv):
        return json.loads(self.run("ip", "-j", *argv).strip() or "[]")

    def nft_json(self, *argv):
        return json.loads(self.run("nft", "-j", *argv))["nftables"]

    def sysctl(self, values):
        def write():
            for key, value in values.items():
                # A dot inside an interface's name (flannel.1) is written as a slash by callers.
                name = key.replace(".", "\0").replace("/", ".").replace("\0", "/")
                with open(f"/proc/sys/{name}", "w", encoding="ascii") as file:
                    file.write(str(value))

        self.call(write)

    def wait_up(self, *devices, timeout=10.0):
        """Until the kernel lets packets out: it hears of a carrier up to a second after `link set
        up`."""

        def up():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                for device in devices:
                    answer = fcntl.ioctl(
                        sock, SIOCGIFFLAGS, struct.pack("16sH14x", device.encode(), 0)
                    )
                    if not struct.unpack("16xH14x", answer)[0] & IFF_RUNNING:
                        return False
            return True

        self.call(until, up, f"{devices} of {self.name} up", timeout, 0.001)

    def delete(self):
        remove(self.name)


def inode(name):
    try:
        return os.stat(f"{RUN}/{name}").st_ino
    except FileNotFoundError:
        return None


def pids_in(names):
    """Processes whose network namespace is one of the named ones."""
    wanted = {inode(name) for name in names} - {None}
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            if os.stat(f"/proc/{entry}/ns/net").st_ino in wanted:
                found.append(int(entry))
        except OSError:
            continue
    return found


def remove(*names):
    """End what runs in the namespaces, then delete them. A namespace that is gone is no error.

    Only a process inside a namespace that the caller made can be meant, so killing by
    namespace never reaches a stranger."""
    end = time.monotonic() + 10
    while pids := pids_in(names):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
        if time.monotonic() > end:
            raise RuntimeError(f"processes {pids} in {names} do not end")
        time.sleep(0.005)
    for name in names:
        if inode(name) is not None:
            run("ip", "netns", "del", name)


def named(prefix):
    try:
        return sorted(n for n in os.listdir(RUN) if n.startswith(prefix))
    except FileNotFoundError:
        return []
