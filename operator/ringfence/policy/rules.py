"""From the rules that people wrote to effective ones: names looked up, defaults filled in."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ringfence.model import resources
from ringfence.model.effective import Direction, EffectivePeer, EffectiveRule, Finding, RuleRef
from ringfence.model.labels import LabelBox
from ringfence.model.net import PortSet
from ringfence.model.requests import Requests
from ringfence.model.resources import Action, ClusterSecurityPolicy, Kind, Mode, PolicySpec, SecurityPolicy
from ringfence.policy import never, sight
from ringfence.policy.kept import Kept
from ringfence.policy.notes import Notes
from ringfence.policy.order import peer_key, rule_key
from ringfence.policy.peers import PeerResolver
from ringfence.policy.reasons import FindingReason
from ringfence.policy.sight import Lookups, Sight

Policy = SecurityPolicy | ClusterSecurityPolicy

#: What is said of a rule whose conditions contradict each other.
NO_REQUEST: Final = "matches no request: its conditions contradict each other; correct them, or write several rules"


def kind_of(policy: Policy) -> Kind:
    """The kind that a policy was read as."""
    return Kind.SECURITY_POLICY if isinstance(policy, SecurityPolicy) else Kind.CLUSTER_SECURITY_POLICY


def sections(spec: PolicySpec) -> Iterator[tuple[Direction, tuple[resources.Rule, ...]]]:
    """The sections of a policy that are there."""
    if spec.ingress is not None:
        yield Direction.INGRESS, spec.ingress
    if spec.egress is not None:
        yield Direction.EGRESS, spec.egress


def lists_egress(policy: Policy) -> bool:
    """Whether the pods that a policy governs need an egress Allow because of it.

    A floor takes away only what it names, so one that merely denies leaves the default as it is.
    """
    egress = policy.spec.egress
    if egress is None:
        return False
    return isinstance(policy, SecurityPolicy) or any(rule.action is Action.ALLOW for rule in egress)


@dataclass(frozen=True, slots=True)
class Block:
    """The rules of one policy (sorted) for the pods that it governs, and what a person must know of them.

    ``denies`` are those of the rules that deny whatever is sent: what takes calls away from Allows.
    """

    rules: tuple[EffectiveRule, ...]
    denies: tuple[EffectiveRule, ...] = ()
    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, rules: Iterable[EffectiveRule], findings: tuple[Finding, ...] = ()) -> "Block":
        """The block of these rules."""
        ordered = tuple(sorted(rules, key=rule_key))
        return cls(ordered, tuple(filter(_denies_all, ordered)), findings)


def _denies_all(rule: EffectiveRule) -> bool:
    return rule.action is Action.DENY and rule.requests is None


def block(policy: Policy, subject: LabelBox, lookups: Lookups) -> Block:
    """Every rule of a policy for the pods that it governs.

    Kept: where one policy changes, the others of its namespace mean what they meant, as long as what they name has
    not changed.
    """
    meta, spec = policy.meta, policy.spec
    return _BLOCKS((kind_of(policy).value, meta.namespace, meta.name, spec, subject, lookups.sight(spec)))


#: Kind, namespace and name of a policy, what it says, the pods that it governs and what its rules see of the world.
_Key = tuple[str, str, str, PolicySpec, LabelBox, Sight]


def _block(key: _Key) -> Block:
    """All that this may depend on is in ``key``."""
    kind, namespace, name, spec, subject, seen = key
    notes = Notes()
    peers = PeerResolver(seen, notes)
    found = []
    for direction, rules in sections(spec):
        for rule in rules:
            ref = RuleRef(kind, namespace, name, rule.name)
            ends, complete = peers.resolve(rule, ref, direction)
            if not ends and not complete and rule.action is Action.ALLOW:
                notes.rule(ref, FindingReason.RULE_NEVER_MATCHES, "allows nothing: all that it names is missing")
            if rule.requests is not None and never.named(rule.requests, rule.action):
                notes.rule(ref, FindingReason.RULE_NEVER_MATCHES, NO_REQUEST)
            found.append(_rule(ref, direction, rule.action, spec.mode, subject, ends, rule.ports, rule.requests))
    return Block.of(found, notes.sorted())


_BLOCKS: Final = Kept(_block, weigh=lambda key, _: sight.weight(key[3]), most=sight.MAX_KEPT)


@lru_cache(maxsize=32768)
def _rule(  # noqa: PLR0913, PLR0917 (each is part of the key)
    ref: RuleRef,
    direction: Direction,
    action: Action,
    mode: Mode,
    subject: LabelBox,
    peers: tuple[EffectivePeer, ...],
    ports: tuple[resources.PortSpec, ...] | None,
    requests: Requests | None,
) -> EffectiveRule:
    return EffectiveRule(
        ref=ref,
        direction=direction,
        action=action,
        mode=mode,
        subject=subject,
        peers=tuple(sorted(set(peers), key=peer_key)) if len(peers) > 1 else peers,
        ports=PortSet.of(ports),
        requests=requests,
    )
