# SPDX-License-Identifier: Apache-2.0
"""What the API server tells of writes, to whom it may concern."""

import collections
import threading
import time

from kubeapi import path_of
from lab import objects

CLUSTER_SLICES = f"{objects.GROUP}/egressclusterendpointslices"
OURS = (objects.GATEWAYS, objects.POLICIES, objects.ALIASES, objects.CLUSTER_POLICIES,
        objects.NODES, objects.SLICES, CLUSTER_SLICES, objects.CLUSTER_INFO)
EVENTS = "events"


class Watcher:
    """Counts what happens to objects of these kinds, and notes when the last thing did.
    listener(resource, kind, object, time) is called for each. since: {resource: the version from
    which on}; else from now on."""

    def __init__(self, api, resources=(*OURS, EVENTS), listener=None, since=None):
        self.counts, self.last, self.listener = collections.Counter(), None, listener
        self._changed, self._errors, self._stopping = threading.Condition(), [], False
        since = since or {}
        self._watches = [
            (resource, api.watch(resource, None, since.get(resource) or version_now(api, resource)))
            for resource in resources]
        self._threads = [threading.Thread(target=self._follow, args=watch, daemon=True)
                         for watch in self._watches]
        for thread in self._threads:
            thread.start()

    def _follow(self, resource, watch):
        try:
            with watch:
                for kind, obj in watch:
                    at = time.monotonic()
                    if kind == "ERROR":
                        raise RuntimeError(f"watch of {resource}: {obj}")
                    with self._changed:
                        self.counts[resource] += 1
                        if resource != EVENTS:
                            self.last = at
                        if self.listener:
                            self.listener(resource, kind, obj, at)
                        self._changed.notify_all()
            if not self._stopping:
                raise RuntimeError(f"watch of {resource}: the server ended it")
        except Exception as error:  # told by the next one that waits or stops
            with self._changed:
                self._errors.append(error)
                self._changed.notify_all()

    def wait_for(self, condition, timeout, what):
        """condition() is called under the lock that listener is called under."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._errors or condition(), timeout):
                raise TimeoutError(f"not within {timeout} s: {what}")
            self._check()

    def _check(self):
        if self._errors:
            raise self._errors[0]

    def total(self):
        """Of our own kinds."""
        return sum(count for resource, count in self.counts.items() if resource != EVENTS)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self._stopping = True
        for _, watch in self._watches:
            watch.stop()
        for thread in self._threads:
            thread.join()
        if kind is None:
            self._check()


def version_now(api, resource):
    found = api.request("GET", path_of(resource), query={"limit": 1})
    return found["metadata"]["resourceVersion"]


class SliceBook:
    """The endpoints in all slices, as a listener of a Watcher that began with `since`."""

    def __init__(self, api):
        self.since, self._counts = {}, {}
        for resource in (objects.SLICES, CLUSTER_SLICES):
            listed = api.list_object(resource)
            self.since[resource] = listed["metadata"]["resourceVersion"]
            for obj in listed["items"]:
                self(resource, "ADDED", obj, None)

    def __call__(self, resource, kind, obj, at):
        if resource in self.since:
            count = 0 if kind == "DELETED" else len(obj["endpoints"])
            self._counts[obj["metadata"]["uid"]] = count

    @property
    def endpoints(self):
        return sum(self._counts.values())
