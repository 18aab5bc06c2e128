"""From the meaning of the policies to the text of one nftables table. Pure; the same world gives the same text.

Every packet of a new connection takes at most seven look-ups, however many policies there are: is either end an address
that should be a pod and is not known; whose egress table, which span of it, which ports; the same for ingress.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address

from e2e.enforcer import meaning
from e2e.enforcer.meaning import VERSIONS, Table, Version
from e2e.enforcer.model import Address, NodeFacts, Pod, Protocol, World
from e2e.enforcer.ranges import PortSet, Span

TABLE = "ringfence_netpol"

FAMILY: Mapping[Version, tuple[str, str]] = {4: ("ip", "ipv4_addr"), 6: ("ip6", "ipv6_addr")}
PEER_FIELD = {"ingress": "saddr", "egress": "daddr"}
OWN_FIELD = {"ingress": "daddr", "egress": "saddr"}

HEAD = f"table inet {TABLE}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n"

# Why these hooks. Pod to pod and pod to the outside are forwarded; Services have been translated to pods' addresses at
# prerouting by then. A pod's traffic to its own node is not forwarded but goes through input, and egress policies hold
# there too (the API server may be there). The node's own traffic to its pods goes through output, which has no chain:
# kubelet probes must always pass, as in every CNI, since no policy could name the kubelet.
#
# Established connections are left alone, as most CNIs do: a policy that tightens ends no connection.
#
# Drop, not reject: what Calico, Cilium and kindnet do; a client learns nothing and waits.
HOOKS = """\
\tchain forward {
\t\ttype filter hook forward priority filter; policy accept;
\t\tct state established,related accept
\t\tjump unknown_source
\t\tjump unknown_destination
\t\tjump egress
\t\tjump ingress
\t}
\tchain input {
\t\ttype filter hook input priority filter; policy accept;
\t\tiif lo accept
\t\tct state established,related accept
\t\ticmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept
\t\tjump unknown_source
\t\tjump egress
\t}
"""


def render(world: World, node: NodeFacts) -> str:
    """Return the text for one ``nft -f``, which replaces the table whole or, on an error, not at all.

    Addresses of the node's pod ranges that belong to no pod of ``world`` get nothing through: a pod that is not
    known yet is closed, not open.
    """
    parts = _Parts()
    owners = _owners(world.pods)
    for pod, isolated in meaning.isolation(world):
        for address in pod.addresses:
            if owners[address] is pod:
                parts.add("ingress", address, isolated.ingress)
                parts.add("egress", address, isolated.egress)
    lines = [HEAD]
    for version in VERSIONS:
        known = sorted(int(address) for address in owners if address.version == version)
        lines.append(_set(f"pods{version}", version, [_text(version, each) for each in known]))
        networks = sorted({str(each) for each in node.pod_ranges if each.version == version})
        lines.append(_set(f"ranges{version}", version, networks, "\t\tflags interval\n\t\tauto-merge\n"))
    lines.append(parts.text())
    lines.append(_unknown())
    lines.append(HOOKS)
    lines.append("}\n")
    return "".join(lines)


def removal() -> str:
    """Return the text that removes the table, whether or not it is there."""
    return f"table inet {TABLE}\ndelete table inet {TABLE}\n"


def _owners(pods: Sequence[Pod]) -> dict[Address, Pod]:
    """Who has an address. While an address passes from one pod to the next both may show it: the later one has it."""
    return {address: pod for pod in pods for address in pod.addresses}


class _Parts:
    """Collects chains by content: pods that are treated alike share them."""

    def __init__(self) -> None:
        self.chains: dict[str, list[str]] = {}
        self.owners: dict[tuple[str, Version], dict[int, str]] = {
            (direction, version): {} for direction in PEER_FIELD for version in VERSIONS
        }

    def add(self, direction: str, address: Address, table: Table | None) -> None:
        """Send the packets to (ingress) or from (egress) an address through its table; None leaves it open."""
        if table is not None:
            version = address.version
            chain = self._table(direction, version, table.spans(version))
            self.owners[(direction, version)][int(address)] = chain

    def _table(self, direction: str, version: Version, spans: tuple[Span, ...]) -> str:
        rules = []
        if spans:
            family, _ = FAMILY[version]
            elements = [f"{_interval(version, span)} : {self._ports(span.ports)}" for span in spans]
            rules.append(f"{family} {PEER_FIELD[direction]} vmap {{ {', '.join(elements)} }}")
        return self._chain(direction, [*rules, "counter drop"])

    def _ports(self, ports: PortSet) -> str:
        if ports.everything:
            return "return"
        rules = []
        for protocol in Protocol:
            mine = [each for each in ports.ranges if each.protocol == protocol]
            if mine:
                text = ", ".join(str(r.first) if r.first == r.last else f"{r.first}-{r.last}" for r in mine)
                rules.append(f"{protocol.lower()} dport {{ {text} }} return")
        return "goto " + self._chain("ports", [*rules, "counter drop"])

    def _chain(self, kind: str, rules: list[str]) -> str:
        """Name a chain after its content, so that names are stable and equal chains are one."""
        name = f"{kind}_{hashlib.sha256(chr(10).join(rules).encode()).hexdigest()[:12]}"
        self.chains[name] = rules
        return name

    def text(self) -> str:
        """Everything collected, sorted; chains come before the maps and chains that name them."""
        lines = [_chain(name, rules) for name, rules in sorted(self.chains.items(), key=_callees_first)]
        for direction, field in OWN_FIELD.items():
            rules = []
            for version in VERSIONS:
                family, kind = FAMILY[version]
                owned = sorted(self.owners[(direction, version)].items())
                elements = [f"{_text(version, number)} : goto {chain}" for number, chain in owned]
                lines.append(_map(f"{direction}{version}", f"{kind} : verdict", elements))
                rules.append(f"{family} {field} vmap @{direction}{version}")
            lines.append(_chain(direction, rules))
        return "".join(lines)


def _callees_first(item: tuple[str, list[str]]) -> tuple[bool, str]:
    return (not item[0].startswith("ports_"), item[0])


def _unknown() -> str:
    chains = []
    for name, field in (("unknown_source", "saddr"), ("unknown_destination", "daddr")):
        rules = [
            f"{FAMILY[version][0]} {field} @ranges{version} {FAMILY[version][0]} {field} != @pods{version} counter drop"
            for version in VERSIONS
        ]
        chains.append(_chain(name, rules))
    return "".join(chains)


def _chain(name: str, rules: Iterable[str]) -> str:
    return f"\tchain {name} {{\n" + "".join(f"\t\t{rule}\n" for rule in rules) + "\t}\n"


def _set(name: str, version: Version, elements: Sequence[str], flags: str = "") -> str:
    return f"\tset {name} {{\n\t\ttype {FAMILY[version][1]}\n{flags}{_elements(elements)}\t}}\n"


def _map(name: str, kind: str, elements: Sequence[str]) -> str:
    return f"\tmap {name} {{\n\t\ttype {kind}\n{_elements(elements)}\t}}\n"


def _elements(elements: Sequence[str]) -> str:
    return f"\t\telements = {{ {', '.join(elements)} }}\n" if elements else ""


def _interval(version: Version, span: Span) -> str:
    if span.first == span.last:
        return _text(version, span.first)
    return f"{_text(version, span.first)}-{_text(version, span.last)}"


def _text(version: Version, number: int) -> str:
    return str(IPv4Address(number)) if version == 4 else str(IPv6Address(number))
