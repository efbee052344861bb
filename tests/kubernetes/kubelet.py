# SPDX-License-Identifier: Apache-2.0
"""Plays the kubelets of a test cluster: Node, its Lease, and the status of pods. It starts no
container; what a pod's address leads to is the caller's work.

Pods made by others (a Deployment, kubectl) are run as well when they are bound to a node by
spec.nodeName and name their addresses in the annotation egw.test/ips, as a comma-separated list.
"""

import datetime
import http.client
import logging
import threading

from kubeapi import ApiError

IPS_ANNOTATION = "egw.test/ips"
LEASES = "coordination.k8s.io/v1/leases"
_LEASE_NAMESPACE = "kube-node-lease"
_AWAY = (OSError, http.client.HTTPException)
_log = logging.getLogger("kubelet")


class Kubelet:
    """One object plays all nodes. Leases are renewed each renew_seconds; the node-monitor grace of
    the controller manager must be some times that."""

    def __init__(self, api, renew_seconds=1.0):
        self._api = api
        self._renew_seconds = renew_seconds
        self._nodes = {}  # name -> addresses, of the nodes whose kubelet is up
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._watch = None
        self._errors = []
        self._threads = [threading.Thread(target=self._guarded, args=(step,), daemon=True)
                         for step in (self._renew_leases, self._follow_pods)]
        for thread in self._threads:
            thread.start()

    # Nodes

    def register_node(self, name, addresses, pod_cidrs=(), labels=None, annotations=None):
        """Creates the Node, ready, and starts to renew its Lease. A Node that is there already
        gets these addresses. Returns the Node."""
        node = {
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "annotations": annotations or {}, "labels": {
                "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", **(labels or {})}},
            "spec": {"podCIDR": pod_cidrs[0], "podCIDRs": list(pod_cidrs)} if pod_cidrs else {},
        }
        self._api.apply(node, manager="kubelet")
        return self._come_up(name, addresses)

    def set_ready(self, name, ready):
        """What a kubelet reports that is up: its Lease goes on in both cases."""
        condition = (_ready(True, "KubeletReady", "") if ready else
                     _ready(False, "KubeletNotReady", "set by the test"))
        return self._patch_node(name, {"conditions": [condition]})

    def stop_renewing(self, name):
        """The node is lost: no Lease, no status, no pod ended. The controller manager finds out."""
        self._addresses(name)
        with self._lock:
            del self._nodes[name]

    def resume_renewing(self, name, addresses=None):
        """The node is back. Where it has other addresses now, give them."""
        node = self._api.get("nodes", name)
        if addresses is None:
            addresses = [a["address"] for a in node["status"]["addresses"]
                         if a["type"] == "InternalIP"]
        node = self._come_up(name, addresses)
        # The controller manager has said of its pods that they are not ready.
        for pod in self._api.list("pods", fields=f"spec.nodeName={name}"):
            self._sync_pod(pod)
            if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]:
                self._patch_pod(pod, _pod_state(pod, True))
        return node

    def delete_node(self, name):
        with self._lock:
            self._nodes.pop(name, None)
        self._api.delete("nodes", name, missing_ok=True)
        self._api.delete(LEASES, name, _LEASE_NAMESPACE, missing_ok=True)

    # Pods

    def create_pod(self, namespace, name, node, labels=None, ips=(), host_network=False,
                   annotations=None):
        """A running pod; returns it. ips: its addresses, the first one is podIP; a pod of the
        host's network has those of its node."""
        addresses = self._addresses(node)
        pod = self.bind_pod(namespace, name, node, labels, host_network, annotations)
        return self._run_pod(pod, addresses, addresses if host_network else ips)

    def bind_pod(self, namespace, name, node, labels=None, host_network=False, annotations=None):
        """A pod that its node has heard of, and nobody of its address; returns it."""
        return self._api.create({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": labels or {},
                         "annotations": annotations or {}},
            "spec": {"nodeName": node, "hostNetwork": host_network,
                     "containers": [{"name": "main", "image": "none"}]}})

    def run_bound_pod(self, pod, ips):
        """It runs, and its status tells its addresses."""
        return self._run_pod(pod, self._addresses(pod["spec"]["nodeName"]), ips)

    def finish_pod(self, namespace, name, phase="Succeeded"):
        """As a Job's pod that is done. It keeps its addresses in its status, as real ones do."""
        pod = self._api.get("pods", name, namespace)
        return self._patch_pod(pod, {"phase": phase, **_pod_state(pod, False, "PodCompleted",
                                                                  ended=True)})

    def set_pod_ready(self, namespace, name, ready):
        pod = self._api.get("pods", name, namespace)
        return self._patch_pod(pod, _pod_state(pod, ready, "ContainersNotReady"))

    def delete_pod(self, namespace, name):
        """Gone when this returns."""
        self._api.delete("pods", name, namespace, grace=0, missing_ok=True)

    # Life

    def check(self):
        """Raises what its threads ran into; an API server that is away is nothing of the kind."""
        with self._lock:
            if self._errors:
                raise self._errors[0]

    def stop(self):
        """The nodes stay as they are."""
        self._stopping.set()
        with self._lock:
            if self._watch is not None:
                self._watch.stop()
        for thread in self._threads:
            thread.join()
        self.check()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _guarded(self, step):
        while not self._stopping.is_set():
            try:
                step()
            except _AWAY as error:
                _log.info("the API server is away: %s", error)
                self._stopping.wait(0.1)
            except Exception as error:
                # 429 and 5xx pass by themselves: a server that starts up says so for a while.
                if not (isinstance(error, ApiError) and (error.code == 429 or error.code >= 500)):
                    _log.exception("kubelet")
                    with self._lock:
                        self._errors.append(error)
                self._stopping.wait(0.1)

    def _addresses(self, node):
        with self._lock:
            if node not in self._nodes:
                raise ValueError(f"no kubelet is up on node {node!r}; up are {list(self._nodes)}")
            return self._nodes[node]

    def _come_up(self, name, addresses):
        self._renew_lease(name)
        with self._lock:
            self._nodes[name] = tuple(addresses)
        return self._patch_node(name, {
            # "replace": the merge goes by type, and would leave one InternalIP of two.
            "addresses": [{"$patch": "replace"}, {"type": "Hostname", "address": name}]
            + [{"type": "InternalIP", "address": address} for address in addresses],
            "capacity": {"cpu": "2", "memory": "4Gi", "pods": "1000"},
            "allocatable": {"cpu": "2", "memory": "4Gi", "pods": "1000"},
            "conditions": [_ready(True, "KubeletReady", "")]})

    def _renew_leases(self):
        with self._lock:
            names = list(self._nodes)
        for name in names:
            with self._lock:
                if name not in self._nodes:
                    continue
            self._renew_lease(name)
        self._stopping.wait(self._renew_seconds)

    def _renew_lease(self, name):
        self._api.apply({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, "namespace": _LEASE_NAMESPACE},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40,
                     "renewTime": _now(microseconds=True)}}, manager="kubelet")

    def _patch_node(self, name, status):
        # Strategic: conditions of other types, which the controller manager sets, stay.
        return self._api.patch("nodes", name, {"status": status}, subresource="status",
                               kind="strategic")

    def _follow_pods(self):
        listed = self._api.list_object("pods", fields="spec.nodeName!=")
        for pod in listed["items"]:
            self._sync_pod(pod)
        watch = self._api.watch("pods", None, listed["metadata"]["resourceVersion"],
                                fields="spec.nodeName!=")
        with watch:
            with self._lock:
                self._watch = watch
                if self._stopping.is_set():
                    return
            for kind, pod in watch:
                if kind == "ERROR":
                    return  # the version is too old: list again
                if kind != "DELETED":
                    self._sync_pod(pod)
        with self._lock:
            self._watch = None

    def _sync_pod(self, pod):
        metadata, spec = pod["metadata"], pod["spec"]
        with self._lock:
            addresses = self._nodes.get(spec["nodeName"])
        if addresses is None:
            return
        try:
            if "deletionTimestamp" in metadata:
                self._api.delete("pods", metadata["name"], metadata["namespace"], grace=0,
                                 missing_ok=True, uid=metadata["uid"])
            elif (pod["status"]["phase"] == "Pending"
                  and IPS_ANNOTATION in metadata.get("annotations", {})):
                self._run_pod(pod, addresses, metadata["annotations"][IPS_ANNOTATION].split(","))
        except ApiError as error:
            if error.code not in (404, 409):  # gone, or another of its name took its place
                raise

    def _run_pod(self, pod, addresses, ips):
        status = {
            "phase": "Running", "hostIP": addresses[0], "startTime": _now(),
            "hostIPs": [{"ip": address} for address in addresses],
            **_pod_state(pod, True),
        }
        if ips:
            status |= {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
        return self._patch_pod(pod, status)

    def _patch_pod(self, pod, status):
        # The uid makes it a conflict when another pod of the same name has taken its place.
        metadata = pod["metadata"]
        return self._api.patch("pods", metadata["name"],
                               {"metadata": {"uid": metadata["uid"]}, "status": status},
                               metadata["namespace"], "status", kind="strategic")


def _ready(ready, reason, message):
    return {"type": "Ready", "status": "True" if ready else "False", "reason": reason,
            "message": message, "lastHeartbeatTime": _now(), "lastTransitionTime": _now()}


def _pod_state(pod, ready, reason=None, ended=False):
    """The part of a pod's status that says whether it is ready."""
    now = _now()
    conditions = [{"type": kind, "status": "True"} for kind in ("PodScheduled", "Initialized")]
    conditions += [{"type": kind, "status": "True" if ready else "False",
                    "reason": None if ready else reason, "lastTransitionTime": now}
                   for kind in ("ContainersReady", "Ready")]
    running = {"running": {"startedAt": now}}
    completed = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": now}}
    return {"conditions": conditions, "containerStatuses": [
        {"name": c["name"], "image": c["image"], "imageID": c["image"], "restartCount": 0,
         "ready": ready, "started": not ended, "state": completed if ended else running}
        for c in pod["spec"]["containers"]]}


def _now(microseconds=False):
    # Kubernetes' Time has seconds, its MicroTime (Lease) six digits more.
    now = datetime.datetime.now(datetime.timezone.utc)
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if microseconds else "%Y-%m-%dT%H:%M:%SZ")
