"""What admission says of a pod: pure, and the same for the webhook and for ``ringfence admit``.

An update is judged by what it changes. Pods from before a policy must still be able to change state and to end, so
whatever was wrong with them already is no reason to refuse; removing a finalizer breaks nothing and always passes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from ringfence.controls import (
    binding,
    demands,
    exceptions,
    identity_secrets,
    pod,
    proxies,
    proxy_floor,
    requirements,
    signatures,
    templates,
)
from ringfence.controls.exceptions import Freed, Judge
from ringfence.controls.pod import Pod, Subject
from ringfence.controls.sessions import Session
from ringfence.controls.signatures import Known
from ringfence.inject import identity, pods
from ringfence.inject.injection import Injection
from ringfence.model.effective import EffectivePolicy
from ringfence.model.errors import CannotTell, FieldError, InvalidResource
from ringfence.model.ports import Object
from ringfence.model.resources import Mode, PodSecurityException
from ringfence.model.signatures import Wanted
from ringfence.model.verdict import Violation
from ringfence.model.world import Enrolment, Namespace


@dataclass(frozen=True, slots=True)
class Context:
    """Everything beside the pod that an answer depends on.

    ``now`` is in seconds since the epoch (UTC). ``network_ready`` says whether pods may come into the namespace as
    far as its network is concerned: the default deny is there, or the namespace is staged. ``known`` is what is known
    of images' signatures, None where nobody checks them; ``proxy`` how pods get a proxy, None where they get none.
    """

    namespace: Namespace
    policy: EffectivePolicy
    now: float
    network_ready: bool = True
    known: Known | None = None
    proxy: Injection | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Violations refuse, warnings are told to the user; both sorted, so equal pods get equal answers.

    ``used`` is the exception without which there would be more of them, ``wanted`` are the images whose signatures must
    be looked at.
    """

    violations: tuple[Violation, ...] = ()
    warnings: tuple[Violation, ...] = ()
    used: PodSecurityException | None = None
    wanted: tuple[Wanted, ...] = ()

    @property
    def admitted(self) -> bool:
        return not self.violations


#: Nothing to say of a pod: what most reviews end with.
GOOD: Final = Outcome()


def create(
    new: Pod, context: Context, *, by_node: bool = False, prefix: str = "", raw: Object | None = None
) -> Outcome:
    """Judge a new pod. ``by_node``: a kubelet asks, so a static pod may show itself.

    ``raw`` is the pod with all of its fields; without it no pod is good where pods get a proxy.
    """
    subject = Subject(new, prefix)
    service_account = pod.service_account(new)
    if context.policy.enrolment is Enrolment.NONE:
        return Outcome(tuple(sorted((*binding.label(subject, ""), *binding.reserved(subject)))))
    if pod.is_mirror(new):
        return _mirror(subject, by_node=by_node)
    subject, found = proxies.arriving(new, raw, context.proxy, context.policy.enrolment, prefix)
    hard = [
        *found,
        *binding.name(subject, service_account),
        *binding.label(subject, service_account),
        *binding.reserved(subject),
        *identity_secrets.check(subject, service_account),
    ]
    name = _identity(service_account, context.policy)
    enforced = _freed(subject, name, context, Mode.ENFORCE)
    soft = [*_tied(subject, service_account, name, context), *requirements.once(enforced.left)]
    warned = _freed(subject, name, context, Mode.AUDIT)
    told = requirements.once(warned.left)
    outcome = _outcome(context.policy.enrolment, hard, soft, told, enforced.used or warned.used)
    return _wanting(outcome, subject, service_account, context)


def update(new: Pod, old: Pod, context: Context, *, raw: tuple[Object, Object] | None = None) -> Outcome:
    """Judge the change from ``old`` to ``new``, by whatever subresource it came; ``raw`` are both with all fields."""
    subject = proxies.running(new, context.proxy)
    enrolled = context.policy.enrolment is not Enrolment.NONE
    hard = list(binding.unchanged(subject, old.metadata.labels, enrolled=enrolled))
    if not enrolled:
        return Outcome(tuple(sorted(hard)))
    before = proxies.running(old, context.proxy)
    service_account = pod.service_account(new)
    hard += _secrets_brought(subject, before, service_account)
    hard += proxies.changed(new, old, raw, context.proxy)
    name = _identity(service_account, context.policy)
    enforced = _brought(subject, before, name, context, Mode.ENFORCE)
    warned = _brought(subject, before, name, context, Mode.AUDIT)
    soft, told = requirements.once(enforced.left), requirements.once(warned.left)
    outcome = _outcome(context.policy.enrolment, hard, soft, told, enforced.used or warned.used)
    return _wanting(outcome, subject, service_account, context)


