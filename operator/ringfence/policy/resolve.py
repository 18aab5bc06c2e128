"""From the world to what holds in one namespace. It reads only what concerns that namespace."""

from collections.abc import Iterable
from dataclasses import replace

from ringfence.model.effective import (
    AdmissionRequirement,
    ControlDemand,
    EffectivePolicy,
    RuleRef,
    SignatureDemand,
)
from ringfence.model.labels import LabelBox
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.resources import Mode, PodSecurityException, Transport
from ringfence.model.world import Enrolment, Namespace, World
from ringfence.policy import builtins, closing, fetches, findings, held, overlaps, rules, traffic
from ringfence.policy.issuers import Issuers
from ringfence.policy.notes import Notes
from ringfence.policy.order import box_key, rule_key
from ringfence.policy.reasons import FindingReason
from ringfence.policy.rules import Block, Policy
from ringfence.policy.sight import Lookups
from ringfence.policy.subjects import EVERY_POD, subject_of

Governed = tuple[tuple[Policy, LabelBox], ...]


def resolve(world: World, namespace: str) -> EffectivePolicy:
    """All that holds in ``namespace``; a namespace that does not exist is one that is not enrolled."""
    notes = Notes()
    known = world.namespaces.get(namespace) or Namespace.of(namespace)
    enrolment = closing.enrolment_of(world, known, notes)
    closed = closing.is_closed(world, known, enrolment, notes)
    governed = _governed(world, known, notes)
    listed, listed_in_audit = (_listed(governed, mode) for mode in (Mode.ENFORCE, Mode.AUDIT))
    issuers = Issuers.of(governed, world.installation.jwks_hosts, notes)
    found = _blocks(world, namespace, governed, listed, notes)
    blocks = [issuers.located(block, notes) for block in found]
    holding = held.Holding.of(world, namespace)
    judged = overlaps.suspend(list(held.denying_all(blocks, holding)), world.installation.pod_cidrs, notes)
    written = (rule for block in blocks for rule in block.rules)
    limited = traffic.effective(governed, world, issuers.by_key, notes, told=enrolment is not Enrolment.NONE)
    policy = EffectivePolicy(
        namespace=namespace,
        enrolment=enrolment,
        closed=closed,
        service_accounts=_service_accounts(world, namespace),
        rules=tuple(held.suspended(judged, holding)),
        egress_listed=listed,
        egress_listed_audit=listed_in_audit,
        transport=_transport(governed),
        traffic=limited,
        issuers=issuers.held,
        fetches=fetches.of(written, limited, issuers.by_key, world.installation, holding),
        admission=_admission(governed),
        demands=_demands(governed),
        signatures=_signatures(governed),
        exceptions=_exceptions(governed, namespace),
    )
    if enrolment is not Enrolment.NONE:
        held.note(blocks, holding, notes)
        traffic.note(policy, holding, notes)
    return _with_findings(policy, world, governed, notes)


def admission(world: World, namespace: str) -> EffectivePolicy:
    """What ``resolve`` would say of the admission of pods alone, without the work that rules make."""
    known = world.namespaces.get(namespace) or Namespace.of(namespace)
    notes = Notes()
    enrolment = closing.enrolment_of(world, known, notes)
    governed = _governed(world, known, notes)
    return EffectivePolicy(
        namespace=namespace,
        enrolment=enrolment,
        closed=False,
        service_accounts=_service_accounts(world, namespace),
        admission=_admission(governed),
        demands=_demands(governed),
        exceptions=_exceptions(governed, namespace),
    )


def signature_demands(world: World, namespace: str) -> tuple[SignatureDemand, ...]:
    """What ``resolve`` would say of signatures alone, without the work that rules make."""
    known = world.namespaces.get(namespace) or Namespace.of(namespace)
    return _signatures(_governed(world, known, Notes()))


def _governed(world: World, namespace: Namespace, notes: Notes) -> Governed:
    """The policies that apply in the namespace, floors first, each with the pods that it governs."""
    floors = sorted(
        (policy for policy in world.cluster_policies if policy.namespace_selector.matches(namespace.labels)),
        key=lambda policy: policy.meta.name,
    )
    own = sorted(world.policies.get(namespace.name, ()), key=lambda policy: policy.meta.name)
    return (
        *((policy, EVERY_POD) for policy in floors),
        *((policy, subject_of(policy, world, notes)) for policy in own),
    )


