"""Secrets reach programs as files: an environment is inherited, dumped and logged, and never changes.

Fields: env[*].valueFrom.secretKeyRef and envFrom[*].secretRef of every container. Allowed: absent.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls.control import Found, PolicyControl, container, shown, switch
from ringfence.controls.pod import Subject
from ringfence.model.demands import ControlId

_FIX: Final = "mount the Secret as a volume and have the program read the file"


def check(subject: Subject) -> Iterator[Found]:
    for field, each in subject.containers:
        for index, variable in enumerate(each.env or ()):
            source = variable.value_from
            if source is not None and source.secret_key_ref is not None:
                yield Found(
                    f"{field}.env[{index}].valueFrom.secretKeyRef",
                    f"puts Secret {shown(source.secret_key_ref.name)} into variable {shown(variable.name)} of "
                    f"{container(each.name)}",
                    _FIX,
                )
        for index, origin in enumerate(each.env_from or ()):
            if origin.secret_ref is not None:
                yield Found(
                    f"{field}.envFrom[{index}].secretRef",
                    f"puts all of Secret {shown(origin.secret_ref.name)} into the environment of "
                    f"{container(each.name)}",
                    _FIX,
                )


CONTROL: Final = PolicyControl(
    id=ControlId.SECRET_VARIABLES,
    title="Secrets are not handed over as environment variables",
    prepare=switch(check),
)
