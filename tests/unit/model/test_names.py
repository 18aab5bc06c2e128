"""What Kubernetes accepts as a name."""

import pytest
from ringfence.model import names

LABELS = ["a", "0", "a-b", "a--b", "0a", "x" * 63]
NOT_LABELS = ["", "-a", "a-", "A", "a.b", "a_b", "x" * 64, "a\n", "\u0430", "a\x00", "a b", " a"]


@pytest.mark.parametrize("value", LABELS)
def test_labels(value: str) -> None:
    assert names.is_dns_label(value)
    assert names.is_dns_subdomain(value)


@pytest.mark.parametrize("value", NOT_LABELS)
def test_what_is_no_label(value: str) -> None:
    assert not names.is_dns_label(value)


@pytest.mark.parametrize("value", ["a.b", "a-b.c-d.0", "x" * 253, ".".join(["ab"] * 84) + ".a"])
def test_subdomains(value: str) -> None:
    assert names.is_dns_subdomain(value)


@pytest.mark.parametrize("value", ["", ".a", "a.", "a..b", "a.-b", "a-.b", "A.b", "x" * 254, "a.b\n"])
def test_what_is_no_subdomain(value: str) -> None:
    assert not names.is_dns_subdomain(value)


def test_the_secret_of_a_service_account_fits_every_service_account_that_is_an_identity() -> None:
    assert names.identity_secret("payments") == "payments-identity"
    assert names.is_dns_subdomain(names.identity_secret("x" * names.MAX_LABEL_VALUE))
