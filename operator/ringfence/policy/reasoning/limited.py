"""How much may come to pods, and in which shape: where that is another on two sides, whoever asks for it (ADR 0255).

What ``traffic`` of all policies comes to on a port counts, not in which entry or policy it stands. Only ports at which
both sides let somebody in are looked at: what is asked of a port that is closed changes nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Final, NamedTuple, TypeAlias

from ringfence.model.effective import EffectiveTraffic
from ringfence.model.net import FIRST_PORT, LAST_PORT, PortSet
from ringfence.model.resources import Mode, PortSpec
from ringfence.model.tokens import Issuer, name_of
from ringfence.model.traffic import OWN_BOUNDS, Asks, Bound, By, Limit, Rate
from ringfence.model.world import Enrolment, Workload
from ringfence.policy import issuers, traffic
from ringfence.policy.algebra import dimensions
from ringfence.policy.algebra.diagram import NOTHING, Diagram, Split
from ringfence.policy.algebra.ports import EVERY_PORT, Names, Ports
from ringfence.policy.algebra.values import Members
from ringfence.policy.reasoning.leaving import at
from ringfence.policy.reasoning.side import Side

_TCP: Final = PortSet.of([PortSpec(FIRST_PORT, LAST_PORT)])
_NO_PORT: Final = Ports()
#: What takes long takes up a pod, but lets nobody do what was refused.
TIMES: Final = frozenset({Bound.REQUEST, Bound.IDLE, Bound.STREAM})


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests that are counted together: ``name`` is a header, a claim, or the caller (namespace/ServiceAccount) that
    has a rate of its own; ``others`` says that such callers are not meant. ``issuer`` tells issuers of tokens apart by
    what they are, ``called`` is how policies call it.
    """

    by: By
    name: str = ""
    others: bool = False
    issuer: str = ""
    called: str = field(default="", compare=False)


class Whither(StrEnum):
    """Which way a header goes."""

    PROGRAM = "program"
    CALLER = "caller"


@dataclass(frozen=True, slots=True)
class Header:
    """A header (lower case) on its way."""

    whither: Whither
    name: str


What: TypeAlias = Counted | Bound | Header
#: Rates (never none), the most of a Bound, or what a header is set to ("": taken out). None: nothing is asked.
Value: TypeAlias = tuple[Rate, ...] | int | str | None


@dataclass(frozen=True, slots=True)
class Limited:
    """At ``ports`` of ``pods`` (bits of kinds) ``what`` is held to another value than before.

    ``looser``: something passes that did not; ``tighter``: something does not that did. A rate may be both, a header
    that is set to another value is neither.
    """

    pods: Members
    ports: Ports
    what: What
    before: Value
    after: Value
    looser: bool
    tighter: bool

    @property
    def wider(self) -> bool:
        """Whether it counts as wider access: more may come, or what was taken out is left in."""
        return self.looser and self.what not in TIMES


@dataclass(frozen=True, slots=True)
class _Pod:
    """What is asked of a pod, in the order of policies; ``issuers`` are those whose tokens limits look at."""

    entries: tuple[tuple[PortSet, Asks], ...] = ()
    issuers: tuple[tuple[str, Issuer], ...] = ()

    def on(self, part: Ports, names: Names) -> tuple[Asks, ...]:
        """What is asked of ports of which each entry names all or none."""
        return tuple(asks for ports, asks in self.entries if not (Ports.at(ports, names) & part).empty)


class _Change(NamedTuple):
    what: What
    before: Value
    after: Value
    looser: bool
    tighter: bool


def limited(old: Side, new: Side) -> tuple[Limited, ...]:
    """What is another on the new side than on the old, of the pods that both have; both are about the same kinds."""
    known: dict[tuple[_Pod, _Pod, Ports, Names], Mapping[_Change, Ports]] = {}
    found: dict[tuple[_Change, Ports], int] = defaultdict(int)
    for number, kind in enumerate(old.kinds.all):
        before, after = _of(old, number), _of(new, number)
        if before is None or after is None or before == after:
            continue
        both = Ports.at(_TCP, kind.names) & _open(old, number) & _open(new, number)
        key = (before, after, both, kind.names)
        if key not in known:
            known[key] = _changes(*key)
        for row in known[key].items():
            found[row] |= 1 << number
    return tuple(Limited(Members(bits), ports, *change) for (change, ports), bits in found.items())


def _of(side: Side, number: int) -> _Pod | None:
    """What is asked of the pods of a kind; None where there are none."""
    end = side.ends[number]
    if not isinstance(end, Workload):
        return None
    policy = side.effective(end.namespace)
    closed = policy.enrolment is not Enrolment.NONE if side.audit else policy.closed
    if not closed or not policy.traffic:
        return _Pod()
    entries = [each for each in traffic.of(policy, end.labels) if side.audit or each.mode is Mode.ENFORCE]
    asked = set(_issuers(entries))
    known = issuers.of_pods(policy.issuers, end.labels) if asked else {}
    return _Pod(
        tuple((each.ports, each.asks) for each in entries),
        tuple((key, issuer) for key, issuer in sorted(known.items()) if key in asked),
    )


def _issuers(entries: Iterable[EffectiveTraffic]) -> Iterator[str]:
    for entry in entries:
        yield from (limit.issuer for limit in entry.asks.limits if limit.by is By.CLAIM)


def _open(side: Side, number: int) -> Ports:
    """The ports at which a kind of pods lets anybody in."""
    found = _NO_PORT
    for _, rest in at(side.let_in(number), side.axes.source):
        found |= _ports(rest)
    return found


