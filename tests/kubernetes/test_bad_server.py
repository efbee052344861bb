# SPDX-License-Identifier: Apache-2.0
"""The controller's API server refuses, is slow, goes away or does what it does not say; others
change things meanwhile. Afterwards all is as if nothing had been, and meanwhile it asked no more
than it should."""

import os
import time

import pytest

from childprocess import wait_until
from faults import Answer, Cut, Delay, Drop, EndAtOnce, Garbage
from faulty_proxy import READS, WRITES, busiest_second
from policy_changes import Changes
from witness import Witness

LEASE = "/leases/"


def check_pace(requests):
    """No hot loop: neither about one object, nor over all."""
    paths = {}
    for request in requests:
        paths.setdefault((request.verb, request.path), []).append(request)
    for (verb, path), some in paths.items():
        assert busiest_second(some) <= 25, f"{verb} {path}"
    reads = [r for r in requests if r.verb in READS]
    writes = [r for r in requests if r.verb in WRITES and LEASE not in r.path]
    most = busiest_second(reads), busiest_second(writes)
    print(f"\nbusiest second: {most[0]} reads, {most[1]} writes; {len(requests)} requests in all")
    assert most[0] <= 100 and most[1] <= 150


def cut_again(proxy):
    proxy.cut_streams()
    return False


def converges(cluster, rules, seconds=2.5, seed=1, between=lambda: None):
    """After changes before the fault and during it."""
    proxy, changes = cluster.proxy, Changes(cluster, seed)
    with Witness(cluster.api) as witness:
        for _ in range(15):
            changes.step()
        cluster.await_policies_ready()
        began = time.monotonic()
        made = [proxy.rule(*rule) for rule in rules]
        proxy.cut_streams()  # those that are open would see nothing of it
        changes.run(seconds, between=between)
        # Most of what is asked for in this time is few streams: none may have met a rare fault yet.
        wait_until(lambda: all(rule.hits for rule in made) or cut_again(proxy), 10,
                   "every fault was met", interval=0.5)
        for rule in made:
            rule.remove()
        ended = time.monotonic()
        cluster.await_policies_ready()
        took = time.monotonic() - ended
        check_pace([r for r in proxy.requests(since=began) if r.at < ended])
        # At most half a minute until the next try, then a stream that shows that it lasts.
        wait_until(lambda: not cluster.controller.watches_down(), 45, "all watches work",
                   interval=0.2)
        cluster.check_settled()
        changes.check_kept()
        witness.check()
        print(f"all right {took:.1f} s after the end; {witness.changes} states of gateways seen")


FAULTS = {
    "conflicts": [(Answer(409, "Conflict"), "/status$", WRITES, None, 0.7)],
    "throttled": [(Answer(429, "TooManyRequests", retry_after=1), "", READS + WRITES, None, 0.7)],
    "errors": [(Answer(500, "InternalError"), "", READS + WRITES, None, 0.5),
               (Answer(503, "ServiceUnavailable"), "", READS + WRITES, None, 0.5)],
    "slow": [(Delay(1), "")],
    "lost answers": [(Drop(), "", WRITES, None, 0.2),
                     (Drop(done=True), "", WRITES, None, 0.5)],
    "garbage": [(Garbage(), "", ("list", "watch"), None, 0.4), (EndAtOnce(), "", ("watch",), None,
                                                               0.4)],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_converges_after(steady, fault):
    converges(steady, FAULTS[fault])


def test_streams_that_are_cut(steady):
    converges(steady, [(Cut(1), "", ("watch",), None, 0.5)],
              between=lambda: steady.proxy.cut_streams(chance=0.2))


def test_the_api_server_is_away(steady):
    changes = Changes(steady, 1)
    with Witness(steady.api) as witness:
        for _ in range(15):
            changes.step()
        steady.await_policies_ready()
        with steady.proxy.away():
            changes.run(float(os.environ.get("EGW_AWAY_SECONDS", "3")))
        ended = time.monotonic()
        steady.await_policies_ready()
        print(f"\nall right {time.monotonic() - ended:.1f} s after it came back")
        steady.check_settled()
        changes.check_kept()
        witness.check()
