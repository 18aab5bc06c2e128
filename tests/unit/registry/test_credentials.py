"""Which credentials of imagePullSecrets are for which image."""

import base64
import json
from typing import Any

import pytest
from ringfence.model import image_reference
from ringfence.registry import credentials
from ringfence.registry.credentials import Credentials


def secret(auths: Any, key: str = ".dockerconfigjson") -> dict[str, Any]:
    document = {"auths": auths} if key == ".dockerconfigjson" else auths
    return {"data": {key: base64.b64encode(json.dumps(document).encode()).decode()}}


def auth(user: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:secret".encode()).decode()}


@pytest.mark.parametrize(
    ("name", "image", "matches"),
    [
        ("registry.example", "registry.example/app", True),
        ("https://registry.example/v2/", "registry.example/app", True),
        ("registry.example:5000", "registry.example:5000/app", True),
        ("registry.example", "registry.example:5000/app", False),
        ("registry.example", "registry.example.evil/app", False),
        ("*.example", "registry.example/app", True),
        ("*.example", "a.registry.example/app", False),
        ("registry.example/team", "registry.example/team/app", True),
        ("registry.example/team", "registry.example/teams/app", False),
        ("https://index.docker.io/v1/", "nginx", True),
        ("docker.io", "someone/app", True),
        ("docker.io", "registry.example/app", False),
    ],
)
def test_who_is_meant(name: str, image: str, matches: bool) -> None:
    entries = credentials.read(secret({name: auth("user")}))
    found = credentials.choose(image_reference.parse(image), entries)
    assert found == (Credentials("user", "secret") if matches else None)


def test_the_longest_path_wins() -> None:
    names = {"registry.example": auth("all"), "registry.example/team": auth("team")}
    found = credentials.choose(image_reference.parse("registry.example/team/app"), credentials.read(secret(names)))
    assert found is not None
    assert found.user == "team"


def test_both_types_of_secret_and_both_spellings() -> None:
    spelt = {"registry.example": {"username": "user", "password": "secret"}}
    for document in (secret(spelt), secret(spelt, ".dockercfg")):
        (entry,) = credentials.read(document)
        assert entry.credentials == Credentials("user", "secret")


@pytest.mark.parametrize(
    "data",
    [
        {},
        {".dockerconfigjson": 1},
        {".dockerconfigjson": "?"},
        {".dockerconfigjson": base64.b64encode(b"[" * 100_000).decode()},
        {".dockerconfigjson": base64.b64encode(b'{"auths": []}').decode()},
        {".dockerconfigjson": base64.b64encode(b'{"auths": {"a": 1, "b": {}, "c": {"auth": "?"}}}').decode()},
        {".dockerconfigjson": "A" * 2_000_000},
    ],
)
def test_what_cannot_be_read_is_left_out(data: dict[str, Any]) -> None:
    assert credentials.read({"data": data}) == ()
