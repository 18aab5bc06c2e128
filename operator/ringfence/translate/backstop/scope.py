"""What of a pod a policy judges: all of it, or only what a change brings. CEL that the expressions of controls share.

An update of a pod can bring new ephemeral containers, other images and other annotations; everything else that controls
look at is fixed by the API server when the pod is created. So pods from before can go on changing state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ringfence.model.labels import LabelBox, ValueSet
from ringfence.translate import cel
from ringfence.translate.backstop import form


@dataclass(frozen=True, slots=True)
class Scope:
    """CEL for one way to judge: lists of containers, of their securityContexts and of images' references.

    ``fresh`` is whether the pod as a whole is judged, ``changed`` whether an annotation (``key``, ``value``) is.
    """

    fresh: str
    containers: str
    contexts: str
    texts: str
    names: str
    changed: str


#: What a request brings.
BROUGHT: Final = Scope(
    fresh="variables.fresh",
    containers="variables.judged",
    contexts="variables.contexts",
    texts="variables.texts",
    names="variables.names",
    changed="(variables.fresh || !(key in variables.notes && variables.notes[key] == variables.annotations[key]))",
)
#: The whole pod, as it is after the request.
WHOLE: Final = Scope(
    fresh="true",
    containers="variables.everything",
    contexts="variables.allContexts",
    texts="variables.allTexts",
    names="variables.allNames",
    changed="true",
)


def optional(of: str, *path: str) -> str:
    """A field that may be absent, as an optional value; ``of`` is a map."""
    return of + "".join(f"[?'{field}']" for field in path)


def listed(of: str) -> str:
    """A list that may be absent, or null: so Kubernetes' own types write some that are empty. ``of`` is optional."""
    return f"(dyn({of}.orValue([])) == null ? [] : {of}.orValue([]))"


def variables(subject: LabelBox) -> dict[str, str]:
    """What the expressions rest on; each is evaluated when one needs it, and once."""
    everything = " + ".join(
        listed(f"variables.spec[?'{kind}']") for kind in ("initContainers", "containers", "ephemeralContainers")
    )
    old = listed("dyn(oldObject).spec[?'ephemeralContainers']")
    fresh = ["oldObject == null"]
    if subject.conditions:
        # Whoever is moved under a policy by a label must satisfy it as if it came anew.
        fresh.append(f"!({matches(subject, cel.labels('oldObject'))})")
    return {
        "spec": "dyn(object).spec",
        "fresh": cel.either(*fresh),
        "annotations": _annotations("object"),
        "notes": _annotations("oldObject"),
        "everything": everything,
        "judged": (
            f"variables.fresh ? variables.everything : {listed(optional('variables.spec', 'ephemeralContainers'))}"
            f".filter(c, !(c.name in {old}.map(o, o.name)))"
        ),
        "allContexts": _contexts(WHOLE.containers),
        "contexts": _contexts(BROUGHT.containers),
        "context": f"{optional('variables.spec', 'securityContext')}.orValue({{}})",
        "volumes": listed(optional("variables.spec", "volumes")),
        "linux": f"{optional('variables.spec', 'os', 'name')}.orValue('') != 'windows'",
        "ownUsers": f"{optional('variables.spec', 'hostUsers')}.orValue(true) == false",
        "named": f"{optional('variables.spec', 'serviceAccountName')}.orValue('')",
        "account": "variables.named == '' ? 'default' : variables.named",
    }


def conditions(subject: LabelBox) -> dict[str, str]:
    """Which requests are looked at: not those that change nothing, however large the pod, nor kubelets' static pods."""
    mirror = f"{cel.literal(_MIRROR)} in {_annotations('object')}"
    by_node = "has(request.userInfo.groups) && 'system:nodes' in request.userInfo.groups"
    same = ["oldObject != null", "object.spec == oldObject.spec"]
    same.append(f"{_annotations('object')} == {_annotations('oldObject')}")
    if subject.conditions:
        same.append(f"{cel.labels('object')} == {cel.labels('oldObject')}")
    found = {
        "may-bring-something": f"!({cel.both(*same)})",
        "not-a-static-pod": f"!({cel.both('oldObject == null', mirror, by_node)})",
    }
    return {**found, "is-meant": matches(subject, cel.labels("object"))} if subject.conditions else found


def matches(subject: LabelBox, labels: str) -> str:
    """Whether labels (CEL) satisfy every condition of a box."""
    return cel.both(*(_condition(key, values, labels) for key, values in subject.conditions)) or "true"


def rules() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Requests about pods in which something can be brought, subresources that nobody knows yet among them.

    The second list is what is left out: status, whose every update would pay, and what carries no such field.
    """
    silent: Sequence[str] = ("pods/binding", "pods/eviction", "pods/resize", "pods/status")
    return [form.rule("", ("pods", "pods/*"), form.WRITES)], [form.rule("", silent, form.WRITES)]


_MIRROR: Final = "kubernetes.io/config.mirror"


def _annotations(of: str) -> str:
    return f"({of} != null && has({of}.metadata.annotations) ? {of}.metadata.annotations : {{}})"


def _contexts(containers: str) -> str:
    return f"{containers}.map(c, {optional('c', 'securityContext')}.orValue({{}}))"


def _condition(key: str, values: ValueSet, labels: str) -> str:
    name = cel.literal(key)
    if values.values:
        among = f"{labels}[{name}] in {cel.literal(sorted(values.values))}"
        there = f"{name} in {labels} && {'!' if values.complement else ''}({among})"
    else:
        there = f"{name} in {labels}" if values.complement else "false"
    return f"!({name} in {labels}) || ({there})" if values.absent else there
