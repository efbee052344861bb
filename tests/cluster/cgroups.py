#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Control groups of a cluster's nodes: one a node in each hierarchy of the machine. In version 1
they stand below the caller's own groups; in version 2 at the top, as no group that has processes,
as the caller's has, may hand controllers on. Of what was there before nothing changes, but for what
hand_on() says.

All of this mounts the hierarchies anew, so it wants a mount namespace of its own:
    unshare --mount cgroups.py list|remove PREFIX"""

import contextlib
import os
import subprocess
import sys
import time

BASE = "/mnt"  # of the caller's mount namespace
NEEDED = ("cpu", "memory", "pids")  # without these no container can be started


class Hierarchy:
    """A line of /proc/self/cgroup: `controllers` is empty for version 2."""

    def __init__(self, line):
        _, self.controllers, self.own = line.split(":", 2)
        self.unified = not self.controllers
        # Named as Linux and the distributions do: by the controllers, or as in "name=systemd".
        self.name = "unified" if self.unified else self.controllers.removeprefix("name=")

    def mount(self, place):
        if self.unified:
            options = ["-t", "cgroup2"]
        elif self.controllers.startswith("name="):
            options = ["-t", "cgroup", "-o", f"none,{self.controllers}"]
        else:
            options = ["-t", "cgroup", "-o", self.controllers]
        subprocess.run(["mount", *options, "cgroup", place], check=True)


def hierarchies(text=None):
    """Those that containers can be put into, by the text of /proc/self/cgroup. Beside version 1 the
    one of version 2 has no controllers, and containerd then leaves it alone."""
    found = [Hierarchy(line) for line in (text or read("/proc/self/cgroup")).splitlines()]
    return [h for h in found if not h.unified] or found


@contextlib.contextmanager
def mounted():
    """[(hierarchy, the folder that the nodes' groups are made in)]."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", BASE], check=True)
    try:
        found = []
        for hierarchy in hierarchies():
            place = os.path.join(BASE, hierarchy.name)
            os.mkdir(place)
            hierarchy.mount(place)
            parent = place if hierarchy.unified else os.path.normpath(place + hierarchy.own)
            found.append((hierarchy, parent))
        yield found
    finally:
        subprocess.run(["umount", "--recursive", BASE], check=True)


def read(path):
    with open(path, encoding="ascii") as file:
        return file.read()


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def enter(name):
    """Makes the groups, puts the calling process into them, and makes them the tops of what it and
    its children see."""
    with mounted() as found:
        for hierarchy, parent in found:
            group = os.path.join(parent, name)
            if hierarchy.unified:
                hand_on(parent)
            os.mkdir(group)
            if "cpuset" in hierarchy.controllers.split(","):
                for file in ("cpuset.cpus", "cpuset.mems"):
                    write(f"{group}/{file}", read(f"{parent}/{file}"))
                write(f"{group}/cgroup.clone_children", "1")
            write(f"{group}/cgroup.procs", str(os.getpid()))
        os.unshare(os.CLONE_NEWCGROUP)
        top, parent = found[0]
        if top.unified:  # out of the top group, which then may hand all that it has to containers
            group = os.path.join(parent, name)
            os.mkdir(f"{group}/init")
            write(f"{group}/init/cgroup.procs", str(os.getpid()))
            have = read(f"{group}/cgroup.controllers").split()
            write(f"{group}/cgroup.subtree_control", " ".join(f"+{each}" for each in have))


def hand_on(parent):
    """Version 2: `parent` gives its children the controllers that containers need, as any runtime
    of containers would. systemd has done so for most of them; they stay so."""
    missing = set(NEEDED) - set(read(f"{parent}/cgroup.subtree_control").split())
    if not missing:
        return
    try:
        write(f"{parent}/cgroup.subtree_control", " ".join(f"+{name}" for name in sorted(missing)))
    except OSError as error:
        raise RuntimeError(
            f"the top of the cgroup hierarchy hands on no {', '.join(sorted(missing))} "
            f"({error.strerror}): this machine can run no containers"
        ) from error


def mount_inside(base):
    """What a node sees of them, as its /sys/fs/cgroup."""
    found = hierarchies()
    if found[0].unified:
        found[0].mount(base)
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", base], check=True)
    for hierarchy in found:
        place = os.path.join(base, hierarchy.name)
        os.mkdir(place)
        hierarchy.mount(place)


def groups(prefix):
    """Names of those that begin with the prefix, wherever there is one."""
    with mounted() as found:
        names = {entry for _, parent in found for entry in os.listdir(parent)}
        return sorted(name for name in names if name.startswith(prefix))


def remove(prefix, timeout=10.0):
    """Their processes must have been ended; those that are just going are waited for."""
    with mounted() as found:
        for _, parent in found:
            for entry in os.listdir(parent):
                if entry.startswith(prefix):
                    remove_tree(os.path.join(parent, entry), time.monotonic() + timeout)


def remove_tree(group, end):
    for folder, _, _ in os.walk(group, topdown=False):
        while True:
            try:
                os.rmdir(folder)
                break
            except FileNotFoundError:
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)


def command(verb, prefix):
    """The words that run this file in a mount namespace of its own."""
    return ["unshare", "--mount", sys.executable, os.path.abspath(__file__), verb, prefix]


if __name__ == "__main__":
    if sys.argv[1] == "list":
        print(*groups(sys.argv[2]), sep="\n")
    else:
        remove(sys.argv[2])
