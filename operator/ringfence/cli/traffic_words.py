"""What policies ask of the traffic to a port, in words."""

from collections.abc import Iterator
from typing import Any, Final

from ringfence.cli import words
from ringfence.cli.proxy_words import Enforced
from ringfence.cli.world import Loaded
from ringfence.model import durations, sizes
from ringfence.model.effective import RuleRef
from ringfence.model.resources import Traffic
from ringfence.model.tokens import name_of
from ringfence.model.traffic import Bound, By, HeaderChanges, Limit, Rate
from ringfence.policy import traffic
from ringfence.policy.reasoning.limited import Counted, Header, Value, What
from ringfence.policy.traffic import Held

_TEXTS: Final = {
    Bound.CONNECTIONS: "connections at once",
    Bound.BODY: "size of a body",
    Bound.HEADERS_SIZE: "size of a request's headers",
    Bound.HEADERS_COUNT: "number of a request's headers",
    Bound.REQUEST: "time for an answer",
    Bound.IDLE: "time without a byte",
    Bound.STREAM: "time for request and answer",
}
_SIZES: Final = frozenset({Bound.BODY, Bound.HEADERS_SIZE})
_TIMES: Final = frozenset({Bound.REQUEST, Bound.IDLE, Bound.STREAM})
#: What is only counted while it is in mode Audit; other bounds say nothing then.
_SEEN_IN_AUDIT: Final = frozenset({Bound.BODY})

#: Of what is asked of a port on which nobody sees a request.
NO_HTTP: Final = "no effect: not HTTP"

Said = tuple[str, str]


def rate(value: Rate) -> str:
    """``60 per 1m, 120 at once``."""
    burst = f", {value.burst} at once" if value.burst != value.requests else ""
    return f"{value.requests} per {durations.text(value.period)}{burst}"


def limit(value: Limit) -> Iterator[Said]:
    """What counts, and how much of it passes."""
    if value.by is By.CALLER:
        for each in value.named:
            yield f"requests of {each.namespace}/{each.name}", rate(each.rate)
        yield f"requests of each {'other ' if value.named else ''}caller", rate(value.rate)
    elif value.by is By.HEADER:
        yield f"requests with each value of {value.header}", rate(value.rate)
    elif value.by is By.CLAIM:
        claim = f"the claim {value.claim} in tokens of {name_of(value.issuer)}"
        yield f"requests with each value of {claim}", rate(value.rate)
    else:
        yield "requests of all", rate(value.rate)


def bound(which: Bound, value: int) -> Said:
    """What is bounded, and by what."""
    text = sizes.text(value) if which in _SIZES else durations.text(value) if which in _TIMES else str(value)
    return _TEXTS[which], text


def changes(value: HeaderChanges, whither: str) -> Iterator[Said]:
    """Which headers are changed on their way."""
    if value.remove:
        yield f"headers taken out on the way to the {whither}", ", ".join(value.remove)
    if value.set:
        yield f"headers set on the way to the {whither}", ", ".join(f"{name}: {text}" for name, text in value.set)


def what(asked: What) -> str:
    """What is asked of a port, as ``limit``, ``bound`` and ``changes`` say it."""
    match asked:
        case Header(whither, name):
            return f"header {name} on the way to the {whither}"
        case Counted():
            return f"requests {_counted(asked)}"
    return _TEXTS[asked]


def _counted(asked: Counted) -> str:
    match asked.by:
        case By.CALLER if asked.name:
            return f"of {asked.name}"
        case By.CALLER:
            return f"of each {'other ' if asked.others else ''}caller"
        case By.ALL:
            return "of all"
        case By.CLAIM:
            return f"with each value of the claim {asked.name} in tokens of {asked.called}"
    return f"with each value of {asked.name}"


def most(asked: What, value: Value) -> str:
    """What holds of ``what``: ``60 per 1m``, ``1Mi``, ``taken out``."""
    match value:
        case None:
            return "as it was sent" if isinstance(asked, Header) else "unlimited"
        case str():
            return f"set to {value}" if value else "taken out"
        case int():
            return bound(asked, value)[1] if isinstance(asked, Bound) else str(value)
    return " and ".join(map(rate, value))


def sentences(entry: Traffic) -> Iterator[str]:
    """What an entry of a policy says."""
    asks = entry.asks
    said = [pair for each in asks.limits for pair in limit(each)]
    said += [bound(*each) for each in asks.bounds]
    said += [*changes(asks.to_program, "program"), *changes(asks.to_caller, "caller")]
    for each in said:
        yield ": ".join(each)


def report(of: Enforced) -> list[dict[str, Any]]:
    """For each port about which policies say something what holds there."""
    found = []
    for port in of.subject.ports:
        held = traffic.on_port(of.policy, dict(of.subject.labels), port.number, port.names)
        rows = list(_rows(held, of.loaded))
        if not port.http:
            kept = list(_rows(held.of_bytes(), of.loaded))
            rows = [row if row in kept else {**row, "effect": NO_HTTP} for row in rows]
        if rows:
            found.append({"port": port.number, "protocol": "HTTP" if port.http else "TCP", "bounds": rows})
    return found


def _rows(held: Held, loaded: Loaded) -> Iterator[dict[str, Any]]:
    for asked, effect in ((held.limits, "enforced"), (held.audited, "counted")):
        for ref, each in asked:
            for said in limit(each):
                yield _row(said, effect, ref, loaded)
    for which, value, ref in held.bounds:
        yield _row(bound(which, value), "enforced", ref, loaded)
    for which, value, ref in held.would:
        yield _row(bound(which, value), "counted" if which in _SEEN_IN_AUDIT else "not enforced", ref, loaded)
    for change, whither in ((held.to_program, "program"), (held.to_caller, "caller")):
        for said in changes(change, whither):
            yield _row(said, "enforced", None, loaded)


def _row(said: Said, effect: str, ref: RuleRef | None, loaded: Loaded) -> dict[str, Any]:
    return {"what": said[0], "most": said[1], "effect": effect, "rule": words.rule_data(ref, "traffic", loaded)}
