# SPDX-License-Identifier: Apache-2.0
"""EgressClusterInfo: what a controller, with the rights of its role, finds out about a real
cluster, live. The tests named I1 to I7 are the acceptance cases of the project that coined the
kind."""

import json
import subprocess

import pytest

import networks
from childprocess import wait_until
from cluster_info import INFOS, Info, both, start  # noqa: F401
from controller_process import BINARY

GROUP = "egressgateway.spidernet.io/v1beta1"
RANGES = "networking.k8s.io/v1/servicecidrs"


@pytest.fixture(scope="module")
def server(api_server):
    api_server.install_egw()
    return api_server


@pytest.fixture
def info(server, kubelet, start):
    """Two nodes, a controller that leads, and what it found."""
    nodes = ["i-node1", "i-node2"]
    for i, name in enumerate(nodes, 1):
        kubelet.register_node(name, [f"10.6.1.{i}", f"fd06::{i}"],
                              [f"10.244.{i}.0/24", f"fd00:244:0:{i}::/64"])
    found = Info(server)
    found.nodes = nodes
    found.controller = start(server)
    found.when(lambda s: set(s.get("nodeIP", {})) == set(nodes)
               and found.condition(s, "Detected") == "True")
    yield found
    log = found.controller.log()
    assert "is invalid" not in log and "forbidden" not in log, log[-3000:]
    found.controller.process.stop()
    for name in nodes:
        kubelet.delete_node(name)
        server.api.delete(f"{GROUP}/egressnodes", name, missing_ok=True)
    server.api.delete(INFOS, "default", missing_ok=True)


def test_I1_the_status_is_correct(info):
    """Everything that is on by default, in both families, and from where."""
    status = info.when(lambda s: s.get("clusterIP"))
    assert status["nodeIP"] == {"i-node1": both("10.6.1.1", "fd06::1"),
                                "i-node2": both("10.6.1.2", "fd06::2")}
    assert status["podCIDR"] == {"i-node1": both("10.244.1.0/24", "fd00:244:0:1::/64"),
                                 "i-node2": both("10.244.2.0/24", "fd00:244:0:2::/64")}
    assert status["clusterIP"] == both("10.96.0.0/16", "fd00:96::/112")
    assert status["podCidrMode"] == "k8s" and "extraCidr" not in status
    for kind in ("Detected", "PodCIDR", "ServiceCIDR", "Watching"):
        assert info.condition(status, kind) == "True", status["conditions"]
    assert info.message(status, "PodCIDR").startswith("auto: podCIDRs of the Nodes; not there: ")
    assert info.message(status, "ServiceCIDR") == "from the ServiceCIDRs"


def test_I2_clusterIP_off_and_on(info):
    info.detect(clusterIP=False)
    status = info.when(lambda s: "clusterIP" not in s)
    assert info.condition(status, "ServiceCIDR") is None
    info.detect(clusterIP=True)
    info.when(lambda s: s.get("clusterIP") == both("10.96.0.0/16", "fd00:96::/112"))


def test_I3_nodeIP_off_and_on(info):
    info.detect(nodeIP=False)
    info.when(lambda s: "nodeIP" not in s and "podCIDR" in s)
    info.detect(nodeIP=True)
    info.when(lambda s: set(s.get("nodeIP", {})) == set(info.nodes))


def test_I4_podCidrMode(info):
    info.detect(podCidrMode="calico")
    status = info.when(lambda s: "podCIDR" not in s)
    assert info.condition(status, "PodCIDR") == "False NothingFound"
    assert info.condition(status, "Detected") == "False NotAllFound"
    assert info.controller.metric('egw_cluster_info_condition{condition="PodCIDR"}') == 0
    info.detect(podCidrMode="")
    status = info.when(lambda s: info.condition(s, "PodCIDR") is None)
    assert "podCIDR" not in status and "podCidrMode" not in status
    info.detect(podCidrMode="k8s")
    info.when(lambda s: s.get("podCidrMode") == "k8s" and set(s["podCIDR"]) == set(info.nodes))
    info.detect(podCidrMode="auto")
    status = info.when(lambda s: info.message(s, "PodCIDR").startswith("auto"))
    assert set(status["podCIDR"]) == set(info.nodes)


def test_I5_extraCidr(info):
    info.edit(extraCidr=["10.10.10.1", "10.9.0.0/16", "fd09::/64"])
    info.when(lambda s: s.get("extraCidr") == {"ipv4": ["10.10.10.1", "10.9.0.0/16"],
                                               "ipv6": ["fd09::/64"]})
    info.edit(extraCidr=["10.9.0.0/16"])
    info.when(lambda s: s.get("extraCidr") == {"ipv4": ["10.9.0.0/16"]})
    info.edit(extraCidr=[])
    info.when(lambda s: "extraCidr" not in s)


