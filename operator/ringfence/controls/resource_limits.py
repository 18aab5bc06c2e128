"""No container takes its node away from the others.

Fields: resources.limits of every container, or spec.resources.limits of the pod, for the resources that the policy
names. Allowed: any but zero. Ephemeral containers cannot have limits and run within the pod's.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls import quantities
from ringfence.controls.control import Check, Found, PolicyControl
from ringfence.controls.pod import Resources, Subject
from ringfence.model.demands import ControlId


def _limited(resources: Resources | None, resource: str) -> bool:
    return resources is not None and quantities.given(resources.limits, resource)


def prepare(wanted: tuple[str, ...]) -> Check:
    """The check that each of ``wanted`` has a limit."""

    def check(subject: Subject) -> Iterator[Found]:
        return quantities.missing(subject, "limits", wanted, _limited)

    return check


CONTROL: Final = PolicyControl(
    id=ControlId.RESOURCE_LIMITS,
    title="Containers have limits for the resources that the policy names",
    prepare=prepare,
)
