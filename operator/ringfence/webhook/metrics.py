"""What the webhook counts. Label values come from closed sets, so that no client can fill the memory with series."""

import functools
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
        counter = functools.partial(Counter, registry=self.registry)
        gauge = functools.partial(Gauge, registry=self.registry)
        answered = "Admission reviews answered, by webhook and result (allowed, denied, malformed, failed)."
        self._reviews = counter("ringfence_admission_reviews", answered, ("webhook", "result"))
        self._seconds = Histogram(
            "ringfence_admission_review_seconds",
            "Time from the complete body to the answer.",
            ("webhook",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._violations = counter("ringfence_admission_refusals", "Refusals by what was broken.", ("control",))
        excepted = "Requests that would have been refused or reported without an exception, by policy and exception."
        self._exceptions = counter("ringfence_admission_exceptions_used", excepted, ("policy", "exception"))
        lost = "Events that were not written because too many waited already."
        self.events_dropped = counter("ringfence_admission_events_dropped", lost)
        unchecked = "Images that were not passed on to be checked because too many waited already."
        self.wants_dropped = counter("ringfence_admission_image_checks_dropped", unchecked)
        unjudged = "Requests that were not judged, by reason (too_large, busy, late, protocol)."
        self._turned_away = counter("ringfence_admission_turned_away", unjudged, ("reason",))
        live = "Decisions that needed a read from the API server."
        self.learned = counter("ringfence_admission_live_reads", live)
        self.in_flight = gauge("ringfence_admission_in_flight", "Requests being read or answered.")
        stale = "Since the API server was last heard of on the worst watch; 0 while all are healthy."
        self.stale_seconds = gauge("ringfence_cache_stale_seconds", stale)
        self.revision = gauge("ringfence_policy_revision", "Changes of policy seen so far.")
        closed = "Enrolled namespaces that let nothing in, because a policy there was never understood."
        self.refused_namespaces = gauge("ringfence_admission_refused_namespaces", closed)
        ends = "When the serving certificate ends, in seconds since the epoch."
        self.certificate_ends = gauge("ringfence_serving_certificate_end_seconds", ends)
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