def session(way: Session, into: Pod, context: Context) -> Outcome:
    """Judge that somebody opens a session into a pod that runs; the pod itself is not judged again.

    An exception must cover the pod with the session in it: a pod that runs under another one is not opened by it.
    """
    policy = context.policy
    if policy.enrolment is Enrolment.NONE:
        return GOOD
    subject = proxies.running(into, context.proxy)
    candidates = exceptions.for_identity(policy, _identity(pod.service_account(into), policy), context.now)

    def decided(mode: Mode) -> Freed:
        def judge(excepted: frozenset[str]) -> list[Violation]:
            closed = demands.of_session(way, subject, policy, excepted, mode)
            return [*closed, *_judge(subject, context, mode)(excepted)]

        return exceptions.freed_change(
            demands.of_session(way, subject, policy, exceptions.NONE, mode), judge, candidates
        )

    enforced, warned = decided(Mode.ENFORCE), decided(Mode.AUDIT)
    soft, told = requirements.once(enforced.left), requirements.once(warned.left)
    return _outcome(policy.enrolment, [], soft, told, enforced.used or warned.used)


def admit(obj: Mapping[str, Any], context: Context) -> Outcome:
    """Judge a Pod, or the pods of a workload, that somebody is about to create; the identity label is set first.

    Raises InvalidResource when it is malformed, CannotTell when its kind has no pods.
    """
    group, kind = templates.group_kind(obj)
    path = templates.TEMPLATES.get((group, kind))
    if path is None:
        raise CannotTell(f"{kind or 'an object without a kind'}: admission judges pods, and this kind has none")
    try:
        return arriving(obj, path, context)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise malformed(kind, obj, error) from error


def arriving(obj: Mapping[str, Any], path: tuple[str, ...], context: Context) -> Outcome:
    """Judge the pod of an object, with what the webhook would add to it; raises msgspec.MsgspecError."""
    new, prefix = templates.decode(msgspec.json.encode(obj), path), templates.prefix(path)
    if context.policy.enrolment is Enrolment.NONE:
        return create(new, context, prefix=prefix)
    raw = None
    if context.proxy is not None:
        raw = with_proxy(templates.raw(obj, path), context.proxy, context.policy.enrolment)
        new = pod.of(raw)
    return create(identity.labelled(new), context, prefix=prefix, raw=raw)


def with_proxy(raw: Object, how: Injection, enrolment: Enrolment, draw: int = 0) -> Object:
    """A pod or template as the webhook makes it; ``draw`` (0 or more) chooses user and group of the proxy."""
    first, last = pods.users(raw.get("spec") or {})
    group, user = divmod(draw, last - first + 1)
    gid = first + group % (last - first + 1)
    return pods.injected(raw, how, first + user, gid, fill=enrolment is Enrolment.ENFORCE)


def malformed(kind: str, obj: Mapping[str, Any], error: Exception) -> InvalidResource:
    """The error of the decoder in Ringfence's words."""
    metadata = obj.get("metadata")
    name = str(metadata.get("name", "")) if isinstance(metadata, Mapping) else ""
    message, _, path = str(error).partition(" - at `$")
    field = path.rstrip("`").lstrip(".") or "(the object)"
    return InvalidResource(kind, name, (FieldError(field, message or type(error).__name__),))


def _mirror(subject: Subject, *, by_node: bool) -> Outcome:
    """A static pod runs whatever the API server says; hiding its mirror would help nobody. It has no identity."""
    found = [*binding.label(subject, ""), *binding.reserved(subject)]
    if not by_node:
        found.append(binding.forged_mirror(subject, pod.MIRROR_ANNOTATION))
    return Outcome(tuple(sorted(found)))


