"""Pods for the tests of the controls: a good one, and ways to spoil it."""

from typing import Any

from ringfence.controls import pod
from ringfence.controls.control import Control, Found, PolicyControl
from ringfence.controls.pod import Subject


def spec(*containers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A pod with these containers (one bare one if there are none)."""
    metadata = fields.pop("metadata", {"name": "sample"})
    named = [{"name": f"c{index}", **each} for index, each in enumerate(containers or ({},))]
    return {"metadata": metadata, "spec": {"containers": named, **fields}}


def secured(**context: Any) -> dict[str, Any]:
    """A container with this securityContext."""
    return {"securityContext": context}


def found(control: Control, obj: dict[str, Any], version: int | None = None) -> list[str]:
    """The fields that break the control as Kubernetes 1.``version`` has it; none where it has none."""
    known = control.at(version)
    return [each.field for each in known.check(Subject(pod.of(obj)))] if known else []


def asked(control: PolicyControl, obj: dict[str, Any], *values: str) -> list[str]:
    """The fields that break the control of a policy, which tells it ``values``."""
    return [each.field for each in complaints(control, obj, *values)]


def complaints(control: PolicyControl, obj: dict[str, Any], *values: str) -> list[Found]:
    """The same with all that is said."""
    return list(control.prepare(values)(Subject(pod.of(obj))))


def every_kind(container: dict[str, Any]) -> dict[str, Any]:
    """A pod that has the container as each kind of container: plain, init, native sidecar, ephemeral."""
    return {
        "metadata": {"name": "sample"},
        "spec": {
            "containers": [{"name": "main", **container}],
            "initContainers": [{"name": "init", **container}, {"name": "side", "restartPolicy": "Always", **container}],
            "ephemeralContainers": [{"name": "debug", **container}],
        },
    }


#: Where the containers of ``every_kind`` stand, in the order of judgement.
EVERY_KIND = (
    "spec.initContainers[0]",
    "spec.initContainers[1]",
    "spec.containers[0]",
    "spec.ephemeralContainers[0]",
)