def test_I6_calico_pools_are_added_changed_and_deleted(info):
    """Their kind comes while the controller runs, and goes again."""
    networks.install(info.api, networks.IP_POOLS)
    try:
        networks.pool(info.api, "default-ipv4-ippool", "192.168.0.0/16")
        status = info.when(lambda s: "calico/default-ipv4-ippool" in s["podCIDR"], timeout=60)
        assert status["podCIDR"]["calico/default-ipv4-ippool"] == {"ipv4": ["192.168.0.0/16"]}
        assert status["podCidrMode"] == "calico+k8s" and info.condition(status, "PodCIDR") == "True"
        networks.pool(info.api, "v6", "fd92::/48")
        info.when(lambda s: s["podCIDR"].get("calico/v6") == {"ipv6": ["fd92::/48"]})
        networks.pool(info.api, "default-ipv4-ippool", "192.169.0.0/16")
        info.when(lambda s: s["podCIDR"]["calico/default-ipv4-ippool"]["ipv4"]
                  == ["192.169.0.0/16"])
        info.detect(podCidrMode="calico")
        info.when(lambda s: set(s["podCIDR"]) == {"calico/default-ipv4-ippool", "calico/v6"})
        info.detect(podCidrMode="auto")
        info.when(lambda s: len(s["podCIDR"]) == 4)
        networks.pool(info.api, "v6", "no range")
        status = info.when(lambda s: info.condition(s, "PodCIDR") == "False Incomplete")
        assert info.message(status, "PodCIDR") == (
            'IPPool v6: spec.cidr: "no" is not a CIDR; IPPool v6: spec.cidr: "range" is not a CIDR')
        info.api.delete(networks.POOLS, "v6")
        info.when(lambda s: "calico/v6" not in s["podCIDR"])
    finally:
        networks.uninstall(info.api, networks.IP_POOLS)
    status = info.when(lambda s: set(s["podCIDR"]) == set(info.nodes))
    assert info.condition(status, "Watching") == "True"


def test_I7_deleted_it_is_made_again(info):
    """Differs from the original, which denies the deletion: it is allowed, and the controller makes
    the object again, with what it found."""
    info.edit(extraCidr=["10.9.0.0/16"])
    before = info.when(lambda s: s.get("extraCidr"))
    uid = info.api.get(INFOS, "default")["metadata"]["uid"]
    info.api.delete(INFOS, "default")
    status = info.when(lambda s: s.get("nodeIP") and s.get("clusterIP") and "extraCidr" not in s)
    assert info.api.get(INFOS, "default")["metadata"]["uid"] != uid
    assert status["podCIDR"] == before["podCIDR"]


def test_a_disabled_pool_counts_while_pods_have_its_addresses(info, kubelet):
    networks.install(info.api, networks.IP_POOLS)
    try:
        networks.pool(info.api, "old", "172.20.0.0/16", disabled=True)
        networks.pool(info.api, "new", "172.21.0.0/16")
        info.when(lambda s: "calico/new" in s["podCIDR"] and "calico/old" not in s["podCIDR"],
                  timeout=60)
        kubelet.create_pod("default", "late", "i-node1", ips=["172.20.0.7"])
        info.when(lambda s: "calico/old" in s["podCIDR"])
        kubelet.delete_pod("default", "late")
        info.when(lambda s: "calico/old" not in s["podCIDR"])
    finally:
        kubelet.delete_pod("default", "late")
        networks.uninstall(info.api, networks.IP_POOLS)


def test_a_pod_outside_of_what_was_found_is_told(info, kubelet):
    kubelet.create_pod("default", "elsewhere", "i-node1", ips=["10.32.0.5"])
    try:
        status = info.when(lambda s: info.condition(s, "PodCIDR") == "False PodOutside")
        assert info.message(status, "PodCIDR").startswith(
            "Pod default/elsewhere has the address 10.32.0.5, which is in no range")
        wait_until(lambda: any(e["reason"] == "PodOutside"
                               for e in info.api.list("events", "default")), 5, "an Event")
        done = subprocess.run([BINARY, "ctl", "status", "--kubeconfig", info.server.kubeconfig],
                              text=True, capture_output=True, timeout=30)
        assert done.returncode == 1
        assert "EgressClusterInfo default: PodOutside: Pod default/elsewhere" in " ".join(
            done.stdout.split())
        info.edit(extraCidr=["10.32.0.0/12"])
        info.when(lambda s: info.condition(s, "PodCIDR") == "True")
    finally:
        kubelet.delete_pod("default", "elsewhere")


