"""Kopf is set up to leave no trace, and what it sees arrives."""

import asyncio
import threading
from typing import Any

import kopf
import pytest
from ringfence.controller import front
from ringfence.controller.core import Sighting
from ringfence.kube.client import Credentials

CREDENTIALS = Credentials("https://api:6443", "/ca", "/crt", "/key", "secret-token", insecure=False)


def handlers(registry: kopf.OperatorRegistry) -> list[Any]:
    return list(registry._watching.get_all_handlers())


def made(seen: list[Sighting]) -> kopf.OperatorRegistry:
    return front.registry(lambda: CREDENTIALS, seen.append, threading.Event())


def test_only_events_are_handled_so_nothing_is_stored_on_objects() -> None:
    registry = made([])
    assert len(handlers(registry)) == len(front.CACHES)
    for kind in (registry._changing, registry._spawning, registry._indexing, registry._webhooks):
        assert list(kind.get_all_handlers()) == []


def test_kopf_posts_no_events_and_watches_no_peers_or_crds() -> None:
    settings = front.settings()
    assert not settings.posting.enabled
    assert settings.scanning.disabled


def test_kopf_finds_nothing_to_store_on_an_object_and_stores_nothing() -> None:
    storage = front.settings().persistence.diffbase_storage
    body, patch = kopf.Body({"metadata": {"name": "a"}, "spec": {"a": 1}}), kopf.Patch()
    essence = storage.build(body=body, extra_fields=["spec"])
    storage.store(body=body, patch=patch, essence=essence)
    assert (essence, patch, storage.fetch(body=body)) == ({}, {}, None)


@pytest.mark.parametrize(
    ("plural", "type_", "expected"),
    [
        ("securitypolicies", "MODIFIED", Sighting("policies", "shop", "a", "u", "7", deleted=False)),
        ("serviceidentities", None, Sighting("identities", "shop", "a", "u", "7", deleted=False)),
        ("securitypolicies", "DELETED", Sighting("policies", "shop", "a", "u", "7", deleted=True)),
    ],
)
def test_every_event_is_a_sighting(plural: str, type_: str | None, expected: Sighting) -> None:
    seen: list[Sighting] = []
    handler = handlers(made(seen))[0]
    body = {"metadata": {"name": "a", "namespace": "shop", "uid": "u", "resourceVersion": "7"}}
    resource = kopf.Resource("ringfence.dev", "v1alpha1", plural)
    asyncio.run(handler.fn(resource=resource, event={"type": type_, "object": body}, body=body))
    assert seen == [expected]


def test_kopf_connects_as_the_client_does() -> None:
    connection = front.connection(CREDENTIALS)
    assert connection.server == "https://api:6443"
    assert connection.as_http_headers() == {"Authorization": "Bearer secret-token"}
    assert (connection.ca_path, connection.certificate_path, connection.private_key_path) == ("/ca", "/crt", "/key")


def test_credentials_do_not_show_in_logs() -> None:
    assert "secret-token" not in f"{CREDENTIALS} {CREDENTIALS!r}"


def test_a_kopf_that_ends_by_itself_is_started_again_and_one_that_is_told_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts: list[int] = []
    third = threading.Event()

    async def operator(*, stop_flag: threading.Event, **_: object) -> None:
        starts.append(1)
        if len(starts) < 3:
            raise RuntimeError("error in the watch-stream")
        third.set()
        await asyncio.to_thread(stop_flag.wait, 5)

    class Quick:
        def __init__(self, *_: float) -> None: ...

        def next(self) -> float:
            return 0.001

    monkeypatch.setattr(kopf, "operator", operator)
    monkeypatch.setattr(front, "Backoff", Quick)
    running = front.Front(lambda: CREDENTIALS, lambda _: None)
    running.start()
    assert third.wait(5)
    running.stop()
    assert len(starts) == 3
