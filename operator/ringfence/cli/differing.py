"""A difference of policies with names for those concerned, and the rules that decided before and decide now."""

from dataclasses import dataclass, replace
from typing import Any

from ringfence.cli import traffic_words, words
from ringfence.cli.compared import Compared
from ringfence.cli.world import Loaded
from ringfence.model.effective import Direction
from ringfence.model.verdict import Verdict
from ringfence.model.world import Workload
from ringfence.policy.algebra import diagram
from ringfence.policy.reasoning import deciding, limited, wording
from ringfence.policy.reasoning.difference import Change, Difference, difference
from ringfence.policy.reasoning.kinds import OTHER
from ringfence.policy.reasoning.naming import Naming
from ringfence.policy.reasoning.side import Side


@dataclass(frozen=True, slots=True)
class Because:
    """Why one of the calls is allowed or denied on one side; others of the same line may have other reasons."""

    text: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """Calls that change alike: from any of ``sources`` to any of ``targets``, any of ``requests`` (``data`` too)."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    requests: tuple[str, ...]
    data: list[dict[str, Any]]
    before: Because
    now: Because


@dataclass(frozen=True, slots=True)
class Transported:
    """Pods whose transport changes."""

    pods: tuple[str, ...]
    before: str
    after: str
    wider: bool


@dataclass(frozen=True, slots=True)
class Limited:
    """Pods and ports of which something else is asked; ``before`` and ``after`` are None where nothing is.

    ``looser``, ``tighter`` and ``wider`` as of reasoning.limited.
    """

    pods: tuple[str, ...]
    ports: tuple[str, ...]
    what: str
    before: str | None
    after: str | None
    looser: bool
    tighter: bool
    wider: bool
    #: Both values in words, also where nothing is asked.
    shown: tuple[str, str]

    @property
    def text(self) -> str:
        """What becomes what."""
        return f"{self.what}: {self.shown[0]} becomes {self.shown[1]}"


@dataclass(frozen=True, slots=True)
class Told:
    """All that changes, in words."""

    wider: bool
    gained: tuple[Line, ...]
    lost: tuple[Line, ...]
    transport: tuple[Transported, ...]
    gone: tuple[str, ...]
    traffic: tuple[Limited, ...] = ()


def told(both: Compared) -> Told:
    """Compare, and find words for what is found."""
    return worded(difference(both.old, both.new), both)


def worded(found: Difference, both: Compared) -> Told:
    """Words for what is found."""
    old, new = Naming(both.old), Naming(both.new)
    gained = sorted((_line(change, new, both) for change in found.gained), key=_order)
    lost = sorted((_line(change, old, both) for change in found.lost), key=_order)
    transport = (
        Transported(new.names(each.pods), str(each.before), str(each.after), each.wider) for each in found.transport
    )
    traffic = sorted(
        (_limited(each, new) for each in found.traffic), key=lambda each: (each.pods, each.ports, each.what)
    )
    return Told(found.wider, tuple(gained), tuple(lost), tuple(transport), found.gone, tuple(traffic))


def _limited(each: limited.Limited, naming: Naming) -> Limited:
    before, after = (traffic_words.most(each.what, value) for value in (each.before, each.after))
    return Limited(
        naming.names(each.pods),
        each.ports.told(naming.side.kinds.named.ports),
        traffic_words.what(each.what),
        None if each.before is None else before,
        None if each.after is None else after,
        each.looser,
        each.tighter,
        each.wider,
        (before, after),
    )


def _order(line: Line) -> tuple[tuple[str, ...], ...]:
    return line.targets, line.sources, line.requests


def _line(change: Change, naming: Naming, both: Compared) -> Line:
    names = naming.side.kinds.named.ports
    source = replace(change.sources, bits=change.sources.bits & naming.side.there).witness()
    target = change.targets.witness()
    request = diagram.witness(change.requests) or {}
    before, now = (
        _because(side, loaded, source, target, request)
        for side, loaded in ((both.old, both.loaded_old), (both.new, both.loaded_new))
    )
    return Line(
        naming.names(change.sources),
        naming.names(change.targets),
        wording.lines(change.requests, names),
        wording.data(change.requests, names),
        before,
        now,
    )


def _because(side: Side, loaded: Loaded, source: int, target: int, request: Any) -> Because:
    for number in (source, target):
        if side.ends[number] is None:
            namespace = side.kinds.all[number].namespace
            text = f"there is no namespace {namespace}"
            return Because(
                text, {"direction": None, "allowed": False, "reason": "NoNamespace", "rule": None, "because": text}
            )
    halves = {each: deciding.half(side, each, source, target, request) for each in Direction}
    verdict = Verdict(halves[Direction.EGRESS], halves[Direction.INGRESS])
    half = verdict.deciding
    if verdict.allowed:
        half = max(verdict.ingress, verdict.egress, key=lambda each: each.rule is not None)
    end = side.ends[source if half.direction is Direction.EGRESS else target]
    assert end is not None  # noqa: S101 (seen above)
    data = words.half_data(half, end, loaded)
    del data["audit"]
    if isinstance(end, Workload) and end.namespace == OTHER:
        data["because"] = "nothing governs pods there"
    return Because(f"{half.direction}: {data['because']}", {"direction": str(half.direction), **data})
