# SPDX-License-Identifier: Apache-2.0
"""The proxy before the API server: it passes on what it should, and each fault is what it says."""

import concurrent.futures
import http.client
import json
import time

import pytest

from childprocess import wait_until
from faults import Answer, Cut, Delay, Drop, EndAtOnce, Garbage, Hold, Stall
from faulty_proxy import WRITES, FaultyProxy, busiest_second
from kubeapi import ApiError

BROKEN = (ConnectionError, http.client.HTTPException, OSError)


@pytest.fixture
def proxy(api_server):
    with FaultyProxy(api_server) as made:
        yield made


@pytest.fixture
def api(api_server, proxy):
    """As an account that may do everything, through the proxy."""
    api_server.api.apply({"apiVersion": "v1", "kind": "ServiceAccount",
                          "metadata": {"name": "caller", "namespace": "default"}})
    api_server.api.apply({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "caller"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                    "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "caller", "namespace": "default"}]})
    made = api_server.api_for(proxy.account("default", "caller"))
    yield made
    for name in ("a", "b"):
        api_server.api.delete("configmaps", name, "default", missing_ok=True)


def config_map(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "data": data,
            "metadata": {"name": name, "namespace": "default"}}


def test_passes_on_what_no_rule_concerns(api_server, proxy, api):
    listed = api.list_object("configmaps", "default")
    with api.watch("configmaps", "default", listed["metadata"]["resourceVersion"],
                   fields="metadata.name=a", idle_timeout=10) as watch:
        events = iter(watch)
        big = "x" * 300_000  # more than one read, and one chunk
        api.create(config_map("a", key=big))
        assert next(events)[1]["data"] == {"key": big}
        api.patch("configmaps", "a", {"data": {"key": "1"}}, "default")
        assert next(events)[1]["data"] == {"key": "1"}
    assert "a" in [m["metadata"]["name"] for m in api.list("configmaps", "default")]
    with pytest.raises(ApiError) as conflict:
        api.create(config_map("a"))
    assert conflict.value.code == 409
    api.delete("configmaps", "a", "default")
    assert api_server.api.find("configmaps", "a", "default") is None
    seen = [(r.verb, r.status) for r in proxy.requests("/configmaps")]
    assert seen == [("list", 200), ("watch", 200), ("create", 201), ("patch", 200), ("list", 200),
                    ("create", 409), ("delete", 200)]
    # A watch whose reader went away ends at the server's too.
    wait_until(lambda: proxy.cut_streams("/configmaps") == 0, 5, "the stream has ended")


def test_answers_of_its_own(proxy, api):
    with proxy.rule(Answer(429, "TooManyRequests", retry_after=3), "/configmaps", count=1) as rule:
        with pytest.raises(ApiError) as refusal:
            api.list("configmaps", "default")
        assert (refusal.value.code, refusal.value.reason) == (429, "TooManyRequests")
        assert refusal.value.status["details"]["retryAfterSeconds"] == 3
        api.list("configmaps", "default")  # the count is used up
    assert [r.status for r in rule.hits] == [None]  # it never came to the API server
    with proxy.rule(Answer(409, "Conflict"), "/configmaps", WRITES):
        api.list("configmaps", "default")
        with pytest.raises(ApiError):
            api.create(config_map("a"))
    api.create(config_map("a"))
    with proxy.rule(Answer(503), chance=0.5) as rule:
        for _ in range(40):
            try:
                api.get("configmaps", "a", "default")
            except ApiError:
                pass
    assert 5 <= len(rule.hits) <= 35


def test_a_write_whose_answer_is_lost_is_done_and_one_that_is_lost_is_not(api_server, proxy, api):
    with proxy.rule(Drop(done=True), "/configmaps", WRITES), pytest.raises(BROKEN):
        api.create(config_map("a"))
    assert api_server.api.find("configmaps", "a", "default")
    with proxy.rule(Drop(), "/configmaps", WRITES), pytest.raises(BROKEN):
        api.create(config_map("b"))
    assert api_server.api.find("configmaps", "b", "default") is None


def test_waits(api_server, proxy, api):
    with proxy.rule(Delay(0.3), "/configmaps"):
        began = time.monotonic()
        api.list("configmaps", "default")
        assert time.monotonic() - began >= 0.3
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        held = proxy.rule(Hold(), "/configmaps", WRITES)
        answer = pool.submit(api.create, config_map("a"))
        request = held.wait_hit()
        stalled = proxy.rule(Stall(), "/configmaps", ("list",))
        silence = pool.submit(api.list, "configmaps", "default")
        stalled.wait_hit()
        assert api_server.api.find("configmaps", "a", "default") is None and not answer.done()
        held.remove()
        assert answer.result(10)["metadata"]["name"] == "a"
        assert request.status == 201 and json.loads(request.body)["kind"] == "ConfigMap"
        assert not silence.done()
        stalled.remove()
        assert isinstance(silence.exception(10), BROKEN)


def test_what_is_held_goes_on_without_its_sender(api_server, proxy, api):
    held = proxy.rule(Hold(), "/configmaps", WRITES)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(api.create, config_map("a"))
        request = held.wait_hit()
        with proxy.away():
            assert isinstance(answer.exception(10), BROKEN)
        held.remove()
        wait_until(lambda: request.status == 201, 5, "the API server has answered")
    assert api_server.api.find("configmaps", "a", "default")


def test_streams_end_badly(proxy, api):
    api.create(config_map("a"))
    for fault in (Cut(), Garbage(), EndAtOnce()):
        with proxy.rule(fault, "/configmaps", ("watch",)):
            events = []
            try:
                with api.watch("configmaps", "default", idle_timeout=10) as watch:
                    events += watch
            except (*BROKEN, ValueError):
                assert not isinstance(fault, EndAtOnce)
            else:
                assert isinstance(fault, EndAtOnce)
            assert not events
    with api.watch("configmaps", "default", fields="metadata.name=a", idle_timeout=10) as watch:
        assert next(iter(watch))[0] == "ADDED"
        assert proxy.cut_streams("/configmaps") == 1
        with pytest.raises((*BROKEN, ValueError)):
            list(watch)


def test_away_and_back(proxy, api):
    api.list("configmaps", "default")
    with proxy.away():
        with pytest.raises(ConnectionRefusedError):
            api.list("configmaps", "default")
    api.list("configmaps", "default")


def test_counts_the_busiest_second(proxy, api):
    began = time.monotonic()
    for _ in range(5):
        api.list("configmaps", "default")
    requests = proxy.requests("/configmaps", ("list",), began)
    assert len(requests) == 5 and busiest_second(requests) <= 5
    for number, request in enumerate(requests):
        request.at = number * 0.3
    assert busiest_second(requests) == 4
