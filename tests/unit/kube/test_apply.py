"""Writes are repeated when that is safe, conditional when it matters, and heard of."""

import asyncio
from typing import Any

import pytest
from ringfence.kube import client, errors
from ringfence.kube.apply import ATTEMPTS, KubeApplier
from ringfence.kube.backoff import Backoff

from tests.unit.kube.fakes import FakeApi

POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "a", "namespace": "shop"},
    "spec": {},
}
PATH = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies"


class Ear:
    """Remembers what it heard."""

    def __init__(self, heard: list[Any], obj: Any) -> None:
        self._heard = heard
        heard.append(("before", obj["metadata"]["name"]))

    def done(self, answer: dict[str, Any] | None) -> None:
        self._heard.append(("after", answer))


def applier(*answers: Any) -> tuple[KubeApplier, FakeApi]:
    api = FakeApi(answers=list(answers))
    return KubeApplier(api, backoff=lambda: Backoff(0.0, 0.0)), api


def test_apply_is_forced_and_signed() -> None:
    writer, api = applier({"answer": 1})
    assert asyncio.run(writer.apply(POLICY)) == {"answer": 1}
    (request,) = api.requests
    assert (request.method, request.path) == ("PATCH", f"{PATH}/a")
    assert request.query == {"fieldManager": "ringfence", "force": "true"}
    assert request.content_type == client.APPLY
    assert request.body == POLICY


def test_apply_to_a_subresource() -> None:
    writer, api = applier({})
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}, "status": {}}
    asyncio.run(writer.apply(namespace, subresource="status"))
    assert api.requests[0].path == "/api/v1/namespaces/shop/status"


@pytest.mark.parametrize(
    "error",
    [errors.Unreachable("cut"), errors.ServerError("etcd"), errors.Throttled("slow down"), errors.Conflict("lost")],
)
def test_what_may_pass_is_tried_again(error: errors.KubeError) -> None:
    writer, api = applier(error, error, {"answer": 1})
    assert asyncio.run(writer.apply(POLICY)) == {"answer": 1}
    assert len(api.requests) == 3


def test_in_one_go_only_so_often() -> None:
    writer, api = applier(*[errors.ServerError("etcd")] * 9)
    with pytest.raises(errors.ServerError):
        asyncio.run(writer.apply(POLICY))
    assert len(api.requests) == ATTEMPTS


@pytest.mark.parametrize("error", [errors.Rejected("no"), errors.Forbidden("no"), errors.NotFound("no")])
def test_a_plain_no_is_not_asked_again(error: errors.KubeError) -> None:
    writer, api = applier(error)
    with pytest.raises(type(error)):
        asyncio.run(writer.apply(POLICY))
    assert len(api.requests) == 1


def test_delete_names_the_very_object() -> None:
    writer, api = applier({})
    asyncio.run(writer.delete("networking.k8s.io/v1", "NetworkPolicy", "shop", "a", uid="u-1"))
    assert api.requests[0].body["preconditions"] == {"uid": "u-1"}


def test_absent_already_is_deleted() -> None:
    writer, _ = applier(errors.NotFound("gone"))
    asyncio.run(writer.delete("networking.k8s.io/v1", "NetworkPolicy", "shop", "a"))


def test_another_object_of_the_name_stays() -> None:
    writer, api = applier(errors.Conflict("uid"))
    asyncio.run(writer.delete("networking.k8s.io/v1", "NetworkPolicy", "shop", "a", uid="u-1"))
    assert len(api.requests) == 1


def test_create_and_replace_are_not_repeated_blindly() -> None:
    versioned = {**POLICY, "metadata": {**POLICY["metadata"], "resourceVersion": "7"}}  # type: ignore[dict-item]
    for write in (KubeApplier.create, KubeApplier.replace):
        writer, api = applier(errors.Unreachable("cut"), {})
        with pytest.raises(errors.Unreachable):
            asyncio.run(write(writer, versioned))
        assert len(api.requests) == 1


def test_replace_wants_the_version_that_was_read() -> None:
    writer, api = applier({})
    with pytest.raises(ValueError, match="overwrite blindly"):
        asyncio.run(writer.replace(POLICY))
    assert api.requests == []


def test_writes_are_heard_before_and_after() -> None:
    heard: list[Any] = []
    counted: list[Any] = []
    api = FakeApi(answers=[{"x": 1}, errors.Rejected("no")])
    writer = KubeApplier(api, written=lambda obj: Ear(heard, obj), counted=lambda *what: counted.append(what))
    asyncio.run(writer.apply(POLICY))
    with pytest.raises(errors.Rejected):
        asyncio.run(writer.apply(POLICY))
    assert heard == [("before", "a"), ("after", {"x": 1}), ("before", "a"), ("after", None)]
    assert counted == [("apply", "NetworkPolicy")]
