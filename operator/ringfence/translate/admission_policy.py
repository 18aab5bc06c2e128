"""The backstop inside the API server: ValidatingAdmissionPolicies that hold while no webhook answers.

Every parameter is a literal (no paramKind: a policy whose parameters cannot be read is one that somebody can switch
off), and there are as few policies as the kinds allow, since each costs about a millisecond where an expression within
one is nearly free. What they hold:

- ``ringfence-pods``: a pod's identity label is its ServiceAccount, only in enrolled namespaces, and never changes; on
  ``pods``, on every subresource (``pods/status`` can change labels) and on bindings, whose labels the API server
  copies into the pod;
- ``ringfence-namespaces``: labels under ringfence.dev/, and the condition that says that a namespace is closed, are
  set by Ringfence and by whoever RBAC grants the verb ``enroll``;
- ``ringfence-network-policies``: in enforced namespaces only Ringfence writes NetworkPolicies;
- ``ringfence-verdicts``: what was found out about images' signatures only the controller writes; the webhook asks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ringfence.model import names
from ringfence.model.world import Enrolment, Installation
from ringfence.translate import cel
from ringfence.translate.exempt import exempt_namespaces

PODS: Final = "ringfence-pods"
NAMESPACES: Final = "ringfence-namespaces"
NETWORK_POLICIES: Final = "ringfence-network-policies"
VERDICTS: Final = "ringfence-verdicts"
#: Names of the policies; their bindings have the same.
NAMES: Final = (NAMESPACES, NETWORK_POLICIES, PODS, VERDICTS)

CONTROLLER: Final = "ringfence-controller"
WEBHOOK: Final = "ringfence-webhook"
PURPOSE: Final = "admission"
API_VERSION: Final = "admissionregistration.k8s.io/v1"

_MIRROR: Final = "kubernetes.io/config.mirror"
#: What Ringfence records in a Namespace's status once its network is closed.
CONDITION_ENFORCED: Final = f"{names.GROUP}/Enforced"
_MAY_ENROLL: Final = (
    f"authorizer.group({cel.literal(names.GROUP)}).resource('clustersecuritypolicies')"
    f".check({cel.literal(names.VERB_ENROLL)}).allowed()"
)
_LABEL: Final = cel.literal(names.LABEL_IDENTITY)
_ENROLL: Final = cel.literal(names.LABEL_ENROLL)

#: What the author of a pod without its label is told, and of one with another's. CEL.
_MISSING: Final = (
    f"'label {names.LABEL_IDENTITY} is missing and must be \"' + variables.account + '\", the pod\\'s ServiceAccount; "
    "the webhook sets it, and while that is away no pod comes into an enrolled namespace: try again'"
)
_FORGED: Final = (
    f"'label {names.LABEL_IDENTITY} is \"' + variables.label + '\", but the pod runs under ServiceAccount \"' + "
    "variables.account + '\"; remove the label, Ringfence sets it'"
)


@dataclass(frozen=True, slots=True)
class _Validation:
    """What must be true, and what its author is told otherwise. ``shown`` is CEL when the message names a value."""

    expression: str
    message: str
    shown: str = ""

    def to_object(self) -> dict[str, str]:
        spec = {"expression": self.expression, "message": self.message, "reason": "Forbidden"}
        return {**spec, "messageExpression": self.shown} if self.shown else spec


def controller_user(installation: Installation, controller: str = CONTROLLER) -> str:
    """The user as whom the controller's requests come."""
    return f"system:serviceaccount:{installation.namespace}:{controller}"


def objects(
    installation: Installation, *, controller: str = CONTROLLER, default_enrolment: Enrolment = Enrolment.NONE
) -> tuple[dict[str, Any], ...]:
    """The policies and then their bindings, each sorted by name.

    ``controller`` is the ServiceAccount, in Ringfence's namespace, that writes NetworkPolicies; ``default_enrolment``
    what a new namespace carries when its author may not choose.
    """
    user = cel.literal(controller_user(installation, controller))
    policies = (
        _namespaces(exempt_namespaces(installation), user, default_enrolment),
        _network_policies(exempt_namespaces(installation), user),
        _pods(exempt_namespaces(installation)),
        _verdicts(user, cel.literal(controller_user(installation, WEBHOOK))),
    )
    return (*policies, *(_binding(policy["metadata"]["name"]) for policy in policies))


def _pods(exempt: Sequence[str]) -> dict[str, Any]:
    rules = [_rule("", ["pods", "pods/*"], ["CREATE", "UPDATE"]), _rule("", ["bindings"], ["CREATE"])]
    # Every status update of every kubelet passes here: what changes no label is none of our business.
    conditions = {
        "labels-may-change": cel.both(
            f"{cel.SUBRESOURCE} != 'eviction'",
            f"request.operation == 'CREATE' || {cel.labels('object')} != {cel.labels('oldObject')}",
        )
    }
    return _policy(PODS, rules, conditions, _pod_variables(exempt), _pod_validations())


