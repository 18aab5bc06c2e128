"""What came closest to allowing a denied call, and what holds an Allow back: the second half of an answer to "why?"."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from ringfence.model.effective import Direction, EffectivePolicy, EffectiveRule
from ringfence.model.net import PortSet
from ringfence.model.requests import Asked, HttpMatch, Opaque, Request, Requests
from ringfence.model.resources import Action, Mode, Protocol
from ringfence.model.verdict import Half, Reason
from ringfence.model.world import Workload, World
from ringfence.policy import decide, ends, requests, spelling, tokens
from ringfence.policy.decide import Call, Effective
from ringfence.policy.ends import Address, Called, End, Host
from ringfence.policy.held import NO_PROXY
from ringfence.policy.nearest import TOKEN, Near, nearest

#: Near misses that are shown; more would hide the one that matters.
MANY: Final = 5
#: A rule that differs in more parts is another rule, not one that almost matched.
CLOSE: Final = 2
_MISSED: Final = {
    "subject": "it governs other pods than {governed}",
    "peer": "it does not name {other}",
    "port": "only on {ports}",
    "bytes": "only for {requests}, and the port does not speak HTTP as far as Services say",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """A call that was judged; ``told`` as nearest has it."""

    world: World
    effective: Effective
    source: End
    target: Called
    protocol: Protocol
    port: int | str
    request: Asked = None
    told: frozenset[str] | None = None

    def hints(self, half: Half) -> tuple[str, ...]:
        """What a person can do about a half that denies because nothing allows: the rules that came closest, or the
        Deny that holds an Allow back, and what a Deny about tokens misses. Of a half that a rule allows, the Deny that
        differs in one part only.
        """
        call = self._call(half.direction, self.request)
        if call is None:
            return ()
        return tuple(_hints(half, self.effective(call.governed.namespace), call, self.told))

    def near(self, half: Half) -> tuple[tuple[Near, str], ...]:
        """The rules that came closest to the other answer of a half (at most MANY), and in what each differs."""
        call = self._call(half.direction, self.request)
        if call is None or not (policy := self.effective(call.governed.namespace)).closed:
            return ()
        found = nearest(policy, call, Action.DENY if half.allowed else Action.ALLOW, self.told)
        return tuple((each, missing(each, call)) for each in found[:MANY])

    def conditional(self) -> tuple[EffectiveRule, ...]:
        """The enforced rules about requests that have a say at the target, Denies first; none where that is open."""
        call = self._call(Direction.INGRESS)
        if call is None or not (policy := self.effective(call.governed.namespace)).closed:
            return ()
        found = (
            rule
            for rule in policy.rules
            if rule.requests is not None and rule.direction is call.direction and rule.mode is Mode.ENFORCE
        )
        hit = (rule for rule in found if rule.suspended_by is None and all(said for _, said in _conditions(rule, call)))
        return tuple(sorted(hit, key=lambda rule: (rule.action is Action.ALLOW, rule.ref)))

    def _call(self, direction: Direction, request: Asked = None) -> Call | None:
        """The call as one end sees it, of which the target sees the request; None where nothing governs it."""
        source, target = ends.locate(self.world, self.source), ends.called(self.world, self.target)
        governed, other = (source, target) if direction is Direction.EGRESS else (target, source)
        if not isinstance(governed, Workload) or governed.host_network:
            return None
        number = self.port if isinstance(self.port, int) else ends.port_number(target, self.port, self.protocol)
        names = ends.port_names(target, number, self.protocol)
        sent = request if direction is Direction.INGRESS else None
        return Call(self.world, direction, governed, other, self.protocol, number, names, request=sent)


def _conditions(rule: EffectiveRule, call: Call) -> Iterator[tuple[str, bool]]:
    yield "subject", rule.subject.matches(call.governed.labels)
    yield "peer", any(decide.matches(peer, call.other, call.world) for peer in rule.peers)
    yield "port", rule.ports.contains(call.protocol, call.port, call.names)
    if rule.requests is not None and isinstance(call.request, Request):
        yield "request", requests.matches(rule.requests, call.request, rule.action)
    elif isinstance(call.request, Request) and call.request.tunnel:
        yield "request", rule.action is Action.DENY
    elif rule.requests is not None and isinstance(call.request, Opaque):
        yield "bytes", rule.action is Action.DENY


def _hints(half: Half, policy: EffectivePolicy, call: Call, told: frozenset[str] | None) -> Iterable[str]:
    if half.reason is Reason.DENIED_BY_RULE:
        return _against(
            next(r for r in policy.rules if r.ref == half.rule and r.direction is half.direction), call, told
        )
    if half.reason is Reason.RULE_SUSPENDED:
        return (_held_back(half, policy),)
    if half.reason is Reason.REQUEST_UNCLEAR:
        return _obeyed(policy, call)
    if half.reason in {Reason.ALLOWED_BY_RULE, Reason.ALLOWED_FOR_REQUESTS}:
        denies = nearest(policy, call, Action.DENY, told)
        return [f"{each.rule.ref} denies, but {missing(each, call)}" for each in denies if len(each.differing) == 1][:1]
    if half.reason is not Reason.NO_RULE_ALLOWS:
        return ()
    found = nearest(policy, call, Action.ALLOW, told)
    differing = len(found[0].differing) if found else 0
    # Of those that differ in several parts one says as much as many, and beyond some it is not close.
    shown = found[: MANY if differing == 1 else 1 if differing <= CLOSE else 0]
    lines = [f"{near.rule.ref} comes close, but {missing(near, call)}" for near in shown]
    if len(shown) == MANY < len(found):
        lines.append(f"and {len(found) - MANY} more rules")
    return lines


def _held_back(half: Half, policy: EffectivePolicy) -> str:
    rule = next(r for r in policy.rules if r.ref == half.rule and r.direction is half.direction)
    if rule.suspended_by == NO_PROXY:
        about = "names of hosts" if half.direction is Direction.EGRESS else "requests"
        return f"it is about {about}, which no proxy judges here"
    return f"{rule.suspended_by} overlaps it in a way that no NetworkPolicy can express"


def _obeyed(policy: EffectivePolicy, call: Call) -> Iterable[str]:
    """By which headers of the request a program may do something else than rules have looked at."""
    if not isinstance(call.request, Request):
        return
    for rule in policy.rules:
        if rule.requests is None or rule.direction is not call.direction or rule.mode is not Mode.ENFORCE:
            continue
        sent = [name for name in requests.others(rule.requests) if name in call.request.headers]
        if (
            sent
            and rule.suspended_by is None
            and all(said for _, said in _conditions(rule, replace(call, request=None)))
        ):
            yield (
                f"{rule.ref} looks at the method or path, and programs may do what {', '.join(sent)} says instead "
                "(it is refused unless the rule's `when` looks at it)"
            )


def missing(near: Near, call: Call) -> str:
    """In what a rule differs from a call."""
    words = {"governed": _name(call.governed), "other": _name(call.other), **_of(near.rule)}
    parts = [_MISSED[each].format(**words) for each in near.differing if each in _MISSED]
    if near.of_request:
        differs = f"{' and '.join(near.of_request)} {'differs' if len(near.of_request) == 1 else 'differ'}"
        parts.insert(0, f"only for {words['requests']} ({differs}{_of_token(near, call)})")
    return " and ".join(parts)


def _of_token(near: Near, call: Call) -> str:
    """In what the token of the request differs."""
    token = near.rule.requests.token if near.rule.requests is not None else None
    if token is None or TOKEN not in near.differing or not isinstance(call.request, Request):
        return ""
    said = tokens.missing(token, call.request)
    return f": {said}" if said else ""


def _against(rule: EffectiveRule, call: Call, told: frozenset[str] | None) -> Iterable[str]:
    """What a Deny holds against the token of a request because it is not there."""
    token = rule.requests.token if rule.requests is not None else None
    if token is None or not isinstance(call.request, Request) or (told is not None and TOKEN not in told):
        return ()
    said = tokens.lacking(token, call.request)
    return (f"{said}, which a Deny takes for a match",) if said else ()


def _of(rule: EffectiveRule) -> dict[str, str]:
    said = requests_in_words(rule.requests) if rule.requests is not None else "what is no CONNECT"
    return {"ports": _ports(rule.ports), "requests": said}


def requests_in_words(rule: Requests) -> str:
    """The requests that a rule is about: ``POST /charges, /charges/*; with x-env in prod``."""
    http = " or ".join(_http(match) for match in rule.http) or "any request"
    said = [f"with {tokens.in_words(rule.token)}"] if rule.token is not None else []
    said += [f"with {spelling.header(each)}" for each in rule.when]
    said += [f"with {spelling.parameter(each)}" for each in rule.query]
    said += [spelling.time(each) for each in rule.times]
    return "; ".join((http, *said))


def _http(match: HttpMatch) -> str:
    parts = [", ".join(match.methods), ", ".join(match.paths)]
    parts += [f"at {', '.join(match.hosts)}" if match.hosts else "", "in gRPC" if match.grpc else ""]
    parts.append(f"that change to {', '.join(match.upgrades)}" if match.upgrades else "")
    return " ".join(filter(None, parts))


def _name(end: Called) -> str:
    if isinstance(end, Host):
        return end.name
    return end.ip if isinstance(end, Address) else f"{end.namespace}/{end.name}"


def _ports(ports: PortSet) -> str:
    if ports.everything:
        return "every port"
    spans = [f"{r.protocol} {r.first}" + (f"-{r.last}" if r.last > r.first else "") for r in ports.ranges]
    return ", ".join([*spans, *(f"{named.protocol} {named.name}" for named in ports.names)])
