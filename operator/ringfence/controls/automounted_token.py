"""Pods get no token of the API server that they did not ask for.

Fields: spec.automountServiceAccountToken. Allowed: false. Absent leaves it to the ServiceAccount, whose default is to
mount one, so it is refused too. A token that a pod asks for by a projected volume is not automounted.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls.control import Found, PolicyControl, switch
from ringfence.controls.pod import Subject
from ringfence.model.demands import ControlId


def check(subject: Subject) -> Iterator[Found]:
    automount = subject.spec.automount_service_account_token
    if automount is not False:
        yield Found(
            f"{subject.prefix}spec.automountServiceAccountToken",
            "is true" if automount else "is not set, which leaves it to the ServiceAccount",
            "set it to false; a program that calls the API server mounts a projected token of its own",
        )


CONTROL: Final = PolicyControl(
    id=ControlId.AUTOMOUNTED_TOKEN,
    title="ServiceAccount tokens are not mounted automatically",
    prepare=switch(check),
)
