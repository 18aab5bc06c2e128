"""Pods do not mount directories of their node.

Fields: spec.volumes[*].hostPath. Allowed: absent.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls.control import Control, Found
from ringfence.controls.pod import Subject
from ringfence.controls.volume_types import present, volume
from ringfence.model.resources import PodSecurityLevel


def check(subject: Subject) -> Iterator[Found]:
    for index, each in enumerate(subject.spec.volumes or ()):
        if "hostPath" in each and present(each, "hostPath"):
            yield Found(
                f"{subject.prefix}spec.volumes[{index}].hostPath",
                f"mounts a directory of the node as {volume(each)}",
                "use another kind of volume (emptyDir, persistentVolumeClaim, configMap, ...)",
            )


CONTROL: Final = Control(
    id="host-path",
    level=PodSecurityLevel.BASELINE,
    title="Volumes are not directories of the node",
    kubernetes="hostPathVolumes",
    reason="hostPath volumes",
    check=check,
)
