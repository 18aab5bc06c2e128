"""Calls from one end to one port of another, decided once for all requests that no rule tells apart.

The same `decide` as everywhere, over the few rules that have a say here. What a record does not tell (headers, the
host, which request it was) is tried both ways: where the answers differ it cannot be told.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from ringfence.flows import gaps
from ringfence.flows.flow import Flow
from ringfence.flows.general import CLEAN
from ringfence.model import hosts
from ringfence.model.effective import AddressPeers, Direction, EffectivePeer, EffectivePolicy, EffectiveRule, RuleRef
from ringfence.model.errors import CannotTell
from ringfence.model.requests import Asked, Opaque, QueryCondition, Request, Requests, TimeCondition
from ringfence.model.resources import MTLS, Action, Mode, Protocol
from ringfence.model.tokens import TokenMatch, name_of
from ringfence.model.verdict import Half, Reason
from ringfence.model.world import Workload, World
from ringfence.policy import decide, ends, paths, queries, requests
from ringfence.policy.builtins import is_inside
from ringfence.policy.decide import Effective
from ringfence.policy.ends import Address, Called, End
from ringfence.policy.transport import transport_of

#: Requests of one site whose answers are kept.
_MANY: Final = 50_000
_NEVER: Final = re.compile(r"[\x00-\x20\x7f#]")
#: A segment that no rule names, and a path that no rule sees.
_OTHER: Final = "*"
_REFUSED: Final = "!"
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
    governed: Called | None = None
    used: frozenset[Used] = frozenset()
    why: str = ""


Ruling = Callable[[Workload, Direction], tuple[EffectiveRule, ...]]


@dataclass(frozen=True)
class Site:
    """Where calls go: whether the port speaks ``http`` is None where no Service tells.

    ``ruling`` gives the rules of a direction that govern a pod. ``host`` is the name by which an address outside was
    called, "" where nobody says.
    """

    world: World
    effective: Effective
    ruling: Ruling
    source: End
    target: Called
    protocol: Protocol
    port: int
    plaintext: bool
    http: bool | None
    host: str = ""
    _kept: dict[object, Outcome] = field(default_factory=dict, repr=False)

    def outcome(self, flow: Flow) -> Outcome:
        """What becomes of a recorded call."""
        request = None if self.http is False else flow.request
        has = gaps.HEADERS if flow.headers else gaps.BARE
        if request is not None and self._further:
            request, has = self._completed(request, flow)
        key = self._key(request, has)
        found = self._kept.get(key)
        if found is None:
            if len(self._kept) > _MANY:
                self._kept.clear()
            found = self._kept[key] = self._decided(request, has)
        return found

    def _completed(self, request: Request, flow: Flow) -> tuple[Request, frozenset[str]]:
        """The request with all that the record tells of it, and what rules may say that can be judged by that."""
        has = {*(gaps.HEADERS if flow.headers else gaps.BARE), *(("query",) if flow.query else ())}
        if flow.moment is not None:
            has.add("times")
        told = self._brought(request, flow) if flow.headers else None
        if told is not None:
            has.add("token")
        return replace(request, time=flow.moment, tokens=told or {}), frozenset(has)

    def _brought(self, request: Request, flow: Flow) -> dict[str, Any] | None:
        """The tokens by the keys of the issuers that rules here name; None where that is not sure.

        Two issuers of one name can be there: a policy's own beside the platform's.
        """
        keys = {match.issuer: match.header for match in self._tokens}
        if flow.tokens is None:
            return None if any(header in request.headers for header in keys.values()) else {}
        if len({name_of(key) for key in keys}) < len(keys):
            return None
        said = {name: None if claims is None else dict(claims) for name, claims in flow.tokens}
        return {key: said[name_of(key)] for key in keys if name_of(key) in said}

    # --- what rules tell apart ---------------------------------------------------------------------------------------

    def _key(self, request: Request | None, has: frozenset[str]) -> object:
        """The same for requests that mean the same to every rule here."""
        if request is None:
            return None
        path = self._abstract(request.path)
        if not self._stated:
            return path == _REFUSED, request.tunnel, request.upgrade
        shown = tuple((name, request.headers.get(name)) for name in self._looked_at) if "when" in has else None
        seen = request.method, path, request.host if self._hosts else bool(request.host), shown, request.upgrade
        return (*seen, has, self._read(request, has)) if self._further else seen

    def _read(self, request: Request, has: frozenset[str]) -> object:
        """What the conditions on the query, the moment and the token make of a request."""
        query = "query" in has and tuple(
            (queries.unclear(each, request.path), *(queries.matches(each, request.path, action) for action in Action))
            for each in self._queries
        )
        moment = request.time
        when = moment is not None and tuple(
            any(window.holds(moment) for window in each.windows) for each in self._times
        )
        return query, when, "token" in has and repr(sorted(request.tokens.items()))

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
            found |= {condition.header for condition in each.when} | set(requests.unread(each))
            found |= {each.token.header} if each.token is not None and each.token.header else set()
        return tuple(sorted(found))

    @cached_property
    def _hosts(self) -> bool:
        return any(match.hosts for each in self._stated for match in each.http)

    @cached_property
    def _further(self) -> bool:
        """Whether a rule looks at more than method, path, host and headers."""
        return gaps.further(self._stated)

    @cached_property
    def _queries(self) -> tuple[QueryCondition, ...]:
        return tuple(dict.fromkeys(condition for each in self._stated for condition in each.query))

    @cached_property
    def _times(self) -> tuple[TimeCondition, ...]:
        return tuple(dict.fromkeys(condition for each in self._stated for condition in each.times))

    @cached_property
    def _tokens(self) -> tuple[TokenMatch, ...]:
        return tuple(dict.fromkeys(each.token for each in self._stated if each.token is not None))

    # --- the answer --------------------------------------------------------------------------------------------------

    def _decided(self, request: Request | None, has: frozenset[str]) -> Outcome:
        try:
            if request is None and self.http is not False and self._conditional():
                return self._of_some()
            missing = self._missing(request, has) if request is not None else []
            if not missing:
                return self._answer(self._policies, request)
            best = self._answer(self._supposing(request, has, hopeful=True), request)
            worst = self._answer(self._supposing(request, has, hopeful=False), request)
        except CannotTell as error:
            return Outcome(State.UNKNOWN, why=str(error))
        if best.state is worst.state:
            return best
        why = f"rules look at {gaps.listed(missing)}, which the record does not have"
        return Outcome(State.UNKNOWN, used=best.used, why=why)

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
            reasons = [each.reason for each in (verdict.ingress, verdict.egress)]
            if any(reason.startswith(_FOR_SOME) for reason in reasons):
                why = "a rule allows only some of such calls, and the record does not say which it was"
                if Reason.ALLOWED_FOR_HOSTS in reasons:
                    why = "a rule allows hosts by name, and the record has only an address"
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

    def _missing(self, request: Request, has: frozenset[str]) -> list[str]:
        """What rules here look at and the record has not, in words."""
        hosts_ = ["the host"] if self._hosts and not request.host else []
        return [*hosts_, *gaps.missing(self._stated, has)]

    def _supposing(
        self, request: Request | None, has: frozenset[str], *, hopeful: bool
    ) -> Mapping[str, EffectivePolicy]:
        """The policies with what is not recorded taken for what lets the call pass, or for what does not."""
        host = request is not None and bool(request.host)
        headers = "when" in has

        def rules(policy: EffectivePolicy) -> Iterator[EffectiveRule]:
            for rule in policy.rules:
                if rule.requests is None:
                    yield rule
                    continue
                said = rule.requests if headers else gaps.as_bytes(rule.requests)
                found = gaps.told(said, has, host=host)
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

    def _by_name(self, rule: EffectiveRule) -> EffectiveRule:
        """A rule that names hosts, as it is about an address that was called by its name."""
        if not (self.host and rule.hosts and isinstance(self.target, Address)):
            return rule
        return replace(rule, peers=tuple(self._settled(rule.peers)))

    def _settled(self, peers: Iterable[EffectivePeer]) -> Iterator[EffectivePeer]:
        for peer in peers:
            if not (isinstance(peer, AddressPeers) and peer.hosts):
                yield peer
            elif any(hosts.matches(pattern, self.host) for pattern in peer.hosts):
                yield replace(peer, hosts=())

    def _touching(self, direction: Direction, end: Workload, other: Called) -> Iterable[EffectiveRule]:
        names = ends.port_names(self.target, self.port, self.protocol)
        for rule in map(self._by_name, self.ruling(end, direction)):
            if rule.ports.contains(self.protocol, self.port, names) and self._may_name(rule, other):
                yield rule

    def _may_name(self, rule: EffectiveRule, other: Called) -> bool:
        return any(
            decide.matches(peer, other, self.world, unproven=unproven) is not False
            for peer in rule.peers
            for unproven in (False, True)
        )

    def _names(self, rule: EffectiveRule, end: Called, other: Called) -> bool:
        """Whether the rule names the other end for sure or perhaps, as it comes to ``end``."""
        unproven = end is self.target and self._unproven
        return any(decide.matches(peer, other, self.world, unproven=unproven) is not False for peer in rule.peers)

    @cached_property
    def _unproven(self) -> bool:
        """Whether the caller shows no identity to a target that demands one."""
        if not self.plaintext or not isinstance(self.target, Workload):
            return False
        return transport_of(self.effective(self.target.namespace), self.target.labels) is MTLS.STRICT

    def _sides(self, direction: Direction) -> tuple[Called, Called]:
        """Who is governed in a direction, and the other end."""
        return (self.source, self.target) if direction is Direction.EGRESS else (self.target, self.source)


def _lets(rule: EffectiveRule, asked: Asked) -> bool:
    """Whether a rule that somebody wrote is in force and lets what is asked pass."""
    if rule.action is Action.DENY or rule.builtin or is_inside(rule.ref):
        return False
    if rule.mode is Mode.AUDIT or rule.suspended_by is not None:
        return False
    if asked is None:
        return True
    if rule.requests is None:
        return not (isinstance(asked, Request) and asked.tunnel)
    return isinstance(asked, Request) and requests.matches(rule.requests, asked, Action.ALLOW)
