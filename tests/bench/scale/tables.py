# SPDX-License-Identifier: Apache-2.0
"""The figures of the large cluster as a table for people, and what was expected beside them."""

from tables import latency_rows, row, verdict_line

from .world import SPARE_GATEWAYS

STARTS = (
    ("install", "first start, no policy yet"),
    ("scratch", "all policies to be placed"),
    ("restart", "restart, nothing to change"),
    ("takeover", "standby takes over"),
)
EXPECTED = {  # figure -> (limit, better when smaller, unit)
    "controller at rest": (150, True, "MiB"),
    "controller, its peak": (150, True, "MiB"),
    "last list to steady, restart": (15, True, "s"),
    "last list to steady, all to place": (15, True, "s"),
    "pod event to slice, p99": (50, True, "ms"),
    "loss of a node to last gateway": (300, True, "ms"),
    "writes while idle": (1, True, "writes"),
    "CPU of a pod event, most : fewest pods": (1.5, True, "times"),
}


def lines(results):
    """The whole table; of the parts, those that were measured."""
    egw, machine, size = results["egw"], results["machine"], results["size"]
    yield f"{egw['version']}, {egw['bytes'] / 1e6:.1f} MB"
    others = results.get("others_percent")
    yield (f"{machine['cpus']} CPUs, Linux {machine['kernel']}, load {machine['load']:.1f}" + (
        "" if others is None else f", {others:.0f} % of the CPUs taken by others"))
    yield (f"{size['nodes']} nodes, {size['pods']} pods, {size['policies']} policies, "
           f"{size['gateways']} gateways")
    parts = (
        ("load", load_lines), ("install", start_lines), ("takeover", memory_lines),
        ("pod_events", latency_lines), ("idle", idle_lines), ("by_pods", cpu_lines),
        ("agent", agent_lines))
    for name, part in parts:
        if name in results:
            yield ""
            yield from part(results)
    yield ""
    yield from verdicts(results)


def load_lines(results):
    yield row("loading", ("objects", "seconds", "a second"), 10)
    for name, entry in results["load"].items():
        a_second = entry["objects"] / max(entry["seconds"], 1e-3)
        yield row(name, (entry["objects"], f"{entry['seconds']:.1f}", f"{a_second:.0f}"), 10)


def starts(results):
    """(name, entry) of each start; of the restarts, the one in the middle."""
    found = {name: results[name] for name, _ in STARTS if name in results}
    if "restarts" in results:
        found["restart"] = middle_restart(results)
    return [(name, found[key]) for key, name in STARTS if key in found]


