"""`kubectl explain` shows descriptions and no bounds: so descriptions say them."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from ringfence.api.v1alpha1 import RESOURCES, WRITTEN, crds


def fields(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, schema
    for name, each in schema.get("properties", {}).items():
        yield from fields(each, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            yield from fields(schema[key], f"{path}[]")


@pytest.mark.parametrize("number", range(len((*RESOURCES, *WRITTEN))))
def test_every_field_is_described_with_its_range(number: int) -> None:
    [version] = list(crds())[number]["spec"]["versions"]
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    found = [*fields(properties["spec"], "spec"), *fields(properties["status"], "status")]
    assert len(found) > 10
    mute = [path for path, each in found if not path.endswith("[]") and not each.get("description")]
    assert mute == []
    numbers = [(path, each) for path, each in found if each.get("type") in {"integer", "number"}]
    unbounded = [
        path for path, each in numbers if path.startswith("spec") and str(each["maximum"]) not in each["description"]
    ]
    assert unbounded == []
