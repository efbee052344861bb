# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 on one TLS connection, read and written piece by piece, for what stands between two
ends and must see either of them go (RFC 9112)."""

import dataclasses
import select


class Ended(Exception):
    """The exchange is over, and the connection with it."""


@dataclasses.dataclass
class Head:
    raw: bytes  # with the empty line
    first: str
    length: int | None  # Content-Length
    chunked: bool


class Wire:
    def __init__(self, tls):
        self.socket = tls
        self._data = b""

    def head(self):
        """None when the other end has closed between two messages."""
        raw = self._line()
        if not raw:
            return None
        first, length, chunked = raw.decode("latin-1").rstrip("\r\n"), None, False
        while (line := self._line()) != b"\r\n":
            if not line:
                raise Ended
            raw += line
            name, _, value = line.decode("latin-1").partition(":")
            if name.lower() == "content-length":
                length = int(value)
            chunked |= name.lower() == "transfer-encoding" and "chunked" in value.lower()
        return Head(raw + b"\r\n", first, length, chunked)

    def exactly(self, size):
        while len(self._data) < size:
            self._more()
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def chunk(self):
        """The data of the next chunk; empty at the end of the message."""
        line = self._line()
        if not line:
            raise Ended
        size = int(line.split(b";")[0], 16)
        data = self.exactly(size)
        self.exactly(2)
        return data

    def send(self, data):
        self.socket.sendall(data)

    def send_chunk(self, data):
        self.socket.sendall(b"%x\r\n%b\r\n" % (len(data), data))

    def waiting(self):
        """There is something to read without asking the kernel."""
        return bool(self._data) or self.socket.pending() > 0

    def gone(self):
        """The other end, which has nothing to say now, has closed."""
        return not self.waiting() and first_readable(self, timeout=0) is self

    def _line(self):
        while b"\n" not in self._data:
            try:
                self._more()
            except Ended:
                if self._data:
                    raise
                return b""
        line, _, self._data = self._data.partition(b"\n")
        return line + b"\n"

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise Ended
        self._data += data


def first_readable(*wires, timeout=None):
    """The first of them that has something to read, or has ended; None when none had in time
    (seconds)."""
    for wire in wires:
        if wire.waiting():
            return wire
    poll = select.poll()
    for wire in wires:
        poll.register(wire.socket, select.POLLIN | select.POLLRDHUP)
    ready = {fd for fd, _ in poll.poll(None if timeout is None else timeout * 1000)}
    return next((wire for wire in wires if wire.socket.fileno() in ready), None)
