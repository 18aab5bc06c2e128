"""What a leaf shall say, and wishes that cannot be fulfilled."""

from typing import Any

import pytest
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import template
from ringfence.pki.template import InvalidTemplate

from tests.unit.pki.material import DAY, DNS, HOUR, ID, NOW

GOOD: dict[str, Any] = {
    "spiffe_id": ID,
    "dns_names": DNS,
    "ttl": 4 * HOUR,
    "now": NOW + 0.9,
    "serial": 1 << 100,
    "issuer_ends": NOW + DAY,
}


def made(**changes: Any) -> Any:
    values = GOOD | changes
    return template.leaf(values.pop("spiffe_id"), values.pop("dns_names"), **values)


def wrong(**changes: Any) -> dict[str, str]:
    with pytest.raises(InvalidTemplate) as raised:
        made(**changes)
    assert raised.value.errors
    assert str(raised.value.errors[0]) in str(raised.value)
    return {error.path: str(error) for error in raised.value.errors}


def test_the_life_counts_from_now_and_is_dated_back_beside_it() -> None:
    leaf = made()
    assert (leaf.not_before, leaf.not_after) == (NOW - 300, NOW + 4 * HOUR)


def test_names_are_sorted_and_each_there_once() -> None:
    assert made(dns_names=["b.shop.svc", "a.shop.svc", "b.shop.svc"]).dns_names == ("a.shop.svc", "b.shop.svc")
    assert made(dns_names=[]).dns_names == ()


def test_no_leaf_outlives_its_issuer() -> None:
    assert made(issuer_ends=NOW + 700).not_after == NOW + 700


def test_a_ca_that_is_about_to_end_signs_nothing() -> None:
    assert "ringfence ca rotate" in wrong(issuer_ends=NOW + 59)["issuer"]


@pytest.mark.parametrize("ttl", [0, -1, 599, DAY + 1])
def test_lives_are_bounded(ttl: int) -> None:
    assert "from 600 to 86400 seconds" in wrong(ttl=ttl)["ttl"]


@pytest.mark.parametrize("ttl", [600, DAY])
def test_the_bounds_are_allowed(ttl: int) -> None:
    assert made(ttl=ttl, issuer_ends=NOW + 2 * DAY).not_after == NOW + ttl


def test_huge_numbers_of_names_are_refused() -> None:
    names = [f"s{number}.shop.svc" for number in range(10_000)]
    assert "has 10000 names, at most 100 fit" in wrong(dns_names=names)["dnsNames"]
    assert len(made(dns_names=names[:100]).dns_names) == 100


def test_everything_wrong_is_told_at_once() -> None:
    assert set(wrong(ttl=1, serial=0, dns_names=["*.a"], issuer_ends=0)) == {"ttl", "serial", "dnsNames", "issuer"}


@pytest.mark.parametrize("path", ["", "/", "/ns/shop/sa/payments\n", "/ns//sa/x", "/a b", "/..", "/ns/shop/sa/%41"])
def test_an_id_that_spiffe_refuses_is_refused_although_its_value_was_built_by_hand(path: str) -> None:
    assert "spiffeID" in wrong(spiffe_id=SpiffeId(ID.trust_domain, path))


def test_an_id_whose_parts_are_not_its_text_is_refused() -> None:
    assert "is not what its text says" in wrong(spiffe_id=SpiffeId("a/ns", "/x/sa/y"))["spiffeID"]
