"""Brings one namespace to what its policies say: network, condition of the Namespace, statuses, Events.

Order matters where a kill may fall between two writes. Closing: the latch, then the NetworkPolicies, the default deny
last; so whatever is missing after a restart is known to be missing, and meanwhile the webhook admits no pod. Opening:
the NetworkPolicies go first, the latch last.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from ringfence.model.acknowledgements import PolicyState
from ringfence.model.effective import EffectivePolicy
from ringfence.model.errors import InvalidResource, RingfenceError
from ringfence.model.mesh import ServiceValue
from ringfence.model.ports import Object
from ringfence.model.resources import ClusterSecurityPolicy, Kind, Mode, ServiceIdentity
from ringfence.model.world import Enrolment, Installation, Workload, World
from ringfence.policy import unseen
from ringfence.policy.notes import Notes
from ringfence.policy.subjects import subject_of
from ringfence.reconcile import certificate_status, gather, plan, programmed, staging, status
from ringfence.reconcile import certificates as certificates_
from ringfence.reconcile.apply import Failure, PartlyApplied, Writer
from ringfence.reconcile.certificate_status import Told
from ringfence.reconcile.conditions import Condition
from ringfence.reconcile.impact import Impact
from ringfence.reconcile.means import Means
from ringfence.reconcile.staging import Staging
from ringfence.reconcile.status import Outcome, Share
from ringfence.translate.network_policy import DEFAULT_DENY, PURPOSE

#: Statuses of one namespace that are written at the same time.
WRITES_AT_ONCE: Final = 8

Resolve = Callable[[World, str], EffectivePolicy]
Translate = Callable[[EffectivePolicy, Installation], tuple[Object, ...]]
#: Has the API server ask about sessions where a namespace's policies close them; raises RingfenceError.
AskAboutSessions = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Seen:
    """All that was read and computed in one turn of the event loop."""

    outcome: Outcome
    observed: Sequence[Object]
    trust_domain: str
    #: Each ServiceIdentity with its value, each SecurityPolicy with its mode (None: never understood) and its pods.
    identities: Sequence[tuple[Object, ServiceIdentity | None]]
    policies: Sequence[tuple[Object, Mode | None, int]]
    cluster_policies: Sequence[ClusterSecurityPolicy]


@dataclass(frozen=True, slots=True)
class Beside:
    """What works beside the networks of a namespace, and may not be there.

    ``certificates`` None: this process issues none; ``ask_about_sessions`` None: it writes no webhooks. ``programmed``
    is as Outcome has it; ``foreign`` names a namespace's policies in networks' own kinds.
    """

    certificates: certificates_.Certificates | None = None
    ask_about_sessions: AskAboutSessions | None = None
    programmed: Callable[[], Mapping[str, PolicyState]] = dict
    services: Callable[[str], Iterable[ServiceValue]] | None = None
    foreign: Callable[[str], Sequence[str]] = lambda _: ()


class NamespaceReconciler:
    """``reconcile`` may run for several namespaces at once, never twice at once for the same."""

    def __init__(
        self,
        listers: gather.Listers,
        gatherer: gather.Gatherer,
        means: Means,
        *,
        resolve: Resolve,
        translate: Translate,
        beside: Beside | None = None,
    ) -> None:
        beside = beside or Beside()
        self.programmed = beside.programmed
        self._listers = listers
        self._gatherer = gatherer
        self._means = means
        self._resolve = resolve
        self._translate = translate
        self._certificates = beside.certificates
        self._ask_about_sessions = beside.ask_about_sessions
        self._services = beside.services
        self._foreign = beside.foreign
        self._writer = Writer(means.applier, PURPOSE, absent_is_safe=True)
        self.impact = Impact()
        #: What each namespace contributes to the status of each ClusterSecurityPolicy.
        self.shares: dict[str, dict[str, Share]] = {}

    async def reconcile(self, name: str) -> float:
        """Make the namespace what it shall be; raises RingfenceError when not everything could be written.

        Returns the seconds after which this wants to be called again (0: no wish).
        """
        namespace = self._listers.namespaces.get("", name)
        if namespace is None or "deletionTimestamp" in namespace["metadata"]:
            # What is in a terminating namespace goes with it; nothing new may be written there.
            self.forget(name)
            return 0.0
        seen = self._look(name)
        told = seen.outcome.staging
        if told.closed and not staging.latched(namespace):
            # Without the latch a restart would not know that this namespace is to be closed.
            await self._record(namespace, told)
        # No pod comes in before the default deny is there: by then nobody else's word is taken for whom proxies follow.
        unpublished = await self._publish(seen)
        failures, again_in = await self._write(seen)
        unasked = await self._guard_sessions(name)
        failure = str(PartlyApplied([*failures, *unasked])) if failures or unasked else ""
        # While NetworkPolicies are left, so is the latch.
        if told.closed or not failures:
            failures += await _tried(f"condition of Namespace {name}", self._record(namespace, told))
        certified = await self._certify(seen, unpublished)
        failures += [*unasked, *certified.failures]
        failures += await self._tell(seen, replace(seen.outcome, failure=failure), certified.told)
        await self._tell_namespace(name, seen.outcome)
        if failures:
            raise PartlyApplied(failures)
        return again_in

    async def _guard_sessions(self, name: str) -> list[Failure]:
        """Before a policy is said to be in force the API server asks about what it closes; what failed."""
        if self._ask_about_sessions is None:
            return []
        return await _tried("webhook for sessions", self._ask_about_sessions(name))

    async def _publish(self, seen: _Seen) -> RingfenceError | None:
        """Write the namespace's trust bundle; why it could not be."""
        if self._certificates is None or seen.outcome.policy.enrolment is Enrolment.NONE:
            return None
        try:
            await self._certificates.publish(seen.outcome.policy.namespace)
        except RingfenceError as error:
            return error
        return None

    async def _certify(self, seen: _Seen, unpublished: RingfenceError | None) -> certificates_.Certified:
        """See to the certificates of the namespace's identities, whatever became of its network."""
        if self._certificates is None:
            return certificates_.Certified()
        policy = seen.outcome.policy
        return await self._certificates.reconcile(
            certificates_.Subject(
                namespace=policy.namespace,
                enrolled=policy.enrolment is not Enrolment.NONE,
                identities=seen.identities,
                workloads=seen.outcome.workloads,
                cluster_policies=seen.cluster_policies,
                unpublished=unpublished,
            )
        )

    def forget(self, name: str) -> None:
        """The namespace is gone, or is going: keep nothing of it."""
        self.impact.forget(name)
        self.shares.pop(name, None)
        self._gatherer.forget(name)
        self._writer.forget(name)
        if self._certificates is not None:
            self._certificates.forget(name)

    async def _write(self, seen: _Seen) -> tuple[list[Failure], float]:
        """Write the NetworkPolicies; what failed, and after how many seconds to look again."""
        try:
            written = await self._writer.write(seen.outcome.objects, seen.observed, last=DEFAULT_DENY)
        except PartlyApplied as error:
            return list(error.failures), 0.0
        return [], written.again_in

    def _look(self, name: str) -> _Seen:
        """Read the caches and compute; no await in here, so that all of it is one state."""
        world = self._gatherer.world()
        policy = self._resolve(world, name)
        governing = self._governing(world, name, policy)
        self.impact.note(name, (*governing, *world.policies.get(name, ())))
        observed = self._listers.network_policies.list(name)
        objects, told = self._network(world, policy, observed)
        told = staging.beside(told, self._foreign(name))
        workloads = world.workloads.get(name, ())
        if self._services is not None:
            policy = replace(policy, findings=unseen.findings(policy, workloads, self._services(name)))
        outcome = Outcome(
            policy=policy,
            staging=told,
            objects=objects,
            workloads=workloads,
            invalid=self._invalid(name),
            programmed=self.programmed(),
        )
        self._share(name, governing, outcome)
        return _Seen(
            outcome=outcome,
            observed=observed,
            trust_domain=world.installation.trust_domain,
            identities=[
                (obj, self._gatherer.identities.get(name, obj["metadata"]["name"]))
                for obj in self._listers.identities.list(name)
            ],
            policies=[self._policy(world, obj, workloads) for obj in self._listers.policies.list(name)],
            cluster_policies=world.cluster_policies,
        )

    def _network(
        self, world: World, policy: EffectivePolicy, observed: Sequence[Object]
    ) -> tuple[Sequence[Object], Staging]:
        """The NetworkPolicies that shall be there, and what the Namespace is to say of them."""
        name = policy.namespace
        undecided = self._gatherer.undecided(name) if policy.enrolment is Enrolment.ENFORCE else ()
        if undecided:
            # What is there is what was last understood; only the default deny is certain to be right.
            latched = world.namespaces[name].enforced
            held = [obj for obj in observed if plan.owned(obj, PURPOSE) and obj["metadata"]["name"] != DEFAULT_DENY]
            closed = self._translate(replace(policy, closed=latched), world.installation)
            deny = [obj for obj in closed if obj["metadata"]["name"] == DEFAULT_DENY]
            return [*held, *deny], staging.undecided(latched, [f"{each.kind} {each.name}" for each in undecided])
        objects = self._translate(policy, world.installation)
        # An object of ours that has lost its labels is about to get them back.
        ours = {each["metadata"]["name"] for each in objects}
        strangers = [each for each in world.strangers.get(name, ()) if each not in ours]
        return objects, staging.of(policy, strangers)

    def _policy(self, world: World, obj: Object, workloads: Sequence[Workload]) -> tuple[Object, Mode | None, int]:
        """A SecurityPolicy with its mode and how many running pods it governs."""
        value = self._gatherer.policies.get(obj["metadata"]["namespace"], obj["metadata"]["name"])
        if value is None:
            return obj, None, 0
        subject = subject_of(value, world, Notes())
        pods = sum(not each.finished and subject.matches(each.labels) for each in workloads)
        return obj, value.spec.mode, pods

    def _governing(self, world: World, name: str, policy: EffectivePolicy) -> list[ClusterSecurityPolicy]:
        """The ClusterSecurityPolicies that hold in the namespace."""
        if policy.enrolment is Enrolment.NONE:
            return []
        labels = world.namespaces[name].labels
        return [each for each in world.cluster_policies if each.namespace_selector.matches(labels)]

    def _share(self, name: str, governing: Sequence[ClusterSecurityPolicy], outcome: Outcome) -> None:
        pods = sum(not each.finished for each in outcome.workloads)
        shares = {
            each.meta.name: Share(
                findings=tuple(
                    finding
                    for finding in outcome.policy.findings
                    if finding.subject == (Kind.CLUSTER_SECURITY_POLICY.value, "", each.meta.name)
                ),
                network_policies=status.network_policies_of(
                    outcome.objects, f"{Kind.CLUSTER_SECURITY_POLICY} {each.meta.name} rule "
                ),
                pods=pods,
            )
            for each in governing
        }
        if shares:
            self.shares[name] = shares
        else:
            self.shares.pop(name, None)

    def _invalid(self, name: str) -> dict[tuple[str, str], tuple[InvalidResource, bool]]:
        gatherer = self._gatherer
        found = {}
        for kind, parsed in (
            (Kind.SERVICE_IDENTITY, gatherer.identities),
            (Kind.SECURITY_POLICY, gatherer.policies),
        ):
            for obj, error in parsed.errors(name):
                own = obj["metadata"]["name"]
                found[kind.value, own] = (error, parsed.in_force(name, own))
        return found

    async def _record(self, namespace: Object, told: Staging) -> None:
        """Write the condition of the Namespace if it says something else, and tell about the change."""
        namespace = self._listers.namespaces.get("", namespace["metadata"]["name"]) or namespace
        patch = staging.status_patch(namespace, told, self._means.clock.now())
        if patch is None:
            return
        held = staging.recorded(namespace)
        await self._means.applier.apply(patch, subresource="status")
        if told.reason and (held is None or (held.get("reason"), held.get("message")) != (told.reason, told.message)):
            await self._means.events.emit(
                namespace,
                type_="Normal" if told.closed else "Warning",
                reason=told.reason,
                action="CloseNetwork",
                note=told.message,
            )

    async def _tell(self, seen: _Seen, outcome: Outcome, certified: Mapping[str, Told]) -> list[Failure]:
        """Write the statuses of what was seen, every one; what failed."""
        pods = status.running(outcome.workloads)
        said: list[tuple[Object, dict[str, Any], Condition, Sequence[Condition]]] = []
        for obj, value in seen.identities:
            told = certified.get(obj["metadata"]["name"], Told())
            own = status.identity(obj, value, outcome, seen.trust_domain, pods)
            said.append((obj, *certificate_status.joined(*own, told)))
        said += [
            (obj, *programmed.joined(obj, status.security_policy(obj, mode, count, outcome), outcome.programmed))
            for obj, mode, count in seen.policies
        ]
        now = self._means.clock.now()
        patched = [(obj, status.patch(obj, numbers, ready, now, others), ready) for obj, numbers, ready, others in said]
        return await _all_tried(
            [
                (
                    f"status of {obj['kind']} {obj['metadata']['name']}",
                    functools.partial(write_status, self._means, obj, patch, ready),
                )
                for obj, patch, ready in patched
                if patch is not None
            ]
        )

    async def _tell_namespace(self, name: str, outcome: Outcome) -> None:
        namespace = self._listers.namespaces.get("", name)
        for finding in outcome.policy.findings:
            if namespace is None or finding.subject[0] != "Namespace" or finding.reason == outcome.staging.reason:
                continue
            await self._means.events.emit(
                namespace, type_="Warning", reason=finding.reason, action="Resolve", note=finding.message
            )


async def _tried(what: str, write: Awaitable[None]) -> list[Failure]:
    """Make a write that must not keep others from being made; what failed."""
    try:
        await write
    except RingfenceError as error:
        return [(what, error)]
    return []


async def _all_tried(writes: Sequence[tuple[str, Callable[[], Awaitable[None]]]]) -> list[Failure]:
    """Make all of them, a few at a time; what failed, in the order of ``writes``."""
    room = asyncio.Semaphore(WRITES_AT_ONCE)

    async def one(what: str, write: Callable[[], Awaitable[None]]) -> list[Failure]:
        async with room:
            return await _tried(what, write())

    failures: list[Failure] = []
    for each in await asyncio.gather(*(one(*each) for each in writes), return_exceptions=True):
        if isinstance(each, BaseException):
            raise each
        failures += each
    return failures


async def write_status(means: Means, obj: Object, patch: Object, ready: Condition) -> None:
    """Write a resource's status, with an Event where a person must know; ``patch`` is by status.patch."""
    await means.applier.apply(patch, subresource="status")
    told = status.news(obj, ready)
    if told is not None:
        type_ = "Normal" if told.status else "Warning"
        await means.events.emit(obj, type_=type_, reason=told.reason, action="Reconcile", note=told.message)