def _blocks(world: World, namespace: str, governed: Governed, listed: Iterable[LabelBox], notes: Notes) -> list[Block]:
    """The rules of every policy and those that hold without one, in the order of their refs."""
    lookups = Lookups(world)
    found = [rules.block(policy, subject, lookups) for policy, subject in governed]
    found += [Block((rule,)) for rule in builtins.open_rules(world.installation, namespace)]
    inside = builtins.inside_rules(listed)
    if inside is None:
        notes.namespace(
            namespace,
            FindingReason.TOO_COMPLEX,
            "the policies with `egress` select pods in so many ways that the others cannot be selected: calls inside "
            "stay closed for them; give those policies `appliesTo.identities`, or list egress for every pod",
        )
    else:
        found += [Block((rule,)) for rule in inside]
    for block in found:
        notes.include(block.findings)
    return sorted((block for block in found if block.rules), key=lambda block: rule_key(block.rules[0]))


def _listed(governed: Governed, mode: Mode) -> tuple[LabelBox, ...]:
    """The pods that need an egress Allow because of the policies of this mode; identities are joined into one box."""
    boxes = {s for policy, s in governed if policy.spec.mode is mode and rules.lists_egress(policy) and not s.empty}
    joined: LabelBox | None = None
    others = []
    for box in boxes:
        if [key for key, _ in box.conditions] == [LABEL_IDENTITY]:
            values = box.get(LABEL_IDENTITY)
            joined = box if joined is None else LabelBox.of({LABEL_IDENTITY: joined.get(LABEL_IDENTITY) | values})
        else:
            others.append(box)
    if joined is not None:
        others.append(joined)
    return tuple(sorted(others, key=box_key))


def _service_accounts(world: World, namespace: str) -> tuple[tuple[str, str], ...]:
    """ServiceAccount to ServiceIdentity; where two rest on one, the first in name order."""
    found: dict[str, str] = {}
    for name, identity in sorted(world.identities.get(namespace, {}).items()):
        found.setdefault(identity.service_account, name)
    return tuple(sorted(found.items()))


def _transport(governed: Governed) -> tuple[tuple[LabelBox, Transport], ...]:
    wishes = {
        (subject, policy.spec.transport)
        for policy, subject in governed
        if policy.spec.transport is not None and policy.spec.mode is Mode.ENFORCE
    }
    return tuple(sorted(wishes, key=lambda wish: (box_key(wish[0]), wish[1].mtls, wish[1].min_tls_version)))


def _admission(governed: Governed) -> tuple[AdmissionRequirement, ...]:
    return tuple(
        AdmissionRequirement(
            subject=subject,
            level=policy.spec.admission.pod_security,
            mode=policy.spec.mode,
            ref=_admission_of(policy),
            version=policy.spec.admission.pod_security_version,
        )
        for policy, subject in governed
        if policy.spec.admission.pod_security is not None
    )


def _admission_of(policy: Policy) -> RuleRef:
    return RuleRef(rules.kind_of(policy).value, policy.meta.namespace, policy.meta.name, "admission")


def _demands(governed: Governed) -> tuple[ControlDemand, ...]:
    """Every policy's own, floors first: a pod has to satisfy them all, so what is strictest holds."""
    return tuple(
        ControlDemand(
            subject=subject,
            settings=policy.spec.admission.controls,
            mode=policy.spec.mode,
            ref=_admission_of(policy),
        )
        for policy, subject in governed
        if policy.spec.admission.controls
    )


def _signatures(governed: Governed) -> tuple[SignatureDemand, ...]:
    return tuple(
        SignatureDemand(
            subject=subject,
            rule=rule,
            mode=policy.spec.mode,
            ref=RuleRef(rules.kind_of(policy).value, policy.meta.namespace, policy.meta.name, rule.name),
        )
        for policy, subject in governed
        for rule in policy.spec.admission.signatures
    )


def _exceptions(governed: Governed, namespace: str) -> tuple[PodSecurityException, ...]:
    """The exceptions for this namespace, of the enforced floors that reach it."""
    found = {
        exception
        for policy, _ in governed
        for exception in getattr(policy, "exceptions", ())
        if exception.namespace == namespace and policy.spec.mode is Mode.ENFORCE
    }
    return tuple(sorted(found, key=lambda e: (e.policy, e.name, e.identities, e.controls, e.reason, e.until)))


def _with_findings(policy: EffectivePolicy, world: World, governed: Governed, notes: Notes) -> EffectivePolicy:
    findings.identities(world, policy.namespace, notes)
    if policy.enrolment is Enrolment.NONE:
        findings.not_enrolled(policy.namespace, governed, notes)
    else:
        findings.selects_nothing(world, policy.namespace, governed, notes)
        findings.without_proxies(world, governed, notes)
        findings.pods(world, policy, notes)
        findings.builtin_stays_open(world, policy, notes)
        findings.shadowed_hosts(policy, notes)
    return replace(policy, findings=notes.sorted())
