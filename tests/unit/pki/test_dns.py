"""Names of certificates."""

import pytest
from ringfence.pki import dns


def test_own_names_are_those_of_services_and_never_shorter() -> None:
    assert dns.own_names("dev", ["google", "api"]) == (
        "api.dev.svc",
        "api.dev.svc.cluster.local",
        "google.dev.svc",
        "google.dev.svc.cluster.local",
    )
    assert "google.dev" not in dns.own_names("dev", ["google"])
    assert dns.own_names("dev", ["a"], "corp.example") == ("a.dev.svc", "a.dev.svc.corp.example")


@pytest.mark.parametrize("name", ["a", "a.b", "payments.shop.svc", "xn--bcher-kva.example", "a" * 63 + ".b", "1a.b"])
def test_names_that_are_allowed(name: str) -> None:
    assert dns.problem(name) is None


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("*.example", "wildcard"),
        ("a*b.example", "wildcard"),
        ("", "no DNS name"),
        ("A.example", "no DNS name"),
        ("a..b", "no DNS name"),
        (".a", "no DNS name"),
        ("a.", "no DNS name"),
        ("a_b.example", "no DNS name"),
        ("a" * 64 + ".b", "no DNS name"),
        (".".join(["a" * 60] * 5), "no DNS name"),
        ("a.example\n", "no DNS name"),
        ("a.example\x00", "no DNS name"),
        ("bücher.example", "no DNS name"),
        ("10.0.0.1", "IP address"),
        ("a.1", "IP address"),
    ],
)
def test_names_that_are_refused(name: str, word: str) -> None:
    assert word in str(dns.problem(name))


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        ("api.corp.example", "api.corp.example", True),
        ("api.corp.example", "x.api.corp.example", False),
        ("*.corp.example", "api.corp.example", True),
        ("*.corp.example", "corp.example", False),
        ("*.corp.example", "a.b.corp.example", False),
        ("*.corp.example", ".corp.example", False),
        ("*.corp.example", "evilcorp.example", False),
        ("*", "anything", False),
    ],
)
def test_what_a_grant_covers(pattern: str, name: str, covered: bool) -> None:
    assert dns.covers(pattern, name) is covered


def test_only_names_beyond_the_own_ones_need_a_grant() -> None:
    own = dns.own_names("shop", ["payments"])
    wanted = ["payments.shop.svc", "pay.corp.example", "vault.bank.svc", "vault.bank.svc"]
    assert dns.ungranted(wanted, own, []) == ("pay.corp.example", "vault.bank.svc")
    assert dns.ungranted(wanted, own, ["*.corp.example"]) == ("vault.bank.svc",)
