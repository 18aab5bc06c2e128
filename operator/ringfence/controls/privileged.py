"""No container is privileged: it would own its node.

Fields: securityContext.privileged of every container. Allowed: absent, false.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls.control import Control, Found, container
from ringfence.controls.pod import Subject
from ringfence.model.resources import PodSecurityLevel


def check(subject: Subject) -> Iterator[Found]:
    for field, each, context in subject.secured:
        if context.privileged:
            yield Found(
                f"{field}.securityContext.privileged",
                f"is true for {container(each.name)}",
                "remove it or set it to false",
            )


CONTROL: Final = Control(
    id="privileged",
    level=PodSecurityLevel.BASELINE,
    title="Containers are not privileged",
    kubernetes="privileged",
    reason="privileged",
    check=check,
)
