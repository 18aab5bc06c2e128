"""The ranges of a port table say exactly what the rules say of every port."""

from hypothesis import given
from hypothesis import strategies as st
from ringfence.cli import port_table
from ringfence.cli.port_table import Ports
from ringfence.model.net import PortRange, PortSet, merge
from ringfence.model.resources import PortSpec, Protocol
from ringfence.model.world import ContainerPort

TCP, UDP, SCTP = Protocol.TCP, Protocol.UDP, Protocol.SCTP


def rest(protocol: Protocol, first: int = 1) -> Ports:
    return Ports(protocol, rest=True, first=first, last=first)


def test_nothing_named_leaves_the_rest_alone() -> None:
    assert port_table.cut([], []) == (rest(SCTP), rest(TCP), rest(UDP))
    assert port_table.cut([PortSet(everything=True)], []) == (rest(SCTP), rest(TCP), rest(UDP))


def test_ranges_are_cut_where_rules_begin_and_end() -> None:
    sets = [PortSet.of([PortSpec(10, 20)]), PortSet.of([PortSpec(15)]), PortSet.of([PortSpec(1, 5, UDP)])]
    containers = [ContainerPort("http", 18), ContainerPort("", 99), ContainerPort("dns", 3, UDP)]
    found = [str(part) for part in port_table.cut(sets, containers)]
    assert found == [
        "every other SCTP port",
        "TCP 10-14",
        "TCP 15",
        "TCP 16-17",
        "TCP 18 (http)",
        "TCP 19-20",
        "TCP 99",
        "every other TCP port",
        "UDP 1-2",
        "UDP 3 (dns)",
        "UDP 4-5",
        "every other UDP port",
    ]


def test_all_ports_leave_no_rest() -> None:
    assert [str(p) for p in port_table.cut([PortSet.of([PortSpec(1, 65535)])], []) if p.protocol is TCP] == [
        "TCP 1-65535"
    ]


RANGES = st.lists(
    st.tuples(st.sampled_from(Protocol), st.integers(1, 65535), st.integers(0, 300)).map(
        lambda each: PortRange(each[0], each[1], min(65535, each[1] + each[2]))
    ),
    max_size=5,
)


@given(st.lists(RANGES, max_size=4), st.integers(1, 65535), st.sampled_from(Protocol))
def test_every_port_is_in_one_part_that_speaks_for_it(
    found: list[list[PortRange]], port: int, protocol: Protocol
) -> None:
    sets = [PortSet(ranges=merge(ranges)) for ranges in found]
    parts = [part for part in port_table.cut(sets, []) if part.protocol is protocol]
    named = [part for part in parts if not part.rest and part.first <= port <= part.last]
    assert len(named) <= 1
    speaker = named[0] if named else next(part for part in parts if part.rest)
    for each in sets:
        assert each.contains(protocol, port) == each.contains(protocol, speaker.first)
