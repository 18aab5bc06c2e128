"""What a proxy enforces, in the words of the policies: who may come in on which port, and where its program may go."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from ringfence.cli import port_table, words
from ringfence.cli.world import Loaded
from ringfence.model.effective import AddressPeers, Direction, EffectivePolicy, EffectiveRule, RuleRef
from ringfence.model.errors import CannotTell
from ringfence.model.mesh import Mesh
from ringfence.model.net import PortSet
from ringfence.model.resources import (
    MTLS,
    Action,
    AnonymousPeer,
    ApiServerPeer,
    CidrPeer,
    HostPeer,
    IdentityPeer,
    Mode,
    NamespacePeer,
    Peer,
    Protocol,
    Rule,
    SpiffePeer,
    ZonePeer,
)
from ringfence.model.spans import Spans
from ringfence.model.verdict import Half
from ringfence.model.world import ContainerPort, World
from ringfence.policy import explain, reach
from ringfence.policy.builtins import is_inside
from ringfence.policy.decide import decide
from ringfence.policy.reach import EVERY_PORT, Target
from ringfence.policy.transport import transport_of
from ringfence.translate.envoy import Subject
from ringfence.translate.envoy.rules import PortRules

MUTUAL: Final = "mutual TLS"
ANY: Final = "mutual TLS or plaintext"
PLAIN: Final = "plaintext"


@dataclass(frozen=True, slots=True)
class Enforced:
    """A proxy's class, the policy of its namespace, and all that they were made from."""

    subject: Subject
    policy: EffectivePolicy
    mesh: Mesh
    loaded: Loaded

    @property
    def transport(self) -> MTLS:
        """What its callers must speak."""
        return transport_of(self.policy, dict(self.subject.labels))

    def rules(self, direction: Direction) -> tuple[EffectiveRule, ...]:
        """Those that govern its pod."""
        return reach.narrowed(self.policy, direction, dict(self.subject.labels)).rules


# --- who may come in --------------------------------------------------------------------------------------------------


def inbound(of: Enforced) -> list[dict[str, Any]]:
    """For each range of ports about which all rules say the same: the rules, a Deny before an Allow."""
    rules = of.rules(Direction.INGRESS)
    named = [ContainerPort(name, port.number) for port in of.subject.ports for name in port.names or ("",)]
    http = {port.number for port in of.subject.ports if port.http}
    found = []
    for ports in port_table.cut([rule.ports for rule in rules], named):
        if ports.protocol is Protocol.TCP:
            governing = [r for r in rules if r.ports.contains(Protocol.TCP, ports.first, ports.names)]
            speaks_http = ports.first in http and not ports.rest
            if not speaks_http:
                # Nobody sees requests there.
                governing = list(PortRules(tuple(governing), of.policy.closed, strict=True).opaque().rules)
            found.append(
                {
                    "ports": str(ports),
                    "port": None if ports.rest else ports.first,
                    "endPort": None if ports.rest or ports.first == ports.last else ports.last,
                    "protocol": "HTTP" if speaks_http else "TCP",
                    "rules": [_rule(each, of) for each in sorted(governing, key=_rank)],
                }
            )
    return found


def _rank(rule: EffectiveRule) -> tuple[bool, bool, bool, RuleRef]:
    """Builtin, then what is in force, Deny before Allow."""
    return not rule.builtin, rule.mode is Mode.AUDIT, rule.action is not Action.DENY, rule.ref


def _rule(rule: EffectiveRule, of: Enforced) -> dict[str, Any]:
    whom, transport = _peers(rule, of)
    return {
        "from": whom,
        "effect": effect(rule, closed=of.policy.closed),
        "requests": None if rule.requests is None else explain.requests_in_words(rule.requests),
        "transport": transport,
        "rule": words.rule_data(rule.ref, rule.direction, of.loaded),
    }


def effect(rule: EffectiveRule, *, closed: bool) -> str:
    """What a rule does to whom it names."""
    if rule.builtin:
        return "always open"
    verb = "deny" if rule.action is Action.DENY else "allow"
    if not closed or rule.mode is Mode.AUDIT:
        return f"would {verb}"
    if rule.suspended_by is not None:
        return "suspended"
    return "denied" if rule.action is Action.DENY else "allowed"


def _peers(rule: EffectiveRule, of: Enforced) -> tuple[list[str], str]:
    """Whom a rule names, and how they must come."""
    written = written_rule(rule.ref, rule.direction, of.mesh.world)
    if written is None:
        return ["anyone"], ANY
    strict = of.transport is MTLS.STRICT
    shown = all(_shows_identity(each) for each in written.peers or ())
    return peers_in_words(written.peers), MUTUAL if strict and shown else ANY


def _shows_identity(peer: Peer) -> bool:
    return isinstance(peer, IdentityPeer | ZonePeer | SpiffePeer)


