"""Brings what belongs to the whole cluster to what it shall be: guards in the API server, serving certificates, and
the statuses of ClusterSecurityPolicies.

The webhook configurations fail closed, so they are written only once the webhook has a certificate that they trust,
and while that cannot be made sure they stay as they are.
"""

import asyncio
import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ringfence.model.errors import RingfenceError
from ringfence.model.ports import Lister, Object
from ringfence.model.resources import Mode
from ringfence.model.world import Installation
from ringfence.reconcile import programmed, promises, status
from ringfence.reconcile.apply import Writer
from ringfence.reconcile.asked import Asked
from ringfence.reconcile.conditions import Condition
from ringfence.reconcile.gather import Gatherer
from ringfence.reconcile.means import Means
from ringfence.reconcile.namespaces import write_status
from ringfence.reconcile.proxies import ProxyKeeper
from ringfence.reconcile.serving import ServingCertificates
from ringfence.reconcile.session_scopes import SessionScopes
from ringfence.translate import sessions, webhook_config
from ringfence.translate.admission_policy import PURPOSE
from ringfence.translate.backstop.asked import Placed
from ringfence.translate.sessions import Sessions

#: The objects that guard: by what is asked of pods, and by the caBundle and where sessions are closed.
Policies = Callable[[Installation, tuple[Placed, ...]], tuple[Object, ...]]
Webhooks = Callable[[Installation, bytes, Sessions], tuple[Object, ...]]


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
        proxies: ProxyKeeper | None = None,
    ) -> None:
        """``proxies`` None: there are none in this installation."""
        self._proxies = proxies
        self._listers = listers
        self._gatherer = gatherer
        self._certificates = certificates
        self._means = means
        self._policies = policies
        self._webhooks = webhooks
        self._asked = Asked(gatherer, means.clock.now)
        self._writer = Writer(means.applier, PURPOSE, absent_is_safe=False)
        self._writing = asyncio.Lock()
        self._scopes = SessionScopes(gatherer, means.clock.monotonic)
        self._promises = promises.Promises(gatherer)

    async def reconcile(self, shares: Mapping[str, Mapping[str, status.Share]]) -> float:
        """Make it so; ``shares`` maps namespace and ClusterSecurityPolicy to what they came to.

        Returns the seconds after which this wants to be called again (0: no wish). Raises RingfenceError when not
        everything could be written; everything is tried.
        """
        installation = self._gatherer.world().installation
        failures: list[RingfenceError] = []
        again_in, unasked = 0.0, ""
        for part in (self._guards, self._admission, self._for_proxies):
            try:
                again_in = _sooner(again_in, await part(installation))
            except RingfenceError as error:
                failures.append(error)
                unasked = str(error) if part == self._admission else unasked
        proven = await self._promises.look()
        again_in = _sooner(again_in, promises.EVERY if proven else 0.0)
        try:
            await self._statuses(shares, unasked, proven)
        except RingfenceError as error:
            failures.append(error)
        if failures:
            raise failures[0]
        return again_in

    @property
    def serving(self) -> ServingCertificates:
        """The serving certificates, whose roots proxies are told."""
        return self._certificates

    def differs(self, namespace: str) -> bool:
        """Whether something else is asked of a namespace than what was last written for the whole cluster."""
        # Both look, and remember what they saw.
        found = self._asked.differs(namespace), self._scopes.differs(namespace)
        return any(found)

    async def _guards(self, installation: Installation) -> float:
        asked, held = self._asked.everywhere(), self._listers.policies()
        written = await self._writer.write(asked.keep(self._policies(installation, asked.placed), held), held)
        return _sooner(written.again_in, asked.again_in)

    async def ask_about_sessions(self, name: str) -> None:
        """Have the API server ask about sessions into the pods of a namespace whose own policies close them.

        Returns when it is written; raises RingfenceError when it cannot be.
        """
        mode, namespace = self._scopes.look(name), self._gatherer.namespace(name)
        if mode is None or namespace is None:
            return
        held = [each for obj in self._listers.validating_webhooks.list() for each in obj.get("webhooks") or ()]
        if not webhook_config.asks_about_sessions(held, namespace.labels, closed=mode is Mode.ENFORCE):
            await self._admission(self._gatherer.world().installation)

    async def _admission(self, installation: Installation) -> float:
        async with self._writing:
            trust = await self._certificates.ensure(ca_bundles(self._listers.webhooks()))
            # Read after the last wait, so that no older state is written over a newer one.
            desired = self._webhooks(installation, trust.bundle, self._scopes.everywhere())
            written = await self._writer.write(desired, self._listers.webhooks())
        return _sooner(trust.again_in, written.again_in)

    async def _for_proxies(self, installation: Installation) -> float:
        del installation
        return await self._proxies.reconcile() if self._proxies is not None else 0.0

    async def _statuses(
        self, shares: Mapping[str, Mapping[str, status.Share]], unasked: str, proven: Mapping[str, Condition]
    ) -> None:
        """``unasked``: why the API server may not ask about what the policies close; "" when it does.

        ``proven``: by policy, whether its invariants hold.
        """
        parsed = self._gatherer.cluster_policies
        errors = {obj["metadata"]["name"]: error for obj, error in parsed.errors("")}
        asking = {each.meta.name for each in parsed.of("") if sessions.closes(each.spec.admission.controls)}
        modes = {each.meta.name: each.spec.mode for each in parsed.of("")}
        at_proxies = self._proxies.programmed() if self._proxies is not None else {}
        for obj in self._listers.cluster_policies.list():
            name = obj["metadata"]["name"]
            own = {namespace: each[name] for namespace, each in shares.items() if name in each}
            failure = unasked if name in asking else ""
            said = status.cluster_policy(name, errors.get(name), parsed.in_force("", name), own, failure)
            numbers, ready, others = programmed.joined(obj, said, at_proxies)
            promised = proven.get(name)
            if promised is not None:
                ready, others = promises.judged(ready, modes.get(name), promised), (*others, promised)
            patch = status.patch(obj, numbers, ready, self._means.clock.now(), others)
            if patch is not None:
                await write_status(self._means, obj, patch, ready)


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
