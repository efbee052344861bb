# SPDX-License-Identifier: Apache-2.0
"""A node from outside: its cable, its files, its programs. node_boot.py is the inside."""

import json
import os
import signal
import sys

import yaml

from lab.control import kubelet  # noqa: F401  (the import path of tests/kubernetes)
from lab.topology import POD4, POD6, node4, node6
from lab.wait import until
from binaries import binaries

HERE = os.path.dirname(os.path.abspath(__file__))
PAUSE_IMAGE = "registry.test/pause:1"
IMAGE_ARCHIVE = "images.tar"
SOCKET = "/run/containerd/containerd.sock"
NETWORK_FOLDER = "/etc/cni/net.d"


def runtime():
    """The folder with containerd, runc and the plugins, as packages have them."""
    path = os.path.join(os.environ.get("EGW_CACHE", "/var/cache/egw"), "containerd")
    if not os.path.isdir(path):
        raise FileNotFoundError(f"{path} is not there: `./dev test cluster` fetches it")
    return path


class KubernetesNode:
    def __init__(self, lab, index):
        self.lab, self.index, self.name = lab, index, f"n{index}"
        self.ip4, self.ip6 = node4(index), node6(index)
        self.directory = os.path.join(lab.directory, self.name)
        os.mkdir(self.directory)
        self.netns = lab.wires.host(self.name, self.ip4, self.ip6)
        self.netns.sysctl(
            {
                "net.ipv4.ip_forward": 1,
                "net.ipv6.conf.all.forwarding": 1,
                "net.ipv4.conf.all.rp_filter": 2,
                "net.ipv4.conf.default.rp_filter": 2,
            }
        )
        self.process = None

    def address(self, like):
        return self.ip6 if ":" in like else self.ip4

    def start(self):
        path = os.path.join(self.directory, "node.json")
        described = self.description()
        self.daemons = described["daemons"]
        with open(path, "w", encoding="utf-8") as file:
            json.dump(described, file)
        argv = ["unshare", "--mount", "--propagation", "private", "--"]
        argv += [sys.executable, os.path.join(HERE, "node_boot.py"), path]
        self.process = self.lab.process(self.netns, self.name, argv).start()

    def check(self):
        if not self.process.running():
            raise RuntimeError(f"node {self.name} has ended: {self.process.tail()}")

    def daemon(self, name):
        """The process of kubelet, kube-proxy or flanneld, by its number on this machine; None while
        there is none."""
        argv = "".join(f"{a}\0" for a in self.daemons[name]).encode()
        found = [self.process.pid]
        for pid in found:  # grows: all that descend from the node's first
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if file.read() == argv:
                        return pid
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                        found += map(int, file.read().split())
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended meanwhile
        return None

    def restart(self, name):
        """A daemon crashes, and is there again at once (node_boot.py)."""
        old = self.daemon(name)
        os.kill(old, signal.SIGKILL)
        until(lambda: self.daemon(name) not in (None, old), f"{name} of {self.name} runs again")

    def description(self):
        """What node_boot.py reads."""
        server, folder = self.lab.server, runtime()
        kubernetes = binaries()
        config = {
            user: str(server.user_kubeconfig(name, groups))
            for user, name, groups in (
                ("kubelet", f"system:node:{self.name}", ["system:nodes"]),
                ("kube-proxy", "system:kube-proxy", []),
                ("flanneld", "flannel", []),
            )
        }
        path = f"{folder}/usr/bin:{folder}/usr/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {
            "name": self.name,
            "cgroup": self.lab.prefix + self.name,
            "directory": self.directory,
            "visible": [self.lab.directory, folder, HERE, str(kubernetes.path.parent)],
            "environment": {"PATH": path, "HOME": "/root", "NO_PROXY": "*"},
            "files": {
                "/etc/hosts": f"127.0.0.1 localhost\n{self.ip4} {self.name}\n",
                "/etc/machine-id": f"{self.index:032x}\n",
                "/etc/resolv.conf": "nameserver 192.0.2.1\n",  # nobody: names are not used here
                "/etc/containerd.toml": self.containerd(folder),
                "/etc/kubelet.yaml": yaml.safe_dump(self.kubelet(server)),
                "/etc/kube-proxy.yaml": yaml.safe_dump(self.kube_proxy(config["kube-proxy"])),
                "/etc/flannel.json": json.dumps(
                    {
                        "Network": POD4,
                        "EnableIPv6": True,
                        "IPv6Network": POD6,
                        "Backend": {"Type": "vxlan"},
                    }
                ),
            },
            "daemons": {
                "containerd": ["containerd", "--config=/etc/containerd.toml"],
                "kubelet": [
                    *kubernetes.command("kubelet"),
                    "--config=/etc/kubelet.yaml",
                    f"--kubeconfig={config['kubelet']}",
                    f"--hostname-override={self.name}",
                    f"--node-ip={self.ip4},{self.ip6}",
                ],
                "kube-proxy": [*kubernetes.command("kube-proxy"), "--config=/etc/kube-proxy.yaml"],
                "flanneld": [
                    *kubernetes.command("flanneld"),
                    f"--node={self.name}",
                    f"--kubeconfig={config['flanneld']}",
                    "--net-config=/etc/flannel.json",
                    "--iface=eth0",
                ],
            },
            "import": [
                *f"ctr --address={SOCKET} --namespace=k8s.io images import".split(),
                os.path.join(self.lab.directory, IMAGE_ARCHIVE),
            ],
            "network": NETWORK,
            "network_file": f"{NETWORK_FOLDER}/10-flannel.conflist",
        }

    def containerd(self, folder):
        return f"""
            version = 2
            disabled_plugins = [
              "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.btrfs",
              "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
              "io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
            [grpc]
              address = "{SOCKET}"
            [plugins."io.containerd.grpc.v1.cri"]
              sandbox_image = "{PAUSE_IMAGE}"
              # Profiles of AppArmor would be loaded into the machine's kernel.
              disable_apparmor = true
              # Below the score of this process it takes a right that not every root has.
              restrict_oom_score_adj = true
            [plugins."io.containerd.grpc.v1.cri".cni]
              bin_dir = "{folder}/usr/lib/cni"
              conf_dir = "{NETWORK_FOLDER}"
            [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
              runtime_type = "io.containerd.runc.v2"
            """

    def kubelet(self, server):
        never = dict.fromkeys(("nodefs.available", "nodefs.inodesFree", "imagefs.available"), "0%")
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "x509": {"clientCAFile": str(server.ca_file)},
            },
            "containerRuntimeEndpoint": f"unix://{SOCKET}",
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "failSwapOn": False,
            "podLogsDir": f"{self.directory}/pods",
            "resolvConf": "/etc/resolv.conf",
            "clusterDNS": ["10.96.0.10"],  # nobody either
            "clusterDomain": "cluster.local",
            # The disk is the machine's, and how full it is not this node's business.
            "evictionHard": {**never, "imagefs.inodesFree": "0%", "memory.available": "50Mi"},
            "imageGCHighThresholdPercent": 100,
            "localStorageCapacityIsolation": False,
        }

    def kube_proxy(self, kubeconfig):
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": kubeconfig},
            "clusterCIDR": f"{POD4},{POD6}",
            # Each node serves its own pods: one in the newer mode, the others in the older one.
            "mode": "nftables" if self.index == 2 else "iptables",
            "conntrack": {"maxPerCore": 0, "min": 0},  # the limit is the machine's
        }


# What Flannel's own plugin would hand to these; $NAME is from flanneld's subnet file. A pod's cable
# ends on the node, without a bridge: one would need the module br_netfilter for Services.
NETWORK = """{
  "cniVersion": "1.0.0",
  "name": "flannel",
  "plugins": [{
    "type": "ptp",
    "mtu": $FLANNEL_MTU,
    "ipam": {
      "type": "host-local",
      "ranges": [[{"subnet": "$FLANNEL_SUBNET"}], [{"subnet": "$FLANNEL_IPV6_SUBNET"}]],
      "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
    }
  }]
}
"""
