import pytest
from ringfence.controls.apparmor import ANNOTATION, CONTROL

from tests.unit.controls.samples import EVERY_KIND, every_kind, found, secured, spec

OFF = {"appArmorProfile": {"type": "Unconfined"}}


def annotated(value: str) -> dict:
    return spec(metadata={"name": "x", "annotations": {f"{ANNOTATION}c0": value, "unrelated": "unconfined"}})


def test_pod_and_every_kind_of_container_are_judged() -> None:
    assert found(CONTROL, spec(securityContext=OFF)) == ["spec.securityContext.appArmorProfile.type"]
    assert found(CONTROL, every_kind(secured(**OFF))) == [
        f"{e}.securityContext.appArmorProfile.type" for e in EVERY_KIND
    ]


@pytest.mark.parametrize("value", ["unconfined", "Unconfined", "runtime/other", "localhost"])
def test_the_annotation_is_judged(value: str) -> None:
    assert found(CONTROL, annotated(value)) == [f"metadata.annotations[{ANNOTATION}c0]"]


@pytest.mark.parametrize("value", ["", "runtime/default", "localhost/profile"])
def test_good_annotations_pass(value: str) -> None:
    assert found(CONTROL, annotated(value)) == []


@pytest.mark.parametrize("type_", ["RuntimeDefault", "Localhost"])
def test_good_profiles_pass(type_: str) -> None:
    assert found(CONTROL, spec(secured(appArmorProfile={"type": type_}))) == []
