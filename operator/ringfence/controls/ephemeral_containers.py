"""Nobody adds a container to a pod that runs.

Fields: spec.ephemeralContainers, at creation and by the subresource. Allowed: absent, empty.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls.control import Found, PolicyControl, container, shown, switch
from ringfence.controls.pod import Subject
from ringfence.model.demands import ControlId


def check(subject: Subject) -> Iterator[Found]:
    for index, each in enumerate(subject.spec.ephemeral_containers or ()):
        yield Found(
            f"{subject.prefix}spec.ephemeralContainers[{index}]",
            f"adds {container(each.name)} with image {shown(each.image or '')}",
            "debug a copy of the pod (kubectl debug --copy-to), in a namespace that allows it",
        )


CONTROL: Final = PolicyControl(
    id=ControlId.EPHEMERAL_CONTAINERS,
    title="No ephemeral containers are added",
    prepare=switch(check),
)
