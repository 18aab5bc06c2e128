"""What would hold if one rule were not written: what is missing for the other answer."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from ringfence.model.effective import Direction, EffectivePolicy, RuleRef
from ringfence.model.resources import ClusterSecurityPolicy, Kind, PolicySpec, SecurityPolicy
from ringfence.model.verdict import Half, Reason
from ringfence.model.world import World
from ringfence.policy.algebra.diagram import NOTHING, Diagram, subtract
from ringfence.policy.decide import Effective
from ringfence.policy.ends import End
from ringfence.policy.reasoning import passing, pieces
from ringfence.policy.reasoning.passing import About
from ringfence.policy.resolve import resolve

_P = TypeVar("_P", SecurityPolicy, ClusterSecurityPolicy)

#: Answers that a written rule gives.
_BY_RULE: Final = frozenset({Reason.ALLOWED_BY_RULE, Reason.ALLOWED_FOR_REQUESTS, Reason.DENIED_BY_RULE})


@dataclass(frozen=True, slots=True)
class Otherwise:
    """What one end would say without the rule that decides, and the call as a whole (``allowed``).

    ``as_much``: all that may be sent now could be sent then.
    """

    half: Half
    allowed: bool
    as_much: bool


def without(  # noqa: PLR0913 (a call is all of that)
    world: World,
    effective: Effective,
    source: End,
    target: End,
    half: Half,
    asked: About,
    now: Diagram,
    *,
    namespace: str,
    plaintext: bool = False,
) -> Otherwise | None:
    """What would hold if the rule that decides ``half`` (of pods in ``namespace``) were taken out of its policy.

    ``now`` is what may be sent while it is there.

    None where no written rule decides, or where it would rest on an address that is not known.
    """
    if half.rule is None or half.reason not in _BY_RULE:
        return None
    changed = _less(world, half.rule, half.direction)
    policy = resolve(changed, namespace)

    def known(name: str) -> EffectivePolicy:
        return policy if name == namespace else effective(name)

    both = pieces.between(
        changed, known, source, target, plaintext=plaintext, told=asked.request, whole=asked.told is None
    )
    found = passing.passing(both, asked)
    if found.unknown:
        return None
    own = found.verdict.ingress if half.direction is Direction.INGRESS else found.verdict.egress
    return Otherwise(own, found.verdict.allowed, subtract(now, found.requests) is NOTHING)


def _less(world: World, ref: RuleRef, direction: Direction) -> World:
    """The world without a rule. Its section stays, be it empty: it says that what it does not list is closed."""
    if ref.kind == Kind.CLUSTER_SECURITY_POLICY.value:
        return replace(world, cluster_policies=tuple(_each(world.cluster_policies, ref, direction)))
    own = tuple(_each(world.policies[ref.namespace], ref, direction))
    return replace(world, policies={**world.policies, ref.namespace: own})


def _each(policies: Iterable[_P], ref: RuleRef, direction: Direction) -> Iterable[_P]:
    for policy in policies:
        same = policy.meta.name == ref.policy
        yield replace(policy, spec=_spec(policy.spec, ref.rule, direction)) if same else policy


def _spec(spec: PolicySpec, name: str, direction: Direction) -> PolicySpec:
    if direction is Direction.INGRESS:
        return replace(spec, ingress=tuple(rule for rule in spec.ingress or () if rule.name != name))
    return replace(spec, egress=tuple(rule for rule in spec.egress or () if rule.name != name))
