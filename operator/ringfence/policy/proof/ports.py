"""Ports of all protocols as spans, so that sets of them can be intersected and subtracted exactly."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Final

from ringfence.model.net import FIRST_PORT, LAST_PORT, NamedPort, PortSet
from ringfence.model.resources import Protocol
from ringfence.model.spans import Spans
from ringfence.model.world import ContainerPort

#: The kind of span that holds the ports of each protocol.
KINDS: Final = {protocol: number for number, protocol in enumerate((Protocol.TCP, Protocol.UDP, Protocol.SCTP))}
PROTOCOLS: Final = {number: protocol for protocol, number in KINDS.items()}
EVERY: Final = Spans(tuple((kind, FIRST_PORT, LAST_PORT) for kind in sorted(PROTOCOLS)))
NO_PORT: Final = Spans()

_USUAL: Final = 443

#: Names that a port of a target has, as far as rules ask for them.
Names = frozenset[NamedPort]
NAMELESS: Final[Names] = frozenset()


def spans(ports: PortSet, names: Names) -> Spans:
    """The members of a set among ports that have exactly ``names``, as far as the set asks for names."""
    if ports.everything:
        return EVERY
    found = [(KINDS[each.protocol], each.first, each.last) for each in ports.ranges]
    found += [(KINDS[each.protocol], FIRST_PORT, LAST_PORT) for each in ports.names if each in names]
    return Spans.of(found)


def namings(names: Iterable[NamedPort], asked: Names = NAMELESS) -> Iterator[Names]:
    """The sets of names that a port may have, as far as the answer can depend on them; the fewest names first.

    Each half of a call needs one rule that allows it, and that rule at most one name; every name beyond these two can
    only add Denies. ``asked`` are names that it has in any case. Names of two protocols are no port's.
    """
    rest = sorted(frozenset(names) - asked)
    for count in range(3):
        for extra in combinations(rest, count):
            naming = asked | frozenset(extra)
            if len({name.protocol for name in naming}) <= 1:
                yield naming


def having(naming: Names) -> Spans:
    """The ports that may have these names where a pod may give any name to any port of its protocol."""
    kinds = sorted({KINDS[name.protocol] for name in naming})
    return Spans(tuple((kind, FIRST_PORT, LAST_PORT) for kind in kinds)) if kinds else EVERY


def both(one: Spans, other: Spans) -> Spans:
    """The ports of both; at once where one of them is every port, as most are."""
    if one == EVERY:
        return other
    return one if other == EVERY else one & other


def given(ports: Iterable[ContainerPort], names: Names) -> Iterator[tuple[Names, Spans]]:
    """The ports of a pod that is known, by those of ``names`` that it gives to them."""
    named: dict[tuple[int, int], set[NamedPort]] = defaultdict(set)
    for port in ports:
        if NamedPort(port.protocol, port.name) in names:
            named[KINDS[port.protocol], port.port].add(NamedPort(port.protocol, port.name))
    by_names: dict[Names, list[tuple[int, int, int]]] = defaultdict(list)
    for (kind, number), found in sorted(named.items()):
        by_names[frozenset(found)].append((kind, number, number))
    taken = Spans.of(span for found in by_names.values() for span in found)
    yield NAMELESS, EVERY - taken
    yield from ((naming, Spans.of(found)) for naming, found in by_names.items())


def one_of(ports: Spans) -> tuple[Protocol, int]:
    """A port of a set that is not empty, 443 if it can be: in a range, people do not look for a meaning in that one."""
    kind, first, last = ports.spans[0]
    return PROTOCOLS[kind], _USUAL if first <= _USUAL <= last else first


def at(protocol: Protocol, port: int) -> Spans:
    """One port."""
    return Spans(((KINDS[protocol], port, port),))
