# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes on this machine: `with RealCluster() as cluster: ...`.

The lab's switch, router, control plane and outside server; each node has its own namespaces of
every kind, with containerd, kubelet, kube-proxy and Flannel in them. Nothing is played: pods are
containers, and egw comes into the cluster as its README tells."""

import functools
import os
import subprocess
import time

import yaml

import cgroups
import images
from lab import objects
from lab.control import NAMESPACE, ApiServer, binary
from lab.lab import Lab
from lab.topology import CONTROL4
from lab.wait import until
from binaries import binaries
from kubeapi import ApiError
from nodes import IMAGE_ARCHIVE, PAUSE_IMAGE, KubernetesNode

HERE = os.path.dirname(os.path.abspath(__file__))
MANIFESTS = os.path.join(os.path.dirname(os.path.dirname(HERE)), "manifests")
EGW_IMAGE, EGW_TAG = "registry.test/network/egw", "tested"
POD_IMAGE = "registry.test/pod:1"
EGW_PARTS = ("deployment/egw-controller", "daemonset/egw-agent")
KEPT = "nodes,pods,deployments,daemonsets,services,egw,egp,egresspolicies,egn,egep,egci"

# https://github.com/flannel-io/flannel/blob/master/Documentation/kube-flannel.yml
FLANNEL_ROLE = [
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "flannel"},
        "rules": [
            {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"]},
        ],
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "flannel"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "flannel",
        },
        "subjects": [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "flannel"}
        ],
    },
]


class RealCluster(Lab):
    def __init__(self, nodes=3):
        super().__init__(nodes=0, far_server=False)
        self.size = nodes
        self.egw = binary()
        if not binaries().single:
            raise RuntimeError(
                f"{binaries().path} holds no kubelet and no Flannel: a real cluster takes the one "
                "program of tests/kubernetes/build.sh (unset EGW_K8S_BIN and KUBEBUILDER_ASSETS)"
            )
        self.last_command = cgroups.command("remove", self.prefix)
        self.server = self.overlay = None

    # ---- life ------------------------------------------------------------------------------------

    def start(self):
        super().start()
        try:
            self.write_images()
            self.start_control_plane()
            self.start_nodes()
        except BaseException:
            self.keep_logs()
            self.stop()
            raise
        return self

    def write_images(self):
        began = time.monotonic()
        program = os.path.join(self.directory, "pod")
        command = "cc -static -Os -Wall -Wextra -Werror -o".split()
        subprocess.run([*command, program, os.path.join(HERE, "pod.c")], check=True)
        dockerfile = os.path.join(MANIFESTS, "image", "Dockerfile")
        built = {"build-release/egw": self.egw}
        images.write_archive(
            os.path.join(self.directory, IMAGE_ARCHIVE),
            [
                images.Image(PAUSE_IMAGE, {"pod": program}, ["/pod", "pause"]),
                images.Image(POD_IMAGE, {"pod": program}, ["/pod", "serve"]),
                images.from_dockerfile(f"{EGW_IMAGE}:{EGW_TAG}", dockerfile, built),
            ],
        )
        self.timings["images"] = time.monotonic() - began

    def start_control_plane(self):
        began = time.monotonic()
        self.server = ApiServer(
            os.path.join(self.directory, "kubernetes"),
            address=CONTROL4,
            port=6443,
            netns=self.wires.control.name,
            controller_manager=True,
            node_monitor_grace=40,
            real_nodes=True,
        )
        self.closers.append(self.server.kill)
        self.server.start()
        self.api = self.server.api
        for obj in FLANNEL_ROLE:
            self.api.apply(obj)
        self.timings["control plane"] = time.monotonic() - began

    def start_nodes(self):
        began = time.monotonic()
        self.closers.append(self.stop_nodes)
        for index in range(1, self.size + 1):
            node = KubernetesNode(self, index)
            self.nodes[node.name] = node
            node.start()
        until(self.nodes_ready, f"{self.size} nodes Ready", 90, 0.05)
        # The API server calls webhooks by their Services: a node forwards to these.
        self.wires.control.batch(
            "\n".join(
                f"route add {cidr} via {self.nodes['n1'].address(cidr)}"
                for cidr in self.server.service_cidrs
            )
        )
        self.timings["nodes"] = time.monotonic() - began

    def nodes_ready(self):
        for node in self.nodes.values():
            node.check()
        self.server.check()
        ready = [
            obj["metadata"]["name"]
            for obj in self.api.list("nodes")
            for entry in obj.get("status", {}).get("conditions", [])
            if (entry["type"], entry["status"]) == ("Ready", "True")
        ]
        assert sorted(ready) == sorted(self.nodes), f"Ready: {ready}"
        return True

    def stop_nodes(self):
        """Process 1 of a node takes all of its processes along, and these its mounts."""
        for node in self.nodes.values():
            node.process.kill()

    def keep_logs(self):
        if self.server and self.server.processes():
            with open(os.path.join(self.directory, "objects.txt"), "w", encoding="utf-8") as file:
                for what, form in ((KEPT, "yaml"), ("events", "wide")):
                    done = self.server.kubectl("get", what, "-A", "-o", form, check=False)
                    file.write(done.stdout + done.stderr)
        super().keep_logs()

    # ---- egw -------------------------------------------------------------------------------------

    def install_egw(self):
        """The commands of README's "Install on a cluster", with the image named by an overlay."""
        began = time.monotonic()
        self.overlay = os.path.join(self.directory, "overlay")
        os.mkdir(self.overlay)
        kustomization = os.path.join(self.overlay, "kustomization.yaml")
        with open(kustomization, "w", encoding="utf-8") as file:
            yaml.safe_dump(
                {
                    "apiVersion": "kustomize.config.k8s.io/v1beta1",
                    "kind": "Kustomization",
                    "resources": [os.path.relpath(os.path.join(MANIFESTS, "base"), self.overlay)],
                    "images": [{"name": "egw", "newName": EGW_IMAGE, "newTag": EGW_TAG}],
                },
                file,
            )
        kubectl = self.server.kubectl
        kubectl("apply", "-f", os.path.join(MANIFESTS, "crds"))
        kubectl("apply", "-k", self.overlay)
        for what in EGW_PARTS:
            self.rollout(what, NAMESPACE)
        until(self.admits, "a gateway is admitted", 20, 0.1)
        self.timings["egw installed"] = time.monotonic() - began

    def admits(self):
        """kube-proxy and the API server learn of the webhook a moment after its pods are ready."""
        try:
            self.api.create(objects.gateway("probe", ["10.6.1.200"]), dry_run=True)
        except ApiError as error:
            assert "failed calling webhook" not in error.message, error
            raise
        return True

    def remove_egw(self):
        """The commands of README's "Remove"."""
        self.server.kubectl("delete", "-k", self.overlay)
        for node in self.nodes.values():
            node.netns.run(self.egw, "agent", "cleanup")

    def rollout(self, what, namespace="default", timeout=60):
        """Returns when all of its pods are new and ready."""
        kubectl = functools.partial(self.server.kubectl, "-n", namespace)
        done = kubectl("rollout", "status", what, f"--timeout={timeout}s", check=False)
        if done.returncode != 0:
            seen = kubectl("get", "pods,events", "-o", "wide")
            raise RuntimeError(f"{what}: {done.stderr.strip()}\n{seen}")

    def label_node(self, node, labels):
        self.api.patch("nodes", node, {"metadata": {"labels": labels}})
