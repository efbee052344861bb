# SPDX-License-Identifier: Apache-2.0
"""An HTTPS proxy before an API server that behaves as bad ones do. What no rule concerns is passed
on as it is, with the caller's token; a test sets rules and takes them away while it runs.

    with FaultyProxy(server) as proxy:
        controller = Controller("first", path, f"--kubeconfig={proxy.account(namespace, name)}")
        with proxy.rule(Answer(409, "Conflict"), "/status$", WRITES, chance=0.5):
            ...
        with proxy.away():
            ...
        assert busiest_second(proxy.requests()) < 100
"""

import contextlib
import dataclasses
import random
import re
import socket
import ssl
import threading
import time
import urllib.parse

from childprocess import wait_until
from faults import Hold
from http_wire import Ended, Wire, first_readable
from kubeapi import server_url

READS = ("get", "list", "watch")
WRITES = ("create", "update", "patch", "delete")
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclasses.dataclass
class Request:
    """One that came. status: the API server's answer, None as long as there is none; rule: the one
    that it fell under."""
    at: float  # time.monotonic()
    verb: str  # as Kubernetes calls it: one of READS and WRITES
    path: str  # without the query
    query: dict
    body: bytes = b""  # kept while it is held alone
    status: int | None = None
    rule: object = None


def busiest_second(requests):
    """The most requests that came within any one second."""
    times = sorted(request.at for request in requests)
    first = most = 0
    for last, at in enumerate(times):
        while times[first] <= at - 1:
            first += 1
        most = max(most, last - first + 1)
    return most


class FaultyProxy:
    """seed: for the rules' chances."""

    def __init__(self, server, seed=1):
        self._server = server
        self._port, pair = server.front("faulty-proxy")
        self.url = server_url(server.address, self._port)
        self.random = random.Random(seed)
        self._serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._serving.load_cert_chain(*pair)
        self._calling = ssl.create_default_context(cafile=str(server.ca_file))
        self._lock = threading.RLock()
        self._rules = []
        self._requests = []
        self._exchanges = set()
        self._sockets = set()
        self._open = threading.Event()
        self._closed = False
        family = socket.AF_INET6 if ":" in server.address else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((server.address, self._port))
        self.listen()
        threading.Thread(target=self._take_connections, daemon=True).start()

    def account(self, namespace, name):
        """The path of a kubeconfig of that service account that leads through here."""
        return self._server.service_account_kubeconfig(namespace, name, front=self.url)

    # Rules

    def rule(self, fault, path="", verbs=READS + WRITES, count=None, chance=1.0):
        """A Rule for requests whose path the regular expression `path` is found in. count: so many
        requests, then no more. Of several that match, the one set last decides."""
        made = Rule(self, fault, path, verbs, count, chance)
        with self._lock:
            self._rules.insert(0, made)
        return made

    def remove(self, rule):
        with self._lock:
            if rule in self._rules:
                self._rules.remove(rule)
        rule.removed.set()

    def cut_streams(self, path="", chance=1.0):
        """Ends streams that are open in the middle of a line. Returns how many."""
        with self._lock:
            chosen = [e for e in self._exchanges if e.streaming and re.search(path, e.request.path)
                      and self.random.random() < chance]
        for exchange in chosen:
            exchange.cut()
        return len(chosen)

    # The whole server

    def refuse(self):
        """Connections are refused, and those that are open end."""
        with self._lock:
            self._open.clear()
            self._listener.shutdown(socket.SHUT_RDWR)  # keeps the port
            for sock in self._sockets:
                _shut(sock)

    def listen(self):
        self._listener.listen(128)
        self._open.set()

    @contextlib.contextmanager
    def away(self):
        self.refuse()
        try:
            yield
        finally:
            self.listen()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._closed = True
        self.refuse()
        self._open.set()
        with self._lock:
            for rule in list(self._rules):
                self.remove(rule)
        self._listener.close()

    # What came

    def requests(self, path="", verbs=READS + WRITES, since=0.0):
        """Those that came since that moment of time.monotonic()."""
        with self._lock:
            return [r for r in self._requests
                    if r.at >= since and r.verb in verbs and re.search(path, r.path)]

    # Threads

    def _take_connections(self):
        while not self._closed:
            self._open.wait()
            try:
                raw, _ = self._listener.accept()
            except OSError:
                continue  # refuse()
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tls = self._serving.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
            with self._lock:
                self._sockets.add(tls)
                if not self._open.is_set():
                    _shut(tls)
            threading.Thread(target=self._serve, args=(tls,), daemon=True).start()

    def _serve(self, tls):
        upstream = _Upstream(self._server, self._calling)
        try:
            tls.do_handshake()
            client = Wire(tls)
            while head := client.head():
                self._exchange(client, upstream, head)
        except (Ended, OSError):
            pass  # either end went away, or a rule says so
        finally:
            upstream.close()
            with self._lock:
                self._sockets.discard(tls)
            tls.close()

    def _exchange(self, client, upstream, head):
        body = client.exactly(head.length or 0)
        method, target, _ = head.first.split(" ", 2)
        url = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(url.query))
        request = Request(time.monotonic(), _verb(method, url.path, query), url.path, query)
        with self._lock:
            self._requests.append(request)
            request.rule = next((r for r in self._rules if r.takes(request)), None)
            exchange = Exchange(client, upstream, request, head.raw + body)
            self._exchanges.add(exchange)
        try:
            if request.rule is None:
                exchange.pass_on()
            else:
                request.rule.apply(exchange, body)
        finally:
            with self._lock:
                self._exchanges.discard(exchange)