def written_rule(ref: RuleRef, direction: Direction, world: World) -> Rule | None:
    """The rule as its author wrote it, None for what nobody has written."""
    policies = world.policies.get(ref.namespace, ()) if ref.namespace else world.cluster_policies
    for policy in policies:
        if policy.meta.name == ref.policy:
            rules = policy.spec.ingress if direction is Direction.INGRESS else policy.spec.egress
            return next((each for each in rules or () if each.name == ref.rule), None)
    return None


def peers_in_words(peers: Iterable[Peer] | None) -> list[str]:
    """As people would say them."""
    return ["any identity"] if peers is None else [_peer(each) for each in peers]


def _peer(peer: Peer) -> str:
    found: str
    match peer:
        case IdentityPeer(namespace, name):
            found = f"{namespace}/{name}"
        case ZonePeer(name):
            found = f"zone {name}"
        case NamespacePeer(name):
            found = f"namespace {name}"
        case SpiffePeer(spiffe_id):
            found = spiffe_id
        case CidrPeer(cidr, excluded):
            found = f"{cidr} without {', '.join(excluded)}" if excluded else cidr
        case HostPeer(host):
            found = f"host {host}"
        case ApiServerPeer():
            found = "the API server"
        case AnonymousPeer():
            found = "anyone"
    return found


# --- where the program may go -----------------------------------------------------------------------------------------


def is_listed(of: Enforced) -> bool:
    """Whether a policy lists the egress of the pod, so that nothing else is open."""
    labels = dict(of.subject.labels)
    return any(box.matches(labels) for box in of.policy.egress_listed)


def outbound(of: Enforced) -> list[dict[str, Any]]:
    """What the program may call: identities by the leave of both ends, then what the own rules open beside them."""
    return [*_identities(of), *_addresses(of)]


def _identities(of: Enforced) -> Iterator[dict[str, Any]]:
    answers = reach.of(of.mesh)
    source = of.subject.workload()
    egress = reach.narrowed(of.policy, Direction.EGRESS, dict(of.subject.labels))
    seen = set()
    for target in answers.candidates(source):
        other = target.workload()
        leave = EVERY_PORT
        if of.policy.closed:
            leave = reach.open_ports(egress, Direction.EGRESS, source, other, of.mesh, names=target.ports)
        for _, first, last in (answers.let_in(source, target) & leave).spans:
            rules = _deciding(of, target, first)
            key = (target.namespace, target.account, first, last, target.mesh, rules)
            if key not in seen:
                seen.add(key)
                yield {
                    "to": f"{target.namespace}/{target.account}",
                    "ports": span(first, last),
                    "transport": MUTUAL if target.mesh else PLAIN,
                    "byAddress": rules is None,
                    "rules": [words.rule_data(ref, direction, of.loaded) for direction, ref in rules or ()],
                }


def _deciding(of: Enforced, target: Target, port: int) -> tuple[tuple[Direction, RuleRef], ...] | None:
    """The rules that let a call pass, of both ends; none where a default does. None: that rests on pods' addresses."""
    try:
        verdict = decide(of.mesh.world, of.mesh.effective, of.subject.workload(), target.workload(), Protocol.TCP, port)
    except CannotTell:
        return None
    halves: tuple[Half, ...] = (verdict.egress, verdict.ingress)
    return tuple((half.direction, half.rule) for half in halves if half.rule is not None)


def _addresses(of: Enforced) -> Iterator[dict[str, Any]]:
    """Rules for what is no identity: addresses, and what is always open."""
    for rule in sorted(of.rules(Direction.EGRESS), key=_rank):
        beside = rule.builtin or any(isinstance(peer, AddressPeers) for peer in rule.peers)
        if is_inside(rule.ref) or not beside:
            continue
        written = written_rule(rule.ref, rule.direction, of.mesh.world)
        yield {
            "to": rule.ref.rule if written is None else ", ".join(peers_in_words(written.peers)),
            "ports": ports_in_words(rule.ports),
            "transport": PLAIN,
            "effect": effect(rule, closed=of.policy.closed),
            "rules": [words.rule_data(rule.ref, rule.direction, of.loaded)],
        }


def ports_in_words(ports: PortSet) -> str:
    """The TCP ports of a set."""
    if ports.everything:
        return "every port"
    found = [span(each.first, each.last) for each in ports.ranges if each.protocol is Protocol.TCP]
    return ", ".join([*found, *(each.name for each in ports.names if each.protocol is Protocol.TCP)]) or "no TCP port"


def span(first: int, last: int) -> str:
    """A range of ports."""
    if Spans.of([(reach.PORT, first, last)]) == EVERY_PORT:
        return "every port"
    return str(first) if first == last else f"{first}-{last}"
