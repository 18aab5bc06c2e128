"""What a container may use at most and asks for at least: what the controls of limits and requests look at."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from ringfence.controls.control import Found, container, shown
from ringfence.controls.pod import Resources, Subject

Quantity = str | int | float

_NUMBER: Final = re.compile(r"[+-]?([0-9]*\.?[0-9]*)")
#: Where API server and kubelet refuse resources: such containers run within those of the pod.
_EPHEMERAL: Final = "ephemeralContainers"


def given(quantities: Mapping[str, Quantity] | None, resource: str) -> bool:
    """Whether there is a quantity, and not zero: to a kubelet a limit of zero is none."""
    if not quantities or resource not in quantities:
        return False
    match = _NUMBER.match(str(quantities[resource]))
    return match is not None and bool(match[1].strip("0."))


def missing(
    subject: Subject, section: str, wanted: tuple[str, ...], has: Callable[[Resources | None, str], bool]
) -> Iterator[Found]:
    """Containers that lack a quantity in ``section`` of their resources, and whose pod has none as a whole."""
    needed = [each for each in wanted if not has(subject.spec.resources, each)]
    if not needed:
        return
    for field, each in subject.containers:
        if field.startswith(f"{subject.prefix}spec.{_EPHEMERAL}["):
            continue
        lacking = [resource for resource in needed if not has(each.resources, resource)]
        for resource in lacking:
            yield Found(
                f"{field}.resources.{section}.{resource}",
                f"is {_now(each.resources, section, resource)} for {container(each.name)}",
                "set it, for every container or in spec.resources for the pod",
            )


def _now(resources: Resources | None, section: str, resource: str) -> str:
    quantities = getattr(resources, section, None) or {}
    return f"{shown(str(quantities[resource]))}, which means none" if resource in quantities else "not set"
