"""Sets of ports of all protocols at once, those among them that are known by a name only."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self

from ringfence.model.net import FIRST_PORT, LAST_PORT, PortSet
from ringfence.model.resources import Protocol
from ringfence.model.spans import NONE, Spans

#: A protocol's number (IANA) is the kind of its span; 0 is every protocol that has no ports, ICMP and the like.
_KINDS: Final = {Protocol.TCP: 6, Protocol.UDP: 17, Protocol.SCTP: 132}
_PROTOCOLS: Final = {kind: protocol for protocol, kind in _KINDS.items()}
_OTHER: Final = (0, 0, 0)
#: Numbers beyond those of ports stand for names whose number is not known.
_LAST: Final = 2 * LAST_PORT


class TooManyNames(Exception):
    """More names of ports than there are numbers to stand for them."""


@dataclass(frozen=True, slots=True)
class Names:
    """Which names ports have at a target: each of ``known`` by its numbers; each of ``unknown`` (sorted) by none.

    A name that is in neither is no port of the target's.
    """

    known: tuple[tuple[Protocol, str, int], ...] = ()
    unknown: tuple[str, ...] = ()


NO_NAMES: Final = Names()


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports at a target; equal sets are equal values. A member is (IANA number of the protocol, port)."""

    spans: Spans = NONE

    @classmethod
    def at(cls, ports: PortSet, names: Names) -> Self:
        """The members of a PortSet at a target. Raises TooManyNames.

        A name of unknown number is a port of its own, and one of every set of all ports of its protocol.
        """
        if ports.everything:
            return cls(EVERY_PORT.spans)
        if len(names.unknown) > _LAST - LAST_PORT:
            raise TooManyNames
        found = [(_KINDS[r.protocol], r.first, _end(r.first, r.last)) for r in ports.ranges]
        wanted = {(each.protocol, each.name) for each in ports.names}
        found += [
            (_KINDS[protocol], number, number) for protocol, name, number in names.known if (protocol, name) in wanted
        ]
        for place, name in enumerate(names.unknown, start=LAST_PORT + 1):
            found += [(_KINDS[p], place, place) for p in Protocol if (p, name) in wanted]
        return cls(Spans.of(found))

    @property
    def empty(self) -> bool:
        return self.spans.empty

    @property
    def key(self) -> tuple[tuple[int, int, int], ...]:
        """Orders sets."""
        return self.spans.spans

    def __contains__(self, port: tuple[int, int]) -> bool:
        return self.spans.holds(*port)

    def __and__(self, other: Self) -> Self:
        return type(self)(self.spans & other.spans)

    def __or__(self, other: Self) -> Self:
        return type(self)(self.spans | other.spans)

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.spans - other.spans)

    def witness(self) -> tuple[int, int]:
        """A member; raises ValueError for the empty set."""
        if self.empty:
            raise ValueError("no port is in the empty set")
        kind, first, _ = max(self.spans.spans, key=lambda span: span[0] == _KINDS[Protocol.TCP])
        return kind, first

    def told(self, unknown: tuple[str, ...] = ()) -> tuple[str, ...]:
        """As people write it: ``TCP 80-90``, ``TCP http``, ``every port``, ``every UDP port``."""
        if self == EVERY_PORT:
            return ("every port",)
        found = tuple(text for span in self.spans.spans for text in _told(span, unknown))
        rest = tuple(text for span in (EVERY_PORT.spans - self.spans).spans for text in _told(span, unknown))
        if rest and len(rest) < len(found) and _OTHER in self.spans.spans:
            return (f"every port but {' and '.join(rest)}",)
        return found


def member(protocol: Protocol, port: int) -> tuple[int, int]:
    """A port as a member of Ports."""
    return _KINDS[protocol], port


def protocol_of(kind: int) -> Protocol | None:
    """The protocol of a member, None for those that have no ports."""
    return _PROTOCOLS.get(kind)


def _end(first: int, last: int) -> int:
    return _LAST if first <= FIRST_PORT and last >= LAST_PORT else last


def _told(span: tuple[int, int, int], unknown: tuple[str, ...]) -> Iterator[str]:
    kind, first, last = span
    protocol = _PROTOCOLS.get(kind)
    if protocol is None:
        yield "protocols without ports"
        return
    if first <= LAST_PORT:
        top = min(last, LAST_PORT)
        if (first, top) == (FIRST_PORT, LAST_PORT):
            yield f"every {protocol} port"
        else:
            yield f"{protocol} {first}" if first == top else f"{protocol} {first}-{top}"
    if last > LAST_PORT and first > FIRST_PORT:
        names = unknown[max(first - LAST_PORT - 1, 0) : last - LAST_PORT]
        yield from (f"{protocol} {name}" for name in names)


EVERY_PORT: Final = Ports(Spans.of((_OTHER, *((kind, FIRST_PORT, _LAST) for kind in _KINDS.values()))))


def names_in(sets: Iterable[PortSet]) -> tuple[str, ...]:
    """The names that any of ``sets`` holds, sorted."""
    return tuple(sorted({each.name for one in sets for each in one.names}))
