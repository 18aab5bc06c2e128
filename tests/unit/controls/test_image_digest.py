import pytest
from ringfence.controls.image_digest import CONTROL

from tests.unit.controls.samples import EVERY_KIND, asked, complaints, every_kind, spec

DIGEST = "@sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "image", ["nginx" + DIGEST, "nginx:1.27" + DIGEST, "nginx:latest" + DIGEST, "a.example/b" + DIGEST]
)
def test_a_digest_passes(image: str) -> None:
    assert asked(CONTROL, spec({"image": image})) == []


@pytest.mark.parametrize(
    "image",
    ["nginx", "nginx:1.27", "nginx:sha256", "nginx@sha256:0", "nginx:1" + DIGEST[:-1], "sha256:" + "0" * 64, ""],
)
def test_everything_else_is_refused(image: str) -> None:
    assert asked(CONTROL, spec({"image": image})) == ["spec.containers[0].image"]


def test_every_kind_of_container_is_judged() -> None:
    assert asked(CONTROL, every_kind({"image": "nginx:1"})) == [f"{each}.image" for each in EVERY_KIND]


def test_the_fix_names_the_image() -> None:
    (told,) = complaints(CONTROL, spec({"image": "a.example/b:1"}))
    assert told.fix.startswith("write a.example/b@sha256:")
