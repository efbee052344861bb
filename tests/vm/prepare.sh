# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What ./dev test --kernel needs, which sources this: an emulator in the root, and the kernel.

# Debian's releases by their kernels.
declare -A releases=([5.10]=bullseye [6.1]=bookworm)
emulator=(qemu-system-x86 busybox-static cpio kmod)

# prepare_kernel VERSION: the emulator in the root, and the kernel unpacked in the cache.
prepare_kernel() {
  local version=${1:-} install
  [ -n "${releases[$version]:-}" ] ||
    die "test --kernel takes one of ${!releases[*]}, not '$version'"
  install="command -v qemu-system-x86_64 || { apt-get -q update &&
    apt-get -q install -y --no-install-recommends ${emulator[*]}; }"
  logged "installing the emulator" "$cache/emulator.log" enter_briefly bash -c "$install"
  [ -d "$cache/linux-$version" ] || (
    suite=${releases[$version]}
    apt_sources >"$cache/sources.list"
    enter "$top/dev" fetch "linux-$version"
  )
}

enter_briefly() { (enter env DEBIAN_FRONTEND=noninteractive "$@"); }
