# SPDX-License-Identifier: Apache-2.0
"""From a start of the controller to the first moment without writes."""

import calendar
import time

from childprocess import wait_until
from . import process
from .watching import EVENTS, SliceBook, Watcher

QUIET = 1.5  # seconds without a write; what only people read is written up to a second later
TO_WALL = time.time() - time.monotonic()


def settle(controller, watcher, done, timeout):
    """Waits until done(samples) holds, nothing is to be written and nothing was for a while.
    Returns the samples of then."""
    last = {}

    def settled():
        samples = controller.samples()
        last.update(samples)
        listed = controller.listed_at(samples) if samples else None
        if listed is None or not process.total(samples, "egw_controller_leader"):
            return None
        if process.total(samples, "egw_writes_pending") or not done(samples):
            return None
        return samples if time.monotonic() - max(watcher.last or 0, listed - TO_WALL) >= QUIET \
            else None

    try:
        return wait_until(settled, timeout, "the controller has nothing to write any more", 0.5)
    except TimeoutError as error:
        writes = process.values(last, "egw_writes_total")
        raise TimeoutError(f"{error}; endpoints, policies, nodes and writes: "
                           f"{process.values(last, 'egw_policies')}, "
                           f"{process.values(last, 'egw_nodes')}, {writes}") from None


def written(samples):
    """{"KIND VERB RESULT": count} of the controller's writes."""
    found = {}
    for labels, count in process.values(samples, "egw_writes_total").items():
        parts = dict(label.split("=", 1) for label in labels.split(","))
        name = " ".join(parts[key].strip('"') for key in ("kind", "verb", "result"))
        found[name] = int(count)
    return found


def measured_start(cluster, done, timeout, standby=False):
    """Starts the controller and tells what it took until nothing was left to write.

    standby: another leads at first. So that the lists' memory is seen alone, and the seconds to
    the steady state are those of a take-over."""
    book = SliceBook(cluster.api)
    if standby:
        cluster.occupy_lease()
    with Watcher(cluster.api, listener=book, since=book.since) as watcher:
        controller = cluster.start_controller()
        result = {}
        if standby:
            wait_until(lambda: controller.get("/readyz")[0] == 200, timeout, "all lists", 0.5)
            result["standby_mib"] = process.at_rest(controller.process)
            result["list_peak_mib"] = controller.process.peak_rss_mib()
            result["list_cpu_seconds"] = controller.cpu
            process.reset_peak(controller.process.pid)
            cluster.free_lease()
        samples = settle(controller, watcher, lambda s: done(s, book), timeout)
        listed = controller.listed_at(samples) - TO_WALL
        begin = max(listed, _led_since(controller)) if standby else listed
        last = max(watcher.last or begin, begin)
        writes = written(samples)
        good = sum(n for name, n in writes.items() if name.endswith(" ok"))
        result |= {
            "list_seconds": listed - controller.started,
            "steady_seconds": last - begin,
            "writes": writes, "writes_done": good, "writes_not_done": sum(writes.values()) - good,
            "events": watcher.counts[EVENTS],
            "writes_per_second": good / max(last - begin, 0.001),
            "requests": int(process.total(samples, "egw_api_requests_total")),
            "cpu_seconds": controller.cpu,
            "at_rest_mib": process.at_rest(controller.process),
            "peak_mib": controller.process.peak_rss_mib(),
            "warnings": controller.log().count(" WARN "),
            "endpoints": book.endpoints,
        }
    return result


def _led_since(controller):
    """When it took the lead, by its log; the clock of time.monotonic()."""
    line = next(line for line in controller.log().splitlines() if "holds the Lease" in line)
    stamp = line.split()[0]
    whole = time.strptime(stamp.split(".")[0], "%Y-%m-%dT%H:%M:%S")
    return calendar.timegm(whole) + float("0." + stamp.split(".")[1].rstrip("Z")) - TO_WALL


def install(cluster, agents):
    """The first start: an EgressNode for each Node, and no policy yet."""
    size = cluster.size

    def done(samples, book):
        agents.check()
        return (process.total(samples, "egw_nodes", 'phase="Ready"') == size.nodes and
                process.total(samples, "egw_gateway_ready") == size.gateways)

    return measured_start(cluster, done, 1800)


def scratch(cluster):
    """Every policy gets its EIP and its slices."""
    wanted = cluster.endpoints()
    return measured_start(
        cluster, lambda samples, book: all_placed(cluster, samples) and book.endpoints == wanted,
        1800)


def restart(cluster, standby=False):
    wanted = cluster.endpoints()
    return measured_start(
        cluster, lambda samples, book: all_placed(cluster, samples) and book.endpoints == wanted,
        300, standby)


def all_placed(cluster, samples):
    return process.total(samples, "egw_policies", 'ready="true"') == cluster.size.policies


def thinned(cluster, factor):
    """Fewer pods, the controller running: it takes them out of their slices."""
    book = SliceBook(cluster.api)
    with Watcher(cluster.api, tuple(book.since), book, book.since) as watcher:
        cluster.thin_out(factor)
        wanted = cluster.endpoints()
        settle(cluster.controller, watcher, lambda s: book.endpoints == wanted, 1800)
