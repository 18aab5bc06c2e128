"""Ports and addresses behave as sets: every law is checked by membership, member by member."""

import functools
import ipaddress
import itertools
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringfence.model.net import (
    FIRST_PORT,
    LAST_PORT,
    Inexpressible,
    IpSet,
    NamedPort,
    PortRange,
    PortSet,
    merge,
)
from ringfence.model.resources import PortSpec, Protocol

#: Ports on both sides of every boundary that the strategies draw.
PROBED = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 65534, 65535)
NAMES = ("http", "metrics")

protocols = st.sampled_from(Protocol)
numbers = st.sampled_from((1, 3, 4, 6, 9, 65535))


@st.composite
def specs(draw: st.DrawFn) -> PortSpec:
    protocol = draw(protocols)
    if draw(st.integers(0, 3)) == 0:
        return PortSpec(draw(st.sampled_from(NAMES)), protocol=protocol)
    first = draw(numbers)
    last = draw(st.none() | st.sampled_from([n for n in PROBED if n >= first]))
    return PortSpec(first, last, protocol)


numbered = st.lists(specs().filter(lambda spec: isinstance(spec.port, int)), min_size=1, max_size=4).map(
    PortSet.of
) | st.just(PortSet(everything=True))
port_sets = st.lists(specs(), min_size=1, max_size=4).map(PortSet.of) | st.just(PortSet(everything=True))

#: What the names are on some pod: any numbers, the same for all protocols.
pods = st.fixed_dictionaries({name: st.sampled_from(PROBED) for name in NAMES})


def names_of(pod: dict[str, int], port: int) -> list[str]:
    return [name for name, number in pod.items() if number == port]


def members(ports: PortSet, pod: dict[str, int]) -> set[tuple[Protocol, int]]:
    return {
        (protocol, port)
        for protocol, port in itertools.product(Protocol, PROBED)
        if ports.contains(protocol, port, names_of(pod, port))
    }


@given(st.lists(specs(), max_size=4), pods)
def test_a_port_set_holds_what_its_specs_say(given_specs: list[PortSpec], pod: dict[str, int]) -> None:
    expected = set()
    for spec in given_specs:
        first = pod[spec.port] if isinstance(spec.port, str) else spec.port
        expected |= {(spec.protocol, port) for port in PROBED if first <= port <= (spec.end_port or first)}
    assert members(PortSet.of(given_specs), pod) == expected
    assert PortSet.of(given_specs).empty == (not given_specs)


def test_no_ports_means_every_port() -> None:
    assert PortSet.of(None) == PortSet(everything=True)
    assert PortSet.of(None).contains(Protocol.SCTP, 9)


@given(port_sets, port_sets, pods)
def test_the_union_of_port_sets(one: PortSet, other: PortSet, pod: dict[str, int]) -> None:
    assert members(one | other, pod) == members(one, pod) | members(other, pod)
    assert one | other == other | one


@given(numbered, numbered)
def test_the_difference_of_numbers_is_exact(one: PortSet, other: PortSet) -> None:
    assert members(one.minus(other), {}) == members(one, {}) - members(other, {})


@given(port_sets, port_sets, pods)
def test_the_difference_is_exact_on_every_pod_or_refused(one: PortSet, other: PortSet, pod: dict[str, int]) -> None:
    try:
        rest = one.minus(other)
    except Inexpressible:
        return
    assert members(rest, pod) == members(one, pod) - members(other, pod)


@given(port_sets, port_sets, pods)
def test_disjoint_sets_have_nothing_in_common_on_any_pod(one: PortSet, other: PortSet, pod: dict[str, int]) -> None:
    if one.disjoint(other):
        assert not members(one, pod) & members(other, pod)
        assert one.minus(other) == one


@given(numbered, numbered)
def test_sets_of_numbers_are_disjoint_exactly_when_they_have_nothing_in_common(one: PortSet, other: PortSet) -> None:
    assert one.disjoint(other) == (not members(one, {}) & members(other, {}))
    assert one.disjoint(other) == other.disjoint(one)


