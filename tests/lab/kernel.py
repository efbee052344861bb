# SPDX-License-Identifier: Apache-2.0
"""What a node's kernel holds, read with nft, ip, bridge and conntrack and made comparable."""

import copy
import json
import re

# Changes by itself or by use, or is a mere number of the kernel's.
VOLATILE = {
    "handle",
    "expires",
    "ifindex",
    "link_index",
    "packets",
    "bytes",
    "used",
    "index",
    "metainfo",
    "updated",
    "probes",
    "cache",
    "txqlen",
    "cacheinfo",
    "refcnt",
    "flags_extra",
    "hello_timer",
    "tcn_timer",
    "topology_change_timer",
    "gc_timer",
    "message_age_timer",
    "forward_delay_timer",
    "hold_timer",
}

TIMERS = re.compile(r" \w+_timer +[\d.]+")  # of bridges: they run
TABLES = 7700  # routing tables of ours begin here


def strip(value):
    if isinstance(value, dict):
        return {k: strip(v) for k, v in value.items() if k not in VOLATILE}
    if isinstance(value, list):
        return [strip(v) for v in value]
    return value


def text(value):
    return json.dumps(value, sort_keys=True)


def ruleset(node):
    """{"family table": {"chain NAME": [rules in order], "set NAME": {...}}} with elements in
    order."""
    tables = {}
    # Rules carry their chain's name; two dumps in between which a chain came back compare equal.
    for item in node.netns.nft_json("list", "ruleset"):
        ((kind, body),) = item.items()
        if kind == "metainfo":
            continue
        place = tables.setdefault(f"{body['family']} {body.get('table') or body.get('name')}", {})
        if kind == "rule":
            place.setdefault(f"chain {body['chain']}", {"rules": []})["rules"].append(
                strip(body["expr"])
            )
        elif kind == "chain":
            place.setdefault(f"chain {body['name']}", {"rules": []}).update(
                {k: v for k, v in strip(body).items() if k not in ("name", "table", "family")}
            )
        elif kind in ("set", "map"):
            body = strip(body)
            if body["name"] == "released":  # they go by themselves, long after
                body["elem"] = []
            body["elem"] = sorted((body.get("elem") or []), key=text)
            place[f"set {body['name']}"] = body
        elif kind != "table":
            place[f"{kind} {body.get('name')}"] = strip(body)
    return tables


def snapshot(node):
    """The whole kernel state that a process could have changed, without conntrack entries."""
    ns = node.netns
    routes = [
        r for v in ("-4", "-6") for r in strip(ns.ip_json(v, "-d", "route", "show", "table", "all"))
    ]
    neighbours = strip(ns.ip_json("neigh", "show", "nud", "permanent"))
    links = [
        {k: v for k, v in link.items() if k not in ("stats64", "operstate")}
        for link in strip(ns.ip_json("-d", "link", "show"))
    ]
    return {
        "nft": ruleset(node),
        "rules": [r for v in ("-4", "-6") for r in strip(ns.ip_json(v, "rule", "show"))],
        "routes": sorted(routes, key=text),
        "neighbours": sorted(neighbours, key=text),
        "fdb": sorted(strip(json.loads(ns.run("bridge", "-j", "fdb", "show") or "[]")), key=text),
        "links": sorted(links, key=text),
        "addresses": sorted(addresses(node), key=text),
    }


