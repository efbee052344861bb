#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What ./dev test --kernel runs in the guest: the suite 'netns', then functional cases of the lab.
# All is emulated there, so everything that waits is given more time.
set -uo pipefail
export EGW_PATIENCE=${EGW_PATIENCE:-10}
failed=0

for program in build/tests/test-*; do
  [ -x "$program" ] && [ -f "$program" ] || continue
  "$program" --test-suite=netns --no-skipped-summary || failed=1
done

if [ $# = 0 ]; then
  set -- tests/e2e/test_sentences.py tests/e2e/test_closed_door.py --cni flannel
fi
if [ "$1" != none ] && ! python3 -m pytest -q -p no:cacheprovider "$@"; then
  failed=1
  # The files of the lab are lost with the guest.
  tail -n 40 build/lab-logs/*/agent-*.log build/lab-logs/*/controller-*.log
fi
exit $failed
