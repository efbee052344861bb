# SPDX-License-Identifier: Apache-2.0
"""The taint of nodes whose agent is not ready: taken off by a controller that was told to and may,
once the agent says that its kernel state is in place."""

import contextlib

import yaml

from childprocess import wait_until
from cluster import _MANIFESTS as MANIFESTS
from controller_process import QUICK
from egress_cluster import GROUP, Cluster

TAINT = f"{GROUP.split('/')[0]}/agent-not-ready"
OTHERS = [{"key": "example.com/a", "effect": "NoSchedule"},
          {"key": "example.com/z", "value": "1", "effect": "PreferNoSchedule"}]


def taints(api, node):
    return [t["key"] for t in api.get("nodes", node)["spec"].get("taints", [])
            if not t["key"].startswith("node.kubernetes.io/")]


def set_taints(api, node, *effects):
    own = [{"key": TAINT, "effect": effect} for effect in effects]
    api.patch("nodes", node, {"spec": {"taints": [OTHERS[0], *own, OTHERS[1]]}})


@contextlib.contextmanager
def right_to_patch(server):
    objects = list(yaml.safe_load_all(
        (MANIFESTS / "overlays" / "remove-taint" / "rbac.yaml").read_text(encoding="utf-8")))
    for obj in objects:
        server.api.apply(obj)
    yield
    for obj in reversed(objects):
        server.api.delete(f"{obj['apiVersion']}/{obj['kind'].lower()}s", obj["metadata"]["name"])


def test_taken_off_once_the_agent_is_ready(server, kubelet, start):
    made, api = Cluster(server, kubelet), server.api
    with right_to_patch(server):
        made.controller = start("first", election=[*QUICK, "--remove-taint"])
        made.set_up()
        first, second = made.nodes[:2]
        set_taints(api, first, "NoSchedule", "NoExecute")  # the same key may come twice
        wait_until(lambda: taints(api, first) == [t["key"] for t in OTHERS], 10, "taken off")
        # Not before the agent says so; and what it said is asked, not whether it runs.
        made.agent(second, "False")
        set_taints(api, second, "NoSchedule")
        set_taints(api, first, "NoSchedule")
        wait_until(lambda: TAINT not in taints(api, first), 10, "the other node's is taken off")
        made.controller.await_quiet()
        assert TAINT in taints(api, second)
        made.agent(second, "True")
        wait_until(lambda: taints(api, second) == [t["key"] for t in OTHERS], 10, "taken off")
        for node in (first, second):
            api.patch("nodes", node, {"spec": {"taints": None}})
        made.clean()


def test_not_touched_unless_asked_for(cluster):
    api, node = cluster.api, cluster.nodes[0]
    set_taints(api, node, "NoSchedule")
    cluster.agent(node, "False")
    cluster.agent(node, "True")
    cluster.controller.await_quiet()
    assert TAINT in taints(api, node)
    api.patch("nodes", node, {"spec": {"taints": None}})


def test_without_the_right_the_rest_works(server, kubelet, start):
    made, api = Cluster(server, kubelet), server.api
    made.controller = start("first", election=[*QUICK, "--remove-taint"])
    made.set_up()
    node = made.nodes[0]
    set_taints(api, node, "NoSchedule")
    wait_until(lambda: 'cannot patch resource "nodes"' in made.controller.log(), 10, "it is told")
    made.policy("web")
    made.policy_ready("web")
    assert TAINT in taints(api, node)
    made.controller.restarted = True  # it was refused on purpose
    api.patch("nodes", node, {"spec": {"taints": None}})
    made.clean()