def _pod_variables(exempt: Sequence[str]) -> dict[str, str]:
    return {
        "after": cel.labels("object"),
        "before": cel.labels("oldObject"),
        "label": f"{_LABEL} in variables.after ? variables.after[{_LABEL}] : ''",
        "creates": f"request.operation == 'CREATE' && request.resource.resource == 'pods' && {cel.SUBRESOURCE} == ''",
        "binds": f"request.resource.resource == 'bindings' || {cel.SUBRESOURCE} == 'binding'",
        "enrolled": cel.both(
            f"!(request.namespace in {cel.literal(exempt)})",
            "namespaceObject != null && has(namespaceObject.metadata.labels)",
            f"{_ENROLL} in namespaceObject.metadata.labels",
            f"namespaceObject.metadata.labels[{_ENROLL}] in ['audit', 'enforce']",
        ),
        "mirror": cel.both(
            "variables.creates",
            f"has(object.metadata.annotations) && {cel.literal(_MIRROR)} in object.metadata.annotations",
        ),
        # A static pod has no ServiceAccount; every other pod gets one before any policy sees it.
        "account": (
            "variables.creates && has(dyn(object).spec.serviceAccountName) && "
            "dyn(object).spec.serviceAccountName != '' ? dyn(object).spec.serviceAccountName : 'default'"
        ),
    }


def _pod_validations() -> list[_Validation]:
    return [
        _Validation(
            "!variables.creates || variables.mirror || !variables.enrolled || variables.label == variables.account",
            f"label {names.LABEL_IDENTITY} must be the name of the pod's ServiceAccount",
            f"variables.label == '' ? {_MISSING} : {_FORGED}",
        ),
        _Validation(
            f"!variables.creates || (variables.enrolled && !variables.mirror) || !({_LABEL} in variables.after)",
            f"label {names.LABEL_IDENTITY} is only for pods of enrolled namespaces that run under a ServiceAccount",
        ),
        _Validation(
            "!variables.mirror || !variables.enrolled || "
            "(has(request.userInfo.groups) && 'system:nodes' in request.userInfo.groups)",
            f"annotation {_MIRROR} is only for kubelets; remove it",
        ),
        _Validation(
            "variables.creates || variables.binds || "
            f"({_LABEL} in variables.after) == ({_LABEL} in variables.before) && "
            f"(!({_LABEL} in variables.after) || variables.after[{_LABEL}] == variables.before[{_LABEL}]) || "
            f"(!variables.enrolled && !({_LABEL} in variables.after))",
            f"label {names.LABEL_IDENTITY} is set once, when the pod is created; leave it as it is",
        ),
        _Validation(
            f"variables.after.all(key, !key.startsWith({cel.literal(names.RESERVED_PREFIX)}) || "
            f"(key == {_LABEL} && !variables.binds) || "
            "(key in variables.before && variables.before[key] == variables.after[key]))",
            f"labels under {names.RESERVED_PREFIX} are Ringfence's; remove them",
        ),
    ]


def _namespaces(exempt: Sequence[str], user: str, default: Enrolment) -> dict[str, Any]:
    differ = [cel.reserved_differ(cel.labels("object"), cel.labels("oldObject"))]
    differ.append(f"{_enforced('object')} != {_enforced('oldObject')}")
    by_default = "false"
    if default is not Enrolment.NONE:
        # A new namespace carries the default whoever makes it: else its author opts out by making it anew.
        differ.append(f"request.operation == 'CREATE' && !({cel.NAME} in {cel.literal(exempt)})")
        by_default = cel.both(
            "request.operation == 'CREATE'",
            f"variables.after.filter(key, key.startsWith({cel.literal(names.RESERVED_PREFIX)})) == [{_ENROLL}]",
            f"variables.after[{_ENROLL}] == {cel.literal(default.value)}",
        )
    validations = [
        _Validation(
            cel.either(f"request.userInfo.username == {user}", by_default, _MAY_ENROLL),
            f"labels of a Namespace under {names.RESERVED_PREFIX} are set by whoever may enrol: "
            f"ask for the verb {names.VERB_ENROLL} on clustersecuritypolicies.{names.GROUP}",
        ),
        _Validation(
            f"!({_ENROLL} in variables.after) || !({cel.NAME} in {cel.literal(exempt)})",
            "this namespace belongs to Kubernetes, to Ringfence or to the platform's exceptions and is never enrolled",
        ),
    ]
    rules = [_rule("", ["namespaces", "namespaces/*"], ["CREATE", "UPDATE"])]
    return _policy(
        NAMESPACES,
        rules,
        {"what-is-ringfences-differs": cel.either(*differ)},
        {"after": cel.labels("object")},
        validations,
    )


