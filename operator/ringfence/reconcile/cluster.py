"""Brings what belongs to the whole cluster to what it shall be: guards in the API server, serving certificates, and
the statuses of ClusterSecurityPolicies.

The webhook configurations fail closed, so they are written only once the webhook has a certificate that they trust,
and while that cannot be made sure they stay as they are.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ringfence.model.errors import RingfenceError
from ringfence.model.ports import Lister, Object
from ringfence.model.world import Installation
from ringfence.reconcile import status
from ringfence.reconcile.apply import Writer
from ringfence.reconcile.asked import Asked
from ringfence.reconcile.gather import Gatherer
from ringfence.reconcile.means import Means
from ringfence.reconcile.namespaces import write_status
from ringfence.reconcile.serving import ServingCertificates
from ringfence.translate.admission_policy import PURPOSE
from ringfence.translate.backstop.asked import Placed

#: The objects that guard: by what is asked of pods, and by the caBundle.
Policies = Callable[[Installation, tuple[Placed, ...]], tuple[Object, ...]]
Webhooks = Callable[[Installation, bytes], tuple[Object, ...]]


@dataclass(frozen=True, slots=True)
class ClusterListers:
    """The caches of what Ringfence manages cluster-wide."""

    mutating_webhooks: Lister
    validating_webhooks: Lister
    admission_policies: Lister
    admission_policy_bindings: Lister
    cluster_policies: Lister

    def webhooks(self) -> list[Object]:
        """Both kinds of webhook configuration."""
        return [*self.mutating_webhooks.list(), *self.validating_webhooks.list()]

    def policies(self) -> list[Object]:
        """ValidatingAdmissionPolicies and their bindings."""
        return [*self.admission_policies.list(), *self.admission_policy_bindings.list()]


class ClusterReconciler:
    """``reconcile`` never runs twice at once."""

    def __init__(
        self,
        listers: ClusterListers,
        gatherer: Gatherer,
        certificates: ServingCertificates,
        means: Means,
        *,
        policies: Policies,
        webhooks: Webhooks,
    ) -> None:
        self._listers = listers
        self._gatherer = gatherer
        self._certificates = certificates
        self._means = means
        self._policies = policies
        self._webhooks = webhooks
        self._asked = Asked(gatherer, means.clock.now)
        self._writer = Writer(means.applier, PURPOSE, absent_is_safe=False)

    async def reconcile(self, shares: Mapping[str, Mapping[str, status.Share]]) -> float:
        """Make it so; ``shares`` maps namespace and ClusterSecurityPolicy to what they came to.

        Returns the seconds after which this wants to be called again (0: no wish). Raises RingfenceError when not
        everything could be written; everything is tried.
        """
        installation = self._gatherer.world().installation
        failures: list[RingfenceError] = []
        again_in = 0.0
        for part in (self._guards, self._admission):
            try:
                again_in = _sooner(again_in, await part(installation))
            except RingfenceError as error:
                failures.append(error)
        try:
            await self._statuses(shares)
        except RingfenceError as error:
            failures.append(error)
        if failures:
            raise failures[0]
        return again_in

    def differs(self, namespace: str) -> bool:
        """Whether something else is asked of the pods of a namespace than the backstop was last written for."""
        return self._asked.differs(namespace)

    async def _guards(self, installation: Installation) -> float:
        asked, held = self._asked.everywhere(), self._listers.policies()
        written = await self._writer.write(asked.keep(self._policies(installation, asked.placed), held), held)
        return _sooner(written.again_in, asked.again_in)

    async def _admission(self, installation: Installation) -> float:
        held = self._listers.webhooks()
        trust = await self._certificates.ensure(ca_bundles(held))
        written = await self._writer.write(self._webhooks(installation, trust.bundle), held)
        return _sooner(trust.again_in, written.again_in)

    async def _statuses(self, shares: Mapping[str, Mapping[str, status.Share]]) -> None:
        parsed = self._gatherer.cluster_policies
        errors = {obj["metadata"]["name"]: error for obj, error in parsed.errors("")}
        for obj in self._listers.cluster_policies.list():
            name = obj["metadata"]["name"]
            own = {namespace: each[name] for namespace, each in shares.items() if name in each}
            said = status.cluster_policy(name, errors.get(name), parsed.in_force("", name), own)
            patch = status.patch(obj, *said, self._means.clock.now())
            if patch is not None:
                await write_status(self._means, obj, patch, said[1])


def _sooner(one: float, other: float) -> float:
    """The earlier of two wishes, where 0 is none."""
    return min(one, other) if one and other else one or other


def ca_bundles(configurations: Sequence[Object]) -> list[bytes]:
    """The caBundle (PEM) of every webhook; empty where there is none."""
    found = []
    for configuration in configurations:
        for webhook in configuration.get("webhooks") or ():
            try:
                found.append(base64.b64decode(webhook.get("clientConfig", {}).get("caBundle") or "", validate=True))
            except ValueError:
                found.append(b"")
    return found
