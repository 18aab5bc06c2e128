"""The form of a ValidatingAdmissionPolicy and of its binding, and the pieces of CEL that the policies share.

What concerns changes to Ringfence's own objects is here once: a policy that forgot one of those who must get through
would hold up the end of a namespace, or the garbage collector, for ever.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ringfence.model import names
from ringfence.translate import cel

PURPOSE: Final = "admission"
API_VERSION: Final = "admissionregistration.k8s.io/v1"
WRITES: Final = ("CREATE", "UPDATE")
CHANGES: Final = (*WRITES, "DELETE")

#: Whether the author may do what only the platform may.
MAY_ENROLL: Final = (
    f"authorizer.group({cel.literal(names.GROUP)}).resource('clustersecuritypolicies')"
    f".check({cel.literal(names.VERB_ENROLL)}).allowed()"
)
#: Whether the namespace is being deleted, and everything in it with it.
NAMESPACE_ENDS: Final = "(namespaceObject != null && has(namespaceObject.metadata.deletionTimestamp))"
#: Writing an object as it is changes nothing: that is how storage is migrated and encrypted anew.
UNCHANGED: Final = "object == oldObject"
#: The garbage collector, by either name that its controller manager may give it.
BY_GARBAGE_COLLECTOR: Final = "request.userInfo.username in " + cel.literal(
    ("system:kube-controller-manager", "system:serviceaccount:kube-system:generic-garbage-collector")
)
#: Where objects hold what they mean; all that no kind at hand has is none before and none after.
_CONTENT: Final = ("spec", "data", "binaryData", "immutable", "type", "roleRef", "subjects")


@dataclass(frozen=True, slots=True)
class Validation:
    """What must be true, and what its author is told otherwise. ``shown`` is CEL when the message names a value."""

    expression: str
    message: str
    shown: str = ""

    def to_object(self) -> dict[str, str]:
        """As it stands in a policy."""
        spec = {"expression": self.expression, "message": self.message, "reason": "Forbidden"}
        return {**spec, "messageExpression": self.shown} if self.shown else spec


def policy(
    name: str,
    rules: list[dict[str, Any]],
    conditions: Mapping[str, str],
    variables: Mapping[str, str],
    validations: Iterable[Validation],
) -> dict[str, Any]:
    """A ValidatingAdmissionPolicy that refuses when it cannot tell."""
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


def binding(name: str) -> dict[str, Any]:
    """What puts the policy of that name in force."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": _metadata(name),
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }


def rule(group: str, resources: Sequence[str], operations: Sequence[str]) -> dict[str, Any]:
    """Requests for these resources in any version."""
    return {
        "apiGroups": [group],
        "apiVersions": ["*"],
        "operations": list(operations),
        "resources": list(resources),
        "scope": "*",
    }


def enrolled_selector(exempt: Iterable[str], values: Sequence[str] = ("audit", "enforce")) -> dict[str, Any]:
    """Selects Namespaces by their enrolment; those exempt by a label that nobody can forge."""
    return {
        "matchExpressions": [
            {"key": names.LABEL_ENROLL, "operator": "In", "values": list(values)},
            {"key": names.LABEL_NAMESPACE_NAME, "operator": "NotIn", "values": list(exempt)},
        ]
    }


def enrolled(exempt: Sequence[str]) -> str:
    """The same in CEL, of the namespace that the request is for."""
    label = cel.literal(names.LABEL_ENROLL)
    return cel.both(
        f"!(request.namespace in {cel.literal(exempt)})",
        "namespaceObject != null && has(namespaceObject.metadata.labels)",
        f"{label} in namespaceObject.metadata.labels",
        f"namespaceObject.metadata.labels[{label}] in ['audit', 'enforce']",
    )


def ours(labels: str) -> str:
    """Whether labels (CEL) say that the object is Ringfence's."""
    key = cel.literal(names.LABEL_MANAGED_BY)
    return f"({key} in {labels} && {labels}[{key}] == {cel.literal(names.MANAGED_BY)})"


def harmless() -> str:
    """Whether an update changes nothing, or only what the garbage collector and the end of an object need.

    An object that is being deleted loses its finalizers one by one; one whose owner has left it behind loses the owner.
    """
    same = [f"object[?{key}] == oldObject[?{key}]" for key in map(cel.literal, _CONTENT)]
    same.append(f"{cel.labels('object')} == {cel.labels('oldObject')}")
    return cel.either(
        UNCHANGED,
        cel.both(f"has(oldObject.metadata.deletionTimestamp) || {BY_GARBAGE_COLLECTOR}", *same),
    )


def _metadata(name: str) -> dict[str, Any]:
    return {"name": name, "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_PURPOSE: PURPOSE}}
