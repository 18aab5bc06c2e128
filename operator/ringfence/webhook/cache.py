"""The View over the caches: policies are compiled once for each change and kept until a newer one compiles.

A change only marks its namespace; whoever asks next, or the background task, compiles it. A policy that cannot be
compiled (a defect, since resources that cannot be parsed are dealt with before) never takes the last good one away.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from ringfence.controls.pod import Pod
from ringfence.model.effective import EffectivePolicy
from ringfence.model.names import LABEL_ENROLL, LABEL_MANAGED_BY, MANAGED_BY
from ringfence.model.ports import Lister, Object
from ringfence.model.resources import ClusterSecurityPolicy, SecurityPolicy, ServiceIdentity
from ringfence.model.signatures import Verdicts
from ringfence.model.world import Enrolment, Namespace, World
from ringfence.reconcile import conditions, gather, staging
from ringfence.reconcile.known_verdicts import CachedVerdicts, ReadVerdicts
from ringfence.translate.admission_policy import CONDITION_ENFORCED
from ringfence.translate.network_policy import DEFAULT_DENY
from ringfence.webhook.view import Missing, NoPolicy

_log = logging.getLogger(__name__)

P = TypeVar("P", SecurityPolicy, ClusterSecurityPolicy)
Resolve = Callable[[World, str], EffectivePolicy]

#: Seconds between two looks of the background task for namespaces that have changed.
_PAUSE: Final = 0.05


class NoPods:
    """An empty Lister: admission needs no pods, and watching them all would cost more than the rest together."""

    @property
    def synced(self) -> bool:
        """Nothing is all there is."""
        return True

    def stale_for(self, monotonic: float) -> float:
        """Never stale."""
        del monotonic
        return 0.0

    def get(self, namespace: str, name: str) -> Object | None:
        """Nothing."""
        del namespace, name
        return None

    def list(self, namespace: str | None = None) -> Sequence[Object]:
        """Nothing."""
        return [] if namespace else ()


class CachedView:
    """Fulfils view.View from Listers. Lives in one event loop with them."""

    def __init__(
        self,
        gatherer: gather.Gatherer,
        namespaces: Lister,
        network_policies: Lister,
        resolve: Resolve,
        exempt: frozenset[str],
        verdicts: Lister = gather.NOTHING,
    ) -> None:
        self._verdicts = ReadVerdicts(verdicts)
        self._gatherer = gatherer
        self._exempt = exempt
        self._namespaces = namespaces
        self._network_policies = network_policies
        self._resolve = resolve
        self._compiled: dict[str, tuple[Namespace, EffectivePolicy]] = {}
        self._changed: set[str] = set()
        self._failed: dict[str, str] = {}
        self._known: dict[str, tuple[Object, Namespace]] = {}
        self._ready: dict[str, tuple[Object | None, Object | None, bool]] = {}
        #: Counts every change of what policies are made of: the revision that is in force.
        self.revision = 0

    # --- view.View ----------------------------------------------------------------------------------------------

    def namespace(self, name: str) -> Namespace | None:
        """The Namespace, None when the cache does not hold it."""
        obj = self._namespaces.get("", name)
        if obj is None:
            self._known.pop(name, None)
            return None
        held = self._known.get(name)
        if held is None or held[0] is not obj:
            held = self._known[name] = obj, namespace_of(obj, self._exempt)
        return held[1]

    def policy(self, namespace: Namespace) -> EffectivePolicy:
        """What holds in it; raises NoPolicy when it never could be compiled."""
        name = namespace.name
        held = self._compiled.get(name)
        if held is not None and name not in self._changed and (held[0] is namespace or held[0] == namespace):
            return held[1]
        if held is None and name in self._failed and name not in self._changed:
            raise NoPolicy(self._failed[name])
        return self._compile(namespace, held[1] if held else None)

    def network(self, namespace: str) -> bool | None:
        """True when the default deny is there or the namespace is staged; None otherwise."""
        obj = self._namespaces.get("", namespace)
        default_deny = self._network_policies.get(namespace, DEFAULT_DENY)
        held = self._ready.get(namespace)
        if held is None or held[0] is not obj or held[1] is not default_deny:
            held = self._ready[namespace] = obj, default_deny, network_ready(obj, default_deny)
        if obj is None:
            del self._ready[namespace]
        return True if held[2] else None

    def identities(self, namespace: str) -> tuple[ServiceIdentity, ...]:
        """Its ServiceIdentities, by name."""
        return self._gatherer.identities.of(namespace)

    def pod(self, namespace: str, name: str) -> Pod | None:
        """Not known: pods are not watched."""
        del namespace, name
        return None

    def verdicts(self, namespace: str) -> Verdicts:
        """What is known of the signatures of its images."""
        return CachedVerdicts(self._verdicts, namespace)

    def asked(self, missing: Missing) -> bool:
        """A cache asks nobody."""
        del missing
        return False

    # --- upkeep -------------------------------------------------------------------------------------------------

    def changed(self, namespace: str) -> None:
        """Something that its policy is made of has changed; "" for all namespaces."""
        self.revision += 1
        if namespace:
            self._changed.add(namespace)
        else:
            self._changed.update(self._compiled, self._failed)

    @property
    def unusable(self) -> tuple[str, ...]:
        """Namespaces whose policy could never be compiled, so that nothing is let in there; sorted."""
        return tuple(sorted(self._failed.keys() - self._compiled.keys()))

    def compile_all(self) -> None:
        """Compile every enrolled namespace; what fails is logged and counted."""
        for obj in self._namespaces.list():
            namespace = namespace_of(obj, self._exempt)
            if namespace.enrolment is not Enrolment.NONE:
                self._try(namespace)

    async def keep_compiled(self) -> None:
        """Compile what has changed, a namespace at a time, so that hardly a review has to; until cancelled."""
        while True:
            await asyncio.sleep(_PAUSE)
            for name in sorted(self._changed):
                namespace = self.namespace(name)
                if namespace is None or namespace.enrolment is Enrolment.NONE:
                    self._forget(name)
                else:
                    self._try(namespace)
                await asyncio.sleep(0)

    def _try(self, namespace: Namespace) -> None:
        try:
            self.policy(namespace)
        except NoPolicy:
            _log.debug("namespace %s has no policy yet", namespace.name)

    def _forget(self, name: str) -> None:
        self._changed.discard(name)
        self._failed.pop(name, None)
        self._compiled.pop(name, None)

    def _refuse_the_unknown(self, name: str) -> None:
        """A policy that was never understood may forbid anything: where it may govern, nothing can be said."""
        for each in self._gatherer.undecided(name):
            raise NoPolicy(str(each.error))

    def _compile(self, namespace: Namespace, former: EffectivePolicy | None) -> EffectivePolicy:
        name = namespace.name
        self._changed.discard(name)
        try:
            self._refuse_the_unknown(name)
            policy = self._resolve(without_rules(self._gatherer.world(), namespace), name)
        except Exception as error:  # noqa: BLE001 (whatever it is, nothing opens)
            return self._former(namespace, former, error)
        self._failed.pop(name, None)
        if namespace.enrolment is not Enrolment.NONE:
            self._compiled[name] = (namespace, policy)
        return policy

    def _former(self, namespace: Namespace, former: EffectivePolicy | None, error: Exception) -> EffectivePolicy:
        """The last good policy where the newest one cannot be had; raises NoPolicy without one."""
        name = namespace.name
        reason = f"the policy of namespace {name} cannot be told: {error}"
        _log.error(reason, exc_info=None if isinstance(error, NoPolicy) else error)
        if former is None or former.enrolment is not namespace.enrolment:
            self._compiled.pop(name, None)
            self._failed[name] = reason
            raise NoPolicy(reason) from error
        self._failed[name] = reason
        return former


def without_rules(world: World, namespace: Namespace) -> World:
    """The part of the world that admission depends on: one namespace, and its policies without their rules.

    What rules come to may take seconds to work out; here nobody asks for it, and everybody would wait.
    """
    own = tuple(_without_rules(each) for each in world.policies.get(namespace.name, ()))
    return dataclasses.replace(
        world,
        namespaces={namespace.name: namespace},
        policies={namespace.name: own},
        cluster_policies=tuple(_without_rules(each) for each in world.cluster_policies),
    )


def _without_rules(policy: P) -> P:
    return dataclasses.replace(policy, spec=dataclasses.replace(policy.spec, ingress=None, egress=None))


def namespace_of(obj: Object, exempt: frozenset[str]) -> Namespace:
    """A Namespace as a value; one that is exempt is not enrolled, whatever its label says."""
    metadata = obj["metadata"]
    name, labels = metadata["name"], dict(metadata.get("labels") or {})
    if name in exempt:
        labels.pop(LABEL_ENROLL, None)
    return Namespace.of(name, labels, terminating="deletionTimestamp" in metadata, enforced=staging.latched(obj))


def network_ready(namespace: Object | None, default_deny: Object | None) -> bool:
    """Whether a pod may come: all is denied by default already, or Ringfence has said that it is not yet to be."""
    if default_deny is not None and denies_all(default_deny):
        return True
    found = conditions.find(((namespace or {}).get("status") or {}).get("conditions"), CONDITION_ENFORCED)
    return found is not None and found.get("status") == "False" and found.get("reason") != staging.REASON_UNDECIDED


def denies_all(obj: Object) -> bool:
    """Whether a NetworkPolicy is Ringfence's default deny, by what it says and not by its name alone."""
    labels = obj["metadata"].get("labels") or {}
    spec: dict[str, Any] = obj.get("spec") or {}
    return (
        labels.get(LABEL_MANAGED_BY) == MANAGED_BY
        and not spec.get("podSelector")
        and {"Ingress", "Egress"} <= set(spec.get("policyTypes") or ())
        and not spec.get("ingress")
        and not spec.get("egress")
    )
