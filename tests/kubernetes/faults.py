# SPDX-License-Identifier: Apache-2.0
"""What a FaultyProxy can do to a request: called with the exchange and the rule that it fell under,
in the thread of the connection."""

import dataclasses
import json

from http_wire import Ended


@dataclasses.dataclass
class Answer:
    """A refusal as the API server words it. retry_after: seconds."""
    code: int
    reason: str = ""
    retry_after: int | None = None

    def __call__(self, exchange, rule):
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                  "message": f"the proxy says {self.code}", "reason": self.reason,
                  "code": self.code}
        headers = []
        if self.retry_after is not None:
            headers = [f"Retry-After: {self.retry_after}"]
            status["details"] = {"retryAfterSeconds": self.retry_after}
        exchange.answer(self.code, json.dumps(status).encode(), headers)


@dataclasses.dataclass
class Delay:
    seconds: float

    def __call__(self, exchange, rule):
        exchange.wait(rule, self.seconds)
        exchange.pass_on()


@dataclasses.dataclass
class Drop:
    """The connection ends instead of an answer. done: what was asked for is done all the same."""
    done: bool = False

    def __call__(self, exchange, rule):
        if self.done:
            exchange.pass_on_in_vain()
        raise Ended


@dataclasses.dataclass
class Cut:
    """The answer ends in the middle of a line, after so many lines."""
    lines: int = 0

    def __call__(self, exchange, rule):
        exchange.pass_on(self.lines)


class EndAtOnce:
    """A stream without anything in it."""

    def __call__(self, exchange, rule):
        exchange.stream()


class Stall:
    """No byte comes; the connection ends when the rule is removed."""

    def __call__(self, exchange, rule):
        exchange.wait(rule)
        raise Ended


class Hold:
    """The request goes on its way when the rule is removed, also when its sender has gone."""

    def __call__(self, exchange, rule):
        exchange.wait(rule, client_must_stay=False)
        exchange.pass_on()


class Garbage:
    """An answer 200 that is nothing of the kind that was asked for."""

    def __call__(self, exchange, rule):
        exchange.stream(b'{"type":"ADDED","object":{"kind":"\xff\xfe', b"<html>\n", b"\0" * 100)
