#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the parts of Kubernetes that the tests use (see main.go) into one binary and prints its
# path as the last line of stdout; progress goes to stderr. What was built once is found again by
# the hash of its sources. `build.sh oldest` does the same for the oldest Kubernetes that egw
# supports, with fewer parts, and prints a directory; both can be given to the tests as EGW_K8S_BIN.
#
#   EGW_K8S_BIN         a ready-made binary of this kind, or a directory with kube-apiserver, etcd,
#                       kubectl and kube-controller-manager: printed as it is, nothing is built
#   KUBEBUILDER_ASSETS  such a directory, looked at where EGW_K8S_BIN is not set
#   EGW_CACHE           where built binaries are kept (/var/cache/egw)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

say() { printf 'kubernetes: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

ready_made() { # NAME_OF_VARIABLE PATH
  local part
  if [ -d "$2" ]; then
    for part in etcd kube-apiserver kube-controller-manager kubectl; do
      [ -x "$2/$part" ] || die "$1=$2: no executable $part in this directory"
    done
  else
    [ -x "$2" ] || die "$1=$2: neither an executable nor a directory with executables"
  fi
  realpath "$2"
  exit 0
}
if [ "${1:-}" = oldest ]; then
  cd oldest
else
  [ -z "${EGW_K8S_BIN:-}" ] || ready_made EGW_K8S_BIN "$EGW_K8S_BIN"
  [ -z "${KUBEBUILDER_ASSETS:-}" ] || ready_made KUBEBUILDER_ASSETS "$KUBEBUILDER_ASSETS"
fi
tell() { # what the last line of stdout is to be
  if [ "${PWD##*/}" = oldest ]; then dirname "$binary"; else echo "$binary"; fi
  exit 0
}

cache=${EGW_CACHE:-/var/cache/egw}/kubernetes
hash=$(cat go.sum go.mod *.go | sha256sum | cut -c1-16)
binary=$cache/$hash/kubernetes
[ ! -x "$binary" ] || [ ! -s "$binary" ] || tell

mkdir -p "$cache/$hash" 2>/dev/null || die "cannot write to $cache; set EGW_CACHE to a directory"
exec 9>"$cache/$hash/lock"
flock -n 9 || { say "another build is running, waiting for it"; flock 9; }
[ ! -x "$binary" ] || [ ! -s "$binary" ] || tell # by the one that was waited for

PATH=$PATH:/usr/local/go/bin
export CGO_ENABLED=0
needed=$(sed -n 's/^go //p' go.mod)
command -v go >/dev/null || die "no Go here: install Go >= $needed, or >= 1.21 which fetches it," \
  "or set EGW_K8S_BIN to a ready-made binary"
# From 1.21 on, Go fetches the toolchain that go.mod names where GOTOOLCHAIN lets it.
answer=$(go version 2>&1) || die "Go >= $needed is needed: $(tail -n 1 <<<"$answer")"
have=$(go env GOVERSION | sed 's/^go//; s/[^0-9.].*//')
[ "$(printf '%s\n' "$needed" "${have:-0}" | sort -V | head -n 1)" = "$needed" ] ||
  die "Go >= $needed is needed, $(command -v go) is ${have:-too old} and fetches no newer one" \
    "(GOTOOLCHAIN=$(go env GOTOOLCHAIN)); install one, or set EGW_K8S_BIN to a ready-made binary"

# A first build: 0.9 GB of modules, 3 GB of build cache, and room to link.
for place in "$(go env GOCACHE)" "$(go env GOMODCACHE)"; do
  mkdir -p "$place" 2>/dev/null || die "cannot write to Go's cache $place"
  free=$(df -Pm "$place" | awk 'END { print $4 }')
  [ "$free" -ge 5000 ] || say "only $free MB free in $place; a first build takes about 5000"
done

version=$(sed -n 's/^\tk8s.io\/kubernetes \(v[0-9.]*\)$/\1/p' go.mod)
minor=$(cut -d. -f2 <<<"$version")
stamp=k8s.io/component-base/version
flags="-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=1 -X $stamp.gitMinor=$minor"
flags+=" -X $stamp.gitCommit=none -X $stamp.gitTreeState=clean"
flags+=" -X $stamp.buildDate=1970-01-01T00:00:00Z"
flags+=" -X k8s.io/client-go/pkg/version.gitVersion=$version"

part=$cache/$hash/part.$$
log=$cache/$hash/log.$$
trap 'rm -f "$part" "$log"' EXIT
start=$SECONDS

say "$version: fetching its modules"
packages=$(go list -deps . 2>"$log" | wc -l) ||
  die "modules not fetched: $(grep -v '^go: downloading' "$log" | tail -n 1)"
say "compiling up to $packages packages with $(go version | cut -d' ' -f3);" \
  "some 6 minutes the first time on two cores"

# -v names each package as it is compiled: the only progress that Go shows. (No awk: mawk reads a
# pipe in blocks, and would say nothing for minutes.)
progress() {
  local n=0 line
  while IFS= read -r line; do
    if [[ $line =~ ^[a-z0-9][^\ :]*$ ]] && ((++n % 200 == 0)); then say "$n of $packages"; fi
  done
}
if ! nice go build -v -trimpath -buildvcs=false -ldflags "$flags" -o "$part" . 2>&1 |
    tee "$log" | progress; then
  grep -vE '^[a-z0-9][^ :]*$' "$log" | tail -n 15 >&2
  die "the build failed"
fi
mv "$part" "$binary"
if [ "${PWD##*/}" = oldest ]; then
  for name in etcd kube-apiserver kube-controller-manager kubectl; do
    ln -sf kubernetes "$cache/$hash/$name"
  done
fi
say "built in $((SECONDS - start)) s: $(du -m "$binary" | cut -f1) MB"
tell
