"""The life of the identities' CA: load it or make the first one, and take its rotation one step at a time.

Every change is one conditional write of one Secret, decided by pki.rotation from that Secret and from what is seen; a
process that dies anywhere leaves a state from which the next one gives the same answer. A CA that cannot be used is
never replaced: everything that it has signed would be cut off.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ringfence.model.ca import CaState, Phase, Slot
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.errors import RingfenceError
from ringfence.model.names import GROUP, LABEL_MANAGED_BY, LABEL_PURPOSE, MANAGED_BY
from ringfence.model.ports import Lister, Object
from ringfence.pki import bundle, identity_secret, renewal, rotation, slots, store, template
from ringfence.pki.local_signer import LocalSigner
from ringfence.pki.root import make_root
from ringfence.pki.rotation import Action, Observations, Request, Step, Timing
from ringfence.pki.store import CaUnusable
from ringfence.reconcile.live import Fetch, SecretCaches
from ringfence.reconcile.means import Means
from ringfence.reconcile.meter import Meter

_log = logging.getLogger(__name__)

#: On the CA's Secret: what `ringfence ca rotate` asks for.
ANNOTATION_ROTATE: Final = f"{GROUP}/rotate"
PURPOSE: Final = "ca"
#: Of the trust bundles in tenants' namespaces and of the rights to Secrets there.
PURPOSE_CERTIFICATES: Final = "certificates"
#: Seconds between two looks at a CA that cannot be used, and at a rotation under way.
UNUSABLE_SECONDS: Final = 60.0
ROTATING_SECONDS: Final = 1.0
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
    """``secret`` holds the one Secret of the CA, ``bundles`` the trust bundles (ConfigMaps) of all namespaces."""

    secret: Lister
    bundles: Lister
    namespaces: Lister
    secrets: SecretCaches


@dataclass(frozen=True, slots=True)
class CaOptions:
    """Where and how: ``namespace`` is Ringfence's own; ``life`` of a root and ``max_ttl`` of any leaf in seconds."""

    namespace: str
    trust_domain: str
    key_algorithm: KeyAlgorithm = KeyAlgorithm.ECDSA_P256
    life: int = 8760 * 3600
    max_ttl: int = template.MAX_TTL
    timing: Timing = field(default_factory=Timing)


