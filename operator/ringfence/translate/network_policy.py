"""From what holds in a namespace to the NetworkPolicies that enforce it.

A NetworkPolicy only allows, so Denies are taken out of the Allows that they overlap. What a NetworkPolicy leaves
out means "all" in two places (no ``from`` or ``to``: everyone; no ``ports``: every port). So entries are made in
one function, which refuses an empty set of either instead of leaving it out.
"""

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec

from ringfence.model.effective import (
    AddressPeers,
    Direction,
    EffectivePolicy,
    EffectiveRule,
    Everyone,
    PodPeers,
    RuleRef,
)
from ringfence.model.labels import LabelBox
from ringfence.model.names import GROUP, LABEL_MANAGED_BY, LABEL_PURPOSE, MANAGED_BY
from ringfence.model.net import FIRST_PORT, LAST_PORT, PortSet
from ringfence.model.resources import Action, Kind, Mode
from ringfence.model.world import Installation
from ringfence.policy import builtins, fetches, regions
from ringfence.policy.order import box_key, peer_key
from ringfence.policy.overlaps import left_of
from ringfence.policy.uniting import united_boxes
from ringfence.translate import peer_list
from ringfence.translate.peer_list import Peer

Manifest = dict[str, Any]

API_VERSION: Final = "networking.k8s.io/v1"
PURPOSE: Final = "network"
DEFAULT_DENY: Final = "ringfence-default-deny"
ANNOTATION_RULES: Final = f"{GROUP}/rules"

#: Kubernetes' limit for the names of most objects.
MAX_NAME: Final = 253
#: Characters of the annotation that names the rules: all annotations of an object share 256 KiB.
MAX_RULES: Final = 8192
#: Pairs of peers that are compared to leave out what is said twice; beyond, objects are merely longer.
MANY_PAIRS: Final = 4096
#: Values of labels and networks in one object; more go into another one, so that no object outgrows what etcd takes
#: (1.5 MiB; a value has at most 63 characters).
MAX_WORDS: Final = 8000

