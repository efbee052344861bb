# SPDX-License-Identifier: Apache-2.0
"""The figures as a table for people, and what was expected beside what came out."""

NAME, CELL = 34, 22
EXPECTED = {  # figure -> (limit, better when smaller, unit)
    "policy to packet, p50": (15, True, "ms"),
    "policy to packet, p99": (40, True, "ms"),
    "packets/s at 1000 policies": (0.85, False, "of bare"),
    "agent at 1000 policies": (16, True, "MiB"),
}


def row(name, cells, width=CELL):
    return f"{name:<{NAME}}" + "".join(f"{cell:>{width}}" for cell in cells)


def latency_rows(latency, names):
    yield row("latency (ms)", ("p50", "p90", "p99", "max", "times"), 9)
    for key, name in names:
        values = latency[key]
        cells = [f"{values[part]:.1f}" for part in ("p50_ms", "p90_ms", "p99_ms", "max_ms")]
        yield row(name, [*cells, values["count"]], 9)


def latency_lines(latency):
    return latency_rows(
        latency,
        (
            ("policy_to_packet", "policy created to first packet"),
            ("policy_deleted", "policy deleted to first packet"),
            ("write_to_watch", "bare write to watch event"),
        ),
    )


def datapath_lines(states):
    """In parts, so that a line is not too long."""
    names = list(states)
    for first in range(0, len(names), 4):
        yield from _datapath_lines({name: states[name] for name in names[first : first + 4]})


def _datapath_lines(states):
    yield row("ratio to bare VXLAN + one SNAT", states)
    for key, name in (
        ("cpu_per_packet", "CPU a packet"),
        ("packets_per_second", "packets/s"),
        ("connections_per_second", "new connections/s"),
        ("tcp_bits_per_second", "TCP, one flow"),
        ("tcp_eight_bits_per_second", "TCP, eight flows"),
    ):
        values = [entry["datapath"][key] for entry in states.values()]
        yield row(name, [f"{v['ratio']:.2f} ({v['low']:.2f}..{v['high']:.2f})" for v in values])
    values = [entry["datapath"]["packets_per_second"] for entry in states.values()]
    yield row("  packets/s: bare, this", [f"{v['bare']:.0f}, {v['other']:.0f}" for v in values])


def memory_lines(states):
    yield row("resident memory (MiB)", states, 14)
    for key, name in (
        ("agent", "agent"),
        ("gateway_agent", "agent on the gateway"),
        ("controller", "controller"),
    ):
        yield row(name, [f"{entry['memory'][key]:.1f}" for entry in states.values()], 14)
    idle = [f"{entry['memory']['idle_percent']:.2f}" for entry in states.values()]
    yield row("CPU of an idle agent (%)", idle, 14)


def startup_lines(startup):
    yield row(f"start-up at {startup['policies']} policies (ms)", ("p50", "max"), 9)
    for key, name in (
        ("restart", "agent, kernel as it was"),
        ("first_start", "agent, kernel empty"),
    ):
        values = startup[key]
        yield row(name, (f"{values['p50_ms']:.1f}", f"{values['max_ms']:.1f}"), 9)


def lines(results):
    """The whole table; of the parts, those that were measured."""
    egw, machine = results["egw"], results["machine"]
    yield f"{egw['version']}, {egw['bytes'] / 1e6:.1f} MB"
    yield f"{machine['cpus']} CPUs, Linux {machine['kernel']}, load {machine['load']:.1f}"
    states = results.get("states", {})
    parts = []
    if "latency" in results:
        parts.append(latency_lines(results["latency"]))
    for part, lines_of in (("datapath", datapath_lines), ("memory", memory_lines)):
        measured = {name: entry for name, entry in states.items() if part in entry}
        if measured:
            parts.append(lines_of(measured))
    if "startup" in results:
        parts.append(startup_lines(results["startup"]))
    for part in (*parts, verdicts(results)):
        yield ""
        yield from part


def verdicts(results):
    got = {}
    if "latency" in results:
        values = results["latency"]["policy_to_packet"]
        got["policy to packet, p50"] = values["p50_ms"]
        got["policy to packet, p99"] = values["p99_ms"]
    top = results.get("states", {}).get("1000 pol.", {})
    if "datapath" in top:
        got["packets/s at 1000 policies"] = top["datapath"]["packets_per_second"]["ratio"]
    if "memory" in top:
        got["agent at 1000 policies"] = max(top["memory"]["agent"], top["memory"]["gateway_agent"])
    for name, value in got.items():
        yield verdict_line(name, value, *EXPECTED[name])


def verdict_line(name, value, limit, smaller, unit, width=30):
    good = value < limit if smaller else value >= limit
    wanted = f"expected {'under' if smaller else 'at least'} {limit}"
    return f"{'reached' if good else 'MISSED':<9}{name:<{width}}{value:.2f} {unit} ({wanted})"
