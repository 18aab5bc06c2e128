"""What can be measured from outside, in Prometheus' text format. Names start with ``ringfence_``; labels stay few.

No label holds a name that a tenant chooses: a series for each of their objects would be theirs to multiply.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ringfence.model.ports import Object

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

RECONCILE_SECONDS: Final = Histogram(
    "ringfence_reconcile_seconds", "Duration of a reconcile, its writes included.", ["of"], buckets=_SECONDS
)
RECONCILES: Final = Counter("ringfence_reconciles", "Reconciles by outcome (done, failed, defect).", ["of", "outcome"])
QUEUE_DEPTH: Final = Gauge("ringfence_queue_depth", "Keys that wait for a worker.")
WRITES: Final = Counter("ringfence_writes", "Writes to the API server that succeeded.", ["verb", "kind"])
REQUEST_SECONDS: Final = Histogram(
    "ringfence_api_request_seconds",
    "Duration of requests to the API server by class of their status (none: no answer).",
    ["method", "status"],
    buckets=_SECONDS,
)
LEADER: Final = Gauge("ringfence_leader", "1 while this process may write, 0 while it stands by.")
CACHE_MISSES: Final = Counter("ringfence_cache_misses", "Objects that another watch saw and a cache did not.", ["of"])
IMAGE_CHECKS: Final = Counter("ringfence_image_checks", "Answers found out about images, by reason.", ["reason"])
FRONT_RESTARTS: Final = Counter("ringfence_front_restarts", "How often Kopf ended by itself and was started again.")

SCANNED_PODS: Final = Gauge("ringfence_scanned_pods", "Pods that run, by what the last scan says of them.", ["result"])


@dataclass(frozen=True, slots=True)
class Cache:
    """Figures of one cache at the moment of a scrape; ``stale`` in seconds."""

    name: str
    objects: int
    stale: float
    relists: int


def observe_request(method: str, status: int, seconds: float) -> None:
    """An Observer for kube.client: counts and times a request."""
    REQUEST_SECONDS.labels(method, f"{status // 100}xx" if status else "none").observe(seconds)


def count_scanned(passed: int, failed: int, warned: int) -> None:
    """For reconcile.scanner: how many pods of all namespaces pass, fail and are warned of."""
    for result, pods in (("pass", passed), ("fail", failed), ("warn", warned)):
        SCANNED_PODS.labels(result).set(pods)


def count_write(verb: str, kind: str) -> None:
    """For kube.apply: counts a write."""
    WRITES.labels(verb, kind).inc()


class CacheCollector(Collector):
    """Reads the caches at each scrape: how old they are, what is in them, and how their resources stand."""

    def __init__(
        self, caches: Callable[[], Iterable[Cache]], resources: Callable[[], Mapping[str, Iterable[Object]]]
    ) -> None:
        """``resources`` maps kind to its objects, of the kinds that carry the condition Ready."""
        self._caches = caches
        self._resources = resources

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are fixed, and registering must not read caches that are not there yet."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """One family each for staleness, sizes, relists and conditions."""
        stale = GaugeMetricFamily("ringfence_cache_stale_seconds", "Seconds without news, 0 if healthy.", labels=["of"])
        objects = GaugeMetricFamily("ringfence_cache_objects", "Objects in the cache.", labels=["of"])
        relists = GaugeMetricFamily("ringfence_cache_lists", "Complete lists so far.", labels=["of"])
        for cache in self._caches():
            stale.add_metric([cache.name], cache.stale)
            objects.add_metric([cache.name], cache.objects)
            relists.add_metric([cache.name], cache.relists)
        return (stale, objects, relists, self._conditions())

    def _conditions(self) -> Metric:
        family = GaugeMetricFamily(
            "ringfence_resources", "Ringfence's resources by their condition Ready.", labels=["kind", "ready", "reason"]
        )
        for kind, objects in sorted(self._resources().items()):
            for (ready, reason), count in sorted(Tally(_ready(obj) for obj in objects).items()):
                family.add_metric([kind, ready, reason], count)
        return family


def _ready(obj: Object) -> tuple[str, str]:
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Ready":
            return str(condition.get("status", "Unknown")), str(condition.get("reason", ""))
    return "Unknown", ""


def register(collector: Collector) -> None:
    """Have the collector asked at each scrape of this process."""
    REGISTRY.register(collector)


def unregister(collector: Collector) -> None:
    """The opposite of register."""
    REGISTRY.unregister(collector)


def render() -> bytes:
    """All metrics of this process in Prometheus' text format; CONTENT_TYPE goes with it."""
    return generate_latest(REGISTRY)
