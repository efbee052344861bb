# SPDX-License-Identifier: Apache-2.0
"""Deployments of the program pod.c, and what one of their pods sends when it is asked to."""

import collections
import itertools
import json
import socket

from lab.wait import until

ANSWERS, RELAY = 8080, 8081  # ports of pod.c
SERVICE = 80
PROTOS = ("tcp", "udp")
Answer = collections.namedtuple("Answer", "name source")  # a pod, and whom it saw asking
_questions = itertools.count(1)


def manifest(name, image, replicas):
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "topologySpreadConstraints": [
                        {
                            "topologyKey": "kubernetes.io/hostname",
                            "maxSkew": 1,
                            "whenUnsatisfiable": "DoNotSchedule",
                            "labelSelector": {"matchLabels": labels},
                            "matchLabelKeys": ["pod-template-hash"],
                        }
                    ],
                    "containers": [
                        {
                            "name": "pod",
                            "image": image,
                            "ports": [{"containerPort": ANSWERS}],
                            "readinessProbe": {
                                "tcpSocket": {"port": ANSWERS},
                                "periodSeconds": 1,
                            },
                        }
                    ],
                },
            },
        },
    }


def service(name):
    ports = [
        {"name": proto, "protocol": proto.upper(), "port": SERVICE, "targetPort": ANSWERS}
        for proto in PROTOS
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "selector": {"app": name},
            "ipFamilyPolicy": "RequireDualStack",
            # A node port of a node is answered there, by whom sees the asker's own address.
            "type": "NodePort",
            "externalTrafficPolicy": "Local",
            "ports": ports,
        },
    }


def ask(address, proto, port, timeout=1.0):
    """The Answer of a pod to a new flow from the calling thread's namespace; None without one."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
    try:
        with socket.socket(family, kind) as asking:
            asking.settimeout(timeout)
            asking.connect((address, port))
            asking.sendall(b"?\n")
            return Answer(*asking.recv(2000).decode().split())
    except OSError:
        return None


class Workload:
    """A Deployment with a Service of its name."""

    def __init__(self, cluster, name, image, replicas=3):
        self.cluster, self.name = cluster, name
        cluster.api.apply(manifest(name, image, replicas))
        made = cluster.api.apply(service(name))["spec"]
        self.service = made["clusterIPs"]
        self.node_ports = {port["name"]: port["nodePort"] for port in made["ports"]}

    def pods(self):
        """The ready ones that nobody has told to end."""
        found = self.cluster.api.list("pods", "default", labels=f"app={self.name}")
        return [
            Pod(self.cluster, obj)
            for obj in found
            if "deletionTimestamp" not in obj["metadata"] and is_ready(obj)
        ]


def is_ready(pod):
    return any(
        (entry["type"], entry["status"]) == ("Ready", "True")
        for entry in pod.get("status", {}).get("conditions", [])
    )


class Pod:
    def __init__(self, cluster, obj):
        self.name = obj["metadata"]["name"]
        self.node = cluster.nodes[obj["spec"]["nodeName"]]
        self.addresses = [entry["ip"] for entry in obj["status"]["podIPs"]]

    def address(self, like):
        """This pod's address of the family of `like`."""
        return next(a for a in self.addresses if (":" in a) == (":" in like))

    def flow(self, address, proto, port=ANSWERS, timeout=5.0):
        return Flow(self, address, proto, port, timeout)

    def seen(self, address, proto, timeout=5.0):
        """The source that the outside server saw of a new flow; None without an answer."""
        try:
            with self.flow(address, proto, timeout=timeout) as flow:
                return flow.source()
        except OSError:
            return None

    def answered_by(self, address, proto, port):
        """The Answer of another pod to a new flow to it or to a Service; None without one."""
        try:
            with self.flow(address, proto, port, 1.0) as flow:
                return Answer(*flow.ask("?").split())
        except OSError:
            return None

    def wait_known(self):
        """Until the agent of its node has its addresses. What a pod sends before that has no
        policy yet (EgressClusterInfo's unknownPods will close that door)."""
        until(lambda: self.known(), f"the agent of {self.node.name} knows {self.name}", 20, 0.02)

    def known(self):
        for address in self.addresses:
            table = "ip6" if ":" in address else "ip"
            found = self.node.netns.run("nft", "-j", "list", "map", table, "egw", "pods")
            if f'"{address}"' not in found:
                return False
        return True


class Flow:
    """A socket of a pod, led to this process through the pod's relay. It is asked from the pod's
    own node, as a kubelet's probe would: no other way in has a part in it."""

    def __init__(self, pod, address, proto, port, timeout):
        where = (pod.address("."), RELAY)
        self.socket = pod.node.netns.call(socket.create_connection, where, timeout)
        self.lines = self.socket.makefile("rb")
        said = self.ask(f"{proto} {address} {port}")
        if said != "ok":
            self.close()
            raise ConnectionError(f"{pod.name} to {address} port {port} ({proto}): {said}")

    def ask(self, text):
        self.socket.sendall(text.encode() + b"\n")
        line = self.lines.readline()
        if not line:
            raise ConnectionError("closed")
        return line.decode().strip()

    def source(self):
        """What the outside server says about this flow."""
        question = next(_questions)
        answer = json.loads(self.ask(json.dumps({"id": question})))
        if answer["id"] != question:
            raise RuntimeError(f"answer to another question than {question}: {answer}")
        return answer["src"]

    def close(self):
        self.lines.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
