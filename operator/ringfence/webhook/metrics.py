"""What the webhook counts. Label values come from closed sets, so that no client can fill the memory with series."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ringfence.controls import binding, identity_secrets, proxies, registry
from ringfence.model.resources import PodSecurityException

#: Seconds. A decision takes tens of microseconds; above a few milliseconds something else held the process up.
_BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 3.0)
#: ``invariant``: see webhook.proving.
_KNOWN: Final = registry.IDS | binding.IDS | proxies.IDS | {identity_secrets.CONTROL_ID, "invariant"}
OTHER: Final = "other"


class Metrics:
    """The webhook's series in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._reviews = Counter(
            "ringfence_admission_reviews",
            "Admission reviews answered, by webhook and result (allowed, denied, malformed, failed).",
            ("webhook", "result"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "ringfence_admission_review_seconds",
            "Time from the complete body to the answer.",
            ("webhook",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._violations = Counter(
            "ringfence_admission_refusals", "Refusals by what was broken.", ("control",), registry=self.registry
        )
        self._exceptions = Counter(
            "ringfence_admission_exceptions_used",
            "Requests that would have been refused or reported without an exception, by policy and exception.",
            ("policy", "exception"),
            registry=self.registry,
        )
        self.events_dropped = Counter(
            "ringfence_admission_events_dropped",
            "Events that were not written because too many waited already.",
            registry=self.registry,
        )
        self.wants_dropped = Counter(
            "ringfence_admission_image_checks_dropped",
            "Images that were not passed on to be checked because too many waited already.",
            registry=self.registry,
        )
        self._turned_away = Counter(
            "ringfence_admission_turned_away",
            "Requests that were not judged, by reason (too_large, busy, late, protocol).",
            ("reason",),
            registry=self.registry,
        )
        self.learned = Counter(
            "ringfence_admission_live_reads",
            "Decisions that needed a read from the API server.",
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "ringfence_admission_in_flight", "Requests being read or answered.", registry=self.registry
        )
        self.stale_seconds = Gauge(
            "ringfence_cache_stale_seconds",
            "Since the API server was last heard of on the worst watch; 0 while all are healthy.",
            registry=self.registry,
        )
        self.revision = Gauge("ringfence_policy_revision", "Changes of policy seen so far.", registry=self.registry)
        self.refused_namespaces = Gauge(
            "ringfence_admission_refused_namespaces",
            "Enrolled namespaces that let nothing in, because a policy there was never understood.",
            registry=self.registry,
        )
        self.certificate_ends = Gauge(
            "ringfence_serving_certificate_end_seconds",
            "When the serving certificate ends, in seconds since the epoch.",
            registry=self.registry,
        )
        self._children: dict[tuple[str, str], Counter] = {}
        self._timers: dict[str, Histogram] = {}

    def answered(self, webhook: str, result: str, seconds: float) -> None:
        """Count one answer."""
        child = self._children.get((webhook, result))
        if child is None:
            child = self._children[webhook, result] = self._reviews.labels(webhook, result)
            self._timers[webhook] = self._seconds.labels(webhook)
        child.inc()
        self._timers[webhook].observe(seconds)

    def refused(self, controls: Iterable[str]) -> None:
        """Count what a refusal was for."""
        for control in controls:
            self._violations.labels(control if control in _KNOWN else OTHER).inc()

    def excepted(self, exception: PodSecurityException) -> None:
        """Count the use of an exception; there are as many as the platform grants."""
        self._exceptions.labels(exception.policy, exception.name).inc()

    def turned_away(self, reason: str) -> None:
        """Count a request that was not judged."""
        self._turned_away.labels(reason).inc()
