"""What an identity says of its certificate."""

from typing import Any

import pytest
from ringfence.model.certificates import CertificateSummary
from ringfence.pki.store import CAMissing
from ringfence.reconcile import certificate_status
from ringfence.reconcile.certificate_status import CERTIFICATE_READY, Told
from ringfence.reconcile.conditions import Condition

SUMMARY = CertificateSummary("ff", 1_800_000_000, 1_800_003_600, 1_800_000_900, "abc")
FIELDS = {
    "serial": "ff",
    "notBefore": "2027-01-15T08:00:00Z",
    "notAfter": "2027-01-15T09:00:00Z",
    "renewalTime": "2027-01-15T08:15:00Z",
    "issuer": "abc",
}
SAID = {"type": CERTIFICATE_READY, "status": "True", "reason": "Issued", "message": "it is"}
ISSUED = Condition(CERTIFICATE_READY, True, "Issued", "it is")
REFUSED = Condition(CERTIFICATE_READY, False, "Issued", "it is")
GOOD = Condition(CERTIFICATE_READY, True, "Issued", "the certificate is in Secret payments-tls")
BOUND = Condition("Ready", True, "Bound", "pods are it")
UNBOUND = Condition("Ready", False, "NamespaceNotEnrolled", "not enrolled")


def test_a_good_certificate() -> None:
    assert certificate_status.good("payments-tls", (), SUMMARY) == Told(FIELDS, GOOD)
    assert certificate_status.good("payments-tls", (), None) == Told(None, GOOD)


def test_names_that_were_refused_are_named_with_the_way_out() -> None:
    told = certificate_status.good("payments-tls", ("a.example", "b.example"), SUMMARY)
    assert told.certificate == FIELDS
    assert told.condition is not None
    assert (told.condition.status, told.condition.reason) == (False, "NamesNotGranted")
    assert "issued without a.example, b.example" in told.condition.message
    assert "ClusterSecurityPolicy (spec.grants: namespace, identities, dnsNames)" in told.condition.message


def test_none() -> None:
    wanted = Condition(CERTIFICATE_READY, False, "SecretNotOurs", "theirs")
    assert certificate_status.bad("SecretNotOurs", "theirs", None) == Told(None, wanted)
    assert certificate_status.bad("SecretNotOurs", "theirs", SUMMARY) == Told(FIELDS, wanted)


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (None, Told()),
        ({"certificate": FIELDS}, Told(FIELDS)),
        ({"certificate": FIELDS, "conditions": [SAID]}, Told(FIELDS, ISSUED)),
        ({"conditions": [{**SAID, "status": "False"}]}, Told(None, REFUSED)),
    ],
)
def test_what_is_said_already(status: Any, wanted: Told) -> None:
    assert certificate_status.unchanged({"status": status}) == wanted
    assert certificate_status.without_ca({"status": status}, None) == wanted


def test_without_a_ca_the_old_certificate_goes_on_being_shown() -> None:
    told = certificate_status.without_ca({"status": {"certificate": FIELDS}}, CAMissing("it is gone", "bring it back"))
    assert told.certificate == FIELDS
    assert told.condition is not None
    assert (told.condition.status, told.condition.reason) == (False, "CAMissing")
    assert told.condition.message == "it is gone (bring it back); nothing is issued or renewed meanwhile"


def test_an_identity_without_its_certificate_is_not_ready() -> None:
    told = certificate_status.bad("SecretNotOurs", "theirs", None)
    fields, ready, others = certificate_status.joined({"spiffeID": "x"}, BOUND, told)
    assert fields == {"spiffeID": "x"}
    assert ready == Condition("Ready", False, "SecretNotOurs", "theirs")
    assert others == [told.condition]


def test_what_else_is_wrong_with_it_comes_first() -> None:
    told = certificate_status.bad("SecretNotOurs", "theirs", SUMMARY)
    fields, ready, _ = certificate_status.joined({}, UNBOUND, told)
    assert (fields, ready) == ({"certificate": FIELDS}, UNBOUND)


def test_who_wants_no_certificate_says_nothing_of_one() -> None:
    assert certificate_status.joined({"a": 1}, BOUND, Told()) == ({"a": 1}, BOUND, [])
    fields, ready, others = certificate_status.joined({}, BOUND, Told(FIELDS, GOOD))
    assert (fields, ready, others) == ({"certificate": FIELDS}, BOUND, [GOOD])