def middle_restart(results):
    order = sorted(results["restarts"], key=lambda entry: entry["steady_seconds"])
    return order[len(order) // 2]


def start_lines(results):
    yield row("until nothing is left to write",
              ("lists s", "then s", "writes", "failed", "writes/s", "Events", "CPU s"), 10)
    for name, entry in starts(results):
        yield row(name, (
            f"{entry['list_seconds']:.1f}", f"{entry['steady_seconds']:.2f}",
            entry["writes_done"], entry["writes_not_done"], f"{entry['writes_per_second']:.0f}",
            entry["events"], f"{entry['cpu_seconds']:.1f}"), 10)


def memory_lines(results):
    entry = results["takeover"]
    yield row("resident memory (MiB)", ("at rest", "peak"), 10)
    for name, rest, peak in (
        ("standby, with all lists", "standby_mib", "list_peak_mib"),
        ("  after it took over", "at_rest_mib", "peak_mib"),
    ):
        yield row(name, (f"{entry[rest]:.1f}", f"{entry[peak]:.1f}"), 10)
    for name, start in starts(results)[:-1]:
        yield row(name, (f"{start['at_rest_mib']:.1f}", f"{start['peak_mib']:.1f}"), 10)


def latency_lines(results):
    found = dict(results["pod_events"])
    names = [("pod_to_slice", "pod event to slice"),
             ("write_to_watch", "bare write to watch event")]
    if "node_loss" in results:
        loss = results["node_loss"]
        found |= {"to_gateways": loss["to_gateways"], "to_last_write": loss["to_last_write"]}
        names += [("to_gateways", f"node with {loss['eips']} EIPs to gateways"),
                  ("to_last_write", "  the same to the last policy")]
    yield from latency_rows(found, names)
    slices, bare = found["pod_to_slice"], found["write_to_watch"]
    yield row("pod event : bare write", [
        f"{slices[part] / bare[part]:.1f}" for part in ("p50_ms", "p90_ms", "p99_ms")], 9)


def idle_lines(results):
    entry, beat = results["idle"], results.get("heartbeat")
    yield row(f"{entry['seconds']:.0f} s of heartbeats", ("count", "a second"), 10)
    yield row("of Nodes and their Leases",
              (entry["heartbeats"], f"{entry['heartbeats_per_second']:.0f}"), 10)
    for key, name in (
        ("writes", "writes by the controller's metrics"),
        ("seen_by_watch", "writes seen by watches"),
        ("kubernetes_events", "Events"),
        ("lease_renewals", "renewals of its own Lease"),
    ):
        yield row(name, (entry[key], f"{entry[key] / entry['seconds']:.1f}"), 10)
    yield row("CPU of the controller", ("", f"{entry['cpu_percent']:.1f} %"), 10)
    if beat:
        yield row("CPU of a Node's heartbeat (us)", (f"{beat['cpu_us']:.0f}",), 10)


def cpu_lines(results):
    entries = sorted(results["by_pods"], key=lambda entry: entry["pods"])
    few = entries[0]
    yield row("by number of pods", [entry["pods"] for entry in entries] + ["last : first"], 13)
    for key, name in (("unchanged", "CPU of a pod event (us)"),
                      ("moved", "CPU with a slice's write (us)")):
        values = [entry[key]["cpu_us"] for entry in entries]
        ratio = f"{values[-1] / values[0]:.2f}" if values[0] else "-"
        yield row(name, [*(f"{value:.0f}" for value in values), ratio], 13)
    for key, name in (("standby_mib", "standby at rest (MiB)"),
                      ("at_rest_mib", "leader at rest (MiB)")):
        yield row(name, [f"{entry['memory'][key]:.1f}" for entry in entries], 13)
    cells = []
    for entry in entries[1:]:
        more = entry["memory"]["at_rest_mib"] - few["memory"]["at_rest_mib"]
        cells.append(f"{more * 2**20 / (entry['pods'] - few['pods']):.0f}")
    yield row("leader's bytes for one pod more", ["", *cells], 13)


def agent_lines(results):
    entry, size = results["agent"], results["size"]
    both = entry["gateway"], entry["plain"]
    yield row("real agents: of a node with", (f"{SPARE_GATEWAYS} gateways", "none"), 13)
    for name, key, form in (
        ("resident memory (MiB)", "resident_mib", "{:.1f}"), ("  its peak", "peak_mib", "{:.1f}"),
        ("start to planned kernel (s)", "start_seconds", "{:.2f}"),
        ("received meanwhile (MB)", "start_bytes", "{:.2f}"),
        ("connections with the API server", "connections", "{}"),
        (f"received as {entry['eips']} EIPs move (MB)", "failover_bytes", "{:.2f}"),
        ("CPU for that (s)", "failover_cpu_seconds", "{:.2f}"),
    ):
        scale = 1e-6 if key.endswith("_bytes") else 1
        yield row(name, [form.format(agent[key] * scale) for agent in both], 13)
    for resource, count in entry["object_bytes"].items():
        kind = resource.rpartition("/")[2]
        if kind != "events":  # no agent watches them
            yield row(f"  {kind}", (f"{entry['objects'][resource]} changes, {count / 1e6:.2f} MB",),
                      26)
    everybody = entry["plain"]["failover_bytes"] * size["nodes"] / 1e9
    yield row(f"sent to {size['nodes']} agents (GB)", (f"{everybody:.2f}",), 26)
    yield row("connections of the controller", (results["connections"],), 26)


def verdicts(results):
    got = {}
    if "takeover" in results:
        got["controller at rest"] = max(entry["at_rest_mib"] for _, entry in starts(results))
        got["controller, its peak"] = max(entry["peak_mib"] for _, entry in starts(results))
    if "restarts" in results:
        got["last list to steady, restart"] = middle_restart(results)["steady_seconds"]
    if "scratch" in results:
        got["last list to steady, all to place"] = results["scratch"]["steady_seconds"]
    if "pod_events" in results:
        got["pod event to slice, p99"] = results["pod_events"]["pod_to_slice"]["p99_ms"]
    if "node_loss" in results:
        got["loss of a node to last gateway"] = results["node_loss"]["to_gateways"]["max_ms"]
    if "idle" in results:
        idle = results["idle"]
        got["writes while idle"] = max(idle["writes"], idle["seen_by_watch"])
    if "by_pods" in results:
        entries = sorted(results["by_pods"], key=lambda entry: entry["pods"])
        first, last = (entries[at]["unchanged"]["cpu_us"] for at in (0, -1))
        if first:
            got["CPU of a pod event, most : fewest pods"] = last / first
    for name, value in got.items():
        yield verdict_line(name, value, *EXPECTED[name], width=40)
