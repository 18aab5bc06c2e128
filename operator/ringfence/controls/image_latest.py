"""Nobody runs whatever an image happens to be today.

Fields: ``image`` of every container, ``spec.volumes[*].image.reference``. Allowed: a reference with a digest, or with a
tag that is not ``latest``. Without either, ``latest`` is what a runtime takes.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls import images
from ringfence.controls.control import Found, PolicyControl, switch
from ringfence.controls.pod import Subject
from ringfence.model.demands import ControlId
from ringfence.model.image_reference import DEFAULT_TAG, ImageReference


def _judge(reference: ImageReference) -> tuple[str, str] | None:
    if reference.digest or reference.tag not in {"", DEFAULT_TAG}:
        return None
    what = f'whose tag is "{DEFAULT_TAG}"' if reference.tag else f'which without a tag means "{DEFAULT_TAG}"'
    return what, "name a version or, better, a digest"


def check(subject: Subject) -> Iterator[Found]:
    return images.judged(subject, _judge)


CONTROL: Final = PolicyControl(
    id=ControlId.IMAGE_LATEST,
    title="Images are not tagged latest",
    prepare=switch(check),
)