_LETTERS = {Direction.INGRESS: ("ingress", "from", "Ingress"), Direction.EGRESS: ("egress", "to", "Egress")}
_KINDS = {Kind.SECURITY_POLICY.value: "policy", Kind.CLUSTER_SECURITY_POLICY.value: "clusterpolicy"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One element of ``ingress`` or ``egress``: peers and ports, neither of them empty."""

    peers: tuple[Peer, ...]
    ports: PortSet

    def __post_init__(self) -> None:
        if not self.peers or self.ports.empty:
            raise ValueError("an entry without peers or without ports would allow all")


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the rules of one object open: the pods that it governs, the entries, and the rules that say so."""

    subject: LabelBox
    entries: tuple[Entry, ...]
    rules: tuple[RuleRef, ...]


def objects(policy: EffectivePolicy, installation: Installation) -> tuple[Manifest, ...]:
    """The NetworkPolicies of a namespace, sorted by name; none while it is not closed."""
    if not policy.closed:
        return ()
    groups: dict[tuple[str, Direction], list[EffectiveRule]] = defaultdict(list)
    denies: dict[Direction, dict[RuleRef, EffectiveRule]] = {direction: {} for direction in Direction}
    for rule in (*policy.rules, *policy.fetches):
        if rule.mode is Mode.AUDIT:
            continue
        if rule.action is Action.DENY:
            if rule.requests is None:
                denies[rule.direction][rule.ref] = rule
        elif rule.suspended_by is None:
            groups[_base_name(rule), rule.direction].append(rule)
    found = [_default_deny(policy.namespace)]
    for (base, direction), rules in groups.items():
        cutting = {ref: denies[direction][ref] for rule in rules for ref in rule.denied_by}
        group = _Group(policy.namespace, base, direction, tuple(rules), tuple(cutting.values()))
        found += msgspec.json.decode(_encoded(group, installation.pod_cidrs))
    return tuple(sorted(found, key=lambda manifest: str(manifest["metadata"]["name"])))


@dataclass(frozen=True, slots=True)
class _Group:
    """The rules that go into objects of one name (but for a number), and the Denies that overlap any of them."""

    namespace: str
    base: str
    direction: Direction
    rules: tuple[EffectiveRule, ...]
    denies: tuple[EffectiveRule, ...]


@lru_cache(maxsize=8192)
def _encoded(group: _Group, pod_cidrs: tuple[str, ...]) -> bytes:
    """The objects of a group as JSON.

    Kept by value: when one policy of a namespace changes, the others' objects need not be thought through again.
    As bytes, so that every caller gets objects of its own.
    """
    allowed = _allowed(group.rules, {deny.ref: deny for deny in group.denies}, pod_cidrs)
    return msgspec.json.encode(list(_manifests(group.namespace, group.base, group.direction, allowed)))


def _base_name(rule: EffectiveRule) -> str:
    """The name of the object that a rule goes into, but for a number."""
    ref = rule.ref
    direction = rule.direction
    if ref.kind != builtins.BUILTIN:
        return f"ringfence-{_KINDS[ref.kind]}-{ref.policy}-{direction}"
    if builtins.is_inside(ref):
        return "ringfence-allow-inside"
    if rule.direction is Direction.INGRESS:
        return f"ringfence-serve-{ref.rule}"
    if ref == fetches.REF:
        return "ringfence-fetch-keys"
    # "inside" and its numbered kin are taken.
    return f"ringfence-allow-{'service-' if ref.rule.startswith(builtins.INSIDE) else ''}{ref.rule}"


def _allowed(
    rules: Iterable[EffectiveRule], denies: Mapping[RuleRef, EffectiveRule], pod_cidrs: tuple[str, ...]
) -> list[Allowed]:
    """What is left of the rules, by the pods that it is for."""
    parts: dict[LabelBox, dict[tuple[Peer, PortSet], None]] = defaultdict(dict)
    refs: dict[LabelBox, set[RuleRef]] = defaultdict(set)
    for rule in rules:
        for region in left_of(rule, denies, pod_cidrs):
            if region.subject.empty or isinstance(region.peer, regions.Outside):
                continue
            parts[region.subject][region.peer, region.ports] = None
            refs[region.subject].add(rule.ref)
    by_content: dict[tuple[tuple[Entry, ...], tuple[RuleRef, ...]], list[LabelBox]] = defaultdict(list)
    for subject, pairs in parts.items():
        by_content[_entries(pairs), tuple(sorted(refs[subject]))].append(subject)
    found = [
        Allowed(box, entries, rules_of)
        for (entries, rules_of), boxes in by_content.items()
        for box in united_boxes(boxes)
        if entries
    ]
    return sorted(found, key=lambda allowed: box_key(allowed.subject))


def _entries(pairs: Iterable[tuple[Peer, PortSet]]) -> tuple[Entry, ...]:
    """Peers with the same ports in one entry, then ports of the same peers in one entry."""
    by_ports: dict[PortSet, list[Peer]] = defaultdict(list)
    for peer, ports in pairs:
        by_ports[ports].append(peer)
    by_peers: dict[tuple[Peer, ...], PortSet] = {}
    for ports, peers in by_ports.items():
        short = peer_list.shortest(_not_said_elsewhere(peers, ports, by_ports))
        by_peers[short] = by_peers.get(short, PortSet()) | ports
    entries = [Entry(peers, ports) for peers, ports in by_peers.items() if peers and not ports.empty]
    return tuple(sorted(entries, key=_entry_key))


def _entry_key(entry: Entry) -> tuple[Any, ...]:
    ports = entry.ports
    return (not ports.everything, ports.ranges, ports.names, [peer_key(peer) for peer in entry.peers])


def _not_said_elsewhere(peers: list[Peer], ports: PortSet, by_ports: Mapping[PortSet, list[Peer]]) -> list[Peer]:
    """Without the peers that may use more ports anyway; long lists are left as they are."""
    wider = [peer for other, some in by_ports.items() if other != ports and ports.within(other) for peer in some]
    if not wider or len(peers) * len(wider) > MANY_PAIRS:
        return peers
    return [peer for peer in peers if not any(peer_list.contains(outer, peer) for outer in wider)]


def _manifests(namespace: str, base: str, direction: Direction, allowed: Iterable[Allowed]) -> Iterator[Manifest]:
    number = 0
    for one in allowed:
        for entries in _portions(one.entries):
            for selector in one.subject.selectors():
                number += 1
                name = _name(base if number == 1 else f"{base}-{number}")
                yield _manifest(namespace, name, selector, direction, entries, one.rules)


def _portions(entries: tuple[Entry, ...]) -> Iterator[list[Entry]]:
    """Entries in portions of at most MAX_WORDS words, a peer being the least that a portion can hold."""
    portion: list[tuple[Peer, PortSet]] = []
    room = MAX_WORDS
    for peer, ports in ((peer, entry.ports) for entry in entries for peer in entry.peers):
        words = _words(peer)
        if portion and words > room:
            yield _rejoined(portion)
            portion, room = [], MAX_WORDS
        portion.append((peer, ports))
        room -= words
    if portion:
        yield _rejoined(portion)


def _rejoined(pairs: Iterable[tuple[Peer, PortSet]]) -> list[Entry]:
    """Peers that came from one entry, as one again."""
    return [Entry(tuple(peer for peer, _ in group), ports) for ports, group in itertools.groupby(pairs, lambda p: p[1])]


def _words(peer: Peer) -> int:
    """How many values and networks a peer spells out."""
    match peer:
        case PodPeers(namespaces, pods):
            return 1 + sum(len(values.values) for _, values in (*namespaces.conditions, *pods.conditions))
        case AddressPeers(addresses):
            return sum(1 + len(excluded) for _, excluded in addresses.blocks)
        case Everyone():
            return 1


def _name(name: str) -> str:
    """A name of at most MAX_NAME characters; what is cut off is told apart by a digest."""
    if len(name) <= MAX_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:10]
    return f"{name[: MAX_NAME - 11].rstrip('-.')}-{digest}"


