import pytest
from ringfence.controls.image_latest import CONTROL

from tests.unit.controls.samples import EVERY_KIND, asked, every_kind, spec

DIGEST = "@sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "image", ["nginx:1.27", "nginx:Latest", "nginx:latest-1", "nginx" + DIGEST, "nginx:latest" + DIGEST]
)
def test_a_version_and_a_digest_pass(image: str) -> None:
    assert asked(CONTROL, spec({"image": image})) == []


@pytest.mark.parametrize(
    "image", ["nginx", "nginx:latest", "registry.example:5000/nginx", "a.example/b:latest", "nginx:", ""]
)
def test_latest_is_refused_written_or_meant(image: str) -> None:
    assert asked(CONTROL, spec({"image": image})) == ["spec.containers[0].image"]


def test_every_kind_of_container_is_judged() -> None:
    assert asked(CONTROL, every_kind({"image": "nginx"})) == [f"{each}.image" for each in EVERY_KIND]
