"""The life of the identities' CA: load it or make the first one, and take its rotation one step at a time.

Every change is one conditional write of one Secret, decided by pki.rotation from that Secret and from what is seen; a
process that dies anywhere leaves a state from which the next one gives the same answer. A CA that cannot be used is
never replaced: everything that it has signed would be cut off.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ringfence.model.ca import CaState, Phase, Slot
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.errors import RingfenceError
from ringfence.model.names import LABEL_MANAGED_BY, LABEL_PURPOSE, MANAGED_BY
from ringfence.model.ports import Object
from ringfence.pki import rotation, slots, store, template
from ringfence.pki.local_signer import LocalSigner
from ringfence.pki.root import make_root
from ringfence.pki.rotation import Action, Observations, Request, Step, Timing
from ringfence.pki.store import CaUnusable
from ringfence.reconcile import trust_bundle
from ringfence.reconcile.ca_sight import ANNOTATION_ROTATE, CaListers, Sight
from ringfence.reconcile.live import Fetch
from ringfence.reconcile.means import Means
from ringfence.reconcile.meter import Meter
from ringfence.reconcile.trust_bundle import ClusterTrust

_log = logging.getLogger(__name__)

PURPOSE: Final = "ca"
#: Seconds between two looks at a CA that cannot be used, or whose bundle cannot be published, and at a rotation.
UNUSABLE_SECONDS: Final = 60.0
ROTATING_SECONDS: Final = 1.0


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
        trust: ClusterTrust,
    ) -> None:
        """``serial`` draws positive random numbers of 64 to 159 bits."""
        self._listers = listers
        self.options = options
        self._means = means
        self._fetch = fetch
        self._serial = serial
        self._meter = meter
        self._trust = trust
        self._sight = Sight(listers, means.clock, means.api_clock, options.namespace)
        self._state: CaState | None = None
        self._version = ""
        #: Why there is no CA, None while it has not been loaded or all is well.
        self.problem: CaUnusable | None = None
        #: What the rotation waits for or does.
        self.step: Step | None = None
        #: Called when what others go by has changed.
        self.changed: Callable[[], None] = lambda: None
        self._signer: LocalSigner | None = None

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
            if self._take(None, error, ""):
                await self._lament(error)
            return now + UNUSABLE_SECONDS
        self._take(state, None, secret["metadata"].get("resourceVersion", ""))
        await self._mark(state)
        unwritten = await self._publish(secret, state)
        seen = await self._sight.look(secret, state, now, unwritten=unwritten)
        step = rotation.next_step(state, seen, now, self.options.timing)
        self.step = step
        self._meter.rotation(len(step.waiting_for))
        changed = self._changed(state, step, seen, now)
        if changed is not None:
            _log.info("rotation of the CA: %s: %s", step.action, rotation.describe(step))
            stored = await self._store(secret, changed, rotation.remaining_request(seen.request, step.action))
            self._take(changed, None, stored["metadata"].get("resourceVersion", ""))
            await self._mark(changed)
            await self._announce(stored, changed, step)
            return now
        if state.phase is not Phase.IDLE:
            return now + ROTATING_SECONDS
        wait = max(1.0, step.again_in)
        return now + (min(wait, UNUSABLE_SECONDS) if unwritten else wait)

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

    def _take(self, state: CaState | None, problem: CaUnusable | None, version: str) -> bool:
        """Go by this from now on; whether it is another than before."""
        before = (self._version, self.problem and str(self.problem))
        self._state, self.problem, self._version = state, problem, version
        self._meter.ca(state, problem.reason if problem else "")
        if before == (version, problem and str(problem)):
            return False
        if problem is not None:
            _log.error("the CA cannot be used and nothing is issued: %s: %s", problem.reason, problem)
        self.changed()
        return True

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
        await trust_bundle.write(self._means, self._meter, self.options.namespace, store.marker(state), held)

    async def _publish(self, secret: Object, state: CaState) -> tuple[str, ...]:
        """Have the ClusterTrustBundle say the same; its name if it does not. That keeps nothing else up."""
        failure = await self._trust.publish(state.bundle)
        if failure is None:
            return ()
        _log.warning("%s %s cannot be written: %s", trust_bundle.CLUSTER_KIND, trust_bundle.CLUSTER_NAME, failure)
        await self._means.events.emit(
            secret,
            type_="Warning",
            reason="TrustBundleNotWritten",
            action="PublishTrustBundle",
            note=f"{trust_bundle.CLUSTER_KIND} {trust_bundle.CLUSTER_NAME}: {failure}",
        )
        return (f"{trust_bundle.CLUSTER_KIND} {trust_bundle.CLUSTER_NAME}",)

    async def _lament(self, problem: CaUnusable) -> None:
        """Tell people of a CA that cannot be used, on what there is of it."""
        namespace = self.options.namespace
        left = self._listers.secret.get(namespace, store.SECRET_NAME)
        left = left or self._listers.bundles.get(namespace, store.MARKER_NAME)
        if left is not None:
            note = f"{problem}; nothing is issued or renewed meanwhile"
            await self._means.events.emit(left, type_="Warning", reason=problem.reason, action="LoadCA", note=note)

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
