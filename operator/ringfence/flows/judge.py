"""What the policies of a world make of recorded calls: who the ends are, whether the port speaks HTTP, the answer."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ringfence.flows.cast import Cast, Nobody, Role
from ringfence.flows.flow import Flow
from ringfence.flows.site import Outcome, Site, State
from ringfence.model.effective import Direction, EffectiveRule
from ringfence.model.mesh import ServiceValue
from ringfence.model.resources import Protocol
from ringfence.model.world import Workload, World
from ringfence.policy.decide import Effective
from ringfence.policy.ends import Called, End, Host
from ringfence.policy.speech import speaks_http

#: Sites that are kept.
_MANY: Final = 100_000

Learned = Mapping[str, tuple[str, str, str] | None]
Services = Mapping[str, tuple[ServiceValue, ...]]
_Key = tuple[tuple[object, ...], tuple[object, ...], Protocol, int, bool]


@dataclass(frozen=True, slots=True)
class Judged:
    """Both ends and the answer. Where an end is not known the outcome says so."""

    source: Role | Nobody
    target: Role | Nobody
    outcome: Outcome


@dataclass(frozen=True)
class Judge:
    """Judges calls by the policies of a world. ``services`` tell which ports speak HTTP."""

    world: World
    effective: Effective
    services: Services
    learned: Learned
    _sites: dict[_Key, tuple[Site, ...]] = field(default_factory=dict, repr=False)
    _rules: dict[object, tuple[EffectiveRule, ...]] = field(default_factory=dict, repr=False)
    _http: dict[object, bool] = field(default_factory=dict, repr=False)
    cast: Cast = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cast", Cast(self.world, self.effective, self.learned))

    def judged(self, flow: Flow) -> Judged:
        """Whose call it was, and what becomes of it."""
        source, target = self.cast.role(flow.source), self.cast.role(flow.target)
        if isinstance(source, Nobody) or isinstance(target, Nobody):
            unknown = source if isinstance(source, Nobody) else target
            assert isinstance(unknown, Nobody)  # noqa: S101 (one of them is)
            return Judged(source, target, Outcome(State.UNKNOWN, why=f"{unknown.name}: {unknown.why}"))
        sites = self._between(source, target, flow)
        found = sites[0].outcome(flow)
        for site in sites[1:]:
            other = site.outcome(flow)
            if other.state is not found.state:
                return Judged(source, target, Outcome(State.UNKNOWN, why=_differ(source, target)))
            found = found if found.used >= other.used else _both(found, other)
        return Judged(source, target, found)

    def http(self, target: Called, protocol: Protocol, port: int) -> bool | None:
        """Whether a port of the target speaks HTTP; None where no Service of its namespace is known."""
        if protocol is not Protocol.TCP:
            return False
        if not isinstance(target, Workload):
            return None
        services = self.services.get(target.namespace)
        if services is None:
            return None
        key = (target.namespace, tuple(sorted(target.labels.items())), target.ports, port)
        if key not in self._http:
            self._http[key] = speaks_http(target, port, services)
        return self._http[key]

    def _between(self, source: Role, target: Role, flow: Flow) -> tuple[Site, ...]:
        key = (source.key, target.key, flow.protocol, flow.port, flow.plaintext)
        found = self._sites.get(key)
        if found is None:
            if len(self._sites) > _MANY:
                self._sites.clear()
            callers = [each for each in source.members if not isinstance(each, Host)]
            pairs = itertools.product(callers, target.members)
            found = self._sites[key] = tuple(self._site(a, b, target.host, flow) for a, b in pairs)
        return found

    def _ruling(self, pod: Workload, direction: Direction) -> tuple[EffectiveRule, ...]:
        """The rules of a direction that govern a pod: found once for all that are alike."""
        key = (pod.namespace, tuple(sorted(pod.labels.items())), direction)
        found = self._rules.get(key)
        if found is None:
            rules = self.effective(pod.namespace).rules
            found = tuple(rule for rule in rules if rule.direction is direction and rule.subject.matches(pod.labels))
            self._rules[key] = found
        return found

    def _site(self, source: End, target: Called, host: str, flow: Flow) -> Site:
        http = self.http(target, flow.protocol, flow.port)
        where = (source, target, flow.protocol, flow.port, flow.plaintext, http, host)
        return Site(self.world, self.effective, self._ruling, *where)


def _differ(source: Role, target: Role) -> str:
    name = source.name if len(source.members) > 1 else target.name
    return f"the pods of {name} differ, and the record does not say which one it was"


def _both(one: Outcome, other: Outcome) -> Outcome:
    return Outcome(one.state, one.half, one.governed, one.used | other.used, one.why)
