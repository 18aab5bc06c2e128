"""Reviews that must be refused and one that must pass: a process that gets either wrong must not be asked.

They go the whole way from bytes to bytes, over a world of their own, so that nothing in the cluster can break them.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from ringfence.controls.pod import Pod
from ringfence.model.demands import ControlId, Setting
from ringfence.model.effective import AdmissionRequirement, ControlDemand, EffectivePolicy, RuleRef
from ringfence.model.labels import LabelBox
from ringfence.model.names import LABEL_ENROLL, LABEL_IDENTITY
from ringfence.model.resources import Kind, Mode, PodSecurityLevel, ServiceIdentity
from ringfence.model.signatures import Verdicts
from ringfence.model.world import Enrolment, Namespace
from ringfence.reconcile import gather
from ringfence.reconcile.known_verdicts import CachedVerdicts, ReadVerdicts
from ringfence.webhook import review, wire
from ringfence.webhook.view import Missing, Rules

_NAMESPACE: Final = "self-test"
_FLOOR: Final = RuleRef(Kind.CLUSTER_SECURITY_POLICY.value, "", "self-test", "admission")
_ASKED: Final = AdmissionRequirement(LabelBox(), PodSecurityLevel.RESTRICTED, Mode.ENFORCE, _FLOOR)
_REGISTRY: Final = "registry.example"
_DEMANDED: Final = ControlDemand(LabelBox(), (Setting(ControlId.IMAGE_REGISTRIES, (_REGISTRY,)),), Mode.ENFORCE, _FLOOR)


@dataclass(frozen=True, slots=True)
class _World:
    """Fulfils view.View: one enforced, closed namespace with one identity under a restricted floor."""

    def namespace(self, name: str) -> Namespace | None:
        return Namespace.of(name, {LABEL_ENROLL: Enrolment.ENFORCE.value})

    def policy(self, namespace: Namespace) -> EffectivePolicy:
        accounts = (("default", "default"),)
        return EffectivePolicy(
            namespace.name, Enrolment.ENFORCE, True, accounts, admission=(_ASKED,), demands=(_DEMANDED,)
        )

    def network(self, namespace: str) -> bool | None:
        return bool(namespace)

    def identities(self, namespace: str) -> tuple[ServiceIdentity, ...]:
        del namespace
        return ()

    def pod(self, namespace: str, name: str) -> Pod | None:
        del namespace, name
        return None

    def verdicts(self, namespace: str) -> Verdicts:
        return CachedVerdicts(ReadVerdicts(gather.NOTHING), namespace)

    def asked(self, missing: Missing) -> bool:
        del missing
        return True


def trouble() -> str:
    """What went wrong, "" when all answers were right."""
    if not _allowed(_pod(privileged=False)):
        return "the self-test refused a good pod"
    if _allowed(_pod(privileged=True)):
        return "the self-test let a privileged pod in"
    if _allowed(_pod(privileged=False, image=f"{_REGISTRY}.example/program")):
        return "the self-test let an image of a stranger in"
    return ""


def _allowed(pod: dict[str, Any]) -> bool:
    request = wire.decode(_review(pod))
    answer = review.judge(review.Purpose.VALIDATE, request, _World(), Rules("", frozenset()), 0.0)
    decoded = json.loads(wire.encode(request.uid, answer))
    return bool(decoded["response"]["allowed"])


def _pod(*, privileged: bool, image: str = f"{_REGISTRY}/program") -> dict[str, Any]:
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "privileged": privileged}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "self-test", "labels": {LABEL_IDENTITY: "default"}},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "serviceAccountName": "default",
            "containers": [{"name": "program", "image": image, "securityContext": context}],
        },
    }


def _review(pod: dict[str, Any]) -> bytes:
    request = {
        "uid": "self-test",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": _NAMESPACE,
        "operation": "CREATE",
        "userInfo": {"username": "self-test"},
        "object": pod,
    }
    return json.dumps({"apiVersion": wire.API_VERSION, "kind": wire.KIND, "request": request}).encode()
