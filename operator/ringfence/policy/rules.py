"""From the rules that people wrote to effective ones: names looked up, defaults filled in."""

from collections.abc import Iterator
from functools import lru_cache

from ringfence.model import resources
from ringfence.model.effective import Direction, EffectivePeer, EffectiveRule, RuleRef
from ringfence.model.labels import LabelBox
from ringfence.model.net import PortSet
from ringfence.model.resources import Action, ClusterSecurityPolicy, Kind, Mode, PolicySpec, SecurityPolicy
from ringfence.policy.order import peer_key
from ringfence.policy.peers import PeerResolver
from ringfence.policy.reasons import FindingReason

Policy = SecurityPolicy | ClusterSecurityPolicy


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


def effective_rules(policy: Policy, subject: LabelBox, peers: PeerResolver) -> Iterator[EffectiveRule]:
    """Every rule of a policy for the pods that it governs."""
    kind = kind_of(policy).value
    for direction, rules in sections(policy.spec):
        for rule in rules:
            ref = RuleRef(kind, policy.meta.namespace, policy.meta.name, rule.name)
            found, complete = peers.resolve(rule, ref, direction)
            if not found and not complete and rule.action is Action.ALLOW:
                peers.notes.rule(ref, FindingReason.RULE_NEVER_MATCHES, "allows nothing: all that it names is missing")
            yield _rule(ref, direction, rule.action, policy.spec.mode, subject, found, rule.ports)


@lru_cache(maxsize=32768)
def _rule(
    ref: RuleRef,
    direction: Direction,
    action: Action,
    mode: Mode,
    subject: LabelBox,
    peers: tuple[EffectivePeer, ...],
    ports: tuple[resources.PortSpec, ...] | None,
) -> EffectiveRule:
    return EffectiveRule(
        ref=ref,
        direction=direction,
        action=action,
        mode=mode,
        subject=subject,
        peers=tuple(sorted(set(peers), key=peer_key)) if len(peers) > 1 else peers,
        ports=PortSet.of(ports),
    )
