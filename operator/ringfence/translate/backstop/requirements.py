"""What holds for pods by what policies ask: Pod Security levels, registries of images, digests.

One ValidatingAdmissionPolicy for each requirement in use, under a name that follows from what it says; bindings say in
which namespaces it holds. Changed requirements are therefore new policies: they are there before the former ones go.
"""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, Final

from ringfence.controls import expiry, registry
from ringfence.controls.control import Control
from ringfence.inject.injection import Injection
from ringfence.model import names
from ringfence.model.labels import LabelBox
from ringfence.model.ports import Object
from ringfence.translate import cel
from ringfence.translate.backstop import form, images, pod_security, scope
from ringfence.translate.backstop.asked import Exemption, Placed, Requirement
from ringfence.translate.backstop.form import Validation
from ringfence.translate.backstop.pod_security import Broken
from ringfence.translate.backstop.scope import BROUGHT, WHOLE

#: What the names of these policies, and of their bindings, begin with.
PREFIX: Final = "ringfence-asked-"
_DIGITS: Final = 16
_POLICY: Final = "ValidatingAdmissionPolicy"
_BINDING: Final = "ValidatingAdmissionPolicyBinding"
_NOTHING: Final[frozenset[str]] = frozenset()


def objects(
    placed: Iterable[Placed], proxy: Injection | None = None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The policies and their bindings, each sorted by name; ``proxy`` is how pods get their proxy, None for not."""
    proxy_image = proxy.settings.image if proxy is not None else ""
    places: dict[Requirement, dict[LabelBox, set[str]]] = {}
    for each in placed:
        places.setdefault(each.requirement, {}).setdefault(each.pods, set()).add(each.namespace)
    policies = [policy(requirement, proxy_image) for requirement in places]
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
def policy(requirement: Requirement, proxy_image: str = "") -> dict[str, Any]:
    """The ValidatingAdmissionPolicy for a requirement. It is kept, and not to be changed."""
    rules, silent = scope.rules()
    made = form.policy(
        name_of(requirement),
        rules,
        scope.conditions(requirement.subject),
        _variables(requirement, proxy_image),
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


def _variables(requirement: Requirement, proxy_image: str) -> dict[str, str]:
    """Each expression is one of its own: lists of registries are long, and what CEL parses at once is limited."""
    found = scope.variables(requirement.subject)
    if requirement.images:
        found |= images.variables(proxy_image)
    asked = _forms(requirement)
    found |= {f"brings_{name}": form(BROUGHT) for forms in asked.values() for name, form in forms.items()}
    broken = [
        f"({cel.either(*(f'variables.brings_{name}' for name in forms))} ? [{cel.literal(control)}] : [])"
        for control, forms in asked.items()
    ]
    found["broken"] = " + ".join(broken) or "[]"
    for each in requirement.exemptions:
        for forms in _forms(requirement, frozenset(each.controls)).values():
            found |= {f"has_{name}": form(WHOLE) for name, form in forms.items()}
    for index, each in enumerate(requirement.exemptions):
        found[f"freed_{index}"] = _freed(requirement, each)
    return found


def _validation(requirement: Requirement) -> Validation:
    asked = ", ".join([*map(str, requirement.levels), *sorted({each.control for each in requirement.images})])
    what = f"asks for {asked}" if asked else "is closed"
    free = [f"variables.freed_{index}" for index, _ in enumerate(requirement.exemptions)]
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
    left = _forms(requirement, frozenset(exemption.controls)).values()
    return cel.both(
        f"variables.account in {cel.literal(exemption.accounts)}",
        f"oldObject != null || timestamp(object.metadata.creationTimestamp) < timestamp({cel.literal(until)})",
        *(f"!variables.has_{name}" for forms in left for name in forms),
    )


def _forms(requirement: Requirement, excepted: frozenset[str] = _NOTHING) -> dict[str, dict[str, Broken]]:
    """The controls that are asked for, sorted, each with the forms in which it is, by names for variables."""
    found: dict[str, dict[str, Broken]] = {}
    for each in requirement.levels:
        for control in registry.active(each.level, excepted if each.floor else _NOTHING, each.version):
            _add(found, control)
    if requirement.enrolment:
        # Whoever breaks one of these breaks the stricter one too, and is told that alone, as by the webhook.
        closed = registry.CLOSED - excepted - {registry.WEAKER.get(each) for each in found}
        for control in registry.CONTROLS:
            if control.id in closed:
                _add(found, control)
    for index, asked in enumerate(requirement.images):
        if not (asked.floor and asked.control in excepted):
            name = f"{_variable(asked.control)}_{index}"
            found.setdefault(asked.control, {})[name] = partial(images.broken, asked.control, asked.values)
    return dict(sorted(found.items()))


def _add(found: dict[str, dict[str, Broken]], control: Control) -> None:
    name = f"{_variable(control.id)}_{control.since}"
    found.setdefault(control.id, {})[name] = pod_security.FORMS[control.id][control.since]


def _variable(control: str) -> str:
    return control.replace("-", "_")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _name(obj: dict[str, Any]) -> str:
    return str(obj["metadata"]["name"])
