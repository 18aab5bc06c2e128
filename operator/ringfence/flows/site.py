"""Calls from one end to one port of another, decided once for all requests that no rule tells apart.

The same `decide` as everywhere, over the few rules that have a say here. What a record does not tell (headers, the
host, which request it was) is tried both ways: where the answers differ it cannot be told.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from ringfence.flows.flow import Flow
from ringfence.flows.general import CLEAN
from ringfence.model.effective import Direction, EffectivePolicy, EffectiveRule, RuleRef
from ringfence.model.errors import CannotTell
from ringfence.model.requests import Asked, HttpMatch, Opaque, Request, Requests
from ringfence.model.resources import MTLS, Action, Mode, Protocol
from ringfence.model.verdict import Half
from ringfence.model.world import Workload, World
from ringfence.policy import decide, ends, paths, requests
from ringfence.policy.builtins import is_inside
from ringfence.policy.decide import Effective
from ringfence.policy.ends import End
from ringfence.policy.transport import transport_of

#: Requests of one site whose answers are kept.
_MANY: Final = 50_000
_NEVER: Final = re.compile(r"[\x00-\x20\x7f#]")
#: A segment that no rule names, and a path that no rule sees.
_OTHER: Final = "*"
_REFUSED: Final = "!"
#: What rules can say of requests, and the value that says nothing; and what of it no record tells.
_SAYS: Final[tuple[tuple[str, Any], ...]] = tuple((each.name, each.default) for each in fields(Requests))
_UNRECORDED: Final = tuple((name, nothing) for name, nothing in _SAYS if name not in {"http", "when"})
#: Begins the reasons of calls that are allowed as far as nobody has asked further.
_FOR_SOME: Final = "AllowedFor"


class State(StrEnum):
    """What policies make of recorded calls."""

    ALLOWED = "allowed"
    DENIED = "denied"
    UNKNOWN = "unknown"


#: A rule of one direction: a policy may use a name for both.
Used = tuple[Direction, RuleRef]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer about some calls. ``half`` decided, at ``governed``; both are None where ``why`` says what is unknown.

    ``used`` are the Allows that let them pass, at either end.
    """

    state: State
    half: Half | None = None
    governed: End | None = None
    used: frozenset[Used] = frozenset()
    why: str = ""


Ruling = Callable[[Workload, Direction], tuple[EffectiveRule, ...]]


