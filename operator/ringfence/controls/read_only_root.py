"""Nobody changes the program that was tested: what a container writes goes to volumes.

Fields: securityContext.readOnlyRootFilesystem of every container. Allowed: true. Windows has no such thing, so pods for
it are left alone; the kubelet of a Linux node refuses them.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls.control import Found, PolicyControl, container, switch
from ringfence.controls.pod import Subject
from ringfence.model.demands import ControlId


def check(subject: Subject) -> Iterator[Found]:
    if not subject.linux:
        return
    for field, each in subject.containers:
        value = each.security_context.read_only_root_filesystem if each.security_context else None
        if value is not True:
            yield Found(
                f"{field}.securityContext.readOnlyRootFilesystem",
                f"is {'not set' if value is None else 'false'} for {container(each.name)}",
                "set it to true, and mount an emptyDir where the program writes",
            )


CONTROL: Final = PolicyControl(
    id=ControlId.READ_ONLY_ROOT,
    title="Containers cannot write to their image",
    prepare=switch(check),
)