def _metadata(namespace: str, name: str, rules: Iterable[RuleRef]) -> Manifest:
    metadata: Manifest = {
        "name": name,
        "namespace": namespace,
        "labels": {LABEL_MANAGED_BY: MANAGED_BY, LABEL_PURPOSE: PURPOSE},
    }
    names = [str(ref) for ref in rules if ref.kind != builtins.BUILTIN]
    if names:
        metadata["annotations"] = {ANNOTATION_RULES: _rule_list(names)}
    return metadata


def _rule_list(names: list[str]) -> str:
    text = ", ".join(names)
    if len(text) <= MAX_RULES:
        return text
    shown = text[:MAX_RULES].rsplit(", ", 1)[0]
    return f"{shown}, and {len(names) - shown.count(', ') - 1} more"


def _default_deny(namespace: str) -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": "NetworkPolicy",
        "metadata": _metadata(namespace, DEFAULT_DENY, ()),
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }


def _manifest(
    namespace: str,
    name: str,
    selector: Mapping[str, Any],
    direction: Direction,
    entries: Iterable[Entry],
    rules: Iterable[RuleRef],
) -> Manifest:
    section, ends, type_ = _LETTERS[direction]
    return {
        "apiVersion": API_VERSION,
        "kind": "NetworkPolicy",
        "metadata": _metadata(namespace, name, rules),
        "spec": {
            "podSelector": dict(selector),
            "policyTypes": [type_],
            section: [_entry(entry, ends) for entry in entries],
        },
    }


def _entry(entry: Entry, ends: str) -> Manifest:
    wire: Manifest = {}
    if Everyone() not in entry.peers:
        peers = [wire_peer for peer in entry.peers for wire_peer in _peers(peer)]
        if not peers:
            raise ValueError("peers that select nothing would allow all")
        wire[ends] = peers
    if not entry.ports.everything:
        wire["ports"] = _ports(entry.ports)
    return wire


@lru_cache(maxsize=16384)
def _selectors(box: LabelBox) -> tuple[Manifest, ...]:
    """Selectors to encode; never handed out, since they are shared."""
    return box.selectors()


def _peers(peer: Peer) -> Iterator[Manifest]:
    match peer:
        case PodPeers(namespaces, pods):
            for namespace_selector in _selectors(namespaces):
                for pod_selector in _selectors(pods):
                    found: Manifest = {"namespaceSelector": namespace_selector}
                    if pod_selector:
                        found["podSelector"] = pod_selector
                    yield found
        case AddressPeers(addresses):
            for cidr, excluded in addresses.blocks:
                yield {"ipBlock": {"cidr": cidr, "except": list(excluded)} if excluded else {"cidr": cidr}}
        case Everyone():
            return


def _ports(ports: PortSet) -> list[Manifest]:
    wire: list[Manifest] = []
    for span in ports.ranges:
        one: Manifest = {"protocol": span.protocol.value}
        if (span.first, span.last) != (FIRST_PORT, LAST_PORT):
            one["port"] = span.first
            if span.last > span.first:
                one["endPort"] = span.last
        wire.append(one)
    wire += [{"protocol": named.protocol.value, "port": named.name} for named in ports.names]
    return wire
