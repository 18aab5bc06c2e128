"""What holds for pods by what policies ask: Pod Security levels, registries of images, digests.

One ValidatingAdmissionPolicy for each requirement in use, under a name that follows from what it says; bindings say in
which namespaces it holds. Changed requirements are therefore new policies: they are there before the former ones go.
"""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from ringfence.controls import expiry, registry
from ringfence.model import names
from ringfence.model.labels import LabelBox
from ringfence.model.ports import Object
from ringfence.translate import cel
from ringfence.translate.backstop import form, images, pod_security, scope
from ringfence.translate.backstop.asked import Exemption, Placed, Requirement
from ringfence.translate.backstop.form import Validation
from ringfence.translate.backstop.scope import BROUGHT, WHOLE, Scope

#: What the names of these policies, and of their bindings, begin with.
PREFIX: Final = "ringfence-asked-"
_DIGITS: Final = 16
_POLICY: Final = "ValidatingAdmissionPolicy"
_BINDING: Final = "ValidatingAdmissionPolicyBinding"
_NOTHING: Final[frozenset[str]] = frozenset()


def objects(placed: Iterable[Placed]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The policies and their bindings, each sorted by name."""
    places: dict[Requirement, dict[LabelBox, set[str]]] = {}
    for each in placed:
        places.setdefault(each.requirement, {}).setdefault(each.pods, set()).add(each.namespace)
    policies = [policy(requirement) for requirement in places]
    bindings = [
        each
        for requirement, by_pods in places.items()
        for pods, namespaces in by_pods.items()
        for each in _bindings(name_of(requirement), pods, sorted(namespaces))
    ]
    return sorted(policies, key=_name), sorted(bindings, key=_name)


def keeping(desired: Iterable[Object], observed: Iterable[Object], undecided: frozenset[str]) -> tuple[Object, ...]:
    """``desired`` with what ``observed`` bindings hold in ``undecided`` namespaces, and the policies that they name."""
    wanted = {(obj["kind"], obj["metadata"]["name"]): obj for obj in desired}
    held = {(obj["kind"], obj["metadata"]["name"]): obj for obj in observed} if undecided else {}
    for (kind, name), obj in held.items():
        if kind != _BINDING or not name.startswith(PREFIX):
            continue
        kept = undecided.intersection(_namespaces(obj))
        policy_key = (_POLICY, str(obj["spec"].get("policyName", "")))
        if not kept or not (policy_key in wanted or policy_key in held):
            continue
        wanted.setdefault(policy_key, _as_written(held.get(policy_key, {})))
        now = wanted.get((kind, name))
        wanted[kind, name] = _in_namespaces(now or _as_written(obj), kept | {*_namespaces(now or {})})
    return tuple(wanted.values())


def _namespaces(binding: Object) -> tuple[str, ...]:
    """Where a binding of ours holds."""
    selector = binding.get("spec", {}).get("matchResources", {}).get("namespaceSelector", {})
    named = [each for each in selector.get("matchExpressions", ()) if each.get("key") == names.LABEL_NAMESPACE_NAME]
    return tuple(named[0].get("values", ())) if named else ()


def _in_namespaces(binding: Object, namespaces: Iterable[str]) -> dict[str, Any]:
    spec = binding["spec"]
    where = {"namespaceSelector": {"matchExpressions": _enforced(sorted(namespaces))}}
    return {**binding, "spec": {**spec, "matchResources": {**spec["matchResources"], **where}}}


def _as_written(obj: Object) -> dict[str, Any]:
    """An object without what the API server adds to metadata."""
    metadata = {key: obj["metadata"][key] for key in ("name", "labels") if key in obj.get("metadata", {})}
    return {**{key: obj[key] for key in ("apiVersion", "kind", "spec") if key in obj}, "metadata": metadata}


def name_of(requirement: Requirement) -> str:
    """The name of the policy for a requirement: another requirement has another one."""
    asks = requirement.levels, requirement.images, requirement.enrolment, requirement.exemptions
    return PREFIX + _digest(repr((*asks, requirement.subject.key)))


@lru_cache(maxsize=1024)
def policy(requirement: Requirement) -> dict[str, Any]:
    """The ValidatingAdmissionPolicy for a requirement. It is kept, and not to be changed."""
    rules, silent = scope.rules()
    made = form.policy(
        name_of(requirement),
        rules,
        scope.conditions(requirement.subject),
        _variables(requirement),
        [_validation(requirement)],
    )
    made["spec"]["matchConstraints"]["excludeResourceRules"] = silent
    return made


def _bindings(name: str, pods: LabelBox, namespaces: list[str]) -> Iterator[dict[str, Any]]:
    for selector in pods.selectors():
        made = form.binding(name)
        made["spec"]["matchResources"] = {"namespaceSelector": {"matchExpressions": _enforced(namespaces)}}
        if selector:
            made["metadata"]["name"] = f"{name}-{_digest(repr(sorted(selector.items())))}"
            made["spec"]["matchResources"]["objectSelector"] = selector
        yield made


def _enforced(namespaces: list[str]) -> list[dict[str, Any]]:
    """These namespaces, while their enrolment is enforced."""
    return [
        {"key": names.LABEL_ENROLL, "operator": "In", "values": ["enforce"]},
        {"key": names.LABEL_NAMESPACE_NAME, "operator": "In", "values": namespaces},
    ]


def _variables(requirement: Requirement) -> dict[str, str]:
    found = scope.variables(requirement.subject)
    if requirement.images:
        found |= images.variables()
    broken = [f"({expression}) ? [{cel.literal(control)}] : []" for control, expression in _asked(requirement, BROUGHT)]
    found["broken"] = " + ".join(f"({each})" for each in broken) or "[]"
    return found


def _validation(requirement: Requirement) -> Validation:
    asked = ", ".join([*map(str, requirement.levels), *sorted({each.control for each in requirement.images})])
    what = f"asks for {asked}" if asked else "is closed"
    free = [_freed(requirement, each) for each in requirement.exemptions]
    return Validation(
        cel.either("variables.broken == []", *free),
        f"the namespace {what}, and this pod breaks that",
        f"'namespace ' + request.namespace + {cel.literal(f' {what}, and this pod breaks ')} + "
        "variables.broken.join(', ') + '; while the webhook is away nobody says in which fields: try again later, or "
        "ask `ringfence admit`'",
    )


def _freed(requirement: Requirement, exemption: Exemption) -> str:
    """Whether one exception covers all that the whole pod breaks: what another one allows does not count.

    A new pod tells the time; that of an update nobody tells, and the controller takes exceptions out as they end.
    """
    until = datetime.fromtimestamp(expiry.ends(exemption.until), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    excepted = frozenset(exemption.controls)
    return cel.both(
        f"variables.account in {cel.literal(exemption.accounts)}",
        f"oldObject != null || timestamp(object.metadata.creationTimestamp) < timestamp({cel.literal(until)})",
        *(f"!({expression})" for _, expression in _asked(requirement, WHOLE, excepted)),
    )


def _asked(requirement: Requirement, judged: Scope, excepted: frozenset[str] = _NOTHING) -> Iterator[tuple[str, str]]:
    """Each control that is asked for, by its id, with whether the pod breaks any of the forms in which it is."""
    forms: dict[str, dict[str, None]] = {}
    for each in requirement.levels:
        for control in registry.active(each.level, excepted if each.floor else _NOTHING, each.version):
            forms.setdefault(control.id, {})[pod_security.broken(control.id, control.since, judged)] = None
    if requirement.enrolment:
        for control in registry.CONTROLS:
            if control.id in registry.CLOSED - excepted:
                forms.setdefault(control.id, {})[pod_security.broken(control.id, control.since, judged)] = None
    for asked in requirement.images:
        if not (asked.floor and asked.control in excepted):
            forms.setdefault(asked.control, {})[images.broken(asked.control, asked.values, judged)] = None
    for control_id in sorted(forms):
        yield control_id, cel.either(*forms[control_id])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _name(obj: dict[str, Any]) -> str:
    return str(obj["metadata"]["name"])
