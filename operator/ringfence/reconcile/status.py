"""What Ringfence says on people's resources: one condition, Ready, and a few numbers. Pure.

Ready is True when the resource is in force as it is written. Otherwise its reason is a code of policy.reasons (or one
of those below) and its message says what to do. A status is only written when it differs from what is there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ringfence.model.acknowledgements import PolicyState
from ringfence.model.effective import EffectivePolicy, Finding
from ringfence.model.errors import InvalidResource
from ringfence.model.ports import Object
from ringfence.model.resources import Kind, Mode, ServiceIdentity
from ringfence.model.spiffe import SpiffeId
from ringfence.model.world import Enrolment, Workload
from ringfence.policy.reasons import FindingReason
from ringfence.reconcile import conditions
from ringfence.reconcile.conditions import Condition
from ringfence.reconcile.staging import Staging
from ringfence.translate.network_policy import ANNOTATION_RULES

READY: Final = "Ready"
REASON_IN_FORCE: Final = "InForce"
REASON_BOUND: Final = "Bound"
REASON_AUDIT: Final = "Audit"
REASON_INVALID: Final = "InvalidResource"
REASON_NOT_APPLIED: Final = "NotApplied"

_NOT_WRITTEN: Final = "not all of it could be written"
_ORDER: Final = {reason.value: place for place, reason in enumerate(FindingReason)}

#: Worth a word, but the resource is in force as it is written.
REMARKS: Final = frozenset(
    {
        FindingReason.SELECTS_NO_PODS,
        FindingReason.WOULD_BE_SUSPENDED,
        FindingReason.API_SERVER_PORT,
        FindingReason.REQUESTS_NOT_SEEN,
        FindingReason.HOST_NETWORK_PODS,
        FindingReason.WAYS_PAST,
        FindingReason.PODS_OUTSIDE_RANGES,
    }
)

#: Fields of the status beside the conditions, and the condition Ready.
Said = tuple[dict[str, Any], Condition]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a reconcile of a namespace came to, as far as statuses tell it.

    ``objects`` are the NetworkPolicies that shall be there, ``failure`` says what could not be written ("" for
    nothing), ``invalid`` maps (kind, name) to why a resource cannot be understood and whether a former version is in
    force. ``programmed`` says by owner (as RuleRef.owner) how far policies have come at the proxies.
    """

    policy: EffectivePolicy
    staging: Staging
    objects: Sequence[Object] = ()
    workloads: Sequence[Workload] = ()
    failure: str = ""
    invalid: Mapping[tuple[str, str], tuple[InvalidResource, bool]] = field(default_factory=dict)
    programmed: Mapping[str, PolicyState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Share:
    """What one namespace contributes to the status of a ClusterSecurityPolicy."""

    findings: tuple[Finding, ...]
    network_policies: int
    pods: int


def running(workloads: Iterable[Workload]) -> Mapping[str, tuple[int, int]]:
    """By ServiceAccount, how many of its running pods carry the identity label and how many do not."""
    found: dict[str, tuple[int, int]] = {}
    for each in workloads:
        if not each.finished:
            enrolled, unenrolled = found.get(each.service_account, (0, 0))
            found[each.service_account] = (enrolled + each.labelled, unenrolled + (not each.labelled))
    return found


def identity(
    obj: Object,
    value: ServiceIdentity | None,
    outcome: Outcome,
    trust_domain: str,
    pods: Mapping[str, tuple[int, int]],
) -> Said:
    """Status fields beside the conditions, and Ready, of a ServiceIdentity; ``value`` None when never understood.

    ``pods`` is what ``running`` says of the namespace.
    """
    name, namespace = obj["metadata"]["name"], obj["metadata"]["namespace"]
    if value is None:
        return {"workloads": {"enrolled": 0, "unenrolled": 0}}, _invalid(outcome, Kind.SERVICE_IDENTITY, name)
    enrolled, unenrolled = pods.get(value.service_account, (0, 0))
    numbers: dict[str, Any] = {"workloads": {"enrolled": enrolled, "unenrolled": unenrolled}}
    try:
        spiffe_id = str(SpiffeId.of_service_account(trust_domain, namespace, value.service_account))
        numbers["spiffeID"] = spiffe_id
    except ValueError as error:
        return numbers, Condition(READY, False, FindingReason.INVALID_SERVICE_ACCOUNT, str(error))
    good = Condition(READY, True, REASON_BOUND, f"pods of ServiceAccount {value.service_account} are {spiffe_id}")
    if outcome.policy.enrolment is Enrolment.NONE:
        good = Condition(
            READY,
            False,
            FindingReason.NAMESPACE_NOT_ENROLLED,
            f"namespace {namespace} is not enrolled: rules that name this identity match nothing",
        )
    return numbers, _judged(outcome, Kind.SERVICE_IDENTITY, name, good)


def security_policy(obj: Object, mode: Mode | None, pods: int, outcome: Outcome) -> Said:
    """Status fields beside the conditions, and Ready, of a SecurityPolicy; ``mode`` None when never understood."""
    name, namespace = obj["metadata"]["name"], obj["metadata"]["namespace"]
    count = network_policies_of(outcome.objects, f"{Kind.SECURITY_POLICY} {namespace}/{name} rule ")
    numbers: dict[str, Any] = {"networkPolicies": count, "pods": pods}
    if mode is None:
        return numbers, _invalid(outcome, Kind.SECURITY_POLICY, name)
    return numbers, _judged(outcome, Kind.SECURITY_POLICY, name, _effect(mode, outcome, count))


def _effect(mode: Mode, outcome: Outcome, count: int) -> Condition:
    """What a sound policy comes to in its namespace."""
    enrolment = outcome.policy.enrolment
    if outcome.failure:
        return Condition(READY, False, REASON_NOT_APPLIED, f"{_NOT_WRITTEN}: {outcome.failure}")
    if mode is Mode.AUDIT:
        return Condition(READY, True, REASON_AUDIT, "mode Audit: evaluated and reported, blocks nothing")
    if enrolment is Enrolment.AUDIT:
        return Condition(READY, True, REASON_AUDIT, "the namespace is audited: evaluated and reported, blocks nothing")
    if enrolment is Enrolment.ENFORCE and not outcome.staging.closed:
        message = f"takes effect when the namespace closes: {outcome.staging.message}"
        return Condition(READY, False, outcome.staging.reason, message)
    return Condition(READY, True, REASON_IN_FORCE, f"{count} NetworkPolicies hold its rules")


def cluster_policy(
    name: str, error: InvalidResource | None, known: bool, shares: Mapping[str, Share], failure: str = ""
) -> Said:
    """Status fields beside the conditions, and Ready, of a ClusterSecurityPolicy; ``shares`` by namespace.

    ``known`` says that some version of it, perhaps a former one, is in force; ``failure`` what could not be written of
    what it needs ("" for nothing).
    """
    numbers = {
        "networkPolicies": sum(share.network_policies for share in shares.values()),
        "pods": sum(share.pods for share in shares.values()),
    }
    if error is not None:
        return numbers, Condition(READY, False, REASON_INVALID, _invalid_message(error, known))
    if failure:
        return numbers, Condition(READY, False, REASON_NOT_APPLIED, f"{_NOT_WRITTEN}: {failure}")
    good = Condition(READY, True, REASON_IN_FORCE, f"holds in {len(shares)} enrolled namespaces")
    subject = (Kind.CLUSTER_SECURITY_POLICY.value, "", name)
    findings = sorted({each for share in shares.values() for each in share.findings if each.subject == subject})
    return numbers, _with_findings(findings, good)


def network_policies_of(objects: Iterable[Object], prefix: str) -> int:
    """How many objects hold a rule whose reference starts so."""
    return sum(any(rule.startswith(prefix) for rule in _rules(obj)) for obj in objects)


def _rules(obj: Object) -> list[str]:
    text: str = (obj["metadata"].get("annotations") or {}).get(ANNOTATION_RULES, "")
    return text.split(", ")


def patch(
    obj: Object, numbers: Mapping[str, Any], ready: Condition, now: float, others: Sequence[Condition] = ()
) -> dict[str, Any] | None:
    """What to apply to the status subresource; None when it is there already. ``now``: seconds since the epoch."""
    metadata = obj["metadata"]
    generation = metadata.get("generation", 0)
    held = obj.get("status") or {}
    told = [
        each.render(conditions.find(held.get("conditions"), each.type), now, generation) for each in (ready, *others)
    ]
    wanted = {**numbers, "observedGeneration": generation, "conditions": told}
    if held == wanted:
        return None
    identity = {key: metadata[key] for key in ("name", "namespace") if metadata.get(key)}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": identity, "status": wanted}


def news(obj: Object, ready: Condition) -> Condition | None:
    """The condition, if a person should get an Event for it: something has gone wrong, or is mended."""
    held = conditions.find((obj.get("status") or {}).get("conditions"), READY)
    if held is None:
        return None if ready.status else ready
    if held.get("status") == ("True" if ready.status else "False") and (
        ready.status or (held.get("reason"), held.get("message")) == (ready.reason, ready.message)
    ):
        return None
    return ready


def _judged(outcome: Outcome, kind: Kind, name: str, good: Condition) -> Condition:
    """``good``, unless the resource is invalid or something was found about it."""
    if (kind.value, name) in outcome.invalid:
        return _invalid(outcome, kind, name)
    subject = (kind.value, outcome.policy.namespace, name)
    return _with_findings([each for each in outcome.policy.findings if each.subject == subject], good)


def _with_findings(findings: Sequence[Finding], good: Condition) -> Condition:
    severe = sorted((each for each in findings if each.reason not in REMARKS), key=_rank)
    if severe and good.status:
        return Condition(READY, False, severe[0].reason, "; ".join(each.message for each in severe))
    if findings and good.status:
        remarks = "; ".join(each.message for each in findings)
        return Condition(READY, True, good.reason, f"{good.message}; but {remarks}")
    return good


def _rank(finding: Finding) -> int:
    """Causes before what follows from them: the order in which policy.reasons has them."""
    return _ORDER.get(finding.reason, len(_ORDER))


def _invalid(outcome: Outcome, kind: Kind, name: str) -> Condition:
    error, known = outcome.invalid[kind.value, name]
    return Condition(READY, False, REASON_INVALID, _invalid_message(error, known))


def _invalid_message(error: InvalidResource, known: bool) -> str:
    effect = "its last good version stays in force"
    if not known:
        effect = "where it may be enforced the network stays as it is and no pod is admitted, until it is mended"
    return f"cannot be understood; {effect}: {error}"
