# SPDX-License-Identifier: Apache-2.0
"""Several controllers: one leads, and what is left of one that led does no harm."""

import concurrent.futures
import time

import pytest

from childprocess import wait_until
from egress_cluster import GROUP, Cluster, condition
from faults import Hold, Stall
from faulty_proxy import READS, WRITES, FaultyProxy
from kubelet import LEASES
from witness import Witness

LEASE, LEASE_NAMESPACE = "egw-controller", "egw-system"
DURATION, RETRY = 3, 0.25  # controller_process.QUICK
RR = {"egressIP": {"allocatorPolicy": "rr"}}


@pytest.fixture
def proxy(server):
    with FaultyProxy(server) as made:
        yield made


@pytest.fixture
def cluster(server, proxy, kubelet, start):
    """Led by one behind the proxy, with two gateways."""
    made = Cluster(server, kubelet)
    made.controller = start("first", proxy)
    made.start = start
    made.set_up()
    made.create("EgressGateway", "eg2", {
        "ippools": {"ipv4": ["10.6.3.10-10.6.3.99"]},
        "nodeSelector": {"selector": {"matchLabels": {"egress": "true"}}}})
    made.gateway_when(lambda g: condition(g, "Ready") == "True", "eg2")
    yield made
    made.clean()


def stand_by(start, name, *arguments, **options):
    made = start(name, *arguments, **options)
    wait_until(made.ready, 10, f"{name} is ready to take over")
    assert not made.leads()
    return made


def is_stand_by(controller):
    return controller.get("/healthz")[0] == 200 and controller.ready() and not controller.leads()


def terms(cluster):
    return {g["metadata"]["name"]: g["status"]["term"]
            for g in cluster.api.list(f"{GROUP}/egressgateways")}


def ready(policy):
    return condition(policy, "Ready") == "True"


def test_a_stand_by_takes_over_when_the_lease_has_run_out(server, cluster, start, proxy):
    for i in range(5):
        cluster.policy(f"p{i}", **RR)
    cluster.await_policies_ready()
    before, [term] = cluster.holders(), set(terms(cluster).values())
    with FaultyProxy(server) as own, Witness(cluster.api) as witness:
        second = stand_by(start, "second", own)
        assert second.metric("egw_policies") == 5 and second.metric("egw_eips") == 5
        lists = second.metric("egw_watch_lists_total")
        assert lists >= 12
        version = cluster.api.list_object(f"{GROUP}/egressgateways")["metadata"]["resourceVersion"]
        with cluster.api.watch(f"{GROUP}/egressgateways", resource_version=version,
                               idle_timeout=20) as watch:
            cluster.controller.process.kill()
            killed = time.monotonic()
            next(g for _, g in watch if g["status"]["term"] > term)
            wrote = time.monotonic()
        renewed = proxy.requests(f"/leases/{LEASE}$", ("update",))[-1].at
        late = wrote - renewed - DURATION
        print(f"\nfirst write with the new term {wrote - killed:.2f} s after the kill, "
              f"{1000 * late:.0f} ms after the lease had run out")
        # The stand-by sees a renewal up to one retry period late. The rest is the machine's load.
        assert 0 <= late < RETRY + 1
        # It opens each watch anew, for what one that stood still may have hidden; it lists none.
        asked = [r.path for r in own.requests("", ("list", "watch"), since=killed)
                 if r.status != 404]
        twice = {path for path in asked if asked.count(path) > 1}
        assert len(asked) >= 12 and twice == {"/api/v1/configmaps"}  # of two names
        assert second.metric("egw_watch_lists_total") == lists
        wait_until(lambda: min(terms(cluster).values()) > term, 5, "its term in every gateway")
        assert cluster.holders() == before
        witness.check()
    cluster.controller = second


def lease_holder(cluster):
    return cluster.api.get(LEASES, LEASE, LEASE_NAMESPACE)["spec"].get("holderIdentity")


def test_what_a_stand_by_has_not_seen_is_not_taken_away(server, cluster, start):
    """Its watch of policies stood still when one of them got its EIP; then it leads."""
    cluster.policy("seen", **RR)
    cluster.policy_when("seen", ready)
    with FaultyProxy(server) as own, Witness(cluster.api) as witness:
        second = stand_by(start, "second", own)
        stands_still = own.rule(Stall(), "/egresspolicies$", READS)
        wait_until(lambda: own.cut_streams("/egresspolicies$") == 1, 5, "its watch is cut")
        stands_still.wait_hit()
        cluster.policy("missed", **RR)
        cluster.policy_when("missed", ready)
        cluster.await_policies_ready()
        before, holder = cluster.holders(), lease_holder(cluster)
        assert cluster.controller.process.stop() == 0
        wait_until(lambda: lease_holder(cluster) not in (holder, None, ""), 10, "it has the Lease")
        # It must do nothing now, and what it does wrong it does at once: in the same step.
        renewed = len(own.requests(f"/leases/{LEASE}$", ("update",)))
        wait_until(lambda: len(own.requests(f"/leases/{LEASE}$", ("update",))) > renewed + 2, 10,
                   "it has renewed the Lease")
        assert not second.leads() and cluster.holders() == before
        stands_still.remove()
        wait_until(second.leads, 10, "it leads once it knows what it missed")
        cluster.controller = second
        cluster.check_settled()
        assert cluster.holders() == before
        witness.check()