@given(st.lists(specs().filter(lambda spec: isinstance(spec.port, int)), max_size=6))
def test_ranges_are_sorted_disjoint_and_not_adjacent(given_specs: list[PortSpec]) -> None:
    ranges = PortSet.of(given_specs).ranges
    for one, other in itertools.pairwise(ranges):
        assert one.protocol < other.protocol or one.last + 1 < other.first
    assert merge(ranges) == ranges


@pytest.mark.parametrize(
    ("one", "other", "rest"),
    [
        ([PortSpec(80)], [PortSpec(81)], [PortSpec(80)]),
        ([PortSpec(1, 10)], [PortSpec(5)], [PortSpec(1, 4), PortSpec(6, 10)]),
        ([PortSpec("http"), PortSpec(53, None, Protocol.UDP)], [PortSpec("http")], [PortSpec(53, None, Protocol.UDP)]),
        ([PortSpec("http")], [PortSpec(1, 65535)], []),
        ([PortSpec(80)], [PortSpec("http", protocol=Protocol.UDP)], [PortSpec(80)]),
        # What is left after the numbers has no protocol in common with the name.
        ([PortSpec(80)], [PortSpec(80), PortSpec("http")], []),
        (
            None,
            [PortSpec("http"), PortSpec(1, 65535)],
            [PortSpec(1, 65535, Protocol.UDP), PortSpec(1, 65535, Protocol.SCTP)],
        ),
    ],
)
def test_differences_by_example(one: list[PortSpec] | None, other: list[PortSpec] | None, rest: list[PortSpec]) -> None:
    assert PortSet.of(one).minus(PortSet.of(other)) == PortSet.of(rest)


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ([PortSpec("http")], [PortSpec(80)], "'http' may or may not be"),
        ([PortSpec("http")], [PortSpec("metrics")], "'http' may or may not be"),
        ([PortSpec(80)], [PortSpec("http")], "cannot be taken out of port numbers"),
        (None, [PortSpec("http")], "cannot be taken out of port numbers"),
    ],
)
def test_names_against_numbers_are_refused(one: list[PortSpec] | None, other: list[PortSpec], message: str) -> None:
    with pytest.raises(Inexpressible, match=message):
        PortSet.of(one).minus(PortSet.of(other))


def test_the_whole_of_a_protocol_is_merged() -> None:
    halves = [PortRange(Protocol.TCP, FIRST_PORT, 1000), PortRange(Protocol.TCP, 1001, LAST_PORT)]
    assert merge(reversed(halves)) == (PortRange(Protocol.TCP, 1, 65535),)
    assert PortSet.of([PortSpec("http")]).names == (NamedPort(Protocol.TCP, "http"),)


#: A universe of 16 addresses of each family, and one address outside of each.
UNIVERSES = ("10.0.0.0/28", "2001:db8::/124")
ADDRESSES = (
    *(str(address) for universe in UNIVERSES for address in ipaddress.ip_network(universe)),
    "10.0.0.16",
    "2001:db8::10",
)


@st.composite
def networks(draw: st.DrawFn) -> str:
    universe = ipaddress.ip_network(draw(st.sampled_from(UNIVERSES)))
    longer = draw(st.integers(0, 4))
    subnets = list(universe.subnets(prefixlen_diff=longer)) if longer else [universe]
    return str(draw(st.sampled_from(subnets)))


@st.composite
def ip_sets(draw: st.DrawFn) -> IpSet:
    """Sets as rules make them: a network less some, less or within others."""
    result = IpSet.of(draw(networks()), draw(st.lists(networks(), max_size=3)))
    for other in draw(st.lists(st.tuples(networks(), st.lists(networks(), max_size=2)), max_size=2)):
        result = result.minus(IpSet.of(*other))
    return result


def addresses(ips: IpSet) -> set[str]:
    return {address for address in ADDRESSES if address in ips}


def within(network: str) -> set[str]:
    return {address for address in ADDRESSES if ipaddress.ip_address(address) in ipaddress.ip_network(network)}