def portable(state):
    """A snapshot in which the numbers that a node gives its gateways (routing table, packet mark)
    are replaced by their next hop: numbers are free, what hangs on them is not. Nor does it tell
    how much room a set has: one that held more keeps it for a while."""
    hops = {}
    for route in state["routes"]:
        table = str(route.get("table", ""))
        if route["dst"] == "default" and "gateway" in route and table.isdigit():
            if TABLES < int(table) < TABLES + 4096:
                hops.setdefault(int(table) - TABLES, []).append(route["gateway"])
    names = {index: f"gateway {min(gateways)}" for index, gateways in hops.items()}
    result = copy.deepcopy(state)
    for route in result["routes"]:
        if str(table := route.get("table", "")).isdigit():
            route["table"] = names.get(int(table) - TABLES, table)
    for rule in result["rules"]:
        rule["fwmark"] = names.get(int(rule.get("fwmark", "0"), 16), rule.get("fwmark"))
        if str(table := rule.get("table", "")).isdigit():
            rule["table"] = names.get(int(table) - TABLES, table)
    for table in result["nft"].values():
        for name, chain in table.items():
            if name.startswith("set "):
                chain.pop("size", None)
            if name.startswith("chain eip_"):
                chain["rules"] = marked(chain["rules"], names)
    for part in ("rules", "routes"):
        result[part].sort(key=text)
    return result


def marked(value, names):
    """Rules with `mark set mark & mask | name` in place of the number."""
    if isinstance(value, list):
        return [marked(v, names) for v in value]
    if not isinstance(value, dict):
        return value
    parts = value.get("|")
    if isinstance(parts, list) and isinstance(parts[-1], int) and parts[-1] in names:
        # nft shows the bits that are set among those that are kept as well.
        *_, number = parts
        ((kept, mask),) = [part["&"] for part in parts[:-1]]
        return {"|": [{"&": [kept, mask & ~number]}, names[number]]}
    return {key: marked(v, names) for key, v in value.items()}


def addresses(node):
    return [
        {"device": link["ifname"], **strip(a)}
        for link in node.netns.ip_json("addr", "show")
        for a in link.get("addr_info", [])
    ]


def raw(node):
    """The same as text, as the tools print it: for byte by byte comparison."""
    ns = node.netns
    return {
        "nft": ns.run("nft", "-s", "list", "ruleset"),
        "rule": ns.ip("rule", "show") + ns.ip("-6", "rule", "show"),
        "route": ns.ip("route", "show", "table", "all")
        + ns.ip("-6", "route", "show", "table", "all"),
        "link": TIMERS.sub("", ns.ip("-d", "link", "show")),
        "addr": ns.ip("addr", "show"),
        "neigh": ns.ip("neigh", "show", "nud", "permanent"),
        "fdb": ns.run("bridge", "fdb", "show"),
        "iptables": "\n".join(
            line
            for tool in ("iptables-save", "ip6tables-save")
            for line in ns.run(tool, "-M", "/bin/true").splitlines()
            if not line.startswith("#") and not line.startswith(":")
        ),
    }


def difference(one, other, path=""):
    """Where two snapshots differ, as readable lines."""
    if type(one) is not type(other):
        return [f"{path}: {text(one)} != {text(other)}"]
    if isinstance(one, dict):
        lines = []
        for key in sorted({*one, *other}, key=str):
            if key not in one:
                lines.append(f"{path}/{key}: only in the second: {text(other[key])[:400]}")
            elif key not in other:
                lines.append(f"{path}/{key}: only in the first: {text(one[key])[:400]}")
            else:
                lines += difference(one[key], other[key], f"{path}/{key}")
        return lines
    if isinstance(one, list):
        left, right = [text(v) for v in one], [text(v) for v in other]
        if left == right:
            return []
        lines = [f"{path}: only in the first: {v[:400]}" for v in left if v not in right]
        lines += [f"{path}: only in the second: {v[:400]}" for v in right if v not in left]
        return lines or [f"{path}: same entries, other order or number"]
    if one != other:
        return [f"{path}: {one!r} != {other!r}"]
    return []


def conntrack(node, *match):
    """Connection entries, one line each, that contain all of `match`."""
    lines = node.netns.run("conntrack", "-L", check=False).splitlines()
    lines += node.netns.run("conntrack", "-L", "-f", "ipv6", check=False).splitlines()
    return [line for line in lines if all(m in line for m in match)]


def holders(lab, address):
    """Names of the nodes on whose interfaces `address` stands."""
    return [
        node.name
        for node in lab.nodes.values()
        if any(a["local"] == address for a in addresses(node))
    ]
