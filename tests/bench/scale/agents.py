# SPDX-License-Identifier: Apache-2.0
"""Plays the agents: what each says of its node, as soon as the node has its tunnel address."""

import queue
import threading

from kubeapi import ApiError
from lab import objects

from .watching import version_now

WORKERS = 4


class PlayedAgents:
    """of: {name of a node: (its IPv4, its IPv6 address)}"""

    def __init__(self, api, of):
        self.api, self.of, self.reported, self.errors = api, of, set(), []
        self._queue = queue.SimpleQueue()
        version = version_now(api, objects.NODES)
        for node in api.list(objects.NODES):
            self._look(node)
        self._watch = api.watch(objects.NODES, None, version)
        self._threads = [threading.Thread(target=self._guarded, args=(step,), daemon=True)
                         for step in (self._follow, *[self._report] * WORKERS)]
        for thread in self._threads:
            thread.start()

    def _guarded(self, step):
        try:
            step()
        except Exception as error:
            self.errors.append(error)

    def _follow(self):
        with self._watch as watch:
            for kind, node in watch:
                if kind in ("ADDED", "MODIFIED"):
                    self._look(node)

    def _look(self, node):
        name, status = node["metadata"]["name"], node.get("status", {})
        if name not in self.reported and status.get("tunnel", {}).get("ipv4"):
            self.reported.add(name)
            self._queue.put((name, node["metadata"]["generation"]))

    def _report(self):
        while work := self._queue.get():
            try:
                self.api.apply(self._status(*work), "egw-agent", subresource="status")
            except ApiError as error:
                if error.code != 429 and error.code < 500:
                    raise
                self._queue.put(work)

    def _status(self, name, generation):
        ipv4, ipv6 = self.of[name]
        return {
            "apiVersion": objects.GROUP, "kind": "EgressNode", "metadata": {"name": name},
            "status": {
                "tunnel": {"parent": {"name": "eth0", "ipv4": ipv4, "ipv6": ipv6}},
                "agent": {"version": "played"},
                "conditions": [{"type": "DatapathReady", "status": "True", "reason": "Applied",
                                "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
                                "observedGeneration": generation}]}}

    def check(self):
        if self.errors:
            raise self.errors[0]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self._watch.stop()
        for _ in range(WORKERS):
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        if kind is None:
            self.check()
