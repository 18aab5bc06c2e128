"""What holds for pods: the identity label is the ServiceAccount, and an identity's Secret is for its own pods."""

from collections.abc import Sequence
from typing import Any, Final

from ringfence.inject.injection import Injection
from ringfence.model import names
from ringfence.translate import cel
from ringfence.translate.backstop import form, sidecar
from ringfence.translate.backstop.form import Validation

NAME: Final = "ringfence-pods"

_MIRROR: Final = "kubernetes.io/config.mirror"
_LABEL: Final = cel.literal(names.LABEL_IDENTITY)
_SUFFIX: Final = cel.literal(names.IDENTITY_SECRET_SUFFIX)

#: What the author of a pod without its label is told, and of one with another's. CEL.
_MISSING: Final = (
    f"'label {names.LABEL_IDENTITY} is missing and must be \"' + variables.account + '\", the pod\\'s ServiceAccount; "
    "the webhook sets it, and while that is away no pod comes into an enrolled namespace: try again'"
)
_FORGED: Final = (
    f"'label {names.LABEL_IDENTITY} is \"' + variables.label + '\", but the pod runs under ServiceAccount \"' + "
    "variables.account + '\"; remove the label, Ringfence sets it'"
)

#: Subresources that bring neither labels nor Secrets in, unless the labels differ. What is not known is judged.
_PLAIN: Final = ("", "resize", "status")
#: The Secrets that kinds of volumes (v) name, but for ``projected``, which may name many. CEL, empty where none is
#: named: an optional entry of a list would do as well, but makes API servers of Kubernetes 1.35 panic.
_VOLUMES: Final = tuple(
    f"v{path}.orValue('')"
    for path in (
        "[?'secret'][?'secretName']",
        "[?'azureFile'][?'secretName']",
        "[?'csi'][?'nodePublishSecretRef'][?'name']",
        *(
            f"[?'{kind}'][?'secretRef'][?'name']"
            for kind in ("cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos")
        ),
    )
)


def policy(exempt: Sequence[str], proxy: Injection | None = None) -> dict[str, Any]:
    """On ``pods``, on every subresource (``pods/status`` can change labels), and on bindings.

    The API server copies the labels of a binding into its pod.
    """
    rules = [form.rule("", ["pods", "pods/*"], form.WRITES), form.rule("", ["bindings"], ["CREATE"])]
    # Every status update of every kubelet passes here: what changes no label is none of our business.
    conditions = {
        "labels-or-secrets-may-change": cel.both(
            f"{cel.SUBRESOURCE} != 'eviction'",
            cel.either(
                "request.operation == 'CREATE'",
                f"!({cel.SUBRESOURCE} in {cel.literal(_PLAIN)})",
                f"{cel.labels('object')} != {cel.labels('oldObject')}",
            ),
        )
    }
    variables, validations = _variables(exempt), [*_of_labels(), *_of_secrets()]
    if proxy is not None:
        variables |= sidecar.variables()
        validations += sidecar.validations(proxy)
    return form.policy(NAME, rules, conditions, variables, validations)


def _variables(exempt: Sequence[str]) -> dict[str, str]:
    return {
        "after": cel.labels("object"),
        "before": cel.labels("oldObject"),
        "label": f"{_LABEL} in variables.after ? variables.after[{_LABEL}] : ''",
        "creates": f"request.operation == 'CREATE' && request.resource.resource == 'pods' && {cel.SUBRESOURCE} == ''",
        "binds": f"request.resource.resource == 'bindings' || {cel.SUBRESOURCE} == 'binding'",
        "enrolled": form.enrolled(exempt),
        "mirror": cel.both(
            "variables.creates",
            f"has(object.metadata.annotations) && {cel.literal(_MIRROR)} in object.metadata.annotations",
        ),
        # A static pod has no ServiceAccount; every other pod gets one before any policy sees it.
        "named": "dyn(object)[?'spec'][?'serviceAccountName'].orValue('')",
        "account": "variables.named == '' ? 'default' : variables.named",
        "ownSecret": f"variables.account + {_SUFFIX}",
        # What is new of them: a pod that was there before must be able to change and to end.
        "volumes": _brought("volumes"),
        "containers": " + ".join(_brought(each) for each in ("containers", "initContainers", "ephemeralContainers")),
        "volumeSecrets": _others(
            f"variables.volumes.map(v, [{', '.join(_VOLUMES)}] + "
            + _list("v[?'projected'][?'sources']")
            + ".map(s, s[?'secret'][?'name'].orValue('')))"
        ),
        "containerSecrets": _others(
            "variables.containers.map(c, "
            + _list("c[?'env']")
            + ".map(e, e[?'valueFrom'][?'secretKeyRef'][?'name'].orValue('')) + "
            + _list("c[?'envFrom']")
            + ".map(e, e[?'secretRef'][?'name'].orValue('')))"
        ),
    }