def test_flannel(info):
    """The ConfigMap, in the namespace of present and of older releases; not elsewhere."""
    networks.namespace(info.api, "kube-flannel")
    try:
        networks.flannel_config(info.api, "kube-flannel", Network="10.250.0.0/16")
        status = info.when(lambda s: "flannel/kube-flannel" in s["podCIDR"])
        assert status["podCidrMode"] == "flannel+k8s"
        networks.flannel_config(info.api, "default", Network="8.0.0.0/8")
        networks.flannel_config(info.api, "kube-flannel", Network="10.250.0.0/16",
                                EnableIPv6=True, IPv6Network="fd50::/48")
        status = info.when(lambda s: s["podCIDR"]["flannel/kube-flannel"]
                           == both("10.250.0.0/16", "fd50::/48"))
        assert set(status["podCIDR"]) == {*info.nodes, "flannel/kube-flannel"}
        networks.config_map(info.api, "kube-flannel", "kube-flannel-cfg",
                            **{"net-conf.json": "{ Network: 10.250.0.0/16 }"})
        status = info.when(lambda s: info.condition(s, "PodCIDR") == "False Incomplete")
        assert info.message(status, "PodCIDR").startswith(
            'ConfigMap kube-flannel/kube-flannel-cfg: data["net-conf.json"]: not JSON')
        info.api.delete("configmaps", "kube-flannel-cfg", "kube-flannel")
        info.when(lambda s: set(s["podCIDR"]) == set(info.nodes))
        networks.flannel_config(info.api, "kube-system", Network="10.251.0.0/16")
        info.when(lambda s: s["podCIDR"].get("flannel/kube-system") == {"ipv4": ["10.251.0.0/16"]})
    finally:
        for namespace in ("kube-flannel", "kube-system", "default"):
            info.api.delete("configmaps", "kube-flannel-cfg", namespace, missing_ok=True)
    info.when(lambda s: set(s["podCIDR"]) == set(info.nodes))


def test_cilium(info):
    """The pool of its ConfigMap until nodes' own ranges are known: from annotations, then from
    CiliumNodes, whose kind comes later."""
    try:
        networks.config_map(info.api, "kube-system", "cilium-config", **{
            "ipam": "cluster-pool", "cluster-pool-ipv4-cidr": "10.0.0.0/8",
            "cluster-pool-ipv6-cidr": "fd00::/104"})
        info.when(lambda s: s["podCIDR"].get("cilium/kube-system")
                  == both("10.0.0.0/8", "fd00::/104"))
        info.api.patch("nodes", "i-node1", {"metadata": {"annotations": {
            "network.cilium.io/ipv4-pod-cidr": "10.0.1.0/24",
            "io.cilium.network.ipv6-pod-cidr": "fd00:1::/120"}}})
        status = info.when(lambda s: "cilium/kube-system" not in s["podCIDR"])
        assert info.pods(status)["i-node1"] == ["10.0.1.0/24", "10.244.1.0/24",
                                                "fd00:1::/120", "fd00:244:0:1::/64"]
        networks.install(info.api, networks.CILIUM_NODE_KIND)
        networks.cilium_node(info.api, "i-node2", podCIDRs=["10.0.2.0/24"])
        status = info.when(lambda s: "10.0.2.0/24" in info.pods(s)["i-node2"], timeout=60)
        assert status["podCidrMode"] == "cilium+k8s"
        networks.cilium_node(info.api, "i-node2", pools={"allocated": [
            {"pool": "default", "cidrs": ["10.0.3.0/27", "10.0.3.32/27"]}]})
        info.when(lambda s: info.pods(s)["i-node2"][:2] == ["10.0.3.0/27", "10.0.3.32/27"])
    finally:
        info.api.delete("configmaps", "cilium-config", "kube-system", missing_ok=True)
        networks.uninstall(info.api, networks.CILIUM_NODE_KIND)
    info.when(lambda s: info.pods(s)["i-node2"] == ["10.244.2.0/24", "fd00:244:0:2::/64"])


def test_service_ranges_come_and_go(info):
    networks.service_range(info.api, "more", "10.97.0.0/24")
    try:
        info.when(lambda s: s["clusterIP"] == {"ipv4": ["10.96.0.0/16", "10.97.0.0/24"],
                                               "ipv6": ["fd00:96::/112"]})
    finally:
        info.api.delete(RANGES, "more")
    # Its finalizer goes when no Service has an address there, which takes some seconds.
    info.when(lambda s: s["clusterIP"]["ipv4"] == ["10.96.0.0/16"], timeout=60)


def test_kinds_that_are_missing_are_no_fault(info):
    assert info.controller.get("/readyz") == (200, "ok\n")
    text = info.controller.get("/metrics")[1]
    assert 'egw_watch_up{kind="ServiceCIDR"} 1' in text
    assert 'egw_watch_up{kind="IPPool"}' not in text
    assert " WARN " not in info.controller.log()
    # They are asked for again, ever more rarely.
    failures = info.controller.metric('egw_watch_failures_total{kind="IPPool"}')
    assert failures < 20


def test_ctl_status_shows_it(info):
    command = [BINARY, "ctl", "status", "--kubeconfig", info.server.kubeconfig]
    text = subprocess.run(command, text=True, capture_output=True, timeout=30).stdout
    lines = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line}
    assert lines["nodes"] == ["Nodes", "10.6.1.1,", "10.6.1.2", "fd06::1,", "fd06::2"]
    assert lines["services"] == ["ServiceCIDR", "10.96.0.0/16", "fd00:96::/112"]
    report = json.loads(subprocess.run([*command, "-o", "json"], text=True, capture_output=True,
                                       timeout=30).stdout)
    pods = next(i for i in report["inside"] if i["what"] == "pods")
    assert pods["from"] == "k8s" and len(pods["ipv4"]) == 2
