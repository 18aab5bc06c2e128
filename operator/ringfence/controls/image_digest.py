"""Images are named by their content, so that what was looked at is what runs.

Fields: ``image`` of every container, ``spec.volumes[*].image.reference``. Allowed: a reference with a digest; a tag
beside it is ignored by the runtimes and may stay.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls import images
from ringfence.controls.control import Found, PolicyControl, switch
from ringfence.controls.pod import Subject
from ringfence.model.demands import ControlId
from ringfence.model.image_reference import ImageReference


def _judge(reference: ImageReference) -> tuple[str, str] | None:
    if reference.digest:
        return None
    return "which has no digest", f"write {reference.name}@sha256:… with the digest of the image that was tested"


def check(subject: Subject) -> Iterator[Found]:
    return images.judged(subject, _judge)


CONTROL: Final = PolicyControl(
    id=ControlId.IMAGE_DIGEST,
    title="Images are named by digest",
    prepare=switch(check),
    supersedes=ControlId.IMAGE_LATEST,
)