@pytest.mark.parametrize("how", ["stopped", "cut off"])
def test_a_late_write_of_a_deposed_leader_is_refused(cluster, start, proxy, how):
    first, second = cluster.controller, stand_by(start, "second")
    cluster.policy("before", **RR)
    cluster.policy_when("before", ready)
    [term] = set(terms(cluster).values())
    with Witness(cluster.api) as witness:
        held = proxy.rule(Hold(), "/egressgateways/eg1/status$", WRITES, count=1)
        cluster.policy("late", **RR)
        request = held.wait_hit()
        first.process.pause() if how == "stopped" else proxy.refuse()
        wait_until(second.leads, 15, "the second leads")
        wait_until(lambda: min(terms(cluster).values()) > term, 10, "its term in every gateway")
        cluster.policy_when("late", ready)
        second.await_quiet()
        before = cluster.decided()
        held.remove()
        wait_until(lambda: request.status, 10, "the API server has answered the late write")
        assert request.status == 409
        first.process.resume() if how == "stopped" else proxy.listen()
        wait_until(lambda: is_stand_by(first), 20, "the first is a stand-by")
        assert second.leads()
        # Whatever it still had to say: nothing came of it.
        second.await_quiet()
        assert cluster.decided() == before
        # And it leads again when it is its turn.
        second.process.kill()
        wait_until(first.leads, 15, "the first leads again")
        cluster.policy("last", **RR)
        cluster.policy_when("last", ready)
        witness.check()


def test_a_leader_that_stood_still_does_no_harm(cluster, start, proxy):
    first, second = cluster.controller, stand_by(start, "second")
    with Witness(cluster.api) as witness, concurrent.futures.ThreadPoolExecutor(1) as pool:
        made = pool.submit(lambda: [cluster.policy(f"p{i}", gateway=f"eg{i % 2 + 1}", **RR)
                                    for i in range(40)])
        wait_until(lambda: witness.changes > 10, 10, "it is at work")
        first.process.pause()
        made.result()
        wait_until(second.leads, 15, "the second leads")
        cluster.await_policies_ready()
        first.process.resume()
        wait_until(lambda: is_stand_by(first), 20, "the first is a stand-by")
        assert second.leads()
        assert first.process.stop() == 0
        cluster.controller = second
        cluster.check_settled()
        witness.check()


def test_two_that_believe_to_lead_give_no_address_twice(cluster, start, proxy):
    """One is cut off from the Lease alone, and does not see what the other writes to gateways."""
    assert cluster.controller.process.stop() == 0
    first = start("blind", proxy, election=(
        "--lease-duration=15s", "--renew-deadline=10s", "--retry-period=500ms"))
    wait_until(first.leads, 10, "it leads")
    second = cluster.controller = stand_by(start, "second")

    def policy(number):
        gateway = number % 2 + 1
        own = {"egressIP": {"ipv4": f"10.6.{gateway + 1}.{40 + number}"}}
        cluster.policy(f"p{number}", gateway=f"eg{gateway}", **(RR if number % 4 < 2 else own))

    def tried(gateway=""):
        """How the blind one's writes to gateways ended."""
        return [r.status for r in proxy.requests(f"/egressgateways/{gateway}.*/status$", WRITES,
                                                 began)]

    with Witness(cluster.api) as witness:
        began = time.monotonic()
        rules = [proxy.rule(Stall(), f"/leases/{LEASE}$"),
                 proxy.rule(Stall(), "/egressgateways$", READS)]
        wait_until(lambda: proxy.cut_streams("/egressgateways$") == 1, 5, "its watch is cut")
        for rule in rules:
            rule.wait_hit()
        # Somebody takes the Lease away from it by hand.
        given_up = {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}}
        cluster.api.patch(LEASES, LEASE, given_up,
                          LEASE_NAMESPACE)
        wait_until(second.leads, 10, "the second leads")
        # Its first write of a gateway takes along what it tells policies. Refused once, it tells
        # nothing before a write has succeeded.
        for number in (0, 1):
            policy(number)
            wait_until(lambda n=number: 409 in tried(f"eg{n + 1}"), 5, "it is refused")
        for number in range(2, 40):
            policy(number)
        assert first.leads() and second.leads()
        cluster.await_policies_ready()
        assert first.leads() and second.leads()
        print(f"\nthe blind one's writes to gateways: {tried()}")
        assert set(tried()) <= {409, None}
        for rule in rules:
            rule.remove()
        wait_until(lambda: is_stand_by(first), 20, "the blind one is a stand-by")
        assert "resigns" in first.log() or "does not lead any more" in first.log()
        assert second.leads()
        assert first.process.stop() == 0
        cluster.check_settled()
        witness.check()
        eips = {p["status"]["eip"]["ipv4"] for p in cluster.api.list(f"{GROUP}/egresspolicies")}
        assert len(eips) == 40
