# SPDX-License-Identifier: Apache-2.0
"""A gateway with as many EIPs as one can have; `./dev soak eips` fills ten."""

from many_eips import ETCD_LIMIT, ManyEips


def test_a_thousand_eips(cluster):
    eips = ManyEips(cluster, 1)
    took, writes = eips.fill("a", timeout=120)
    print(f"\n1,000 EIPs in {took:.1f} s; writes: {writes}")
    full = eips.check_full()
    eips.check_one_too_many()
    print(f"bytes: {eips.sizes()}")
    print(f"released in {eips.release(timeout=60):.1f} s")
    # The ids rest; the addresses are free for whoever comes next.
    cluster.controller.await_quiet()
    assert eips.resting() == full
    sizes = eips.sizes()
    print(f"bytes with the ids resting: {sizes}")
    assert max(sizes.values()) < ETCD_LIMIT / 4
    cluster.policy("next", gateway="big-0", egressIP={"allocatorPolicy": "rr"})
    policy = cluster.policy_when("next", lambda p: p.get("status", {}).get("eip", {}).get("ipv4"))
    assert policy["status"]["eip"]["ipv4"] == "100.100.100.101"  # the first is the default EIP
    assert policy["status"]["eip"]["id"] not in full["big-0"]
    assert cluster.controller.metric("egw_fruitless_writes_total") == 0