def _ports(requests: Diagram) -> Ports:
    if not isinstance(requests, Split) or requests.dimension.name != dimensions.PORT.name:
        return _NO_PORT if requests is NOTHING else EVERY_PORT
    found = _NO_PORT
    for ports, _ in requests.rows:
        found |= ports
    return found


# --- what is asked of a port ------------------------------------------------------------------------------------------


def _changes(before: _Pod, after: _Pod, ports: Ports, names: Names) -> Mapping[_Change, Ports]:
    """What differs, and at which of ``ports``."""
    parts = [] if ports.empty else [ports]
    for each in dict.fromkeys(Ports.at(found, names) for pod in (before, after) for found, _ in pod.entries):
        parts = [piece for part in parts for piece in (part & each, part - each) if not piece.empty]
    united: dict[_Change, Ports] = {}
    for part in parts:
        was, is_ = before.on(part, names), after.on(part, names)
        callers = frozenset(_callers((*was, *is_)))
        one, other = (_held(a, dict(p.issuers), callers) for a, p in ((was, before), (is_, after)))
        for change in _differing(one, other):
            united[change] = united.get(change, _NO_PORT) | part
    return united


def _callers(asked: Iterable[Asks]) -> Iterator[tuple[str, str]]:
    for asks in asked:
        for limit in asks.limits:
            yield from ((each.namespace, each.name) for each in limit.named)


def _held(
    asked: tuple[Asks, ...], known: Mapping[str, Issuer], callers: frozenset[tuple[str, str]]
) -> dict[What, Value]:
    """All that holds on a port: every limit, the smallest of each bound, and what becomes of headers."""
    rates: dict[Counted, set[Rate]] = defaultdict(set)
    bounds: dict[Bound, int] = dict(OWN_BOUNDS)
    for asks in asked:
        for limit in asks.limits:
            for counted, rate in _counted(limit, known, callers):
                rates[counted].add(rate)
        for bound, most in asks.bounds:
            # A proxy counts the size of headers in whole KiB.
            value = most >> 10 << 10 if bound is Bound.HEADERS_SIZE else most
            bounds[bound] = min(value, bounds.get(bound, value))
    found: dict[What, Value] = dict(bounds.items())
    found |= {counted: tuple(sorted(_least(some))) for counted, some in rates.items()}
    for whither in Whither:
        to_program = whither is Whither.PROGRAM
        changes = traffic.changes(asks.to_program if to_program else asks.to_caller for asks in asked)
        found |= {Header(whither, _spelled(name)): "" for name in changes.remove}
        found |= {Header(whither, _spelled(name)): value for name, value in changes.set}
    return found


def _spelled(name: str) -> str:
    """A header is changed in every spelling."""
    return name.replace("_", "-")


def _counted(
    limit: Limit, known: Mapping[str, Issuer], callers: frozenset[tuple[str, str]]
) -> Iterator[tuple[Counted, Rate]]:
    if limit.by is By.CALLER:
        own = {(each.namespace, each.name): each.rate for each in limit.named}
        yield Counted(By.CALLER, others=bool(callers)), limit.rate
        for caller in callers:
            yield Counted(By.CALLER, "/".join(caller)), own.get(caller, limit.rate)
    elif limit.by is By.CLAIM:
        issuer = known.get(limit.issuer)
        if issuer is None:  # no token of it is good: all requests count in one bucket
            yield Counted(By.ALL), limit.rate
        else:
            told = name_of(limit.issuer)
            yield Counted(By.CLAIM, limit.claim, issuer=issuers.version(issuer), called=told), limit.rate
    else:
        yield Counted(limit.by, limit.header), limit.rate


def _least(rates: set[Rate]) -> Iterator[Rate]:
    """The rates that do not follow from another of them; of those that say the same the first."""
    kept: list[Rate] = []
    for rate in sorted(rates, key=lambda each: (Fraction(each.requests, each.period), each.burst, each)):
        if not _implied(rate, kept):
            kept.append(rate)
    yield from kept


def _implied(rate: Rate, by: Iterable[Rate]) -> bool:
    """Whether all that passes one of ``by`` passes ``rate`` too."""
    return any(each.requests * rate.period <= rate.requests * each.period and each.burst <= rate.burst for each in by)


# --- what differs -----------------------------------------------------------------------------------------------------


def _differing(one: Mapping[What, Value], other: Mapping[What, Value]) -> Iterator[_Change]:
    for what in dict.fromkeys((*one, *other)):
        was, is_ = one.get(what), other.get(what)
        if isinstance(what, Counted):
            # What all together may not exceed, none of them may.
            looser = not all(_implied(rate, (*_rates(is_), *_of_all(other))) for rate in _rates(was))
            tighter = not all(_implied(rate, (*_rates(was), *_of_all(one))) for rate in _rates(is_))
            differs = looser or tighter
        else:
            looser, tighter, differs = _more(what, was, is_), _more(what, is_, was), was != is_
        if differs:
            yield _Change(what, was, is_, looser, tighter)


def _of_all(held: Mapping[What, Value]) -> tuple[Rate, ...]:
    return _rates(held.get(Counted(By.ALL)))


def _rates(value: Value) -> tuple[Rate, ...]:
    return value if isinstance(value, tuple) else ()


def _more(what: What, before: Value, after: Value) -> bool:
    """Whether more of a bound or a header passes after than before."""
    if before is None or after is None or isinstance(what, Header):
        return before is not None and after is None
    return isinstance(before, int) and isinstance(after, int) and after > before
