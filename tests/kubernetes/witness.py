# SPDX-License-Identifier: Apache-2.0
"""Sees every state that gateways and policies were in, whatever became of it later."""

import threading

from egress_cluster import GROUP, POLICIES


class Witness:
    """Follows gateways and policies on connections of its own. What must never be: an address or
    an id twice, an EIP with another address, or a policy that gives up one EIP for another."""

    def __init__(self, api):
        self._api = api
        self.violations = []
        self.moves = []  # (id, from, to)
        self.changes = 0
        self._lock = threading.Lock()
        self._gateways, self._policies = {}, {}
        self._held = {}  # EIPs by id, as seen last: (gateway, node, ipv4, ipv6)
        self._served = {}  # EIPs that were in effect, by the policy's uid

    def __enter__(self):
        self._watches = []
        for kind, take in (("egressgateways", self._gateway), *(
                (kind, self._policy) for kind in POLICIES)):
            listed = self._api.list_object(f"{GROUP}/{kind}")
            for obj in listed["items"]:
                take("ADDED", obj)
            watch = self._api.watch(f"{GROUP}/{kind}",
                                    resource_version=listed["metadata"]["resourceVersion"])
            thread = threading.Thread(target=self._follow, args=(watch, take), daemon=True)
            thread.start()
            self._watches.append((watch, thread))
        return self

    def __exit__(self, *_):
        for watch, thread in self._watches:
            watch.stop()
            thread.join()
            watch.__exit__()

    def check(self, moves=False):
        """moves: nodes were lost meanwhile."""
        with self._lock:
            assert not self.violations, self.violations[:5]
            assert moves or not self.moves, self.moves[:5]

    def _follow(self, watch, take):
        for event, obj in watch:
            if event == "ERROR":
                self.violations.append(f"the watch ended: {obj}")
                return
            take(event, obj)

    def _gateway(self, event, obj):
        with self._lock:
            self.changes += 1
            name = obj["metadata"]["name"]
            if event == "DELETED":
                self._gateways.pop(name, None)
                self._held = {i: held for i, held in self._held.items() if held[0] != name}
                return
            self._gateways[name] = obj.get("status", {})
            self._check_doubles(obj["metadata"]["resourceVersion"])
            for number, held in self._entries(name):
                before = self._held.get(number)
                if before is not None and before[2:] != held[2:]:
                    self.violations.append(f"EIP {number}: {before} became {held}")
                if before is not None and before[1] != held[1]:
                    self.moves.append((number, before[1], held[1]))
                self._held[number] = held
            for uid in self._policies:
                self._check_served(uid)

    def _policy(self, event, obj):
        with self._lock:
            uid = obj["metadata"]["uid"]
            if event == "DELETED":
                self._policies.pop(uid, None)
                self._served.pop(uid, None)
                return
            self._policies[uid] = obj
            self._check_served(uid)

    def _entries(self, name):
        status = self._gateways[name]
        for node in [*(status.get("nodeList") or []),
                     {"name": "", "eips": status.get("unplaced") or []}]:
            for e in node.get("eips") or []:
                yield e["id"], (name, node["name"], e.get("ipv4"), e.get("ipv6"))

    def _check_doubles(self, version):
        seen = {}
        for name in self._gateways:
            for number, (_, node, *addresses) in self._entries(name):
                for what in (number, *filter(None, addresses)):
                    if what in seen:
                        self.violations.append(f"at {version} {what} is held by {seen[what]} and "
                                               f"{name} on {node}")
                    seen[what] = f"{name} on {node}"

    # In effect is what policy and gateway both say.
    def _check_served(self, uid):
        eip = self._policies[uid].get("status", {}).get("eip", {})
        held = self._held.get(eip.get("id"))
        if held is None or held[2:] != (eip.get("ipv4"), eip.get("ipv6")):
            return
        served = (eip["id"], *held[2:])
        if self._served.setdefault(uid, served) != served:
            self.violations.append(f"policy {self._policies[uid]['metadata']['name']} had "
                                   f"{self._served[uid]} and has {served}")
