"""Every container says what it needs, so that the scheduler and the kubelet can keep their promises.

Fields: resources.requests of every container, or spec.resources.requests of the pod, for the resources that the policy
names. Allowed: any but zero; a limit stands for a request, as it does for Kubernetes. Ephemeral containers cannot have
requests.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls import quantities
from ringfence.controls.control import Check, Found, PolicyControl
from ringfence.controls.pod import Resources, Subject
from ringfence.model.demands import ControlId


def _requested(resources: Resources | None, resource: str) -> bool:
    if resources is None:
        return False
    if resource in (resources.requests or {}):
        return quantities.given(resources.requests, resource)
    return quantities.given(resources.limits, resource)


def prepare(wanted: tuple[str, ...]) -> Check:
    """The check that each of ``wanted`` is requested."""

    def check(subject: Subject) -> Iterator[Found]:
        return quantities.missing(subject, "requests", wanted, _requested)

    return check


CONTROL: Final = PolicyControl(
    id=ControlId.RESOURCE_REQUESTS,
    title="Containers request the resources that the policy names",
    prepare=prepare,
)
