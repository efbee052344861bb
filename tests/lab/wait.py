# SPDX-License-Identifier: Apache-2.0
"""Waiting for a condition, never for a time."""

import os
import time

# Times as many: on an emulated machine everything takes longer.
PATIENCE = float(os.environ.get("EGW_PATIENCE", "1"))


class NotInTime(AssertionError):
    pass


def until(condition, what, timeout=20.0, pause=0.005):
    """Call `condition` until it returns something true and return that.

    `what` names the condition in the error; an AssertionError raised by `condition` counts as
    "not yet" and is told in the end, so that a test can await a whole block of assertions."""
    timeout *= PATIENCE
    end = time.monotonic() + timeout
    last = None
    while True:
        try:
            value = condition()
            last = value
            if value:
                return value
        except AssertionError as error:
            last = error
        if time.monotonic() > end:
            raise NotInTime(
                f"not within {timeout:g} s: {what}; last seen: "
                + (str(last) if isinstance(last, AssertionError) else repr(last))
            )
        time.sleep(pause)
