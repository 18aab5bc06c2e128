"""Images come from places that the policy names.

Fields: ``image`` of every container, ``spec.volumes[*].image.reference``. Allowed: a repository that is named, or one
below it. Registry and path components are compared whole and exactly, after the reference was read as the runtimes
read it, so ``registry.example/shop`` allows neither ``registry.example/shopping`` nor ``registry.example.evil/shop``.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls import images
from ringfence.controls.control import Check, Found, PolicyControl
from ringfence.controls.pod import Subject
from ringfence.model.demands import ControlId
from ringfence.model.image_reference import ImageReference

#: How many places a message names.
_NAMED: Final = 8


def prepare(places: tuple[str, ...]) -> Check:
    """The check for ``places``: ``registry``, or ``registry/path``."""
    allowed = frozenset(places)
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    fix = f"use an image from {', '.join(places[:_NAMED])}{more}"

    def judge(reference: ImageReference) -> tuple[str, str] | None:
        name = reference.name
        while name not in allowed:
            name, slash, _ = name.rpartition("/")
            if not slash:
                return f"that is {reference.name}, from none of the registries that are allowed", fix
        return None

    def check(subject: Subject) -> Iterator[Found]:
        return images.judged(subject, judge)

    return check


CONTROL: Final = PolicyControl(
    id=ControlId.IMAGE_REGISTRIES,
    title="Images come from registries and repositories that the policy allows",
    prepare=prepare,
)
