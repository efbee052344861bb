#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# pin.sh vX.Y.Z: rewrites go.mod and go.sum for another version of Kubernetes. Run by hand, commit
# what it wrote.
#
# Kubernetes' own go.mod points its staging modules (k8s.io/api and so on) at ./staging/src/...,
# which only works inside its own tree; a main module has to name the published versions: v0.Y.Z
# for Kubernetes v1.Y.Z. Flannel is as new as can be without a newer module than Kubernetes has.
set -euo pipefail
cd "$(dirname "$0")"

version=${1:?usage: pin.sh vX.Y.Z}
die() { echo "pin.sh: $*" >&2; exit 1; }
[[ $version =~ ^v1\.[0-9]+\.[0-9]+$ ]] || die "'$version' is no version like v1.36.3"
staging=v0.${version#v1.}

upstream=$(go mod download -json "k8s.io/kubernetes@$version" |
  sed -n 's/^[[:space:]]*"GoMod": "\(.*\)",*$/\1/p')
[ -n "$upstream" ] || die "k8s.io/kubernetes@$version has no go.mod"

line() { grep -E "$1" "$upstream" | head -n 1; }
etcd=$(grep -oE 'go\.etcd\.io/etcd/server/v3 v[0-9.]+' "$upstream" | head -n 1)
cobra=$(grep -oE 'github\.com/spf13/cobra v[0-9.]+' "$upstream" | head -n 1)
flannel="github.com/flannel-io/flannel v0.28.0"

rm -f go.sum
{
  printf 'module egw/tests/kubernetes\n\n%s\n\n%s\n\n' "$(line '^go ')" "$(line '^godebug ')"
  printf 'require (\n'
  printf '\t%s\n' "k8s.io/kubernetes $version" "$etcd" "$cobra" "$flannel"
  printf ')\n\n'
  echo 'replace ('
  sed -n "s#^[[:space:]]*\(k8s\.io/[a-z-]*\) => \./staging/.*#\t\1 => \1 $staging#p" \
    "$upstream"
  printf ')\n'
} > go.mod
go mod tidy
