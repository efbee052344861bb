# SPDX-License-Identifier: Apache-2.0
"""etcd forgets what a watch has not read yet."""

import pytest

from childprocess import wait_until
from cluster import ApiServer
from egress_cluster import GROUP, POLICIES, steady_cluster
from faults import Stall
from kubeapi import ApiError
from policy_changes import Changes
from witness import Witness


@pytest.fixture
def cluster(tmp_path):
    """Its API server serves watches from etcd, and not from a cache that remembers longer; each
    second it has etcd forget what is older than the second before."""
    with ApiServer(tmp_path / "server", extra_args=[
            "--watch-cache=false", "--etcd-compaction-interval=1s"]) as server:
        server.install_egw()
        with steady_cluster(server, tmp_path) as made:
            yield made


def forgotten(api, kind, version):
    """A watch from that version on is refused as too old."""
    try:
        with api.watch(kind, resource_version=version, idle_timeout=0.1) as watch:
            for event, obj in watch:
                return event == "ERROR" and obj["code"] == 410
    except ApiError as error:
        return error.code == 410
    except TimeoutError:
        return False


def test_a_watch_that_is_behind_lists_anew(cluster):
    api, proxy, changes = cluster.api, cluster.proxy, Changes(cluster, 1)
    with Witness(api) as witness:
        for _ in range(15):
            changes.step()
        cluster.await_policies_ready()
        lists = cluster.controller.metric("egw_watch_lists_total")
        stall = proxy.rule(Stall(), "", ("watch",))
        assert proxy.cut_streams() >= 12
        stall.wait_hit(12)
        version = api.list_object("pods")["metadata"]["resourceVersion"]
        for _ in range(20):
            changes.step()
        kinds = ["pods", "nodes", *(f"{GROUP}/{kind}" for kind in (*POLICIES, "egressgateways"))]
        for kind in kinds:
            wait_until(lambda k=kind: forgotten(api, k, version), 20, f"{version} is forgotten",
                       interval=0.1)
        stall.remove()
        cluster.await_policies_ready()
        assert cluster.controller.metric("egw_watch_lists_total") >= lists + 6
        assert cluster.controller.log().count("(410 Expired)") >= 6
        cluster.check_settled()
        changes.check_kept()
        witness.check()
