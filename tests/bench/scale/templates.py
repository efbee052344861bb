# SPDX-License-Identifier: Apache-2.0
"""Nodes, their Leases and Pods as a real cluster has them: one of each is written through the API
server by the managers that write it there (controller manager, kubelet), the others are copies in
which names, addresses and ids are replaced (`kubernetes store`)."""

import hashlib
import uuid

from . import world

NAMESPACE, NODE, ZONE, INSTANCE = "tmpl-ns", "tmpl-node", "tmpl-zone", "i-0tmpl"
APP, HASH, END, TIER, VOLUME = "tmpl-app", "tmplhash1", "zzzzz", "tmpl-tier", "tmplv"
POD4, POD6 = "192.0.2.201", "2001:db8::201"
HOST4, HOST6 = "192.0.2.202", "2001:db8::202"
CIDR4, CIDR6 = "192.0.2.0/25", "2001:db8:5::/64"
OWNER = "00000000-0000-4000-8000-000000000001"
CONTAINER = "c0" * 32
STARTED, HEARTBEAT = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
RENEWED = "2026-02-01T00:00:00.000000Z"
POD_KINDS = ("ReplicaSet", "DaemonSet")
LEASES = "coordination.k8s.io/v1/leases"
LEASE_NAMESPACE = "kube-node-lease"


def node():
    kinds = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    resources = {"cpu": "15890m", "memory": "60991412Ki", "pods": "110",
                 "ephemeral-storage": "95551679124", "hugepages-1Gi": "0", "hugepages-2Mi": "0"}
    return {
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": NODE,
            "annotations": {
                "csi.volume.kubernetes.io/nodeid": '{"ebs.csi.aws.com":"%s"}' % INSTANCE,
                "node.alpha.kubernetes.io/ttl": "0",
                "volumes.kubernetes.io/controller-managed-attach-detach": "true"},
            "labels": {
                "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux",
                "beta.kubernetes.io/instance-type": "m6i.4xlarge",
                "failure-domain.beta.kubernetes.io/region": "eu-central-1",
                "failure-domain.beta.kubernetes.io/zone": ZONE,
                "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
                "kubernetes.io/hostname": NODE,
                "node.kubernetes.io/instance-type": "m6i.4xlarge",
                "node.kubernetes.io/lifecycle": "on-demand",
                "topology.kubernetes.io/region": "eu-central-1",
                "topology.kubernetes.io/zone": ZONE, "topology.ebs.csi.aws.com/zone": ZONE,
                "topology.k8s.aws/zone-id": "euc1-az2", "k8s.io/cloud-provider-aws": "7d8f2c51",
                "example.com/node-pool": "general", "example.com/image-version": "2026.01.3"}},
        "spec": {"podCIDR": CIDR4, "podCIDRs": [CIDR4, CIDR6],
                 "providerID": f"aws:///{ZONE}/{INSTANCE}"},
    }, {
        "addresses": [{"type": "InternalIP", "address": HOST4},
                      {"type": "InternalIP", "address": HOST6},
                      {"type": "InternalDNS", "address": NODE},
                      {"type": "Hostname", "address": NODE}],
        "capacity": resources, "allocatable": resources,
        "conditions": [{
            "type": kind, "status": "True" if kind == "Ready" else "False",
            "reason": "KubeletReady" if kind == "Ready" else f"KubeletHasNo{kind}",
            "message": "kubelet is posting ready status" if kind == "Ready" else
                       f"kubelet has no {kind}",
            "lastHeartbeatTime": HEARTBEAT, "lastTransitionTime": STARTED} for kind in kinds],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "architecture": "amd64", "operatingSystem": "linux", "kernelVersion": "6.12.40-cloud",
            "osImage": "Debian GNU/Linux 13 (trixie)", "kubeletVersion": "v1.36.3",
            "kubeProxyVersion": "", "containerRuntimeVersion": "containerd://2.1.4",
            "machineID": "ec2" + "9" * 29, "systemUUID": OWNER, "bootID": OWNER},
        "images": [{
            "names": [f"registry.example.com/team/service-{n}@sha256:{n:064x}",
                      f"registry.example.com/team/service-{n}:1.{n}.0"],
            "sizeBytes": 104857600 + n} for n in range(15)],
    }


def lease(node_uid):
    owner = {"apiVersion": "v1", "kind": "Node", "name": NODE, "uid": node_uid}
    return {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": NODE, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
        "spec": {"holderIdentity": NODE, "leaseDurationSeconds": 40, "renewTime": RENEWED}}


