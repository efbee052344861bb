# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes API server with etcd, and its controller manager if asked, for tests, lab,
demo and bench.

    with ApiServer("/tmp/x", controller_manager=True) as cluster:
        cluster.apply_manifests("manifests")
        cluster.api.list("nodes")
        print(cluster.kubectl("get", "nodes"))
"""

import fcntl
import http.client
import ipaddress
import os
import random
import socket
import ssl
import struct
import subprocess
import time
import urllib.parse
from pathlib import Path

from binaries import binaries
from childprocess import ChildProcess, inside_netns, wait_until
from kubeapi import Api, ApiError, path_of, server_url
from kubepki import Authority, file_name, write_kubeconfig
from manifests import apply_objects, read_manifests

_MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
_ISSUER = "https://kubernetes.default.svc.cluster.local"
_DEFAULT_SERVICE_CIDRS = ("10.96.0.0/16", "fd00:96::/112")
_DEFAULT_CLUSTER_CIDRS = ("10.244.0.0/16", "fd00:244::/48")


class ApiServer:
    """directory keeps everything: pki, kubeconfigs, logs, etcd's data; start() on one that was used
    before finds its objects again.

    address      where it serves: one address, or 0.0.0.0 or :: for all
    port         0: a free one
    netns        the `ip netns` namespace it runs in; its lo must be up
    server       the address in kubeconfigs, where it is not `address`
    advertise    the endpoint of the Service `kubernetes`; none is written where `address` is a
                 loopback or any address and this is not given
    node_monitor_grace  seconds after which a node that renews no Lease is NotReady
    real_nodes   kubelets will join, with the rights of nodes; pods get tokens, a scheduler places
                 them, and nodes get ranges for them. It takes a controller manager
    """

    def __init__(self, directory, address="127.0.0.1", port=0, netns=None, server=None,
                 advertise=None, service_cidrs=_DEFAULT_SERVICE_CIDRS,
                 cluster_cidrs=_DEFAULT_CLUSTER_CIDRS, controller_manager=False,
                 node_monitor_grace=4, real_nodes=False, extra_args=(),
                 controller_manager_args=()):
        self.directory = Path(directory).resolve()
        self.netns = netns
        self.address = address
        self.port = port
        self.service_cidrs = tuple(service_cidrs)
        self.cluster_cidrs = tuple(cluster_cidrs)
        self.node_monitor_grace = node_monitor_grace
        self.start_seconds = None
        bound = ipaddress.ip_address(address)
        if server is None:
            loopback = "::1" if bound.version == 6 else "127.0.0.1"
            server = loopback if bound.is_unspecified else address
        self._server = server
        if advertise is None and not (bound.is_unspecified or bound.is_loopback):
            advertise = address
        self._advertise = advertise
        self._with_manager = controller_manager
        self._real_nodes = real_nodes
        self._extra_args = list(extra_args)
        self._manager_args = list(controller_manager_args)
        self._processes = {}
        self._api = None

    # Life

    def start(self):
        """Returns when it is ready: self, for `cluster = ApiServer(...).start()`."""
        began = time.monotonic()
        if self._processes:
            raise RuntimeError(f"the API server in {self.directory} runs already")
        self.directory.mkdir(parents=True, exist_ok=True)
        _require_loopback(self.netns)
        self._authority = Authority(self.directory / "pki")
        if self.port == 0:
            self.port = _free_port(self.address, self.netns)
        self.url = server_url(self._server, self.port)
        self._serving = self._authority.server(
            "kube-apiserver",
            [self._server, "127.0.0.1", "::1", *filter(None, [self.address, self._advertise]),
             *(str(ipaddress.ip_network(cidr)[1]) for cidr in self.service_cidrs)],
            ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
             "kubernetes.default.svc.cluster.local"])
        self._token_keys = self._authority.signing_key("service-accounts")
        self.kubeconfig = self.user_kubeconfig("admin", ["system:masters"])
        self._api = Api(self.kubeconfig, self.netns)
        try:
            self._start_processes()
        except BaseException:
            self.kill()
            raise
        self.start_seconds = time.monotonic() - began
        return self

    def stop(self):
        """In order, newest first. What is in the directory stays."""
        while self._processes:
            self._processes.popitem()[1].stop()

    def kill(self):
        """As a power cut would."""
        while self._processes:
            self._processes.popitem()[1].kill()

    def restart(self):
        """Same data, same address and port."""
        self.stop()
        return self.start()

    def pause(self):
        """Connections stay open and nothing answers any more, as with a hung machine. The
        controller manager ends: it would take the gap for the silence of every node."""
        if manager := self._processes.pop("kube-controller-manager", None):
            manager.stop()
        for process in self._processes.values():
            process.pause()

    def resume(self):
        for process in self._processes.values():
            process.resume()
        if self._with_manager:
            self._start_controller_manager()

    def check(self):
        """Raises with the end of the log of a process that has ended."""
        for process in self._processes.values():
            process.check()

    def processes(self):
        """By name, as ChildProcess: pids, memory, logs."""
        return dict(self._processes)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # Users

    @property
    def api(self):
        """As admin."""
        if self._api is None:
            raise RuntimeError("the API server has not been started")
        return self._api

    def api_for(self, kubeconfig):
        return Api(kubeconfig, self.netns)

    def user_kubeconfig(self, name, groups=()):
        """The path of a kubeconfig with a client certificate."""
        path = self._kubeconfig_path(name)
        certificate, key = self._authority.client(name, groups)
        return write_kubeconfig(path, self.url, self._authority, certificate, key)

    def service_account_token(self, namespace, name, seconds=86400, pod=None):
        """From the TokenRequest API; the account must be there. pod: a Pod of that account with
        which the token ends (up to 10 s later: the API server remembers whom it let in)."""
        bound = {} if pod is None else {"boundObjectRef": {
            "apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"],
            "uid": pod["metadata"]["uid"]}}
        answer = self.api.request(
            "POST", path_of("serviceaccounts", namespace, name, "token"),
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
             "spec": {"expirationSeconds": seconds, **bound}})
        return answer["status"]["token"]

    def service_account_kubeconfig(self, namespace, name, seconds=86400, front=None):
        """The path of a kubeconfig with a token as a pod of that account has it. front: the URL of
        a server before this one that it names instead."""
        token = self.service_account_token(namespace, name, seconds)
        port = f":{urllib.parse.urlsplit(front).port}" if front else ""
        return self.token_kubeconfig(f"{namespace}:{name}{port}", token, namespace, front)

    def token_kubeconfig(self, name, token, namespace="default", front=None):
        return write_kubeconfig(self._kubeconfig_path(name), front or self.url, self._authority,
                                namespace=namespace, token=token)

    def front(self, name):
        """For a server of one's own before this one: (port, (certificate, key)) to listen with at
        self.address."""
        pair = self._authority.server(name, [self.address], [])
        return _free_port(self.address, self.netns), pair

    @property
    def ca_file(self):
        return self._authority.certificate

    def kubectl(self, *arguments, kubeconfig=None, stdin=None, check=True):
        """Its stdout, or the CompletedProcess with check=False."""
        command = [*self.kubectl_command(kubeconfig), *arguments]
        environment = {**os.environ, "HOME": str(self.directory), "NO_PROXY": "*"}
        done = subprocess.run(command, env=environment, input=stdin, text=True,
                              capture_output=True, cwd=self.directory)
        if not check:
            return done
        if done.returncode != 0:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def kubectl_command(self, kubeconfig=None):
        """The words to start kubectl by hand with."""
        command = [*binaries().command("kubectl"), f"--kubeconfig={kubeconfig or self.kubeconfig}"]
        enter = [] if self.netns is None else ["nsenter", f"--net=/run/netns/{self.netns}", "--"]
        return enter + command

    def apply_manifests(self, *paths):
        """Every .yaml below these paths; see manifests.apply_objects()."""
        apply_objects(self.api, read_manifests(*paths))

    def install_egw(self):
        """What egw's roles find in a cluster: definitions, namespace, accounts and rights."""
        base = _MANIFESTS / "base"
        self.apply_manifests(_MANIFESTS / "crds", base / "namespace.yaml", base / "rbac.yaml")

    # Processes

    def _start_processes(self):
        kubernetes = binaries()
        data = self.directory / "etcd"
        if kubernetes.single:
            data.mkdir(mode=0o700, exist_ok=True)
            server = self._spawn("kube-apiserver",
                                 [*kubernetes.command("up"), data, *self._server_flags()])
        else:
            etcd = self._start_etcd(kubernetes, data)
            server = self._spawn("kube-apiserver", [
                *kubernetes.command("kube-apiserver"), f"--etcd-servers={etcd}",
                *self._server_flags()])
        wait_until(lambda: self._ready(server), 120, f"{self.url}/readyz says ok", interval=0.02)
        for namespace in ("default", "kube-system", "kube-node-lease"):
            self.api.wait_for("namespaces", namespace)
        if self._with_manager:
            self._start_controller_manager()
        if self._real_nodes:
            self._start_scheduler()

    def _start_etcd(self, kubernetes, data):
        port, peer = (_free_port("127.0.0.1", self.netns) for _ in range(2))
        etcd = self._spawn("etcd", [
            *kubernetes.command("etcd"), "--data-dir", data, "--unsafe-no-fsync",
            "--log-level=warn", "--heartbeat-interval=10", "--election-timeout=100",
            f"--listen-client-urls=http://127.0.0.1:{port}",
            f"--advertise-client-urls=http://127.0.0.1:{port}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            "--initial-advertise-peer-urls=http://127.0.0.1:2380",
            "--initial-cluster=default=http://127.0.0.1:2380"])

        def listening():
            etcd.check()
            with inside_netns(self.netns), socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listening, 30, f"etcd listens on port {port}")
        return f"http://127.0.0.1:{port}"

    def _server_flags(self):
        certificate, key = self._serving
        public, private = self._token_keys
        flags = [
            f"--bind-address={self.address}", f"--secure-port={self.port}",
            f"--service-cluster-ip-range={','.join(self.service_cidrs)}",
            f"--client-ca-file={self._authority.certificate}",
            f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}",
            f"--service-account-issuer={_ISSUER}", f"--service-account-key-file={public}",
            f"--service-account-signing-key-file={private}",
            "--allow-privileged=true", "--profiling=false", "--shutdown-delay-duration=0s",
            # Without it, an open HTTP/1.1 watch keeps a stopping server up for a minute.
            "--shutdown-watch-termination-grace-period=1s",
        ]
        if self._real_nodes:
            certificate, key = self._authority.client("kubelet-client", ["system:masters"])
            flags += ["--authorization-mode=Node,RBAC",
                      "--enable-admission-plugins=NodeRestriction",
                      "--kubelet-preferred-address-types=InternalIP",
                      f"--kubelet-client-certificate={certificate}", f"--kubelet-client-key={key}"]
        else:
            # Pods here run no container: they need no token, and no account that a controller
            # would have to make first.
            flags += ["--authorization-mode=RBAC",
                      "--disable-admission-plugins=ServiceAccount"]
        if self._advertise is not None:
            flags.append(f"--advertise-address={self._advertise}")
        else:
            # It insists on an address that is no loopback even where it writes no endpoint.
            flags += ["--endpoint-reconciler-type=none", "--advertise-address=192.0.2.1"]
        return flags + self._extra_args

    def _start_controller_manager(self):
        user = "system:kube-controller-manager"
        kubeconfig = self.user_kubeconfig(user)
        grace = self.node_monitor_grace
        public, private = self._token_keys
        manager = self._spawn("kube-controller-manager", [
            *binaries().command("kube-controller-manager"), f"--kubeconfig={kubeconfig}",
            "--secure-port=0", "--leader-elect=false", "--use-service-account-credentials=true",
            f"--root-ca-file={self._authority.certificate}",
            f"--service-account-private-key-file={private}",
            f"--cluster-cidr={','.join(self.cluster_cidrs)}",
            f"--service-cluster-ip-range={','.join(self.service_cidrs)}",
            f"--node-monitor-grace-period={grace}s", f"--node-startup-grace-period={grace}s",
            f"--node-monitor-period={min(grace * 1000 // 8, 5000):.0f}ms",
            f"--allocate-node-cidrs={str(self._real_nodes).lower()}",
            "--kube-api-qps=200", "--kube-api-burst=400", *self._manager_args])

        def works():
            manager.check()
            return self.api.find("serviceaccounts", "default", "default")

        wait_until(works, 60, "the controller manager has made the account default", interval=0.05)

    def _start_scheduler(self):
        self._spawn("kube-scheduler", [
            *binaries().command("kube-scheduler"), "--leader-elect=false", "--secure-port=0",
            f"--kubeconfig={self.user_kubeconfig('system:kube-scheduler')}"])

    def _spawn(self, name, command):
        process = ChildProcess(name, command, self.directory / f"{name}.log", self.netns,
                               env={**os.environ, "HOME": str(self.directory), "NO_PROXY": "*"},
                               cwd=self.directory)
        self._processes[name] = process
        return process

    def _ready(self, server):
        server.check()
        try:
            self.api.request("GET", "/readyz")
        except (ApiError, ConnectionError, TimeoutError, http.client.HTTPException):
            return False
        except ssl.SSLError:
            return False  # the port is open before the certificate is loaded
        return True

    def _kubeconfig_path(self, name):
        return self.directory / f"{file_name(name)}.kubeconfig"


def _free_port(address, netns):
    # Below the range from which the kernel gives ports to outgoing connections (32768 and up), so
    # that none of those takes it between this look and the start, or over a restart.
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for _ in range(200):
        port = random.randrange(20000, 32000)
        with inside_netns(netns), socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
                return port
            except OSError as error:
                last = error
    raise RuntimeError(f"no free port on {address}: {last}")


def _require_loopback(netns):
    siocgifflags, up = 0x8913, 1
    with inside_netns(netns), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        answer = fcntl.ioctl(probe, siocgifflags, struct.pack("16sH14x", b"lo", 0))
    if not struct.unpack("16sH14x", answer)[1] & up:
        raise RuntimeError(f"lo is down in network namespace {netns}: "
                           f"`ip -n {netns} link set lo up` first")


if __name__ == "__main__":
    import cluster_cli

    cluster_cli.main()