class CaKeeper:
    """``reconcile`` never runs twice at once. ``state`` and ``problem`` are what the others go by."""

    def __init__(
        self,
        listers: CaListers,
        options: CaOptions,
        means: Means,
        fetch: Fetch,
        serial: Callable[[], int],
        meter: Meter,
        *,
        enrolled: Callable[[str], bool],
    ) -> None:
        """``serial`` draws positive random numbers of 64 to 159 bits; ``enrolled`` tells it of a namespace's name."""
        self._listers = listers
        self.options = options
        self._means = means
        self._fetch = fetch
        self._serial = serial
        self._meter = meter
        self._enrolled = enrolled
        self._state: CaState | None = None
        self._version = ""
        #: Why there is no CA, None while it has not been loaded or all is well.
        self.problem: CaUnusable | None = None
        #: What the rotation waits for or does.
        self.step: Step | None = None
        #: Called when what others go by has changed.
        self.changed: Callable[[], None] = lambda: None
        self._signer: LocalSigner | None = None
        self._carried: tuple[bytes, float] | None = None
        self._clocks: tuple[float, float] | None = None
        self._unsteady_until = float("-inf")
        self._judged: dict[tuple[str, str], tuple[Any, float, bool, bool]] = {}

    @property
    def state(self) -> CaState | None:
        """The CA; None while it is not loaded, cannot be used, or its Secret has changed since it was loaded.

        The last is what keeps a process that was not the leader for a while from signing with a key of yesterday.
        """
        held = self._listers.secret.get(self.options.namespace, store.SECRET_NAME)
        if held is None or held["metadata"].get("resourceVersion") != self._version:
            return None
        return self._state

    @property
    def signer(self) -> LocalSigner:
        """Signs with the current root; only while there is a ``state``."""
        state = self.state
        if state is None:
            raise RingfenceError("the CA has changed just now, or is not loaded")
        if self._signer is None or self._signer.root != state.current.root:
            self._signer = LocalSigner(state.current)
        return self._signer

    async def reconcile(self) -> float:
        """Do what is due; returns when to be called again at the latest (epoch seconds). Raises RingfenceError."""
        now = self._means.clock.now()
        try:
            secret, state = await self._load(now)
        except CaUnusable as error:
            self._take(None, error, "")
            return now + UNUSABLE_SECONDS
        self._take(state, None, secret["metadata"].get("resourceVersion", ""))
        await self._mark(state)
        seen = await self._observe(secret, state, now)
        step = rotation.next_step(state, seen, now, self.options.timing)
        self.step = step
        changed = self._changed(state, step, seen, now)
        if changed is not None:
            _log.info("rotation of the CA: %s: %s", step.action, rotation.describe(step))
            stored = await self._store(secret, changed, rotation.remaining_request(seen.request, step.action))
            self._take(changed, None, stored["metadata"].get("resourceVersion", ""))
            await self._mark(changed)
            await self._announce(stored, changed, step)
            return now
        if state.phase is Phase.IDLE:
            return now + max(1.0, step.again_in)
        return now + ROTATING_SECONDS

    # --- loading ------------------------------------------------------------------------------------------------

    async def _load(self, now: float) -> tuple[Object, CaState]:
        namespace, trust_domain = self.options.namespace, self.options.trust_domain
        secret = self._listers.secret.get(namespace, store.SECRET_NAME)
        marker = self._listers.bundles.get(namespace, store.MARKER_NAME)
        state = store.load(secret, marker, trust_domain, now)
        if state is None:
            # Neither cache has ever heard of a CA. Before that is believed, the API server itself is asked.
            secret = await self._fetch("Secret", namespace, store.SECRET_NAME)
            marker = await self._fetch("ConfigMap", namespace, store.MARKER_NAME)
            state = store.load(secret, marker, trust_domain, now)
        if state is None:
            state = slots.first(trust_domain, self._new_root(now), now)
            _log.info("first installation: made the root %s", state.current.root.fingerprint)
            secret = await self._means.applier.create(self._secret(state, {}, {}))
        if secret is None:
            raise RingfenceError("a CA without a Secret")
        return secret, state

    def _new_root(self, now: float) -> Slot:
        options = self.options
        return make_root(
            options.trust_domain,
            now,
            self._serial(),
            key_algorithm=options.key_algorithm,
            life=options.life,
        )

    def _take(self, state: CaState | None, problem: CaUnusable | None, version: str) -> None:
        before = (self._version, self.problem and str(self.problem))
        self._state, self.problem, self._version = state, problem, version
        self._meter.ca(state, problem.reason if problem else "")
        if before != (version, problem and str(problem)):
            if problem is not None:
                _log.error("the CA cannot be used and nothing is issued: %s: %s", problem.reason, problem)
            self.changed()

    # --- writing ------------------------------------------------------------------------------------------------

    def _secret(self, state: CaState, metadata: Mapping[str, Any], annotations: Mapping[str, str]) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                **metadata,
                "name": store.SECRET_NAME,
                "namespace": self.options.namespace,
                "labels": {**(metadata.get("labels") or {}), LABEL_MANAGED_BY: MANAGED_BY, LABEL_PURPOSE: PURPOSE},
                "annotations": dict(annotations),
            },
            "type": store.SECRET_TYPE,
            "data": store.encode(state),
        }

    async def _store(self, secret: Object, state: CaState, request: Request) -> Object:
        """Write the state on condition that the Secret is as it was read, with what is left of the request."""
        annotations = dict(secret["metadata"].get("annotations") or {})
        annotations.pop(ANNOTATION_ROTATE, None)
        if request is not Request.NONE:
            annotations[ANNOTATION_ROTATE] = request.value
        return await self._means.applier.replace(self._secret(state, secret["metadata"], annotations))

    async def _mark(self, state: CaState) -> None:
        """Have the ConfigMap beside the Secret say what is public of it."""
        held = self._listers.bundles.get(self.options.namespace, store.MARKER_NAME)
        await write_config_map(self._means, self.options.namespace, store.marker(state), held)

    async def _announce(self, secret: Object, state: CaState, step: Step) -> None:
        forced = step.reason is not None and step.reason.value == "Compromised"
        await self._means.events.emit(
            secret,
            type_="Warning" if forced else "Normal",
            reason=f"CA{step.action.value}",
            action="RotateCA",
            note=f"{step.why}; now {state.phase}, signing with {state.current.root.fingerprint[:16]}",
        )

    def _changed(self, state: CaState, step: Step, seen: Observations, now: float) -> CaState | None:
        """The state after the step; None when the step changes nothing. Raises TransitionRefused."""
        match step.action:
            case Action.PREPARE if step.reason is not None:
                return slots.prepare(state, self._new_root(now), now, step.reason)
            case Action.ACTIVATE:
                return slots.activate(state, now, self.options.timing.leaves_until(now))
            case Action.FORCE:
                return slots.force(state, now)
            case Action.RETIRE:
                return slots.retire(state, now, seen.old_leaves)
        return None

    # --- seeing -------------------------------------------------------------------------------------------------

    async def _observe(self, secret: Object, state: CaState, now: float) -> Observations:
        request = _request(secret)
        steady = self._steady(now)
        if state.phase is Phase.IDLE:
            self._carried = None
            return Observations(request=request, clock_steady=steady)
        missing = self._config_maps_missing(state)
        old: list[str] = []
        for number, (name, each) in enumerate(self._identity_secrets(missing)):
            carries, uses_old = self._judge(each, state, now)
            if not carries:
                missing.append(name)
            if uses_old:
                old.append(name)
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
        if missing:
            self._carried = None
        elif self._carried is None or self._carried[0] != state.bundle:
            self._carried = (state.bundle, now)
        return Observations(
            request=request,
            bundle_missing=tuple(sorted(missing)),
            carried_since=self._carried[1] if self._carried else None,
            old_leaves=tuple(sorted(old)),
            clock_steady=steady,
        )

    def _config_maps_missing(self, state: CaState) -> list[str]:
        namespaces = [self.options.namespace]
        for each in self._listers.namespaces.list():
            name = each["metadata"]["name"]
            if "deletionTimestamp" not in each["metadata"] and self._enrolled(name):
                namespaces.append(name)
        found = []
        for name in namespaces:
            held = self._listers.bundles.get(name, store.MARKER_NAME) or {}
            if not bundle.same(str((held.get("data") or {}).get(store.BUNDLE_KEY, "")).encode(), state.bundle):
                found.append(f"ConfigMap {name}/{store.MARKER_NAME}")
        return found

    def _identity_secrets(self, missing: list[str]) -> list[tuple[str, Object]]:
        """Every Secret of an identity; a namespace whose Secrets are not known (yet) counts as missing."""
        caches = self._listers.secrets.all()
        for each in self._listers.namespaces.list():
            name = each["metadata"]["name"]
            live = "deletionTimestamp" not in each["metadata"] and self._enrolled(name)
            if live and (name not in caches or not caches[name].synced):
                missing.append(f"Secrets of namespace {name}, not read yet")
        return [
            (f"Secret {obj['metadata']['namespace']}/{obj['metadata']['name']}", obj)
            for cache in caches.values()
            for obj in cache.list()
            if identity_secret.is_ours(obj)
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
        monotonic = self._means.clock.monotonic()
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


async def write_config_map(means: Means, namespace: str, data: Mapping[str, str], held: Object | None) -> None:
    """Have the trust bundle of a namespace hold exactly this data. The name is Ringfence's, whoever made the object."""
    labels = {LABEL_MANAGED_BY: MANAGED_BY, LABEL_PURPOSE: PURPOSE_CERTIFICATES}
    if held is not None:
        have = held["metadata"].get("labels") or {}
        same = held.get("data") == data and not held.get("binaryData") and not held.get("immutable")
        if same and labels.items() <= have.items():
            return
        if held.get("immutable"):
            await means.applier.delete("v1", "ConfigMap", namespace, store.MARKER_NAME, uid=held["metadata"]["uid"])
            held = None
    metadata: dict[str, Any]
    metadata = dict(held["metadata"]) if held is not None else {"name": store.MARKER_NAME, "namespace": namespace}
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)}
    if held is None:
        # Applied, not created: a POST cannot be limited to a name by RBAC, a PATCH can.
        await means.applier.apply(body)
    else:
        await means.applier.replace(body)


def _request(secret: Object) -> Request:
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