def _enforced(of: str) -> str:
    """The status of Ringfence's condition in a Namespace, as a list of at most one."""
    return (
        f"({of} != null && has({of}.status) && has({of}.status.conditions) ? {of}.status.conditions"
        f".filter(c, c.type == {cel.literal(CONDITION_ENFORCED)}).map(c, c.status) : [])"
    )


def _network_policies(exempt: Sequence[str], user: str) -> dict[str, Any]:
    managed = cel.literal(names.LABEL_MANAGED_BY)
    owner = cel.literal(names.MANAGED_BY)
    variables = {
        "after": cel.labels("object"),
        "before": cel.labels("oldObject"),
        "ours": f"{managed} in variables.before && variables.before[{managed}] == {owner}",
        "becomesOurs": f"{managed} in variables.after && variables.after[{managed}] == {owner}",
    }
    validations = [
        _Validation(
            "request.operation != 'CREATE'",
            "in a namespace that Ringfence enforces only Ringfence writes NetworkPolicies: "
            "say what shall be open in a SecurityPolicy",
        ),
        _Validation(
            "request.operation != 'UPDATE' || "
            "(!variables.ours && !variables.becomesOurs && object.spec == oldObject.spec)",
            "in a namespace that Ringfence enforces NetworkPolicies do not change; "
            "delete this one if it is not Ringfence's, and say what shall be open in a SecurityPolicy",
        ),
        _Validation(
            "request.operation != 'DELETE' || !variables.ours || "
            "(namespaceObject != null && has(namespaceObject.metadata.deletionTimestamp)) || " + _MAY_ENROLL,
            "this NetworkPolicy is Ringfence's; it goes when the SecurityPolicy or the enrolment that asks for it goes",
        ),
    ]
    policy = _policy(
        NETWORK_POLICIES,
        [_rule("networking.k8s.io", ["networkpolicies"], ["CREATE", "UPDATE", "DELETE"])],
        {"not-by-ringfence": f"request.userInfo.username != {user}"},
        variables,
        validations,
    )
    policy["spec"]["matchConstraints"]["namespaceSelector"] = enrolled_selector(exempt, ("enforce",))
    return policy


def _verdicts(user: str, webhook: str) -> dict[str, Any]:
    """Whoever could write an answer could have any image run."""
    gone = "namespaceObject != null && has(namespaceObject.metadata.deletionTimestamp)"
    validations = [
        _Validation(
            cel.either(
                cel.both(f"request.userInfo.username == {webhook}", f"{cel.SUBRESOURCE} == ''"),
                cel.both("request.operation == 'DELETE'", cel.either(gone, _MAY_ENROLL)),
            ),
            "ImageVerdicts are Ringfence's: it writes what it finds out about images, and takes back what is old",
        )
    ]
    return _policy(
        VERDICTS,
        [_rule(names.GROUP, ["imageverdicts", "imageverdicts/*"], ["CREATE", "UPDATE", "DELETE"])],
        {"not-by-ringfence": f"request.userInfo.username != {user}"},
        {},
        validations,
    )


def enrolled_selector(exempt: Iterable[str], values: Sequence[str] = ("audit", "enforce")) -> dict[str, Any]:
    """Selects Namespaces by their enrolment; those exempt by a label that nobody can forge."""
    return {
        "matchExpressions": [
            {"key": names.LABEL_ENROLL, "operator": "In", "values": list(values)},
            {"key": names.LABEL_NAMESPACE_NAME, "operator": "NotIn", "values": list(exempt)},
        ]
    }


def _policy(
    name: str,
    rules: list[dict[str, Any]],
    conditions: Mapping[str, str],
    variables: Mapping[str, str],
    validations: Iterable[_Validation],
) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": _metadata(name),
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"matchPolicy": "Equivalent", "resourceRules": rules},
            "matchConditions": cel.named(conditions),
            "variables": cel.named(variables),
            "validations": [validation.to_object() for validation in validations],
        },
    }


def _binding(name: str) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": _metadata(name),
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }


def _metadata(name: str) -> dict[str, Any]:
    return {"name": name, "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_PURPOSE: PURPOSE}}


def _rule(group: str, resources: list[str], operations: list[str]) -> dict[str, Any]:
    return {"apiGroups": [group], "apiVersions": ["*"], "operations": operations, "resources": resources, "scope": "*"}
