import json

import msgspec
import pytest
from ringfence.controls import templates
from ringfence.controls.pod import Pod


def nested(path: tuple[str, ...], value: object) -> bytes:
    for field in reversed(path):
        value = {field: value}
    return json.dumps(value).encode()


@pytest.mark.parametrize("path", sorted(set(templates.TEMPLATES.values())))
def test_the_template_is_found(path: tuple[str, ...]) -> None:
    template = {"metadata": {"name": "x"}, "spec": {"hostPID": True}}
    assert templates.decode(nested(path, template), path).spec.host_pid is True


@pytest.mark.parametrize("path", sorted(set(templates.TEMPLATES.values()) - {()}))
def test_none_is_an_empty_pod(path: tuple[str, ...]) -> None:
    assert templates.decode(b"{}", path) == Pod()
    assert templates.decode(nested(path, None), path) == Pod()


def test_something_else_on_the_way_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError):
        templates.decode(b'{"spec":[]}', ("spec", "template"))


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        ({"apiVersion": "apps/v1", "kind": "Deployment"}, ("apps", "Deployment")),
        ({"apiVersion": "v1", "kind": "Pod"}, ("", "Pod")),
        ({"kind": None}, ("", "")),
        ({"apiVersion": 1, "kind": 2}, ("", "2")),
    ],
)
def test_group_and_kind(obj: dict, expected: tuple[str, str]) -> None:
    assert templates.group_kind(obj) == expected
