import asyncio
import json
from typing import Any

import pytest
from ringfence.caches import Caches
from ringfence.webhook import selftest
from ringfence.webhook.health import STALE, HealthApp, Readiness
from ringfence.webhook.tls import Certificate

from tests.unit.webhook.fakes import NOW, FakeCluster, FakeLister, shop


class World:
    """A process that is ready, and everything that can change that."""

    def __init__(self) -> None:
        self.cluster = FakeCluster(shop())
        self.lister = FakeLister()
        self.certificate = Certificate()
        self.certificate.ends = NOW + 1
        caches = Caches({"only": self.lister})  # type: ignore[dict-item]
        self.readiness = Readiness(caches, self.certificate, now=lambda: NOW, monotonic=lambda: 0.0)
        self.readiness.compiled = True
        self.app = HealthApp(self.readiness, self.cluster.view, self.certificate, self.cluster.metrics)

    def get(self, path: str) -> tuple[int, bytes]:
        messages: list[Any] = []

        async def send(message: Any) -> None:
            messages.append(message)

        asyncio.run(self.app({"type": "http", "path": path}, None, send))  # type: ignore[arg-type]
        return messages[0]["status"], messages[1]["body"]


def test_ready() -> None:
    world = World()
    status, body = world.get("/readyz")
    assert status == 200
    assert json.loads(body) == {"ready": True, "troubles": [], "revision": 0}


def _spoil(world: World, how: str) -> None:
    if how == "caches":
        world.lister.synced = False
    elif how == "compiled":
        world.readiness.compiled = False
    elif how == "stale":
        world.lister.stale = STALE + 1
    elif how == "certificate":
        world.certificate.ends = NOW
    else:
        world.readiness.draining = True


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("caches", "not complete"),
        ("compiled", "not complete"),
        ("stale", "silent for 61 s"),
        ("certificate", "no serving certificate"),
        ("draining", "ending"),
    ],
)
def test_each_trouble_is_named_and_leaves_the_process_alive(how: str, says: str) -> None:
    world = World()
    _spoil(world, how)
    status, body = world.get("/readyz")
    assert status == 503
    assert says in json.loads(body)["troubles"][0]
    assert world.get("/healthz")[0] == 200


def test_a_namespace_that_lets_nothing_in_does_not_close_the_others() -> None:
    """Nobody could mend the policy that is to blame if the process were not asked any more."""
    world = World()
    world.cluster.broken = RuntimeError()
    world.cluster.view.compile_all()
    assert world.get("/readyz")[0] == 200
    assert b"ringfence_admission_refused_namespaces 1.0" in world.get("/metrics")[1]


def test_a_process_that_judges_wrongly_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence.controls.privileged.check", lambda subject: iter(()))
    assert selftest.trouble() == ""
    monkeypatch.setattr(
        "ringfence.webhook.pods.evaluate.create",
        lambda *args, **kwargs: __import__("ringfence.controls.evaluate", fromlist=["Outcome"]).Outcome(),
    )
    assert "privileged pod in" in selftest.trouble()
    assert World().get("/readyz")[0] == 503


def test_a_process_that_overlooks_what_policies_ask_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence.controls.evaluate.demands.violations", lambda *args: [])
    assert "image of a stranger" in selftest.trouble()
    assert World().get("/readyz")[0] == 503


def test_a_stale_watch_of_a_moment_is_no_trouble() -> None:
    world = World()
    world.lister.stale = STALE - 1
    assert world.get("/readyz")[0] == 200


def test_metrics_and_unknown_paths() -> None:
    status, body = World().get("/metrics")
    assert status == 200
    assert b"ringfence_serving_certificate_end_seconds 1.8" in body
    assert World().get("/")[0] == 404
