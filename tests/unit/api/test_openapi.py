"""The CRDs keep the promises that hold for every field: described, bounded, and nothing dropped."""

from collections.abc import Iterator
from typing import Any

import pytest
from ringfence.api import openapi
from ringfence.api.schema import Integer, ListOf, Rule, Text
from ringfence.api.v1alpha1 import RESOURCES, crds, identifiers

#: (path, schema, the schema that holds it)
Part = tuple[str, dict[str, Any], dict[str, Any]]


def parts(schema: dict[str, Any], path: str, holder: dict[str, Any]) -> Iterator[Part]:
    yield path, schema, holder
    for name, child in schema.get("properties", {}).items():
        yield from parts(child, f"{path}.{name}", schema)
    if "items" in schema:
        yield from parts(schema["items"], f"{path}[]", schema)
    if "additionalProperties" in schema:
        yield from parts(schema["additionalProperties"], f"{path}{{}}", schema)


def required(schema: dict[str, Any]) -> set[str]:
    forms = [set(form["required"]) for form in schema.get("anyOf", [])]
    return set(schema.get("required", ())).union(set.intersection(*forms) if forms else ())


def roots() -> list[tuple[str, dict[str, Any]]]:
    return [(crd["spec"]["names"]["kind"], crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]) for crd in crds()]


EVERYTHING = [part for kind, root in roots() for part in parts(root, kind, root)]
WRITTEN = [part for kind, root in roots() for part in parts(root["properties"]["spec"], f"{kind}.spec", root)]


def test_there_is_something_to_look_at() -> None:
    assert len(EVERYTHING) > 150
    assert len(WRITTEN) > 120


@pytest.mark.parametrize("part", EVERYTHING, ids=lambda part: part[0])
def test_every_field_is_described(part: Part) -> None:
    path, schema, _ = part
    assert path.endswith(".metadata") or schema["description"].strip()


@pytest.mark.parametrize("part", EVERYTHING, ids=lambda part: part[0])
def test_every_size_has_a_limit(part: Part) -> None:
    path, schema, _ = part
    match schema.get("type"):
        case "string":
            assert schema.get("maxLength") or schema.get("enum") or path.count(".") == 1
        case "array":
            assert schema["maxItems"]
            assert schema["x-kubernetes-list-type"] in {"atomic", "map", "set"}
        case "integer":
            assert schema["minimum"] <= schema["maximum"]
        case "object" if "additionalProperties" in schema:
            assert schema["maxProperties"]


@pytest.mark.parametrize("part", WRITTEN, ids=lambda part: part[0])
def test_nothing_that_people_write_is_dropped(part: Part) -> None:
    path, schema, holder = part
    name = path.rsplit(".", maxsplit=1)[-1]
    if "properties" in schema:
        assert schema["x-kubernetes-preserve-unknown-fields"] is True
    if name in holder.get("properties", {}) and name not in required(holder):
        assert schema["nullable"] is True


@pytest.mark.parametrize(("kind", "root"), roots())
def test_every_kind_has_a_status_of_its_own(kind: str, root: dict[str, Any]) -> None:
    version = next(crd for crd in crds() if crd["spec"]["names"]["kind"] == kind)["spec"]["versions"][0]
    assert version["subresources"] == {"status": {}}
    if kind in {resource.kind for resource in RESOURCES}:
        assert root["properties"]["status"]["properties"]["conditions"]["x-kubernetes-list-map-keys"] == ["type"]
    assert root["x-kubernetes-preserve-unknown-fields"] is True


def test_rules_without_cel_stay_with_the_parser() -> None:
    said = Rule(test=lambda _: None, cel="self != ''", message="is empty")
    unsaid = Rule(test=lambda _: None)
    text = Text(description="A word.", pattern="^a$", what="a", max_length=1, rules=(said, unsaid))
    items = openapi._list(ListOf(description="Words.", items=text, max_items=2), strict=True)["items"]
    assert items["x-kubernetes-validations"] == [{"rule": "self != ''", "message": "is empty"}]


def test_keys_of_a_map_are_checked_by_cel_with_the_same_pattern() -> None:
    selector = next(part[1] for part in WRITTEN if part[0] == "SecurityPolicy.spec.appliesTo.podSelector.matchLabels")
    rules = " ".join(rule["rule"] for rule in selector["x-kubernetes-validations"])
    assert identifiers.LABEL_KEY.pattern.replace("\\", "\\\\") in rules
    assert "key.indexOf('/') <= 253" in rules


def test_a_choice_of_forms_has_a_set_of_fields_for_every_object() -> None:
    port = next(part[1] for part in WRITTEN if part[0] == "SecurityPolicy.spec.ingress[].ports[]")
    assert "type" not in port
    assert sorted(sorted(each["required"]) for each in port["anyOf"]) == [
        ["endPort", "port"],
        ["endPort", "port", "protocol"],
        ["port"],
        ["port", "protocol"],
    ]
    assert all(each["maxProperties"] == len(each["required"]) for each in port["anyOf"])


def test_defaults_are_ones_that_the_schema_accepts() -> None:
    for path, schema, _ in WRITTEN:
        if "default" in schema and "enum" in schema:
            assert schema["default"] in schema["enum"], path


def test_integers_say_their_format() -> None:
    wide = Integer(description="A number.", minimum=0, maximum=2**63 - 1, format="int64")
    assert openapi._integer(wide, True)["format"] == "int64"


def test_the_kinds_have_names_of_their_own() -> None:
    names = [name for resource in RESOURCES for name in (resource.kind, resource.plural, resource.short_name)]
    assert len(names) == len(set(names))