def pod(owner_kind):
    of_host = owner_kind == "DaemonSet"
    owner = APP if of_host else f"{APP}-{HASH}"
    labels = {"app": APP, "tier": TIER, "app.kubernetes.io/version": "1.42.0",
              "controller-revision-hash" if of_host else "pod-template-hash": HASH}
    tolerations = [{"key": f"node.kubernetes.io/{key}", "operator": "Exists",
                    "effect": "NoExecute", "tolerationSeconds": 300}
                   for key in ("not-ready", "unreachable")]
    token = f"kube-api-access-{VOLUME}"
    probe = {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10}
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": f"{owner}-{END}", "generateName": f"{owner}-", "namespace": NAMESPACE,
            "labels": labels, "annotations": {"prometheus.io/scrape": "true",
                                              "prometheus.io/port": "8080"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": owner_kind, "name": owner,
                                 "uid": OWNER, "controller": True, "blockOwnerDeletion": True}]},
        "spec": {
            "nodeName": NODE, "hostNetwork": of_host, "serviceAccountName": "default",
            "priority": 0, "preemptionPolicy": "PreemptLowerPriority", "tolerations": tolerations,
            "containers": [{
                "name": APP, "image": f"registry.example.com/team/{APP}:1.42.0",
                "args": ["--listen=:8080", "--log-level=info"],
                "env": [{"name": "GOMEMLIMIT", "value": "400MiB"},
                        {"name": "POD_IP",
                         "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                "readinessProbe": probe, "livenessProbe": probe,
                "resources": {"requests": {"cpu": "100m", "memory": "256Mi"},
                              "limits": {"memory": "512Mi"}},
                "volumeMounts": [{"name": "config", "mountPath": "/etc/app", "readOnly": True},
                                 {"name": token, "readOnly": True, "mountPath":
                                  "/var/run/secrets/kubernetes.io/serviceaccount"}]}],
            "volumes": [
                {"name": "config", "configMap": {"name": f"{APP}-config"}},
                {"name": token, "projected": {"sources": [
                    {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                    {"configMap": {"name": "kube-root-ca.crt",
                                   "items": [{"key": "ca.crt", "path": "ca.crt"}]}}]}}]},
    }, {
        "phase": "Running", "qosClass": "Burstable", "startTime": STARTED,
        "hostIP": HOST4, "hostIPs": [{"ip": HOST4}, {"ip": HOST6}],
        "podIP": POD4, "podIPs": [{"ip": POD4}, {"ip": POD6}],
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": STARTED}
                       for kind in ("PodReadyToStartContainers", "Initialized", "Ready",
                                    "ContainersReady", "PodScheduled")],
        "containerStatuses": [{
            "name": APP, "image": f"registry.example.com/team/{APP}:1.42.0", "ready": True,
            "imageID": f"registry.example.com/team/{APP}@sha256:{'5a' * 32}", "started": True,
            "containerID": f"containerd://{CONTAINER}", "restartCount": 0,
            "state": {"running": {"startedAt": STARTED}}}],
    }


class Templates:
    """The originals on an API server; copies of them as changes for store()."""

    def __init__(self, api):
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        self.api, self.pods = api, {}
        self.node = self._write(*node())
        self.lease = self._write(lease(self.node["metadata"]["uid"]), None)
        for kind in POD_KINDS:
            self.pods[kind] = self._write(*pod(kind))

    def _write(self, obj, status):
        made_by = "kubelet" if obj["kind"] != "Pod" else "kube-controller-manager"
        path = self.api.path_for(obj, named=False)
        made = self.api.request("POST", path, obj, query={"fieldManager": made_by})
        if status is None:
            return made
        return self.api.request(
            "PATCH", self.api.path_for(obj, subresource="status"), {"status": status},
            "application/strategic-merge-patch+json", {"fieldManager": "kubelet"})

    def remove(self):
        for obj in self.pods.values():
            self.api.delete("pods", obj["metadata"]["name"], NAMESPACE, grace=0)
        self.api.delete(LEASES, NODE, LEASE_NAMESPACE)
        self.api.delete("nodes", NODE)

    def copies_of_node(self, wanted):
        """The Node and its Lease."""
        uid = str(uuid.uuid4())
        texts = [[NODE, wanted.name], [ZONE, wanted.zone], [INSTANCE, f"i-0{wanted.number:016x}"],
                 [HOST4, str(wanted.ip4)], [HOST6, str(wanted.ip6)],
                 [CIDR4, wanted.pods4], [CIDR6, wanted.pods6],
                 *_times(self.node, HEARTBEAT), [self.node["metadata"]["uid"], uid]]
        yield {"key": f"/registry/minions/{wanted.name}", "from": f"/registry/minions/{NODE}",
               "replace": texts}
        yield {"key": f"/registry/leases/{LEASE_NAMESPACE}/{wanted.name}",
               "from": f"/registry/leases/{LEASE_NAMESPACE}/{NODE}",
               "replace": [[NODE, wanted.name], [self.node["metadata"]["uid"], uid],
                           [self.lease["metadata"]["uid"], str(uuid.uuid4())]]}

    def copy_of_pod(self, wanted):
        original = self.pods["DaemonSet" if wanted.of_host else "ReplicaSet"]["metadata"]
        node, ips = wanted.node, wanted.ips
        digest = hashlib.sha256(wanted.key.encode()).hexdigest()
        owner = uuid.UUID(int=(1 << 80) + (0 if wanted.of_host else 1 + wanted.app_number))
        texts = [[NAMESPACE, wanted.namespace], [APP, wanted.app], [TIER, wanted.tier],
                 [HASH, "6b8c9d7f5" if wanted.of_host else wanted.template_hash],
                 [END, wanted.name[-5:]], [VOLUME, world.digits(wanted.number * 31337, 5)],
                 [NODE, node.name], [ZONE, node.zone], [HOST4, str(node.ip4)],
                 [HOST6, str(node.ip6)], [POD4, str(ips[0])], [POD6, str(ips[1])],
                 [CONTAINER, digest], [OWNER, str(owner)], [original["uid"], str(uuid.uuid4())]]
        return {"key": wanted.key, "replace": texts,
                "from": f"/registry/pods/{NAMESPACE}/{original['name']}"}


def _times(obj, time):
    """What the API server noted as the time of the kubelet's last write becomes `time`."""
    noted = {entry["time"] for entry in obj["metadata"]["managedFields"]
             if entry.get("subresource") == "status"}
    return [[f'"time":"{old}"', f'"time":"{time}"'] for old in noted]
