"""What becomes of recorded calls under a candidate: which break, for whom and when, and which rules none has used."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from ringfence.flows.cast import Nobody, Role
from ringfence.flows.flow import Flow, View
from ringfence.flows.general import general
from ringfence.flows.judge import Judge, Judged
from ringfence.flows.site import Outcome, State, Used
from ringfence.model.effective import Direction, EffectivePolicy, RuleRef
from ringfence.model.resources import Action, Mode, Protocol
from ringfence.model.verdict import Half
from ringfence.policy.builtins import is_inside
from ringfence.policy.ends import Called

#: Requests and addresses that a line tells of; the others are counted together.
FEW: Final = 8
#: Lines that are kept apart; what comes beyond is counted with no name.
_MANY: Final = 20_000

_Key = tuple[object, ...]


@dataclass(slots=True)
class Seen:
    """How often and when calls were seen, by where they were. A call that both ends have seen counts once."""

    counts: dict[View, int] = field(default_factory=dict)
    first: float = 0.0
    last: float = 0.0

    def add(self, flow: Flow) -> None:
        """One more record."""
        self.counts[flow.view] = self.counts.get(flow.view, 0) + flow.count
        if flow.first and (not self.first or flow.first < self.first):
            self.first = flow.first
        self.last = max(self.last, flow.last)

    def take(self, other: "Seen") -> None:
        """All that another one has counted."""
        for view, number in other.counts.items():
            self.counts[view] = self.counts.get(view, 0) + number
        self.first = min(filter(None, (self.first, other.first)), default=0.0)
        self.last = max(self.last, other.last)

    @classmethod
    def total(cls, parts: Iterable["Seen"]) -> "Seen":
        """All of these together, each counted by itself."""
        found = cls()
        for part in parts:
            found.take(cls({View.UNKNOWN: part.count}, part.first, part.last))
        return found

    @property
    def count(self) -> int:
        """How many calls; the target has seen all that came, so what sources have seen of them is left out."""
        seen = self.counts.get(View.TARGET) or self.counts.get(View.SOURCE, 0)
        return seen + self.counts.get(View.UNKNOWN, 0)


@dataclass(slots=True)
class Group:
    """Calls of the same ends to the same port, with the same answer."""

    source: str
    target: str
    protocol: Protocol
    port: int
    half: Half | None
    governed: Called | None
    why: str
    seen: Seen = field(default_factory=Seen)
    requests: Counter[str] = field(default_factory=Counter)
    addresses: Counter[str] = field(default_factory=Counter)

    def add(self, flow: Flow) -> None:
        """One more call."""
        self.seen.add(flow)
        if flow.request is not None:
            path = general(flow.request.path) or flow.request.path.partition("?")[0]
            _count(self.requests, f"{flow.request.method} {path}", flow.count)
        for party, name in ((flow.source, self.source), (flow.target, self.target)):
            if not name:
                _count(self.addresses, party.host or party.ip, flow.count)


def _count(counter: Counter[str], text: str, number: int) -> None:
    counter[text if text in counter or len(counter) < FEW else "others"] += number


@dataclass(slots=True)
class Replay:
    """Judges flows by ``new``; with ``old`` only what that one allows can break.

    ``broken`` got through when recorded and will not, ``opened`` the other way round; ``unknown`` cannot be told.
    ``already`` were recorded as passing although ``old`` denies them.
    """

    new: Judge
    old: Judge | None = None
    flows: int = 0
    _allowed: dict[_Key, Seen] = field(default_factory=dict)
    _denied: dict[_Key, Seen] = field(default_factory=dict)
    broken: dict[_Key, Group] = field(default_factory=dict)
    opened: dict[_Key, Group] = field(default_factory=dict)
    already: dict[_Key, Group] = field(default_factory=dict)
    unknown: dict[_Key, Group] = field(default_factory=dict)
    used: set[Used] = field(default_factory=set)

    def add(self, flow: Flow) -> None:
        """Judge one more record."""
        self.flows += 1
        judged = self.new.judged(flow)
        outcome = judged.outcome
        if outcome.used:
            self.used |= outcome.used
        if outcome.state is State.UNKNOWN:
            _group(self.unknown, judged, flow)
        elif outcome.state is State.ALLOWED:
            if flow.denied:
                _group(self.opened, judged, flow)
            else:
                _count_among(self._allowed, judged, flow)
        elif flow.denied:
            _count_among(self._denied, judged, flow)
        else:
            self._lost(judged, flow)

    @property
    def allowed(self) -> Seen:
        """What is allowed as it was."""
        return Seen.total(self._allowed.values())

    @property
    def denied(self) -> Seen:
        """What is denied as it was."""
        return Seen.total(self._denied.values())

    def _lost(self, judged: Judged, flow: Flow) -> None:
        before = self.old.judged(flow).outcome.state if self.old is not None else State.ALLOWED
        if before is State.ALLOWED:
            _group(self.broken, judged, flow)
        elif before is State.DENIED:
            _group(self.already, judged, flow)
        else:
            unknown = Outcome(State.UNKNOWN, why="whether it was allowed before cannot be told")
            _group(self.unknown, Judged(judged.source, judged.target, unknown), flow)


def _count_among(counts: dict[_Key, Seen], judged: Judged, flow: Flow) -> None:
    key: _Key = (_name(judged.source), _name(judged.target), flow.protocol, flow.port)
    found = counts.get(key)
    if found is None:
        found = counts.setdefault(key if len(counts) < _MANY else ("others",), Seen())
    found.add(flow)


def _group(groups: dict[_Key, Group], judged: Judged, flow: Flow) -> None:
    half, why = judged.outcome.half, judged.outcome.why
    source, target = _name(judged.source), _name(judged.target)
    decided = (half.direction, half.reason, half.rule) if half is not None else ()
    key: _Key = (source, target, flow.protocol, flow.port, decided, why)
    group = groups.get(key)
    if group is None and len(groups) >= _MANY:
        many = Group("others", "others", flow.protocol, flow.port, None, None, "too many different calls to tell apart")
        group = groups.setdefault(("others",), many)
    elif group is None:
        made = Group(source, target, flow.protocol, flow.port, half, judged.outcome.governed, why)
        group = groups.setdefault(key, made)
    group.add(flow)


def _name(role: Role | Nobody) -> str:
    return role.name


def ordered(groups: Iterable[Group]) -> list[Group]:
    """The most calls first."""
    return sorted(groups, key=lambda group: (-group.seen.count, group.target, group.source, group.port, group.why))


def unused(policies: Iterable[EffectivePolicy], used: set[Used]) -> list[tuple[RuleRef, Direction]]:
    """The enforced Allows that let none of the calls pass, sorted; a rule of a floor counts for all namespaces."""
    written = {
        (rule.ref, rule.direction)
        for policy in policies
        for rule in policy.rules
        if rule.action is Action.ALLOW and rule.mode is Mode.ENFORCE and not rule.builtin and not is_inside(rule.ref)
    }
    return sorted(each for each in written if (each[1], each[0]) not in used)
