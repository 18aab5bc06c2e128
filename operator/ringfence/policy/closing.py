"""Whether the network of a namespace is closed now, or what still stands in the way."""

from typing import Final

from ringfence.model.names import LABEL_ENROLL
from ringfence.model.world import Enrolment, Namespace, World
from ringfence.policy.notes import Notes
from ringfence.policy.reasons import FindingReason

#: Namespaces that stay open whatever their labels say: closing them would cut off the cluster itself.
SYSTEM_NAMESPACES: Final = frozenset({"kube-system", "kube-public", "kube-node-lease"})

#: Names that a message lists before it only counts.
MANY: Final = 10


def is_exempt(world: World, name: str) -> bool:
    """Whether a namespace is never enrolled."""
    installation = world.installation
    return name in SYSTEM_NAMESPACES or name == installation.namespace or name in installation.exempt_namespaces


def enrolment_of(world: World, namespace: Namespace, notes: Notes) -> Enrolment:
    """The enrolment that counts: that of the label, except in namespaces that are exempt."""
    if namespace.enrolment is Enrolment.NONE or not is_exempt(world, namespace.name):
        return namespace.enrolment
    notes.namespace(
        namespace.name,
        FindingReason.NAMESPACE_EXEMPT,
        f"the namespace is exempt: the label {LABEL_ENROLL} has no effect here; remove it",
    )
    return Enrolment.NONE


def is_closed(world: World, namespace: Namespace, enrolment: Enrolment, notes: Notes) -> bool:
    """Whether the namespace is default deny now; a namespace that has been closed stays so while it is enrolled."""
    if enrolment is not Enrolment.ENFORCE:
        return False
    if namespace.enforced:
        return True
    name = namespace.name
    strangers = world.strangers.get(name, ())
    if strangers:
        notes.namespace(
            name,
            FindingReason.STRANGERS_NETWORK_POLICIES,
            f"NetworkPolicies that are not Ringfence's would open what it closes: {listing(strangers)}; remove them, "
            "say what they allowed in a SecurityPolicy, and the namespace closes",
        )
    before = staged_pods(world, name)
    if before:
        notes.namespace(
            name,
            FindingReason.STAGED,
            f"pods from before the enrolment still run: {listing(before)}; restart them with "
            f"`ringfence enroll {name}`, and the namespace closes",
        )
    return not strangers and not before


def staged_pods(world: World, namespace: str) -> tuple[str, ...]:
    """Names of the pods that run without their identity label; not those that ended or use the node's network."""
    return tuple(
        pod.name
        for pod in world.workloads.get(namespace, ())
        if pod.kind == "Pod" and not pod.finished and not pod.host_network and not pod.labelled
    )


def listing(names: tuple[str, ...]) -> str:
    """Names for a message, the first ones and how many more."""
    shown = ", ".join(names[:MANY])
    return f"{shown} and {len(names) - MANY} more" if len(names) > MANY else shown
