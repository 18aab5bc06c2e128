"""The shop means what its README says, as the command line reads it without a cluster."""

import contextlib
import io
import itertools

import pytest
from ringfence.cli import main

from e2e.cluster import paths
from e2e.demo import shop
from tests.conftest import Golden

EXAMPLE = str(paths.REPOSITORY / "examples" / "shop")

OPEN = {
    ("frontend", "checkout"),
    ("checkout", "payments"),
    ("payments", "ledger"),
    ("checkout", "frontend"),
    ("ledger", "frontend"),
    ("intruder", "frontend"),
    # Payments lists what it may call, and the frontend is not on the list; the intruder's door is not ours to close.
    ("frontend", "intruder"),
    ("checkout", "intruder"),
    ("ledger", "intruder"),
}


def _ringfence(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        status = main.main(arguments, {})
    return status, out.getvalue()


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(shop.EVERYBODY, 2)))
def test_who_may_call_whom(source: shop.Service, target: shop.Service) -> None:
    status, said = _ringfence("can-i", "-f", EXAMPLE, source.identity, target.identity, f"--port={target.port}")
    assert status in (0, 1), said
    assert (status == 0) is ((source.name, target.name) in OPEN), said


def test_a_port_that_no_policy_mentions_is_closed() -> None:
    status, _ = _ringfence("can-i", "-f", EXAMPLE, "shop/frontend", "shop/checkout", "--port=9090")
    assert status == 1


def test_the_bank_and_no_other_address() -> None:
    def may(source: str, address: str, port: int) -> bool:
        status, said = _ringfence("can-i", "-f", EXAMPLE, source, f"ip:{address}", f"--port={port}")
        assert status in (0, 1), said
        return status == 0

    assert may("shop-data/payments", "203.0.113.7", 443)
    assert not may("shop-data/payments", "203.0.113.7", 80)
    assert not may("shop-data/payments", "198.51.100.7", 443)
    assert not may("shop-data/ledger", "203.0.113.7", 443)
    assert not may("shop-data/payments", "169.254.169.254", 80)


def test_its_pods_are_admitted() -> None:
    status, said = _ringfence("admit", "-f", EXAMPLE)
    assert status == 0, said


def test_what_becomes_of_its_networks(golden: Golden) -> None:
    """The NetworkPolicies; the guards of the API server beside them are the same for every example."""
    status, written = _ringfence("compile", "-f", EXAMPLE)
    assert status == 0, written
    documents = [each for each in written.split("---\n") if "\nkind: NetworkPolicy\n" in each]
    assert len(documents) == 11
    golden.check(paths.REPOSITORY / "tests" / "golden" / "examples" / "shop.out.yaml", "---\n".join(documents))