@given(networks(), st.lists(networks(), max_size=4))
def test_an_ip_set_holds_the_network_less_what_is_cut_out(network: str, excluded: list[str]) -> None:
    assert addresses(IpSet.of(network, excluded)) == within(network).difference(*map(within, excluded))


@given(ip_sets(), st.lists(networks(), max_size=3))
def test_cutting_networks_out_is_exact(ips: IpSet, cuts: list[str]) -> None:
    assert addresses(ips.minus_networks(cuts)) == addresses(ips).difference(*map(within, cuts))


@given(ip_sets(), ip_sets())
def test_the_difference_of_ip_sets_is_exact(one: IpSet, other: IpSet) -> None:
    assert addresses(one.minus(other)) == addresses(one) - addresses(other)


@given(ip_sets(), ip_sets(), ip_sets())
def test_unions_are_exact_and_can_be_cut_like_any_set(one: IpSet, other: IpSet, cut: IpSet) -> None:
    assert addresses(one | other) == addresses(one) | addresses(other)
    assert addresses((one | other).minus(cut)) == (addresses(one) | addresses(other)) - addresses(cut)


@given(ip_sets(), networks())
def test_intersection_is_exact(ips: IpSet, network: str) -> None:
    assert addresses(ips.intersect(network)) == addresses(ips) & within(network)


@given(ip_sets(), st.lists(networks(), min_size=1, max_size=3))
def test_overlap_is_told_exactly(ips: IpSet, others: list[str]) -> None:
    assert ips.overlaps(others) == bool(addresses(ips) & set().union(*map(within, others)))


@given(ip_sets())
def test_an_ip_set_is_empty_exactly_when_it_has_no_address(ips: IpSet) -> None:
    assert ips.empty == (not addresses(ips))


@given(ip_sets())
def test_blocks_are_ones_that_the_api_server_takes(ips: IpSet) -> None:
    """``except`` must lie strictly within ``cidr`` (validation of networking.k8s.io/v1)."""
    assert list(ips.blocks) == sorted(set(ips.blocks))
    for cidr, excluded in ips.blocks:
        for hole in excluded:
            assert within(hole) < within(cidr)
            assert ipaddress.ip_network(hole).version == ipaddress.ip_network(cidr).version


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "nonsense", ""])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        IpSet.of(text)


NETWORKS = st.sampled_from(
    ("10.0.0.0/8", "10.0.0.0/9", "10.1.0.0/16", "10.200.0.0/16", "192.0.2.0/24", "::/0", "2001:db8::/32", "0.0.0.0/0")
)
SETS = st.lists(st.tuples(NETWORKS, st.sampled_from(((), ("10.1.0.0/16",), ("10.0.0.0/9",)))), max_size=4).map(
    lambda parts: functools.reduce(operator.or_, (IpSet.of(*part) for part in parts), IpSet())
)


@given(SETS, SETS)
def test_address_sets_are_disjoint_exactly_if_taking_one_out_changes_nothing(one: IpSet, other: IpSet) -> None:
    assert one.disjoint(other) == (one.minus(other) == one)
    assert one.disjoint(other) == other.disjoint(one)


@given(port_sets, port_sets, pods, st.sampled_from(PROBED), protocols)
def test_port_sets_within_others_hold_no_other_port(
    one: PortSet, other: PortSet, pod: dict[str, int], port: int, protocol: Protocol
) -> None:
    names = [name for name, number in pod.items() if number == port]
    inside, outside = one.contains(protocol, port, names), other.contains(protocol, port, names)
    assert not (one.within(other) and inside and not outside)
    assert (one | other).contains(protocol, port, names) == (inside or outside)


def test_port_sets_are_within_themselves_and_everything() -> None:
    some = PortSet.of([PortSpec(1, 100), PortSpec("http")])
    assert some.within(some)
    assert some.within(PortSet(everything=True))
    assert PortSet.of([PortSpec(7)]).within(some)
    assert not PortSet(everything=True).within(some)
    assert not PortSet.of([PortSpec(100, 101)]).within(some)
