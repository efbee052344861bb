# SPDX-License-Identifier: Apache-2.0
"""As many EIPs as gateways can have, made by policies that come in parallel."""

import concurrent.futures
import ipaddress
import json
import time

from childprocess import wait_until
from egress_cluster import GROUP, condition
from kubeapi import ApiError, path_of

MOST = 1000  # EIPs of one gateway
ETCD_LIMIT = 3 * 512 * 1024  # bytes of one request, by default
_SPARE = 16  # addresses that are left over
_AT_ONCE = 8


class ManyEips:
    """Gateways big-0, big-1 and so on, with 1,000 policies each when they are full. Their addresses
    are as long as addresses get."""

    def __init__(self, cluster, gateways):
        self._cluster, self._api = cluster, cluster.api
        self._gateways = [f"big-{i}" for i in range(gateways)]
        for i, name in enumerate(self._gateways):
            four = int(ipaddress.ip_address("100.100.100.100")) + 4096 * i
            six = int(ipaddress.ip_address("fd12:3456:789a:bcde:f012:3456:789a:1000")) + 4096 * i
            cluster.create("EgressGateway", name, {
                "ippools": {"ipv4": [_range(ipaddress.IPv4Address, four)],
                            "ipv6": [_range(ipaddress.IPv6Address, six)]},
                "nodeSelector": {"selector": {"matchLabels": {"egress": "true"}}}})
            cluster.gateway_when(lambda g: condition(g, "Ready") == "True", name)

    def fill(self, prefix, timeout):
        """Returns (seconds until every policy is Ready, writes of the controller by kind)."""
        before = self._writes()
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
            for done in [pool.submit(self._policy, f"{prefix}-{gateway}-{i}", gateway)
                         for i in range(MOST) for gateway in self._gateways]:
                done.result()
        print(f"{MOST * len(self._gateways)} policies made in {time.monotonic() - began:.1f} s")
        wanted = MOST * len(self._gateways)
        ready = 'egw_policies{kind="EgressPolicy",ready="true"}'
        wait_until(lambda: f"{ready} {wanted}\n" in self._cluster.controller.get("/metrics")[1],
                   timeout, f"{wanted} policies are Ready", interval=0.25)
        took = time.monotonic() - began
        self._cluster.controller.await_quiet(timeout=120)
        return took, {kind: n - before.get(kind, 0) for kind, n in self._writes().items()
                      if n != before.get(kind, 0)}

    def check_full(self):
        """No address and no id twice, each policy with its own, all nodes with their share. Returns
        the ids by gateway."""
        found, seen = {}, set()
        for name in self._gateways:
            status = self._api.get(f"{GROUP}/egressgateways", name)["status"]
            entries = [e for node in status["nodeList"] for e in node["eips"]]
            assert (len(entries), status.get("unplaced")) == (MOST, None), status["conditions"]
            for e in entries:
                for what in (e["id"], e["ipv4"], e["ipv6"]):
                    assert what not in seen, what
                    seen.add(what)
            held = [len(node["eips"]) for node in status["nodeList"]]
            assert max(held) - min(held) <= 1, held
            found[name] = {e["id"] for e in entries}
        eips = {(p["spec"]["egressGatewayName"], p["status"]["eip"]["id"])
                for p in self._api.list(f"{GROUP}/egresspolicies", "default")}
        assert eips == {(name, i) for name, ids in found.items() for i in ids}
        return found

    def check_one_too_many(self):
        name = self._gateways[0]
        self._policy("one-too-many", name)
        policy = self._cluster.policy_when(
            "one-too-many", lambda p: condition(p, "Allocated") == "False GatewayFull", timeout=30)
        [why] = [c["message"] for c in policy["status"]["conditions"] if c["type"] == "Allocated"]
        assert f"gateway {name} has {MOST} EIPs" in why and "make another gateway" in why
        self._api.delete(f"{GROUP}/egresspolicies", "one-too-many", "default")

    def release(self, timeout):
        """All policies go at once. Returns the seconds until no gateway holds an EIP."""
        began = time.monotonic()
        self._api.request("DELETE", path_of(f"{GROUP}/egresspolicies", "default"))
        for name in self._gateways:
            self._cluster.gateway_when(
                lambda g: not any(n.get("eips") for n in g["status"]["nodeList"]), name, timeout)
        return time.monotonic() - began

    def sizes(self):
        """Bytes of the objects as etcd keeps them, the largest of each kind."""
        return {kind: max(len(json.dumps(obj, separators=(",", ":")))
                          for obj in self._api.list(f"{GROUP}/{kind}"))
                for kind in ("egressgateways", "egressclusterinfos")}

    def resting(self):
        return {name: {r["id"] for r in self._api.get(f"{GROUP}/egressgateways", name)["status"][
            "restingIds"]} for name in self._gateways}

    def _policy(self, name, gateway):
        while True:
            try:
                return self._cluster.policy(name, gateway=gateway, app="none",
                                            egressIP={"allocatorPolicy": "rr"})
            except ApiError as error:
                if error.code != 429:
                    raise
                time.sleep(1)  # as the server asks

    def _writes(self):
        text, found = self._cluster.controller.get("/metrics")[1], {}
        for line in text.splitlines():
            if line.startswith("egw_writes_total{"):
                labels, value = line.rsplit(" ", 1)
                words = labels.split('"')  # kind, verb, result
                key = f"{words[3]} {words[1]} {words[5]}"
                found[key] = found.get(key, 0) + int(float(value))
        return found


def _range(kind, first):
    return f"{kind(first)}-{kind(first + MOST + _SPARE - 1)}"
