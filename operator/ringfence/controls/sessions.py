"""What people open into pods that run: exec, attach and port-forward, each by a control of its own.

They are no change of the pod, so nothing else sees them: exec runs a program that nobody admitted under the pod's
identity, attach speaks to the one that runs, and port-forward reaches it past every NetworkPolicy. Subresources:
``pods/exec``, ``pods/attach``, ``pods/portforward``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ringfence.controls.control import Found
from ringfence.model.demands import ControlId


@dataclass(frozen=True, slots=True)
class Session:
    """A way into a pod: the control that closes it, and what a refusal says."""

    control: ControlId
    title: str
    found: Found


#: By subresource.
SESSIONS: Final[Mapping[str, Session]] = {
    "exec": Session(
        ControlId.EXEC,
        "Nobody runs programs in running pods",
        Found(
            "pods/exec",
            "runs a program in a running pod (kubectl exec, kubectl cp)",
            "use logs and metrics, or debug a copy of the pod in a namespace that allows it",
        ),
    ),
    "attach": Session(
        ControlId.ATTACH,
        "Nobody attaches to running programs",
        Found("pods/attach", "attaches to a running program (kubectl attach)", "use kubectl logs"),
    ),
    "portforward": Session(
        ControlId.PORT_FORWARD,
        "Nobody reaches ports of pods past the network's policies",
        Found(
            "pods/portforward",
            "reaches ports of a pod past its NetworkPolicies (kubectl port-forward)",
            "have a rule allow the caller, and call the Service",
        ),
    ),
}
