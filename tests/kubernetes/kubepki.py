# SPDX-License-Identifier: Apache-2.0
"""Keys, certificates and kubeconfigs of a test cluster, made by the openssl command."""

import base64
import subprocess
from pathlib import Path

import yaml


class Authority:
    """A certificate authority in a directory; what is there already is used again."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.certificate = self.directory / "ca.crt"
        self.key = self.directory / "ca.key"
        if not self.certificate.exists():
            self._request("ca", "/CN=egw-test-ca", [
                "basicConstraints=critical,CA:TRUE",
                "keyUsage=critical,keyCertSign,digitalSignature"])

    def server(self, name, addresses, names):
        """(certificate, key) files for a server reached by these addresses and DNS names."""
        alternatives = [f"IP:{a}" for a in addresses] + [f"DNS:{n}" for n in names]
        return self._issue(name, f"/CN={name}", [
            "extendedKeyUsage=serverAuth,clientAuth",
            "subjectAltName=" + ",".join(dict.fromkeys(alternatives))])

    def client(self, user, groups=()):
        """(certificate, key) files; Kubernetes takes CN for the user and each O for a group."""
        subject = "".join(f"/O={_escaped(g)}" for g in groups) + f"/CN={_escaped(user)}"
        return self._issue(file_name(user), subject, ["extendedKeyUsage=clientAuth"])

    def signing_key(self, name):
        """(public, private) key files for service account tokens."""
        private, public = self.directory / f"{name}.key", self.directory / f"{name}.pub"
        if not public.exists():
            _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                     "-out", private)
            _openssl("pkey", "-in", private, "-pubout", "-out", public)
        return public, private

    def _issue(self, name, subject, extensions):
        return self._request(name, subject, extensions,
                             ["-CA", self.certificate, "-CAkey", self.key])

    def _request(self, name, subject, extensions, issuer=()):
        certificate, key = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        added = [word for e in extensions for word in ("-addext", e)]
        # Its own configuration file, so that the host's extensions don't mix in.
        config = self.directory / "openssl.cnf"
        if not config.exists():
            config.write_text("[req]\ndistinguished_name = dn\n[dn]\n")
        _openssl("req", "-config", config, "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, "-days", "3650",
                 "-keyout", key, "-out", certificate, *added, *issuer)
        return certificate, key


def write_kubeconfig(path, server, authority, certificate=None, key=None, token=None,
                     namespace="default"):
    """A kubeconfig with everything inline, so that it can be copied elsewhere. Returns path."""
    user = {"token": token} if token is not None else {
        "client-certificate-data": _inline(certificate), "client-key-data": _inline(key)}
    document = {
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {
            "server": server, "certificate-authority-data": _inline(authority.certificate)}}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {
            "cluster": "test", "user": "test", "namespace": namespace}}],
    }
    path = Path(path)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def file_name(user):
    return user.replace(":", "_").replace("/", "_")


def _escaped(part):
    return part.replace("\\", "\\\\").replace("/", "\\/")


def _inline(path):
    return base64.b64encode(Path(path).read_bytes()).decode()


def _openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.strip()}")
