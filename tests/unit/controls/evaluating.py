"""Pods, contexts and short answers for the tests of what admission says."""

from typing import Any

from ringfence.controls import evaluate, pod
from ringfence.controls.evaluate import Context
from ringfence.model.effective import AdmissionRequirement, EffectivePolicy, RuleRef
from ringfence.model.labels import LabelBox
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.resources import Mode, PodSecurityLevel
from ringfence.model.world import Enrolment, Namespace

EVERY_POD = LabelBox()


NOW = 1_800_000_000.0


FLOOR = RuleRef("ClusterSecurityPolicy", "", "floor", "admission")


OWN = RuleRef("SecurityPolicy", "shop", "strict", "admission")


ENROLMENT = "the enrolment of the namespace"


#: What `baseline` refuses, and enrolment alone does not.
SYSCTL: dict[str, Any] = {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}


HOST_PORT: list[dict[str, Any]] = [{"name": "main", "ports": [{"containerPort": 1, "hostPort": 1}]}]


PRIVILEGED: dict[str, Any] = {"name": "debug", "securityContext": {"privileged": True}}


MIRROR = {pod.MIRROR_ANNOTATION: "hash"}


def requirement(
    level: str,
    ref: RuleRef = FLOOR,
    mode: Mode = Mode.ENFORCE,
    box: LabelBox = EVERY_POD,
    version: int | None = None,
) -> AdmissionRequirement:
    return AdmissionRequirement(box, PodSecurityLevel(level), mode, ref, version)


def context(
    *admission: AdmissionRequirement, enrolment: Enrolment = Enrolment.ENFORCE, ready: bool = True, **more: Any
) -> Context:
    policy = EffectivePolicy(
        "shop",
        enrolment,
        True,
        service_accounts=(("checkout", "till"), ("default", "default")),
        admission=admission,
        **more,
    )
    return Context(Namespace.of("shop", {"ringfence.dev/enroll": enrolment.value}), policy, NOW, ready)


def made(
    *, labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "p"}
    if labels is not None:
        metadata["labels"] = labels
    if annotations is not None:
        metadata["annotations"] = annotations
    spec.setdefault("containers", [{"name": "main"}])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def labelled(account: str = "default", **spec: Any) -> dict[str, Any]:
    return made(labels={LABEL_IDENTITY: account}, serviceAccountName=account, **spec)


def create(obj: dict[str, Any], where: Context, *, by_node: bool = False) -> tuple[list[str], list[str]]:
    outcome = evaluate.create(pod.of(obj), where, by_node=by_node)
    return [each.control for each in outcome.violations], [each.control for each in outcome.warnings]


def update(old: dict[str, Any], new: dict[str, Any], where: Context) -> tuple[list[str], list[str]]:
    outcome = evaluate.update(pod.of(new), pod.of(old), where)
    return [each.control for each in outcome.violations], [each.control for each in outcome.warnings]
