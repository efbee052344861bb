#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a command on another kernel: in qemu, with this machine's files.

run.py KERNEL_FOLDER COMMAND...    (a folder as a package linux-image-* unpacks it)

The machine's / is the guest's, by 9p, below an overlay in memory: nothing that the guest writes
stays. It has no network but its own. Its console is printed; the command's status is this one's."""

import argparse
import gzip
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
NEEDED = ("virtio_pci", "9pnet_virtio", "9p", "overlay")  # to find the files
STATUS = "guest: status "

INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /low /high /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
while read module; do /bin/busybox insmod /modules/$module || echo "guest: no $module"; done </order
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 root /low
/bin/busybox mount -t tmpfs -o size=80% tmpfs /high
/bin/busybox mkdir /high/upper /high/work
/bin/busybox mount -t overlay -o lowerdir=/low,upperdir=/high/upper,workdir=/high/work overlay /root
for d in proc sys dev; do
  /bin/busybox mkdir -p /root/$d
  /bin/busybox mount --move /$d /root/$d
done
exec /bin/busybox switch_root /root /bin/bash {inside}
"""

INSIDE = """
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mkdir -p /run/netns /run/lock /dev/pts /dev/shm /lib/modules/$(uname -r)
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
ln -sf /proc/self/fd /dev/fd
mount --bind {modules} /lib/modules/$(uname -r)
ip link set lo up
hostname guest
cd {top}
echo "guest: Linux $(uname -r), up for $(cut -d ' ' -f 1 /proc/uptime) s"
{environment}
{command} </dev/null
echo "{status}$?"
sync
echo o >/proc/sysrq-trigger
sleep 60
"""


def version_of(kernel):
    (version,) = os.listdir(os.path.join(kernel, "lib", "modules"))
    return version


def initramfs(kernel, folder, inside):
    """A cpio archive with busybox, what it takes to reach the files, and INIT."""
    version = version_of(kernel)
    if not os.path.exists(f"{kernel}/lib/modules/{version}/modules.dep"):
        subprocess.run(["depmod", "-b", kernel, version], check=True)
    root = os.path.join(folder, "initramfs")
    os.makedirs(f"{root}/bin")
    os.makedirs(f"{root}/modules")
    shutil.copy("/bin/busybox", f"{root}/bin/busybox")
    order = []
    for module in NEEDED:
        said = subprocess.run(
            ["modprobe", "-d", kernel, "-S", version, "--show-depends", module],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for line in said.splitlines():
            word, _, path = line.partition(" ")
            path = path.split()[0]
            if word == "insmod" and os.path.basename(path) not in order:
                shutil.copy(path, f"{root}/modules")
                order.append(os.path.basename(path))
    write(f"{root}/order", "".join(f"{name}\n" for name in order))
    write(f"{root}/init", INIT.format(inside=inside))
    os.chmod(f"{root}/init", 0o755)
    names = "".join(
        f"{os.path.relpath(os.path.join(base, name), root)}\n"
        for base, folders, files in os.walk(root)
        for name in (*folders, *files)
    )
    archive = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"],
        cwd=root,
        input=names.encode(),
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    path = os.path.join(folder, "initramfs.gz")
    with gzip.open(path, "wb", 1) as file:
        file.write(archive)
    return path


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def qemu(kernel, image, timeout):
    """The guest's lines, as they come. Emulated throughout, unless EGW_KVM is set: /dev/kvm of a
    machine that is virtual itself may be there and not work."""
    fast = os.environ.get("EGW_KVM")
    cpu = "-accel kvm -cpu host" if fast else "-accel tcg,thread=multi -cpu max"
    argv = [
        *("timeout", "--kill-after=10", str(timeout), "qemu-system-x86_64", "-M", "q35"),
        *cpu.split(),
        *("-m", "4096", "-smp", "2", "-nodefaults", "-no-reboot", "-nographic", "-serial", "stdio"),
        *("-kernel", f"{kernel}/boot/vmlinuz-{version_of(kernel)}", "-initrd", image),
        *("-append", "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off tsc=reliable"
          " random.trust_cpu=on net.ifnames=0"),
        *("-virtfs", "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap"),
        *("-device", "virtio-rng-pci"),
    ]
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace"
    ) as guest:
        yield from guest.stdout


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--timeout", type=int, default=3600, help="seconds (3600)")
    parser.add_argument("kernel")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    kernel = os.path.abspath(options.kernel)
    passed_on = {k: v for k, v in os.environ.items() if k.startswith("EGW_") or k == "PATH"}
    status = 1
    # Below the project: /tmp is another one in the guest.
    os.makedirs(f"{TOP}/build", exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vm-", dir=f"{TOP}/build") as folder:
        inside = f"{folder}/inside.sh"
        write(
            inside,
            INSIDE.format(
                modules=shlex.quote(f"{kernel}/lib/modules/{version_of(kernel)}"),
                top=shlex.quote(TOP),
                environment="\n".join(f"export {k}={shlex.quote(v)}" for k, v in passed_on.items()),
                command=shlex.join(options.command),
                status=STATUS,
            ),
        )
        for line in qemu(kernel, initramfs(kernel, folder, inside), options.timeout):
            line = line.rstrip("\r\n")
            print(line, flush=True)
            if line.startswith(STATUS):
                status = int(line.removeprefix(STATUS))
    return status


if __name__ == "__main__":
    sys.exit(main())