@dataclass(frozen=True)
class Site:
    """Where calls go: whether the port speaks ``http`` is None where no Service tells.

    ``ruling`` gives the rules of a direction that govern a pod.
    """

    world: World
    effective: Effective
    ruling: Ruling
    source: End
    target: End
    protocol: Protocol
    port: int
    plaintext: bool
    http: bool | None
    _kept: dict[object, Outcome] = field(default_factory=dict, repr=False)

    def outcome(self, flow: Flow) -> Outcome:
        """What becomes of a recorded call."""
        request = None if self.http is False else flow.request
        key = self._key(request, headers=flow.headers)
        found = self._kept.get(key)
        if found is None:
            if len(self._kept) > _MANY:
                self._kept.clear()
            found = self._kept[key] = self._decided(request, headers=flow.headers)
        return found

    # --- what rules tell apart ---------------------------------------------------------------------------------------

    def _key(self, request: Request | None, *, headers: bool) -> object:
        """The same for requests that mean the same to every rule here."""
        if request is None:
            return None
        path = self._abstract(request.path)
        if not self._stated:
            return path == _REFUSED, request.method == "CONNECT", request.upgrade
        shown = tuple((name, request.headers.get(name)) for name in self._looked_at) if headers else None
        return request.method, path, request.host if self._hosts else bool(request.host), shown, request.upgrade

    def _abstract(self, target: str) -> str:
        """The path as rules see it, with the segments that none of them names taken out."""
        path, _, query = target.partition("?")
        if not CLEAN.fullmatch(path) or _NEVER.search(query):
            found = paths.normalized(target)
            if found is None:
                return _REFUSED
            if paths.unclear(found):
                return f"!{found}"
            path = found
        if not self._stated:
            return ""
        return "/".join([part if part in self._literals or not part else _OTHER for part in path.split("/")])

    @cached_property
    def _stated(self) -> tuple[Requests, ...]:
        found = (rule.requests for policy in self._policies.values() for rule in policy.rules)
        return tuple(dict.fromkeys(each for each in found if each is not None))

    @cached_property
    def _literals(self) -> frozenset[str]:
        named = (path for each in self._stated for match in each.http for path in match.paths)
        return frozenset(part for path in named for part in path.split("/"))

    @cached_property
    def _looked_at(self) -> tuple[str, ...]:
        """Names of the headers that matter to some rule."""
        found = {"content-type"} if any(match.grpc for each in self._stated for match in each.http) else set()
        for each in self._stated:
            found |= {condition.header for condition in each.when} | set(requests.twins(each))
        return tuple(sorted(found))

    @cached_property
    def _hosts(self) -> bool:
        return any(match.hosts for each in self._stated for match in each.http)

    # --- the answer --------------------------------------------------------------------------------------------------

    def _decided(self, request: Request | None, *, headers: bool) -> Outcome:
        try:
            if request is None and self.http is not False and self._conditional():
                return self._of_some()
            blind = request is not None and self._blind(request, headers=headers)
            if not blind:
                return self._answer(self._policies, request)
            best = self._answer(self._supposing(request, hopeful=True, headers=headers), request)
            worst = self._answer(self._supposing(request, hopeful=False, headers=headers), request)
        except CannotTell as error:
            return Outcome(State.UNKNOWN, why=str(error))
        if best.state is worst.state:
            return best
        return Outcome(State.UNKNOWN, used=best.used, why="rules look at something that the record does not have")

    def _of_some(self) -> Outcome:
        """The answer about a call that may have been any request."""
        found = self._answer(self._policies, None)
        if found.state is State.DENIED:
            return found
        why = "rules are about requests, and the record does not say which it was"
        return Outcome(State.UNKNOWN, used=found.used, why=why)

    def _answer(self, policies: Mapping[str, EffectivePolicy], request: Request | None) -> Outcome:
        asked: Asked = Opaque() if self.http is False and isinstance(self.target, Workload) else request
        verdict = decide.decide(
            self._small,
            policies.__getitem__,
            self.source,
            self.target,
            self.protocol,
            self.port,
            plaintext=self.plaintext,
            request=asked,
        )
        half = verdict.deciding
        if verdict.allowed:
            half = max(verdict.ingress, verdict.egress, key=lambda each: each.rule is not None)
            state, used = State.ALLOWED, frozenset(self._used(policies, asked))
            if any(each.reason.startswith(_FOR_SOME) for each in (verdict.ingress, verdict.egress)):
                why = "a rule allows only some of such calls, and the record does not say which it was"
                return Outcome(State.UNKNOWN, used=used, why=why)
        else:
            state, used = State.DENIED, frozenset[Used]()
        return Outcome(state, half, self.source if half.direction is Direction.EGRESS else self.target, used)

    def _used(self, policies: Mapping[str, EffectivePolicy], asked: Asked) -> Iterator[Used]:
        for direction in Direction:
            end, other = self._sides(direction)
            if not isinstance(end, Workload) or end.host_network:
                continue
            for rule in policies[end.namespace].rules:
                if rule.direction is direction and _lets(rule, asked) and self._names(rule, end, other):
                    yield direction, rule.ref

    def _conditional(self) -> bool:
        """Whether some requests may pass here and others not."""
        end, other = self._sides(Direction.INGRESS)
        rules = self._policies[end.namespace].rules if isinstance(end, Workload) and not end.host_network else ()
        ruled = [rule for rule in rules if rule.direction is Direction.INGRESS and self._names(rule, end, other)]
        enforced = [rule for rule in ruled if rule.mode is Mode.ENFORCE and rule.suspended_by is None]
        if any(rule.builtin for rule in enforced) or not any(rule.requests for rule in enforced):
            return False
        return not any(rule.action is Action.DENY and rule.requests is None for rule in enforced)

    def _blind(self, request: Request, *, headers: bool) -> bool:
        return self._beyond or (not headers and bool(self._looked_at)) or (self._hosts and not request.host)

    @cached_property
    def _beyond(self) -> bool:
        """Whether a rule looks at what no record tells."""
        return any(getattr(each, name) != nothing for each in self._stated for name, nothing in _UNRECORDED)

    def _supposing(self, request: Request | None, *, hopeful: bool, headers: bool) -> Mapping[str, EffectivePolicy]:
        """The policies with what is not recorded taken for what lets the call pass, or for what does not."""
        host = request is not None and bool(request.host)

        def rules(policy: EffectivePolicy) -> Iterator[EffectiveRule]:
            for rule in policy.rules:
                if rule.requests is None:
                    yield rule
                    continue
                said = rule.requests if headers else _as_bytes(rule.requests)
                found = _told(said, headers=headers, host=host)
                # A rule that asks for something unknown may match or not: here it does whatever suits.
                if found == said or hopeful == (rule.action is Action.ALLOW):
                    yield replace(rule, requests=found)

        return {name: replace(policy, rules=tuple(rules(policy))) for name, policy in self._policies.items()}

    # --- the rules that have a say ------------------------------------------------------------------------------------

    @cached_property
    def _small(self) -> World:
        """The world without pods, so that nobody looks for them again."""
        return replace(self.world, workloads={})

    @cached_property
    def _policies(self) -> dict[str, EffectivePolicy]:
        """The policies of both ends, less the rules that do not touch these calls."""
        kept: dict[str, list[EffectiveRule]] = {}
        for direction in Direction:
            end, other = self._sides(direction)
            if isinstance(end, Workload) and not end.host_network:
                kept.setdefault(end.namespace, []).extend(self._touching(direction, end, other))
        return {name: replace(self.effective(name), rules=tuple(rules)) for name, rules in kept.items()}

    def _touching(self, direction: Direction, end: Workload, other: End) -> Iterable[EffectiveRule]:
        names = ends.port_names(self.target, self.port, self.protocol)
        for rule in self.ruling(end, direction):
            if rule.ports.contains(self.protocol, self.port, names) and self._may_name(rule, other):
                yield rule

    def _may_name(self, rule: EffectiveRule, other: End) -> bool:
        return any(
            decide.matches(peer, other, self.world, unproven=unproven) is not False
            for peer in rule.peers
            for unproven in (False, True)
        )

    def _names(self, rule: EffectiveRule, end: End, other: End) -> bool:
        """Whether the rule names the other end for sure or perhaps, as it comes to ``end``."""
        unproven = end is self.target and self._unproven
        return any(decide.matches(peer, other, self.world, unproven=unproven) is not False for peer in rule.peers)

    @cached_property
    def _unproven(self) -> bool:
        """Whether the caller shows no identity to a target that demands one."""
        if not self.plaintext or not isinstance(self.target, Workload):
            return False
        return transport_of(self.effective(self.target.namespace), self.target.labels) is MTLS.STRICT

    def _sides(self, direction: Direction) -> tuple[End, End]:
        """Who is governed in a direction, and the other end."""
        return (self.source, self.target) if direction is Direction.EGRESS else (self.target, self.source)


def _lets(rule: EffectiveRule, asked: Asked) -> bool:
    """Whether a rule that somebody wrote is in force and lets what is asked pass."""
    if rule.action is Action.DENY or rule.builtin or is_inside(rule.ref):
        return False
    if rule.mode is Mode.AUDIT or rule.suspended_by is not None:
        return False
    if rule.requests is None or asked is None:
        return True
    return isinstance(asked, Request) and requests.matches(rule.requests, asked, Action.ALLOW)


def _as_bytes(said: Requests) -> Requests:
    """Calls of gRPC are told by a header. Without any, what has the path and method of one is taken for one."""
    return replace(said, http=tuple(replace(match, grpc=False) for match in said.http))


def _told(said: Requests, *, headers: bool, host: bool) -> Requests | None:
    """What a rule says of what the record has; None for nothing."""
    http = said.http if host else tuple(replace(match, hosts=()) for match in said.http)
    if any(match == HttpMatch() for match in http):
        http = ()
    when = said.when if headers else ()
    changed: dict[str, Any] = {"http": http, "when": when, **dict(_UNRECORDED)}
    found = replace(said, **changed)
    return found if any(getattr(found, name) != nothing for name, nothing in _SAYS) else None