def _list(optional: str) -> str:
    """A list that may be absent, or null: so Kubernetes' own types write some that are empty."""
    return f"(dyn({optional}.orValue([])) == null ? [] : {optional}.orValue([]))"


def _brought(field: str) -> str:
    """The items of a list of the pod's spec that it did not have before."""
    after, before = (_list(f"dyn({each})[?'spec'][?'{field}']") for each in ("object", "oldObject"))
    # Looking for each in the other list costs as much as the square of their length, more than a large pod is granted.
    new = f"{after} == {before} ? [] : {after}.filter(each, !(each in {before}))"
    return f"(oldObject == null ? {after} : ({new}))"


def _others(lists: str) -> str:
    """Those lists of Secrets' names in which there are Secrets of other identities; these alone."""
    return (
        f"({lists}).map(found, found.filter(name, name.endsWith({_SUFFIX}) && name != variables.ownSecret))"
        ".filter(found, found != [])"
    )


def _of_labels() -> list[Validation]:
    return [
        Validation(
            "!variables.creates || variables.mirror || !variables.enrolled || variables.label == variables.account",
            f"label {names.LABEL_IDENTITY} must be the name of the pod's ServiceAccount",
            f"variables.label == '' ? {_MISSING} : {_FORGED}",
        ),
        Validation(
            f"!variables.creates || (variables.enrolled && !variables.mirror) || !({_LABEL} in variables.after)",
            f"label {names.LABEL_IDENTITY} is only for pods of enrolled namespaces that run under a ServiceAccount",
        ),
        Validation(
            "!variables.mirror || !variables.enrolled || "
            "(has(request.userInfo.groups) && 'system:nodes' in request.userInfo.groups)",
            f"annotation {_MIRROR} is only for kubelets; remove it",
        ),
        Validation(
            "variables.creates || variables.binds || "
            f"({_LABEL} in variables.after) == ({_LABEL} in variables.before) && "
            f"(!({_LABEL} in variables.after) || variables.after[{_LABEL}] == variables.before[{_LABEL}]) || "
            f"(!variables.enrolled && !({_LABEL} in variables.after))",
            f"label {names.LABEL_IDENTITY} is set once, when the pod is created; leave it as it is",
        ),
        Validation(
            f"variables.after.all(key, !key.startsWith({cel.literal(names.RESERVED_PREFIX)}) || "
            f"(key == {_LABEL} && !variables.binds) || "
            "(key in variables.before && variables.before[key] == variables.after[key]))",
            f"labels under {names.RESERVED_PREFIX} are Ringfence's; remove them",
        ),
    ]


def _of_secrets() -> list[Validation]:
    kept = f"a Secret whose name ends in {names.IDENTITY_SECRET_SUFFIX} is for pods under the ServiceAccount before it"
    return [
        Validation(
            f"variables.binds || !variables.enrolled || variables.{found} == []",
            f"{where}: {kept}",
            f"'{where}: \"' + variables.{found}[0][0] + '\" is not this pod\\'s; {kept}, and this one runs under \"' + "
            "variables.account + '\"'",
        )
        for where, found in (
            ("spec.volumes", "volumeSecrets"),
            ("env or envFrom of a container", "containerSecrets"),
        )
    ]
