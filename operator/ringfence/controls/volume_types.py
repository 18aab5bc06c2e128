"""Only kinds of volume that reach neither the node nor a network file system chosen by the pod.

Fields: every source in spec.volumes[*]. A source that is not in the list is refused, also one that Kubernetes learns
after this was written. One without any source passes: the API server makes it an emptyDir.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from ringfence.controls.control import Control, Found, quoted
from ringfence.controls.pod import Subject
from ringfence.model.resources import PodSecurityLevel

ALLOWED: Final = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
_KNOWN: Final = ALLOWED | {"name"}
_NULL: Final = b"null"


def present(volume: Mapping[str, msgspec.Raw], source: str) -> bool:
    """Whether the volume has this source; null is absent."""
    return source in volume and bytes(volume[source]) != _NULL


def volume(fields: Mapping[str, msgspec.Raw]) -> str:
    """A volume as a message names it."""
    try:
        name = msgspec.json.decode(fields["name"], type=str)
    except (KeyError, msgspec.MsgspecError):
        return "a volume without a name"
    return f"volume {quoted([name])}"


def check(subject: Subject) -> Iterator[Found]:
    for index, each in enumerate(subject.spec.volumes or ()):
        if each.keys() <= _KNOWN:
            continue
        for source in sorted(each.keys() - _KNOWN):
            if present(each, source):
                yield Found(
                    f"{subject.prefix}spec.volumes[{index}].{source}",
                    f"is a kind of volume that is not allowed ({volume(each)})",
                    f"use one of {', '.join(sorted(ALLOWED))}",
                )


CONTROL: Final = Control(
    id="volume-types",
    level=PodSecurityLevel.RESTRICTED,
    title="Volumes are of kinds that reach neither the node nor a file server of the pod's choice",
    kubernetes="restrictedVolumes",
    reason="restricted volume types",
    check=check,
    supersedes="host-path",
)
