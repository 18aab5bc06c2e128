"""Programs listen where no privilege is needed.

Fields: ports[*].containerPort of every container. Allowed: 1024 and above.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls.control import Found, PolicyControl, container, switch
from ringfence.controls.pod import Subject
from ringfence.model.demands import ControlId

#: The first port that needs no privilege.
FIRST: Final = 1024


def check(subject: Subject) -> Iterator[Found]:
    for field, each in subject.containers:
        for index, port in enumerate(each.ports or ()):
            number = port.container_port
            if number is not None and number < FIRST:
                yield Found(
                    f"{field}.ports[{index}].containerPort",
                    f"is {number} for {container(each.name)}",
                    f"listen on {FIRST} or above; a Service can still offer port {number}",
                )


CONTROL: Final = PolicyControl(
    id=ControlId.PRIVILEGED_PORTS,
    title="Containers listen on no port below 1024",
    prepare=switch(check),
)
