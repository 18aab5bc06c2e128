"""What can be measured of certificates from outside: issued, failed, about to end, and how the CA stands.

No label holds a name that a tenant chooses; which identity is meant is in its status and its Events.
"""

from collections.abc import Mapping
from typing import Final

from prometheus_client import Counter, Gauge

from ringfence.model.ca import CaState, Phase

ISSUED: Final = Counter(
    "ringfence_certificates_issued", "Certificates stored, by why the one before would not do.", ["reason"]
)
FAILURES: Final = Counter(
    "ringfence_certificate_failures", "Certificates that could not be issued or stored.", ["error"]
)
HELD: Final = Gauge("ringfence_certificates", "Certificates in Secrets of identities.")
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


class PrometheusMeter:
    """Fulfils reconcile.meter.Meter."""

    def __init__(self) -> None:
        self._ends: dict[str, Mapping[str, int]] = {}

    def issued(self, reason: str) -> None:
        """One more."""
        ISSUED.labels(reason).inc()

    def failed(self, reason: str) -> None:
        """One more."""
        FAILURES.labels(reason).inc()

    def ends(self, namespace: str, ends: Mapping[str, int]) -> None:
        """Keep the earliest end and the number of all namespaces."""
        if ends:
            self._ends[namespace] = ends
        elif self._ends.pop(namespace, None) is None:
            return
        moments = [moment for each in self._ends.values() for moment in each.values()]
        HELD.set(len(moments))
        EARLIEST_END.set(min(moments, default=0))

    def ca(self, state: CaState | None, problem: str) -> None:
        """Phase, end and trouble."""
        for phase in Phase:
            CA_PHASE.labels(phase.value).set(state is not None and state.phase is phase)
        CA_PHASE_SINCE.set(state.since if state is not None else 0)
        CA_END.set(state.current.root.not_after if state is not None else 0)
        CA_UNUSABLE.clear()
        if problem:
            CA_UNUSABLE.labels(problem).set(1)

    def rotation(self, waiting_for: int) -> None:
        """How many it waits for."""
        CA_ROTATION_WAITS.set(waiting_for)

    def bundle_failed(self, kind: str) -> None:
        """One more."""
        BUNDLE_FAILURES.labels(kind).inc()
