import pytest
from ringfence.controls.image_registries import CONTROL

from tests.unit.controls.samples import EVERY_KIND, asked, complaints, every_kind, spec

DIGEST = "@sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("place", "image"),
    [
        ("registry.example", "registry.example/app"),
        ("registry.example", "registry.example/a/b/c:v1"),
        ("registry.example", "registry.example/app" + DIGEST),
        ("registry.example", "REGISTRY.EXAMPLE/app"),
        ("registry.example:5000", "registry.example:5000/app:v1" + DIGEST),
        ("registry.example/shop", "registry.example/shop/app"),
        ("registry.example/shop", "registry.example/shop"),
        ("docker.io", "nginx"),
        ("docker.io/library", "nginx"),
        ("docker.io/library/nginx", "nginx:1.27"),
        ("docker.io/library/nginx", "docker.io/nginx"),
        ("docker.io/library/nginx", "index.docker.io/library/nginx"),
        ("docker.io/team", "team/app"),
        ("localhost:5000", "localhost:5000/app"),
    ],
)
def test_allows_what_is_at_a_place_or_below_it(place: str, image: str) -> None:
    assert asked(CONTROL, spec({"image": image}), place) == []


@pytest.mark.parametrize(
    ("place", "image"),
    [
        ("registry.example", "nginx"),
        ("registry.example", "registry.example"),
        ("registry.example", "registry.example.evil.example/app"),
        ("registry.example", "evil.example/registry.example/app"),
        ("registry.example", "registry.example-evil/app"),
        ("registry.example", "evil-registry.example/app"),
        ("registry.example", "sub.registry.example/app"),
        ("registry.example", "registry.example:5000/app"),
        ("registry.example", "registry.example./app"),
        ("registry.example", "registry.example@evil.example/app"),
        ("registry.example", "https://registry.example/app"),
        ("registry.example", "r\u0435gistry.example/app"),
        ("registry.example", "registry\uff0eexample/app"),
        ("registry.example", "registry.example\u200b/app"),
        ("registry.example", ""),
        ("registry.example:5000", "registry.example/app"),
        ("registry.example:5000", "registry.example:50000/app"),
        ("registry.example/shop", "registry.example/shopping/app"),
        ("registry.example/shop", "registry.example/sho/app"),
        ("registry.example/shop", "registry.example/other/shop"),
        ("registry.example/shop", "registry.example/shop/../other/app"),
        ("registry.example/shop", "registry.example/app"),
        ("docker.io/library/nginx", "nginx-evil"),
        ("docker.io/library/nginx", "evil/nginx"),
        ("docker.io/library", "registry.example/library/nginx"),
        # An image that lies on the node, by its id: nobody knows where it came from.
        ("docker.io", "0123456789abcdef" * 4),
        ("docker.io", "sha256:0123"),
        ("docker.io", "sha256:" + "0" * 64),
    ],
)
def test_refuses_everything_else(place: str, image: str) -> None:
    assert asked(CONTROL, spec({"image": image}), place) == ["spec.containers[0].image"]


def test_every_kind_of_container_is_judged() -> None:
    assert asked(CONTROL, every_kind({"image": "nginx"}), "registry.example") == [
        f"{each}.image" for each in EVERY_KIND
    ]


def test_a_container_without_an_image_is_refused() -> None:
    assert asked(CONTROL, spec({}), "registry.example") == ["spec.containers[0].image"]


def test_volumes_that_are_images_are_judged() -> None:
    volumes = [
        {"name": "a", "emptyDir": {}},
        {"name": "b", "image": {"reference": "evil.example/data:v1", "pullPolicy": "Always"}},
        {"name": "c", "image": {"reference": "registry.example/data:v1"}},
        {"name": "d", "image": None},
        {"name": "e", "image": {}},
    ]
    assert asked(CONTROL, spec({"image": "registry.example/app"}, volumes=volumes), "registry.example") == [
        "spec.volumes[1].image.reference",
        "spec.volumes[4].image.reference",
    ]


def test_one_of_several_places_is_enough() -> None:
    pod = spec({"image": "a.example/app"}, {"image": "b.example/shop/app"}, {"image": "c.example/app"})
    assert asked(CONTROL, pod, "a.example", "b.example/shop") == ["spec.containers[2].image"]


def test_says_what_a_short_name_means_and_what_is_allowed() -> None:
    (told,) = complaints(CONTROL, spec({"image": "nginx"}), "a.example", "b.example/shop")
    assert told.message == 'is "nginx", that is docker.io/library/nginx, from none of the registries that are allowed'
    assert told.fix == "use an image from a.example, b.example/shop"


def test_names_some_of_many_places_and_cuts_long_images() -> None:
    places = [f"r{number}.example" for number in range(10)]
    (told,) = complaints(CONTROL, spec({"image": "x" * 100_000}), *places)
    assert len(told.message) < 400
    (told,) = complaints(CONTROL, spec({"image": "x"}), *places)
    assert told.fix.endswith("r7.example and 2 more")
