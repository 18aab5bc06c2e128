"""What a scrape shows of certificates and of the CA."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from ringfence import metrics
from ringfence.certificate_metrics import OVERDUE_SECONDS, PrometheusMeter
from ringfence.model.ca import RotationReason
from ringfence.model.certificates import CertificateSummary
from ringfence.pki import slots

from tests.unit.pki import material
from tests.unit.pki.material import NOW

SUMMARY = CertificateSummary("1", NOW, NOW + 3600, NOW + 900, "issuer")


class Rig:
    def __init__(self) -> None:
        self.now = float(NOW)
        self.meter = PrometheusMeter(lambda: self.now)

    def value(self, name: str, **labels: str) -> float:
        wanted = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        series = name + (f"{{{wanted}}}" if wanted else "")
        for line in metrics.render().decode().splitlines():
            if line.startswith(series + " "):
                return float(line.rpartition(" ")[2])
        raise LookupError(series)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.meter.clear()


def test_certificates_of_all_namespaces_are_counted_with_the_earliest_end(rig: Rig) -> None:
    rig.meter.holds("shop", {"a": SUMMARY, "b": replace(SUMMARY, not_after=NOW + 600)})
    rig.meter.holds("lab", {"a": SUMMARY})
    assert rig.value("ringfence_certificates") == 3
    assert rig.value("ringfence_certificates_earliest_end_timestamp_seconds") == NOW + 600
    rig.meter.holds("shop", {})
    rig.meter.holds("never", {})
    assert rig.value("ringfence_certificates") == 1
    assert rig.value("ringfence_certificates_earliest_end_timestamp_seconds") == NOW + 3600


def test_one_that_nobody_renews_becomes_overdue_as_time_goes_by(rig: Rig) -> None:
    rig.meter.holds("shop", {"a": SUMMARY, "b": replace(SUMMARY, renewal_time=NOW + 9000)})
    rig.now = NOW + 900 + OVERDUE_SECONDS
    assert rig.value("ringfence_certificates_overdue") == 0
    rig.now += 1
    assert rig.value("ringfence_certificates_overdue") == 1
    rig.meter.holds("shop", {"a": replace(SUMMARY, renewal_time=NOW + 9000)})
    assert rig.value("ringfence_certificates_overdue") == 0


def test_the_ca_in_each_of_its_phases(rig: Rig) -> None:
    idle = material.idle()
    rig.meter.ca(idle, "")
    assert rig.value("ringfence_ca_root_end_timestamp_seconds") == idle.current.root.not_after
    assert rig.value("ringfence_ca_phase", phase="Idle") == 1
    prepared = slots.prepare(idle, material.root(2), NOW, RotationReason.REQUESTED)
    rig.meter.ca(prepared, "")
    rig.meter.rotation(7)
    assert rig.value("ringfence_ca_phase", phase="Idle") == 0
    assert rig.value("ringfence_ca_phase", phase="Prepared") == 1
    assert rig.value("ringfence_ca_phase_since_timestamp_seconds") == NOW
    assert rig.value("ringfence_ca_rotation_waiting_for") == 7


def test_a_ca_that_cannot_be_used_shows_one_reason(rig: Rig) -> None:
    rig.meter.ca(None, "CAMissing")
    rig.meter.ca(None, "CAExpired")
    assert rig.value("ringfence_ca_unusable", reason="CAExpired") == 1
    with pytest.raises(LookupError):
        rig.value("ringfence_ca_unusable", reason="CAMissing")
    rig.meter.ca(material.idle(), "")
    with pytest.raises(LookupError):
        rig.value("ringfence_ca_unusable", reason="CAExpired")


def test_what_happens_is_counted(rig: Rig) -> None:
    rig.meter.issued("RenewalDue")
    rig.meter.failed("SigningRefused")
    rig.meter.bundle_failed("ClusterTrustBundle")
    assert rig.value("ringfence_certificates_issued_total", reason="RenewalDue") >= 1
    assert rig.value("ringfence_certificate_failures_total", error="SigningRefused") >= 1
    assert rig.value("ringfence_trust_bundle_failures_total", kind="ClusterTrustBundle") >= 1


def test_who_does_not_lead_any_more_shows_nothing(rig: Rig) -> None:
    rig.meter.holds("shop", {"a": SUMMARY})
    rig.meter.ca(None, "CAMissing")
    rig.meter.rotation(3)
    rig.now += 86400
    rig.meter.clear()
    for name in ("certificates", "certificates_overdue", "ca_rotation_waiting_for", "ca_root_end_timestamp_seconds"):
        assert rig.value(f"ringfence_{name}") == 0
    with pytest.raises(LookupError):
        rig.value("ringfence_ca_unusable", reason="CAMissing")
