# SPDX-License-Identifier: Apache-2.0
"""What `kubernetes store` writes is what the API server would have written."""

import itertools

import pytest

from binaries import binaries
from store import StoreError, store

KEY = "/registry/pods/stored/{}"

pytestmark = pytest.mark.skipif(not binaries().single, reason="only the one binary has this part")


@pytest.fixture(scope="module")
def template(api_server):
    api_server.api.create({"apiVersion": "v1", "kind": "Namespace",
                           "metadata": {"name": "stored"}})
    return api_server.api.create({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "first", "namespace": "stored", "labels": {"app": "one"}},
        "spec": {"nodeName": "first-node", "containers": [{"name": "main", "image": "none"}]}})


def copy_of(template, name):
    return {"key": KEY.format(name), "from": KEY.format("first"), "replace": [
        ['"name":"first"', f'"name":"{name}"'],
        [template["metadata"]["uid"], template["metadata"]["uid"].replace("-4", "-5", 1)]]}


def test_copies_changes_and_deletions(api_server, template):
    api = api_server.api
    version = api.list_object("pods", "stored")["metadata"]["resourceVersion"]
    done = store(api_server, [
        copy_of(template, "second"),
        {"key": KEY.format("second"), "replace": [['"app":"one"', '"app":"two"']]}])
    assert done["changes"] == 2
    pod = api.get("pods", "second", "stored")
    assert pod["metadata"]["labels"] == {"app": "two"}
    assert pod["spec"] == template["spec"]
    # The API server writes nothing where the bytes would be the same.
    assert api.replace(pod)["metadata"]["resourceVersion"] == pod["metadata"]["resourceVersion"]
    store(api_server, [{"key": KEY.format("second"), "delete": True}])
    with api.watch("pods", "stored", version, idle_timeout=10) as watch:
        events = [kind for kind, _ in itertools.islice(watch, 3)]
    assert events == ["ADDED", "MODIFIED", "DELETED"]


@pytest.mark.parametrize("change, why", [
    ({"key": KEY.format("first"), "replace": [["nowhere", ""]]}, '"nowhere" does not occur'),
    ({"key": KEY.format("third"), "replace": []}, "there is no object /registry/pods/stored/third"),
    ({"key": KEY.format("third"), "delete": True}, "third: there is no such object"),
    ({"key": KEY.format("first"), "from": KEY.format("first"), "replace": []}, "somebody else"),
])
def test_what_it_refuses(api_server, template, change, why):
    with pytest.raises(StoreError, match=why):
        store(api_server, [change])


def test_a_rate(api_server, template):
    changes = [{"key": KEY.format("first"), "replace": [[f'"app":"{a}"', f'"app":"{b}"']]}
               for a, b in [("one", "two"), ("two", "one")] * 5]
    assert store(api_server, changes, rate=50)["seconds"] >= 9 / 50
