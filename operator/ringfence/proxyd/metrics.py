"""Figures of the configuration server. No label holds a name that a tenant chooses."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_SECONDS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

STREAMS: Final = Gauge("ringfence_proxyd_streams", "Proxies that are connected to this replica.")
REFUSED: Final = Counter("ringfence_proxyd_refused_streams", "Streams that were refused, by reason.", ["reason"])
FOREIGN: Final = Counter(
    "ringfence_proxyd_foreign_sources", "Streams that came from another address than those of the pod of their token."
)
PUSHES: Final = Counter("ringfence_proxyd_pushes", "Messages sent to proxies.")
PUSHED_BYTES: Final = Counter("ringfence_proxyd_pushed_bytes", "Bytes of these messages.")
NACKS: Final = Counter("ringfence_proxyd_nacks", "Refusals by proxies, by type of resource.", ["type"])
ACKNOWLEDGE_SECONDS: Final = Histogram(
    "ringfence_proxyd_acknowledge_seconds", "From a new configuration to a proxy's use of all of it.", buckets=_SECONDS
)
COMPUTE_SECONDS: Final = Histogram(
    "ringfence_proxyd_compute_seconds", "Duration of a pass over all classes of proxies.", buckets=_SECONDS
)
CLASSES: Final = Gauge("ringfence_proxyd_classes", "Classes of proxies of the last pass.")
COMPUTE_FAILED: Final = Counter("ringfence_proxyd_compute_failures", "Configurations that could not be computed.")
SVIDS: Final = Counter("ringfence_proxyd_svids", "Certificates made for proxies.")
SVIDS_FAILED: Final = Counter("ringfence_proxyd_svid_failures", "Certificates that could not be made.")
CERTIFICATE_ENDS: Final = Gauge(
    "ringfence_proxyd_certificate_ends_seconds", "When the serving certificate ends, in seconds since the epoch."
)


class PassMeter:
    """A classes.Observer."""

    def computed(self, classes: int, seconds: float) -> None:
        """As the port says."""
        CLASSES.set(classes)
        COMPUTE_SECONDS.observe(seconds)

    def failed(self) -> None:
        """As the port says."""
        COMPUTE_FAILED.inc()
