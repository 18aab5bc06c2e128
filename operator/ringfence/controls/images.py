"""The images that a pod runs or mounts, each with the field that names it: what the controls of images look at."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

import msgspec

from ringfence.controls.control import Found, shown
from ringfence.controls.pod import Struct, Subject
from ringfence.model import image_reference
from ringfence.model.image_reference import ImageReference


class _ImageVolume(Struct, frozen=True):
    reference: str | None = None


#: No reference is longer than this; longer texts are not even kept.
_LONGEST: Final = 1024
_volume: Final = msgspec.json.Decoder(_ImageVolume | None)

#: What is wrong with a reference and what to write instead; None when nothing is.
Judge = Callable[[ImageReference], tuple[str, str] | None]


def judged(subject: Subject, judge: Judge) -> Iterator[Found]:
    """Every image that ``judge`` complains of, and every one that cannot be read: nobody knows what that would be.

    Raises msgspec.MsgspecError for a volume that the API server would not take either.
    """
    for field, text in named(subject):
        reference = read(text)
        if isinstance(reference, str):
            yield Found(
                field,
                f"is {shown(text)}, which {reference}",
                "write registry/repository@sha256:… or registry/repository:tag",
            )
        elif (complaint := judge(reference)) is not None:
            message, fix = complaint
            yield Found(field, f"is {shown(text)}, {message}", fix)


def named(subject: Subject) -> Iterator[tuple[str, str]]:
    """Every image that a pod runs or mounts, with the field that names it."""
    for field, each in subject.containers:
        yield f"{field}.image", each.image or ""
    for index, volume in enumerate(subject.spec.volumes or ()):
        if "image" in volume:
            source = _volume.decode(volume["image"])
            if source is not None:
                yield f"{subject.prefix}spec.volumes[{index}].image.reference", source.reference or ""


def read(text: str) -> ImageReference | str:
    """The reference, or what is wrong with the text."""
    return _read(text) if len(text) <= _LONGEST else "is too long"


@lru_cache(maxsize=4096)
def _read(text: str) -> ImageReference | str:
    try:
        return image_reference.parse(text)
    except ValueError as error:
        return str(error)