class Rule:
    """A fault and what it concerns. As a context manager it is removed at the end."""

    def __init__(self, proxy, fault, path, verbs, count, chance):
        self._proxy, self._fault = proxy, fault
        self._path, self._verbs = re.compile(path), verbs
        self._left, self._chance = count, chance
        self.hits = []  # the requests that it took
        self.removed = threading.Event()

    def takes(self, request):
        if request.verb not in self._verbs or not self._path.search(request.path):
            return False
        if self._left == 0 or self._proxy.random.random() >= self._chance:
            return False
        if self._left is not None:
            self._left -= 1
        self.hits.append(request)
        return True

    def apply(self, exchange, body):
        if isinstance(self._fault, Hold):
            exchange.request.body = body
        self._fault(exchange, self)

    def wait_hit(self, count=1, timeout=10):
        """Returns when it has taken so many: the last of them."""
        wait_until(lambda: len(self.hits) >= count, timeout,
                   f"{count} {'/'.join(self._verbs)} of {self._path.pattern or 'anything'}")
        return self.hits[count - 1]

    def remove(self):
        """What it delays, stalls or holds goes on, or ends."""
        self._proxy.remove(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


class Exchange:
    """A request and the way of its answer."""

    def __init__(self, client, upstream, request, raw):
        self.request, self.streaming = request, False
        self._client, self._upstream, self._raw = client, upstream, raw
        self._cut = False

    def pass_on(self, lines=None):
        """lines: so many of the answer, and then half of the next one."""
        head = self._forward()
        self._client.send(head.raw)
        if not head.chunked:
            self._client.send(self._upstream.wire.exactly(head.length or 0))
            return
        self.streaming = "watch" in self.request.query
        told = 0
        while chunk := self._next_chunk():
            for line in chunk.splitlines(keepends=True):
                if lines is not None and told >= lines:
                    self._client.send_chunk(line[:len(line) // 2])
                    raise Ended
                self._client.send_chunk(line)
                told += line.endswith(b"\n")
        self._client.send_chunk(b"")

    def pass_on_in_vain(self):
        """The API server does it; nobody learns of that."""
        head = self._forward()
        if not head.chunked:
            self._upstream.wire.exactly(head.length or 0)
        elif "watch" not in self.request.query:
            while self._upstream.wire.chunk():
                pass
        raise Ended

    def answer(self, code, body=b"", headers=()):
        lines = [f"HTTP/1.1 {code} Fault", "Content-Type: application/json",
                 f"Content-Length: {len(body)}", *headers]
        self._client.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def stream(self, *chunks):
        self._client.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                          b"Transfer-Encoding: chunked\r\n\r\n")
        for chunk in (*chunks, b""):
            self._client.send_chunk(chunk)

    def wait(self, rule, seconds=float("inf"), client_must_stay=True):
        """Until the rule is removed, or so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not rule.removed.wait(0.02):
            if client_must_stay and self._client.gone():
                raise Ended

    def cut(self):
        self._cut = True
        self._upstream.shut()

    def _forward(self):
        head = self._upstream.send(self._raw)
        self.request.status = int(head.first.split(" ")[1])
        return head

    def _next_chunk(self):
        try:
            if first_readable(self._upstream.wire, self._client) is self._client:
                raise Ended  # it sends nothing while an answer comes: it has gone
            return self._upstream.wire.chunk()
        except (Ended, OSError):
            if self._cut:
                self._client.send_chunk(b'{"type":"MODIFIED","object":{"apiVers')
            raise


class _Upstream:
    """The connection to the API server that belongs to one of a client."""

    def __init__(self, server, context):
        self._address, self._context = (server.address, server.port), context
        self.wire = None

    def send(self, raw):
        """The head of the answer."""
        if self.wire is not None and self.wire.gone():
            self.close()
        if self.wire is None:
            raw_socket = socket.create_connection(self._address, timeout=30)
            raw_socket.settimeout(None)
            raw_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.wire = Wire(self._context.wrap_socket(raw_socket,
                                                       server_hostname=self._address[0]))
        self.wire.send(raw)
        head = self.wire.head()
        if head is None:
            raise Ended
        return head

    def shut(self):
        if self.wire is not None:
            _shut(self.wire.socket)

    def close(self):
        if self.wire is not None:
            self.wire.socket.close()
            self.wire = None


def _verb(method, path, query):
    if method in _VERBS:
        return _VERBS[method]
    if query.get("watch") in ("true", "1"):
        return "watch"
    root, *parts = path.strip("/").split("/")
    if root not in ("api", "apis"):
        return "get"
    parts = parts[1 if root == "api" else 2:]
    if parts[:1] == ["namespaces"] and len(parts) > 2:
        parts = parts[2:]
    return "get" if len(parts) > 1 else "list"


def _shut(sock):
    with contextlib.suppress(OSError):  # it has ended already
        # SSLSocket's own would have its reader take what comes for plain text.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
