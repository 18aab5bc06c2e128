from ipaddress import ip_network
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from e2e.enforcer import ranges
from e2e.enforcer.model import Protocol
from e2e.enforcer.ranges import EVERYTHING, NOTHING, PortRange, PortSet, Span

TCP, UDP = Protocol.TCP, Protocol.UDP
WEB, DNS = ranges.port_set([PortRange(TCP, 80, 80)]), ranges.port_set([PortRange(UDP, 53, 53)])


def test_touching_and_overlapping_port_ranges_become_one() -> None:
    given_ranges = [PortRange(TCP, 81, 90), PortRange(TCP, 80, 80), PortRange(TCP, 85, 86), PortRange(UDP, 80, 80)]
    assert ranges.port_set(given_ranges) == PortSet((PortRange(TCP, 80, 90), PortRange(UDP, 80, 80)))


def test_everything_absorbs_the_rest() -> None:
    assert ranges.union([WEB, EVERYTHING]) == EVERYTHING
    assert ranges.union([]) == NOTHING


def test_exceptions_leave_what_is_around_them() -> None:
    network = ip_network("10.0.0.0/29")
    holes = [ip_network("10.0.0.4/32"), ip_network("10.0.0.0/31"), ip_network("10.0.0.4/31"), ip_network("fd00::/64")]
    first = int(network.network_address)
    assert list(ranges.subtract(network, holes)) == [(first + 2, first + 3), (first + 6, first + 7)]


def test_an_exception_inside_another_reopens_nothing() -> None:
    holes = [ip_network("10.0.0.1/32"), ip_network("10.0.0.0/30")]
    first = int(ip_network("10.0.0.0/29").network_address)
    assert list(ranges.subtract(ip_network("10.0.0.0/29"), holes)) == [(first + 4, first + 7)]


def test_an_exception_of_the_whole_leaves_nothing() -> None:
    assert list(ranges.subtract(ip_network("10.0.0.0/30"), [ip_network("10.0.0.0/29")])) == []


def test_a_single_address_is_a_range() -> None:
    address = int(ip_network("10.0.0.7/32").network_address)
    assert list(ranges.subtract(ip_network("10.0.0.7/32"), [])) == [(address, address)]


def test_spans_are_cut_where_what_they_open_changes() -> None:
    both = ranges.union([WEB, DNS])
    assert ranges.flatten([Span(1, 5, WEB), Span(4, 9, DNS)]) == (Span(1, 3, WEB), Span(4, 5, both), Span(6, 9, DNS))


def test_neighbours_that_open_the_same_are_one_span() -> None:
    assert ranges.flatten([Span(1, 2, WEB), Span(3, 4, WEB), Span(2, 3, WEB)]) == (Span(1, 4, WEB),)


SPANS = st.lists(
    st.builds(
        lambda pair, ports: Span(min(pair), max(pair), ports),
        st.tuples(st.integers(0, 20), st.integers(0, 20)),
        st.sampled_from([WEB, DNS, EVERYTHING, NOTHING]),
    )
)


@given(SPANS)
def test_flat_spans_open_what_the_given_ones_open_together(spans: list[Span]) -> None:
    flat = ranges.flatten(spans)
    for address in range(-1, 22):
        together = ranges.union(each.ports for each in spans if each.first <= address <= each.last)
        covering = [each.ports for each in flat if each.first <= address <= each.last]
        assert covering == ([together] if together != NOTHING else [])
    assert all(one.last < other.first for one, other in pairwise(flat))
