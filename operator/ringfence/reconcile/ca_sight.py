"""What a rotation must know of the world: who lacks the bundle, who uses an old root, and whether the clock can be
believed.

What was seen is kept between two looks, since a rotation looks every second at every Secret: judging one costs 300
microseconds, recognising it nothing.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from ringfence.model.ca import CaState, Phase
from ringfence.model.names import GROUP
from ringfence.model.ports import Clock, Lister, Object
from ringfence.pki import identity_secret, renewal, store
from ringfence.pki.rotation import Observations, Request
from ringfence.reconcile import gather, proxy_reports, trust_bundle
from ringfence.reconcile.gather import NOTHING
from ringfence.reconcile.live import SecretCaches

_log = logging.getLogger(__name__)

#: On the CA's Secret: what `ringfence ca rotate` asks for.
ANNOTATION_ROTATE: Final = f"{GROUP}/rotate"
#: Seconds after the wall clock was set in which nothing irreversible happens.
UNSTEADY_SECONDS: Final = 300.0
#: Seconds without a look after which nothing is taken to have stood unchanged.
ABSENT_SECONDS: Final = 30.0
#: Secrets that are judged without a pause; judging one takes some 300 microseconds.
_AT_ONCE: Final = 50
#: Seconds after which a Secret that still uses an old root is judged again though it has not changed.
_JUDGED_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class CaListers:
    """``secret`` holds the one Secret of the CA, ``bundles`` the trust bundles (ConfigMaps) of all namespaces.

    ``enrolled`` tells it of a namespace's name. Where there are proxies, ``reports`` holds what proxyd says of them and
    ``pods`` all pods.
    """

    secret: Lister
    bundles: Lister
    namespaces: Lister
    secrets: SecretCaches
    enrolled: Callable[[str], bool]
    reports: Lister = NOTHING
    pods: Lister = NOTHING

    def alive(self, namespace: str, name: str, uid: str) -> bool:
        """Whether a pod is there and has not finished."""
        pod = self.pods.get(namespace, name)
        return pod is not None and pod["metadata"].get("uid") == uid and not gather.workload(pod).finished


class Sight:
    """``look`` never runs twice at once."""

    def __init__(self, listers: CaListers, clock: Clock, api_clock: Clock, own_namespace: str) -> None:
        self._listers = listers
        self._clock = clock
        self._api_clock = api_clock
        self._own_namespace = own_namespace
        self._carried: tuple[bytes, float] | None = None
        self._clocks: tuple[float, float] | None = None
        self._unsteady_until = float("-inf")
        self._judged: dict[tuple[str, str], tuple[Any, float, bool, bool]] = {}

    async def look(self, secret: Object, state: CaState, now: float, *, unwritten: Iterable[str] = ()) -> Observations:
        """What is seen ``now``; ``secret`` is the CA's. ``unwritten``: who lacks the bundle as it is known already."""
        request = request_of(secret)
        steady = self._steady(now)
        if state.phase is Phase.IDLE:
            self._carried = None
            self._judged.clear()
            return Observations(request=request, clock_steady=steady)
        missing = [*unwritten, *self._config_maps_missing(state)]
        old: list[str] = []
        for number, (name, each) in enumerate(self._identity_secrets(missing)):
            carries, uses_old = self._judge(each, state, now)
            if not carries:
                missing.append(name)
            if uses_old:
                old.append(name)
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
        reports = self._listers.reports.list()
        told = self._api_clock.now()
        untold = proxy_reports.unacknowledged(reports, state, told, self._listers.alive)
        if missing or untold:
            self._carried = None
        elif self._carried is None or self._carried[0] != state.bundle:
            self._carried = (state.bundle, now)
        return Observations(
            request=request,
            bundle_missing=tuple(sorted(missing)),
            unacknowledged=untold,
            carried_since=self._carried[1] if self._carried else None,
            old_leaves=(*sorted(old), *proxy_reports.old_leaves(reports, state, told, self._listers.alive)),
            clock_steady=steady,
        )

    def _config_maps_missing(self, state: CaState) -> list[str]:
        return [
            f"ConfigMap {name}/{store.MARKER_NAME}"
            for name in (self._own_namespace, *self._live())
            if not trust_bundle.carried_by(self._listers.bundles.get(name, store.MARKER_NAME), state.bundle)
        ]

    def _identity_secrets(self, missing: list[str]) -> list[tuple[str, Object]]:
        """Every Secret of an identity; a namespace whose Secrets are not known (yet) counts as missing."""
        caches = self._listers.secrets.all()
        missing += [
            f"Secrets of namespace {name}, not read yet"
            for name in self._live()
            if name not in caches or not caches[name].synced
        ]
        return [
            (f"Secret {obj['metadata']['namespace']}/{obj['metadata']['name']}", obj)
            for cache in caches.values()
            for obj in cache.list()
            if identity_secret.is_ours(obj)
        ]

    def _live(self) -> list[str]:
        """Names of the enrolled namespaces that are not about to go."""
        return [
            each["metadata"]["name"]
            for each in self._listers.namespaces.list()
            if "deletionTimestamp" not in each["metadata"] and self._listers.enrolled(each["metadata"]["name"])
        ]

    def _judge(self, secret: Object, state: CaState, now: float) -> tuple[bool, bool]:
        """Whether it carries the bundle, and whether it uses an old root; remembered until something changes."""
        metadata = secret["metadata"]
        place = (metadata["namespace"], metadata["name"])
        version = (metadata.get("uid"), metadata.get("resourceVersion"), _digest(state))
        held = self._judged.get(place)
        if held is not None and held[0] == version and (not held[3] or abs(now - held[1]) < _JUDGED_SECONDS):
            return held[2], held[3]
        found = (
            identity_secret.carries_bundle(secret, state),
            identity_secret.uses_old_root(secret, state, now),
        )
        self._judged[place] = (version, now, *found)
        return found

    def _steady(self, now: float) -> bool:
        monotonic = self._clock.monotonic()
        reading = (now, monotonic)
        if self._clocks is not None and monotonic - self._clocks[1] > ABSENT_SECONDS:
            # Not looked at for a while (another process led, the machine slept): what was seen then is not known now.
            self._carried = None
        if self._clocks is not None:
            stepped = renewal.clock_step(self._clocks, reading)
            if stepped:
                _log.warning("the clock was set by %.0f s", stepped)
                self._unsteady_until = monotonic + UNSTEADY_SECONDS
        self._clocks = reading
        return monotonic >= self._unsteady_until


def request_of(secret: Object) -> Request:
    """What a person asks for by the annotation on the CA's Secret."""
    asked = (secret["metadata"].get("annotations") or {}).get(ANNOTATION_ROTATE, "")
    try:
        return Request(asked)
    except ValueError:
        _log.warning(
            "the annotation %s asks for %r: only requested and compromised are known", ANNOTATION_ROTATE, asked
        )
        return Request.NONE


def _digest(state: CaState) -> bytes:
    return hashlib.sha256(state.current.root.fingerprint.encode() + state.bundle).digest()
