# SPDX-License-Identifier: Apache-2.0
"""How a controller learns the ranges of services in clusters that do not tell them by ServiceCIDRs:
each an API server of its own."""

import subprocess
from pathlib import Path

import pytest

import networks
from childprocess import wait_until
from cluster import ApiServer
from cluster_info import Info, both, start  # noqa: F401
from controller_process import BINARY

PROBE = Path(__file__).resolve().parents[2] / "manifests" / "service-probe" / "rbac.yaml"
# ServiceCIDRs can be switched off only where they are no fixed part of the API, as in this version,
# which the API server plays (up to Kubernetes 1.36).
BEFORE_SERVICE_CIDRS = ["--emulated-version=1.33",
                        "--feature-gates=MultiCIDRServiceAllocator=false"]


@pytest.fixture
def other(tmp_path):
    """Makes a cluster of its own, with egw installed, and ends it."""
    servers = []

    def make(*arguments):
        servers.append(ApiServer(tmp_path / "server", extra_args=arguments).start())
        servers[-1].install_egw()
        return servers[-1]
    yield make
    for server in servers:
        server.stop()


def test_flags_and_questions_where_service_cidrs_may_not_be_read(other, start):
    """Access is denied: the flags of the control plane's Pods, else the API server's refusal of a
    Service, once that is allowed."""
    server = other()
    networks.forbid(server.api, "egw-controller", "networking.k8s.io")
    networks.control_plane_pod(server.api, "kube-apiserver", "n1", [
        "kube-apiserver", "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112", "--v=2"])
    networks.control_plane_pod(server.api, "kube-controller-manager", "n1", [
        "kube-controller-manager", "--service-cluster-ip-range", "10.98.0.0/16"], label="k8s-app")
    info = Info(server)
    controller = start(server)
    status = info.when(lambda s: s.get("clusterIP", {}).get("ipv4")
                       == ["10.96.0.0/16", "10.98.0.0/16"])
    assert status["clusterIP"]["ipv6"] == ["fd00:96::/112"]
    assert info.message(status, "ServiceCIDR").startswith("from --service-cluster-ip-range")
    assert info.condition(status, "Watching") == "False Refused"
    assert "ServiceCIDR: watch servicecidrs: " in info.message(status, "Watching")
    assert controller.metric("egw_service_range_questions_total") == 0

    # Without them it asks, and may not. What was found stays.
    for component in ("kube-apiserver", "kube-controller-manager"):
        server.api.delete("pods", f"{component}-n1", "kube-system", grace=0)
    status = info.when(lambda s: info.condition(s, "ServiceCIDR") == "False NotFound")
    assert status["clusterIP"]["ipv4"] == ["10.96.0.0/16", "10.98.0.0/16"]
    assert "kubectl apply -k manifests/service-probe allows it" in info.message(
        status, "ServiceCIDR")
    done = subprocess.run([BINARY, "ctl", "status", "--kubeconfig", server.kubeconfig], text=True,
                          capture_output=True, timeout=30)
    assert "manifests/service-probe" in done.stdout and done.returncode == 1

    server.apply_manifests(PROBE)
    status = info.when(lambda s: info.condition(s, "ServiceCIDR") == "True", timeout=40)
    assert info.message(status, "ServiceCIDR").startswith("the API server named them")
    assert networks.services_named(server.api, "probe") == []
    # Switched off and on, it is what the API server says and nothing older.
    info.detect(clusterIP=False)
    info.when(lambda s: "clusterIP" not in s)
    info.detect(clusterIP=True)
    info.when(lambda s: s.get("clusterIP") == both("10.96.0.0/16", "fd00:96::/112"))
    assert networks.services_named(server.api, "probe") == []


@pytest.mark.parametrize("families", [("10.100.0.0/16", "fd00:100::/112"), ("10.100.0.0/16",)])
def test_the_api_server_is_asked_where_there_are_no_service_cidrs(tmp_path, start, families):
    """A cluster before ServiceCIDRs whose control plane is not in sight."""
    arguments = [*BEFORE_SERVICE_CIDRS, "--runtime-config=networking.k8s.io/v1/servicecidrs=false"]
    with ApiServer(tmp_path / "server", extra_args=arguments, service_cidrs=families) as server:
        server.install_egw()
        server.apply_manifests(PROBE)
        info = Info(server)
        controller = start(server)
        status = info.when(lambda s: s.get("clusterIP"))
        assert status["clusterIP"]["ipv4"] == ["10.100.0.0/16"]
        assert status["clusterIP"].get("ipv6", []) == list(families[1:])
        assert info.condition(status, "ServiceCIDR") == "True"
        assert info.condition(status, "Watching") == "True"  # none there is no denial
        assert networks.services_named(server.api, "probe") == []
        text = 'egw_service_range_questions_total{result="answered"} 1'
        wait_until(lambda: text in controller.get("/metrics")[1], 5, "one question is counted")


def test_service_cidrs_of_the_version_before(other, start):
    server = other(*BEFORE_SERVICE_CIDRS,
                   "--runtime-config=networking.k8s.io/v1/servicecidrs=false,"
                   "networking.k8s.io/v1beta1/servicecidrs=true")
    networks.service_range(server.api, "kubernetes", "10.96.0.0/16", "fd00:96::/112",
                           version="v1beta1")
    info = Info(server)
    start(server)
    status = info.when(lambda s: s.get("clusterIP") == both("10.96.0.0/16", "fd00:96::/112"))
    assert info.message(status, "ServiceCIDR") == "from the ServiceCIDRs"
    assert info.condition(status, "Watching") == "True"