def _tied(subject: Subject, service_account: str, name: str, context: Context) -> list[Violation]:
    """Pods need an identity to have and a network to come into. ``name`` is that of the ServiceIdentity."""
    found = []
    if not name and binding.usable(service_account):
        found.append(binding.has_identity(subject, service_account, context.namespace.name))
    if not context.network_ready:
        found.append(binding.network_open(subject, context.namespace.name))
    return found


def _identity(service_account: str, policy: EffectivePolicy) -> str:
    """The ServiceIdentity of a ServiceAccount, "" for none."""
    for account, name in policy.service_accounts:
        if account == service_account:
            return name
    return ""


def _judge(subject: Subject, context: Context, mode: Mode) -> Judge:
    """What the subject breaks, less what an exception takes away."""
    return lambda excepted: _broken(subject, context, mode, excepted)


def _broken(
    subject: Subject, context: Context, mode: Mode, excepted: frozenset[str] = exceptions.NONE
) -> list[Violation]:
    policy = context.policy
    broken = requirements.violations(subject, policy, excepted, mode)
    if subject.proxied and mode is Mode.ENFORCE:
        broken += proxy_floor.violations(subject, excepted)
    if policy.demands:
        broken += demands.violations(subject, policy, excepted, mode)
    if policy.signatures:
        broken += signatures.violations(subject, policy, context.known, excepted, mode)
    return broken


def _changing(subject: Subject, before: Subject, context: Context, mode: Mode) -> Judge:
    """What the subject breaks as it is, and by how it came to be so."""
    whole = _judge(subject, context, mode)
    if not subject.proxied or mode is not Mode.ENFORCE:
        return whole
    return lambda excepted: whole(excepted) + proxy_floor.changed_images(subject, before, excepted)


def _wanting(outcome: Outcome, subject: Subject, service_account: str, context: Context) -> Outcome:
    """The outcome with the images that must be looked at."""
    if not context.policy.signatures or context.known is None:
        return outcome
    wanted = signatures.wanted(subject, context.policy, context.known, context.namespace.name, service_account)
    return replace(outcome, wanted=wanted) if wanted else outcome


def _freed(subject: Subject, name: str, context: Context, mode: Mode) -> Freed:
    """What a new pod breaks in this mode and no exception frees it of."""
    wrong = _broken(subject, context, mode)
    if not wrong or not context.policy.exceptions:
        return Freed(wrong)
    judge = _judge(subject, context, mode)
    return exceptions.freed(wrong, judge, exceptions.for_identity(context.policy, name, context.now))


def _brought(subject: Subject, before: Subject, name: str, context: Context, mode: Mode) -> Freed:
    """What is wrong now, was not before, and no exception frees the pod of."""
    judge = _changing(subject, before, context, mode)
    now = judge(exceptions.NONE)
    if not now:
        return Freed(now)
    former = _judge(before, context, mode)(exceptions.NONE)
    known = {(each.control, each.field, each.message) for each in former}
    brought = [each for each in now if (each.control, each.field, each.message) not in known]
    return exceptions.freed_change(brought, judge, exceptions.for_identity(context.policy, name, context.now))


def _secrets_brought(subject: Subject, before: Subject, service_account: str) -> list[Violation]:
    """Secrets of others that an update (an ephemeral container) begins to use."""
    now = list(identity_secrets.check(subject, service_account))
    if not now:
        return now
    known = set(identity_secrets.check(before, service_account))
    return [each for each in now if each not in known]


def _outcome(
    enrolment: Enrolment,
    hard: list[Violation],
    soft: list[Violation],
    warned: list[Violation],
    used: PodSecurityException | None = None,
) -> Outcome:
    """In an audited namespace only what ties pods to identities refuses."""
    if not hard and not soft and not warned and used is None:
        return GOOD
    if enrolment is Enrolment.ENFORCE:
        known = {(each.control, each.field) for each in soft}
        extra = [each for each in warned if (each.control, each.field) not in known]
        return Outcome(tuple(sorted((*hard, *soft))), tuple(sorted(extra)), used)
    return Outcome(tuple(sorted(hard)), tuple(sorted({*soft, *warned})), used)
