"""Spans of addresses against sets of single addresses."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st
from ringfence.model.net import IpSet
from ringfence.model.spans import ALL, NONE, Spans

SMALL = st.lists(st.tuples(st.sampled_from((4, 6)), st.integers(0, 30), st.integers(0, 6)), max_size=5)


def made(parts: list[tuple[int, int, int]]) -> tuple[Spans, set[tuple[int, int]]]:
    spans = Spans.of((kind, first, first + more) for kind, first, more in parts)
    return spans, {(kind, first + n) for kind, first, more in parts for n in range(more + 1)}


def members(spans: Spans) -> set[tuple[int, int]]:
    return {(kind, n) for kind, first, last in spans.spans for n in range(first, last + 1)}


@given(SMALL, SMALL)
def test_they_are_sets(one: list[tuple[int, int, int]], other: list[tuple[int, int, int]]) -> None:
    (a, a_set), (b, b_set) = made(one), made(other)
    assert members(a | b) == a_set | b_set
    assert members(a - b) == a_set - b_set
    assert members(a & b) == a_set & b_set
    assert (a == b) == (a_set == b_set)
    assert a.empty == (not a_set)


@given(SMALL)
def test_networks_hold_exactly_the_members(parts: list[tuple[int, int, int]]) -> None:
    spans, expected = made(parts)
    found = [ipaddress.ip_network(each) for each in spans.networks()]
    assert {(n.version, int(a)) for n in found for a in n} == expected


def test_what_is_cut_out_of_a_block_is_no_member() -> None:
    spans = Spans.of_set(IpSet.of("10.0.0.0/8", ["10.1.0.0/16"]))
    assert (spans & Spans.of_addresses(["10.1.2.3"])).empty
    assert not (spans & Spans.of_addresses(["10.2.2.3"])).empty
    assert spans | Spans.of_networks(["10.1.0.0/16"]) == Spans.of_networks(["10.0.0.0/8"])


def test_all_holds_every_address() -> None:
    assert ALL.networks() == ("0.0.0.0/0", "::/0")
    assert ALL - ALL == NONE
