"""Events (events.k8s.io/v1) on the resources of people: counted instead of repeated, and never a storm.

An Event that cannot be written is lost with a line in the log: nothing may fail because telling about it failed.
"""

import datetime
import hashlib
import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from ringfence.kube import client, errors, resources
from ringfence.model.ports import Clock, Object

_log = logging.getLogger(__name__)

#: The API's limit of ``note`` in bytes.
MAX_NOTE = 1024
#: Seconds after which a repeated event is counted in the cluster again; the API server drops events after an hour.
SERIES_SECONDS = 300.0
#: Events that one object may cause in a burst, and seconds until it may cause one more.
BURST = 20
REFILL_SECONDS = 60.0
_REMEMBERED = 2000

CONTROLLER = "ringfence.dev/controller"
WEBHOOK = "ringfence.dev/webhook"


@dataclass(slots=True)
class _Series:
    """What was written of one event, and how often it has happened since."""

    namespace: str
    name: str
    count: int
    written: float


@dataclass(slots=True)
class _Bucket:
    """How many events an object may still cause."""

    tokens: float
    filled: float


class KubeEvents:
    """Fulfils ports.EventSink."""

    def __init__(self, api: client.Client, clock: Clock, *, instance: str, controller: str = CONTROLLER) -> None:
        """``instance`` is the name of this pod, as ``reportingInstance`` (1..128 characters); ``controller`` the
        process, as ``reportingController``.
        """
        self._api = api
        self._clock = clock
        self._instance = instance[:128]
        self._controller = controller
        self._series: OrderedDict[tuple[str, ...], _Series] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, ...], _Bucket] = OrderedDict()

    async def emit(self, regarding: Object, *, type_: str, reason: str, action: str, note: str) -> None:
        """Record an event (``type_`` Normal or Warning); the same one again within the hour is only counted."""
        metadata = regarding["metadata"]
        about = (regarding["kind"], metadata.get("namespace", ""), metadata["name"], metadata.get("uid", ""))
        key = (*about, type_, reason, action, note)
        try:
            series = self._series.get(key)
            if series is not None:
                await self._again(key, series)
            elif self._may(about):
                await self._first(key, regarding, type_, reason, action, note)
        except errors.KubeError as error:
            _log.warning("an event about %s %s/%s could not be written: %s", *about[:3], error)

    async def _first(
        self, key: tuple[str, ...], regarding: Object, type_: str, reason: str, action: str, note: str
    ) -> None:
        metadata = regarding["metadata"]
        namespace = metadata.get("namespace") or "default"
        now = self._clock.now()
        digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:10]
        name = f"{metadata['name'][:220]}.{digest}.{int(now * 1000):x}"
        await self._api.request(
            "POST",
            resources.EVENTS.path(namespace),
            body={
                "apiVersion": "events.k8s.io/v1",
                "kind": "Event",
                "metadata": {"name": name, "namespace": namespace},
                "eventTime": _micro_time(now),
                "reportingController": self._controller,
                "reportingInstance": self._instance,
                "action": action,
                "reason": reason,
                "type": type_,
                "note": _cut(note),
                "regarding": _reference(regarding),
            },
        )
        _remember(self._series, key, _Series(namespace, name, 1, self._clock.monotonic()))

    async def _again(self, key: tuple[str, ...], series: _Series) -> None:
        series.count += 1
        self._series.move_to_end(key)
        if self._clock.monotonic() - series.written < SERIES_SECONDS:
            return
        body = {"series": {"count": series.count, "lastObservedTime": _micro_time(self._clock.now())}}
        path = resources.EVENTS.path(series.namespace, series.name)
        try:
            await self._api.request("PATCH", path, body=body, content_type=client.MERGE)
            series.written = self._clock.monotonic()
        except errors.NotFound:
            # It has expired in the cluster: the next time is a first time again.
            del self._series[key]

    def _may(self, about: tuple[str, ...]) -> bool:
        """Take a token of the object's bucket; False when it has caused too many events lately."""
        now = self._clock.monotonic()
        bucket = self._buckets.get(about)
        if bucket is None:
            bucket = _Bucket(BURST, now)
            _remember(self._buckets, about, bucket)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.filled) / REFILL_SECONDS)
        bucket.filled = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True


def _remember(memory: OrderedDict[tuple[str, ...], Any], key: tuple[str, ...], value: object) -> None:
    memory[key] = value
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)


def _reference(obj: Object) -> dict[str, str]:
    metadata = obj["metadata"]
    reference = {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "name": metadata["name"],
        "namespace": metadata.get("namespace", ""),
        "uid": metadata.get("uid", ""),
        "resourceVersion": metadata.get("resourceVersion", ""),
    }
    return {key: value for key, value in reference.items() if value}


def _cut(note: str) -> str:
    encoded = note.encode()
    if len(encoded) <= MAX_NOTE:
        return note
    return encoded[: MAX_NOTE - 3].decode(errors="ignore") + "..."


def _micro_time(now: float) -> str:
    """RFC 3339 with microseconds, as the API's MicroTime wants it."""
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
