# SPDX-License-Identifier: Apache-2.0
"""One real Kubernetes for the whole session, with egw in it as its README tells users."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from checks import EIP, GATEWAY_NODES, await_eip  # noqa: E402
from lab import objects  # noqa: E402
from lab.wait import until  # noqa: E402
from real_cluster import POD_IMAGE, RealCluster  # noqa: E402
from workload import Workload  # noqa: E402


@pytest.fixture(scope="session")
def cluster(request):
    with RealCluster() as made:
        try:
            prepare(made)
        except BaseException:
            made.keep_logs()
            raise
        yield made
        if request.session.testsfailed:
            made.keep_logs()


def prepare(cluster):
    cluster.install_egw()
    # Services are inside the cluster: what README asks for until egw finds them.
    services = {
        "autoDetect": {"podCidrMode": "auto", "clusterIP": False, "nodeIP": True},
        "extraCidr": list(cluster.server.service_cidrs),
    }
    cluster.api.apply(objects.of("EgressClusterInfo", "default", spec=services))
    for name in GATEWAY_NODES:
        cluster.label_node(name, objects.GATEWAY_LABEL)
    cluster.api.apply(objects.gateway("partners", [EIP[0]], [EIP[1]]))


@pytest.fixture(scope="session")
def workloads(cluster):
    made = {name: Workload(cluster, name, POD_IMAGE) for name in ("billing", "other")}
    for name in made:
        cluster.rollout(f"deployment/{name}")
    return made


@pytest.fixture(scope="session")
def other(workloads):
    """Pods that no policy selects."""
    return workloads["other"]


@pytest.fixture
def billing(cluster, workloads):
    """Pods that are selected by the policy `billing`, which holds for each of them."""
    workload = workloads["billing"]
    cluster.api.apply(objects.policy("billing", gateway="partners", pods={"app": "billing"}))

    def ready():
        found = cluster.api.get(objects.ALIASES, "billing", "default")
        assert objects.is_true(found, "Ready"), found.get("status")
        return True

    until(ready, "the policy is Ready")
    for pod in workload.pods():
        await_eip(cluster, pod)
    cluster.srv.clear()
    return workload
