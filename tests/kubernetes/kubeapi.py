# SPDX-License-Identifier: Apache-2.0
"""A thin client for the Kubernetes API: objects are dicts, a call is one HTTP request.

Resources are named as in a URL: "pods" for those of the core group, else "GROUP/VERSION/PLURAL",
as in "coordination.k8s.io/v1/leases". An Api may be used by many threads.
"""

import base64
import http.client
import ipaddress
import json
import os
import select
import socket
import ssl
import threading
import time
import urllib.parse

import yaml

from childprocess import inside_netns

_MERGE = "application/merge-patch+json"
_PATCH_TYPES = {"merge": _MERGE, "strategic": "application/strategic-merge-patch+json",
                "json": "application/json-patch+json"}


class ApiError(Exception):
    """The server refused; status is its Status object, where it sent one."""

    def __init__(self, request, code, status):
        self.code = code
        self.status = status
        self.reason = status.get("reason", "")
        self.message = status.get("message", "")
        super().__init__(f"{request}: {code} {self.reason}: {self.message}")


class Api:
    """Reads a kubeconfig with a CA and a client certificate or a token, all inline. netns: the
    network namespace from which the server is reached."""

    def __init__(self, kubeconfig, netns=None):
        with open(kubeconfig) as stream:
            config = yaml.safe_load(stream)
        cluster = config["clusters"][0]["cluster"]
        user = config["users"][0]["user"]
        self.server = cluster["server"]
        url = urllib.parse.urlsplit(self.server)
        self._address = (url.hostname, url.port or 443)
        self._netns = netns
        self._tls = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        self._headers = {"Accept": "application/json"}
        if "token" in user:
            self._headers["Authorization"] = "Bearer " + user["token"]
        else:
            _load_pair(self._tls, user["client-certificate-data"], user["client-key-data"])
        self._idle = threading.local()
        self._plurals = {}

    # Objects

    def get(self, resource, name, namespace=None):
        return self.request("GET", path_of(resource, namespace, name))

    def find(self, resource, name, namespace=None):
        """None when there is no such object."""
        try:
            return self.get(resource, name, namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            return None

    def list(self, resource, namespace=None, labels=None, fields=None):
        return self.list_object(resource, namespace, labels, fields)["items"]

    def list_object(self, resource, namespace=None, labels=None, fields=None):
        """The whole list with its metadata.resourceVersion, from which a watch can go on."""
        return self.request("GET", path_of(resource, namespace), query=_selectors(labels, fields))

    def create(self, obj, dry_run=False):
        query = {"dryRun": "All"} if dry_run else {}
        return self.request("POST", self.path_for(obj, named=False), obj, query=query)

    def apply(self, obj, manager="egw-tests", force=True, subresource=None):
        """Server-side apply."""
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        return self.request("PATCH", self.path_for(obj, subresource=subresource), obj,
                            "application/apply-patch+yaml", query)

    def replace(self, obj, subresource=None):
        """With metadata.resourceVersion in obj: 409 when the object has changed since."""
        return self.request("PUT", self.path_for(obj, subresource=subresource), obj)

    def patch(self, resource, name, body, namespace=None, subresource=None, kind="merge"):
        """kind: merge, strategic (built-in kinds only) or json."""
        return self.request("PATCH", path_of(resource, namespace, name, subresource), body,
                            _PATCH_TYPES[kind])

    def delete(self, resource, name, namespace=None, grace=None, missing_ok=False, uid=None):
        """grace: seconds that a pod is left to end; 0 removes it at once. uid: that object alone,
        not another that bears its name by now."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        try:
            return self.request("DELETE", path_of(resource, namespace, name), body)
        except ApiError as error:
            if not (missing_ok and error.code in ((404,) if uid is None else (404, 409))):
                raise
            return None

    # Watches

    def watch(self, resource, namespace=None, resource_version=None, labels=None, fields=None,
              idle_timeout=None):
        """A Watch from that version on, or from the present state when there is none given."""
        query = {"watch": "true", **_selectors(labels, fields)}
        if resource_version is not None:
            query["resourceVersion"] = resource_version
        return Watch(self, path_of(resource, namespace), query, idle_timeout)

    def wait_for(self, resource, name, namespace=None, condition=lambda obj: obj is not None,
                 timeout=10, what=None):
        """Follows one object until condition(object, or None while it is not there) is true;
        returns the object. TimeoutError shows what it was at last."""
        deadline = time.monotonic() + timeout
        obj = None
        while True:
            listed = self.list_object(resource, namespace, fields=f"metadata.name={name}")
            obj = listed["items"][0] if listed["items"] else None
            if condition(obj):
                return obj
            left = deadline - time.monotonic()
            try:
                if left <= 0:
                    raise TimeoutError
                with self.watch(resource, namespace, listed["metadata"]["resourceVersion"],
                                fields=f"metadata.name={name}", idle_timeout=left) as watch:
                    for kind, changed in watch:
                        if kind == "ERROR":
                            break
                        obj = None if kind == "DELETED" else changed
                        if condition(obj):
                            return obj
                        watch.set_idle_timeout(max(deadline - time.monotonic(), 0.001))
            except TimeoutError:
                raise TimeoutError(f"not within {timeout} s: {what or f'{resource} {name}'}; "
                                   f"it is now {json.dumps(obj)}") from None

    # Requests

    def path_for(self, obj, named=True, subresource=None):
        """The URL path of an object, or of its collection; its kind is looked up once."""
        version, kind = obj["apiVersion"], obj["kind"]
        if (version, kind) not in self._plurals:
            group_path = f"/apis/{version}" if "/" in version else f"/api/{version}"
            for entry in self.request("GET", group_path)["resources"]:
                if "/" not in entry["name"]:
                    self._plurals[version, entry["kind"]] = (entry["name"], entry["namespaced"])
        if (version, kind) not in self._plurals:
            raise ValueError(f"the server has no kind {kind} in {version}")
        plural, namespaced = self._plurals[version, kind]
        metadata = obj["metadata"]
        return path_of(f"{version}/{plural}" if "/" in version else plural,
                       metadata.get("namespace", "default") if namespaced else None,
                       metadata["name"] if named else None, subresource)

    def request(self, method, path, body=None, content_type="application/json", query=None):
        """The decoded answer. ApiError when the server says no, OSError or HTTPException when it
        does not answer."""
        if query:
            path += "?" + urllib.parse.urlencode(query)
        connection = self._connection()
        try:
            response = self._send(connection, method, path, body, content_type)
            data = response.read()
        except BaseException:
            connection.close()
            raise
        return _decoded(f"{method} {path}", response, data)

    def connect(self, timeout):
        """A connection of its own, as a watch needs it."""
        connection = http.client.HTTPSConnection(*self._address, timeout=timeout,
                                                 context=self._tls)
        with inside_netns(self._netns):
            connection.connect()
        return connection

    def _send(self, connection, method, path, body, content_type):
        headers = self._headers
        if body is not None:
            body = json.dumps(body)
            headers = {**headers, "Content-Type": content_type}
        connection.request(method, path, body, headers)
        return connection.getresponse()

    def _connection(self):
        connection = getattr(self._idle, "connection", None)
        # A server that went away in the meantime has closed it: that shows as readable. Found out
        # before sending, no request is ever sent twice.
        if connection is not None and connection.sock is not None:
            if not select.select([connection.sock], [], [], 0)[0]:
                return connection
            connection.close()
        self._idle.connection = self.connect(timeout=30)
        return self._idle.connection


class Watch:
    """Iterates over (type, object) until the server ends it; idle_timeout seconds without an event
    raise TimeoutError. stop() from any thread ends it too."""

    def __init__(self, api, path, query, idle_timeout):
        self._stopped = False
        self._connection = api.connect(idle_timeout)
        # The connection lets go of the socket when the response says that it will close it.
        self._socket = self._connection.sock
        path += "?" + urllib.parse.urlencode(query)
        try:
            self._response = api._send(self._connection, "GET", path, None, None)
            if self._response.status != 200:
                _decoded(f"GET {path}", self._response, self._response.read())
        except BaseException:
            self._connection.close()
            raise

    def __iter__(self):
        try:
            while line := self._response.readline():
                event = json.loads(line)
                yield event["type"], event["object"]
        except (OSError, http.client.HTTPException, ValueError):
            if not self._stopped:
                raise

    def set_idle_timeout(self, seconds):
        self._socket.settimeout(seconds)

    def stop(self):
        self._stopped = True
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the server was faster

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._response.close()
        self._connection.close()


def path_of(resource, namespace=None, name=None, subresource=None):
    group, _, plural = resource.rpartition("/")
    parts = [f"/apis/{group}" if group else "/api/v1"]
    if namespace is not None:
        parts += ["namespaces", namespace]
    parts.append(plural)
    parts += [part for part in (name, subresource) if part is not None]
    return "/".join(parts)


def server_url(address, port):
    version = ipaddress.ip_address(address).version
    return f"https://[{address}]:{port}" if version == 6 else f"https://{address}:{port}"


def _selectors(labels, fields):
    query = {"labelSelector": labels, "fieldSelector": fields}
    return {key: value for key, value in query.items() if value is not None}


def _decoded(request, response, data):
    try:
        answer = json.loads(data)
    except ValueError:
        answer = {"message": data.decode(errors="replace")}
    if response.status >= 400:
        raise ApiError(request, response.status, answer)
    return answer


def _load_pair(context, certificate, key):
    # OpenSSL's Python face takes certificates by file name only; this file has none on any disk.
    with open(os.memfd_create("client-pair"), "wb") as pair:
        pair.write(base64.b64decode(certificate) + b"\n" + base64.b64decode(key))
        pair.flush()
        context.load_cert_chain(f"/proc/self/fd/{pair.fileno()}")
