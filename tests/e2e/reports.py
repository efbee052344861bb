# SPDX-License-Identifier: Apache-2.0
"""Where something that is wrong on a node has to be told of, besides the metrics."""

from lab import objects
from lab.wait import until


def condition(cluster, node, kind):
    status = cluster.api.get(objects.NODES, node).get("status", {})
    found = {c["type"]: c for c in status.get("conditions", [])}
    assert kind in found, f"EgressNode {node} does not say {kind}: {status}"
    return found[kind]


def await_told(cluster, node, kind, reason, *words):
    """Condition `kind` of the EgressNode is False for that reason with these words in its message;
    an Event and `egw ctl status` say the same."""

    def told():
        found = condition(cluster, node, kind)
        assert found["status"] == "False" and found["reason"] == reason, found
        assert all(word in found["message"] for word in words), found
        return found["message"]

    message = until(told, f"{node} tells of {words[0]}", 40)
    until(
        lambda: any(
            e["reason"] == reason and words[0] in e["message"]
            for e in cluster.api.list("events", "default")
            if e["involvedObject"]["kind"] == "EgressNode" and e["involvedObject"]["name"] == node
        ),
        "an Event",
        20,
    )
    code, status = cluster.status()
    assert code == 1
    assert any(words[0] in str(problem) for problem in status["problems"]), status["problems"]
    return message
