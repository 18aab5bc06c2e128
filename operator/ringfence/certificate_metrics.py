"""What can be measured of certificates from outside: issued, failed, about to end, and how the CA stands.

No label holds a name that a tenant chooses; which identity is meant is in its status and its Events.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client import Counter, Gauge

from ringfence.model.ca import CaState, Phase
from ringfence.model.certificates import CertificateSummary

ISSUED: Final = Counter(
    "ringfence_certificates_issued", "Certificates stored, by why the one before would not do.", ["reason"]
)
FAILURES: Final = Counter(
    "ringfence_certificate_failures", "Certificates that could not be issued or stored.", ["error"]
)
HELD: Final = Gauge("ringfence_certificates", "Certificates in Secrets of identities.")
OVERDUE: Final = Gauge(
    "ringfence_certificates_overdue", "Certificates that should have been renewed more than five minutes ago."
)
EARLIEST_END: Final = Gauge(
    "ringfence_certificates_earliest_end_timestamp_seconds",
    "When the first of the certificates ends (seconds since the epoch, 0: there are none).",
)
CA_PHASE: Final = Gauge("ringfence_ca_phase", "1 for the phase that the rotation of the CA is in.", ["phase"])
CA_PHASE_SINCE: Final = Gauge(
    "ringfence_ca_phase_since_timestamp_seconds",
    "When the rotation of the CA entered the phase that it is in (seconds since the epoch, 0: no CA).",
)
CA_ROTATION_WAITS: Final = Gauge(
    "ringfence_ca_rotation_waiting_for",
    "Objects that the rotation of the CA waits for; `ringfence ca status` names them.",
)
CA_END: Final = Gauge(
    "ringfence_ca_root_end_timestamp_seconds", "When the signing root ends (seconds since the epoch, 0: no CA)."
)
BUNDLE_FAILURES: Final = Counter(
    "ringfence_trust_bundle_failures", "Writes of trust bundles that failed, by kind of object.", ["kind"]
)
CA_UNUSABLE: Final = Gauge("ringfence_ca_unusable", "1 for the reason why the CA cannot be used.", ["reason"])


#: Seconds after its renewal was due at which a certificate is overdue; storms and retries take less.
OVERDUE_SECONDS: Final = 300


class PrometheusMeter:
    """Fulfils reconcile.meter.Meter."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._held: dict[str, Mapping[str, CertificateSummary]] = {}
        # Time goes on without anybody saying so: counted at each scrape.
        OVERDUE.set_function(self._overdue)

    def clear(self) -> None:
        """This process does not work any more: what it knows grows old, and is another's to tell."""
        self._held.clear()
        self._tell()
        self.ca(None, "")

    def issued(self, reason: str) -> None:
        """One more."""
        ISSUED.labels(reason).inc()

    def failed(self, reason: str) -> None:
        """One more."""
        FAILURES.labels(reason).inc()

    def holds(self, namespace: str, certificates: Mapping[str, CertificateSummary]) -> None:
        """Keep the earliest end and the number of all namespaces."""
        if certificates:
            self._held[namespace] = certificates
        elif self._held.pop(namespace, None) is None:
            return
        self._tell()

    def _tell(self) -> None:
        ends = [summary.not_after for each in self._held.values() for summary in each.values()]
        HELD.set(len(ends))
        EARLIEST_END.set(min(ends, default=0))

    def _overdue(self) -> float:
        late = self._now() - OVERDUE_SECONDS
        return sum(summary.renewal_time < late for each in self._held.values() for summary in each.values())

    def ca(self, state: CaState | None, problem: str) -> None:
        """Phase, end and trouble."""
        for phase in Phase:
            CA_PHASE.labels(phase.value).set(state is not None and state.phase is phase)
        CA_PHASE_SINCE.set(state.since if state is not None else 0)
        CA_END.set(state.current.root.not_after if state is not None else 0)
        if state is None:
            self.rotation(0)
        CA_UNUSABLE.clear()
        if problem:
            CA_UNUSABLE.labels(problem).set(1)

    def rotation(self, waiting_for: int) -> None:
        """How many it waits for."""
        CA_ROTATION_WAITS.set(waiting_for)

    def bundle_failed(self, kind: str) -> None:
        """One more."""
        BUNDLE_FAILURES.labels(kind).inc()
