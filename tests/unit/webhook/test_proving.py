"""Invariants before a change of a policy is let in: what breaks them, what cannot be told, and what is only said."""

import asyncio
import time
from typing import Any

import pytest
from ringfence.webhook import proving
from ringfence.webhook.proving import Proving
from ringfence.webhook.review import Purpose

from tests.unit.webhook.fakes import FakeCluster, identity, namespace
from tests.unit.webhook.reviews import decoded, encoded

ZONE = "ringfence.dev/zone"
PCI = {"zone": "pci"}


def resource(kind: str, name: str, spec: dict[str, Any], place: str = "") -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": place} if place else {})}
    return {"apiVersion": "ringfence.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def lets_in(place: str, name: str, *callers: dict[str, Any]) -> dict[str, Any]:
    rule = {"name": "callers", "from": list(callers), "ports": [8080]}
    return resource("SecurityPolicy", name, {"appliesTo": {"identities": [name]}, "ingress": [rule]}, place)


def who(place: str, name: str) -> dict[str, Any]:
    return {"identity": {"namespace": place, "name": name}}


def promises(mode: str = "Enforce") -> dict[str, Any]:
    never = [{"name": "never-pci", "from": [{"zone": "public"}], "to": [PCI]}]
    return resource("ClusterSecurityPolicy", "promises", {"namespaceSelector": {}, "mode": mode, "neverAllow": never})


WORLD = [
    namespace("front", "enforce", **{ZONE: "public"}),
    namespace("middle", "enforce"),
    namespace("vault", "enforce", **{ZONE: "pci"}),
    identity("front", "web"),
    identity("middle", "api"),
    identity("vault", "db"),
    lets_in("vault", "db", who("middle", "api")),
]
BREAKS = lets_in("middle", "api", who("front", "web"))


def ask(cluster: FakeCluster, obj: dict[str, Any], seconds: float = 30) -> dict[str, Any]:
    body = encoded(obj)

    async def answer() -> bytes:
        answering = cluster.answering()
        answering.proving = Proving(cluster.gatherer)
        return await answering.answer(Purpose.VALIDATE, body, time.monotonic() + seconds)

    return decoded(asyncio.run(answer()))


def test_what_breaks_an_invariant_is_refused_with_the_calls() -> None:
    response = ask(FakeCluster([*WORLD, promises()]), BREAKS)
    assert not response["allowed"]
    assert response["status"]["code"] == 403
    assert response["status"]["message"].splitlines() == [
        "Ringfence refuses SecurityPolicy middle/api: with it",
        "- neverAllow never-pci of ClusterSecurityPolicy promises does not hold",
        "  allowed: front/web -> middle/api TCP 8080",
        "    egress: no policy lists what it may call",
        "    ingress: SecurityPolicy middle/api rule callers allows it",
        "  allowed: middle/api -> vault/db TCP 8080",
        "    egress: no policy lists what it may call",
        "    ingress: SecurityPolicy vault/db rule callers allows it",
    ]


def test_a_label_that_lets_an_identity_in_is_a_change_like_any_other() -> None:
    by_label = lets_in("middle", "api", {"zone": "public"})
    by_label["spec"]["ingress"][0]["when"] = [{"attribute": "source.labels[role]", "in": ["reader"]}]
    cluster = FakeCluster([*WORLD, by_label, promises()])
    reader = resource("ServiceIdentity", "web", {"labels": {"role": "reader"}}, "front")
    response = ask(cluster, reader)
    assert not response["allowed"]
    assert response["status"]["message"].startswith("Ringfence refuses ServiceIdentity front/web: with it")
    assert ask(cluster, resource("ServiceIdentity", "web", {"labels": {"role": "writer"}}, "front"))["allowed"]


def test_without_invariants_or_with_reported_ones_it_is_let_in() -> None:
    assert ask(FakeCluster(WORLD), BREAKS)["allowed"]
    assert ask(FakeCluster([*WORLD, promises("Audit")]), BREAKS)["allowed"]


def test_an_invariant_that_does_not_hold_is_not_let_in() -> None:
    response = ask(FakeCluster([*WORLD, BREAKS]), promises())
    assert not response["allowed"]
    assert ask(FakeCluster([*WORLD, BREAKS]), promises("Audit"))["allowed"]


def test_what_was_broken_before_stops_only_what_makes_it_worse() -> None:
    broken = [*WORLD, identity("middle", "other"), BREAKS, promises()]
    assert ask(FakeCluster(broken), lets_in("middle", "other", who("front", "web")))["allowed"]
    worse = lets_in("vault", "db", who("front", "web"), who("middle", "api"))
    direct = lets_in("vault", "db-2", who("front", "web"))
    assert ask(FakeCluster(broken), worse)["allowed"], "web reaches db already"
    direct["spec"]["appliesTo"] = {"identities": ["db-2"]}
    assert not ask(FakeCluster([*broken, identity("vault", "db-2")]), direct)["allowed"]


def test_what_is_not_proven_in_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(*_: Any) -> list[Any]:
        time.sleep(1)
        return []

    monkeypatch.setattr(proving.Proving, "_judge", slowly)
    response = ask(FakeCluster([*WORLD, promises()]), BREAKS, seconds=0.5)
    assert not response["allowed"]
    assert response["status"]["code"] == 503
    assert "were not proven within" in response["status"]["message"]


def test_nothing_is_proven_beside_what_was_never_understood() -> None:
    odd = resource("SecurityPolicy", "odd", {"ingress": 7}, "middle")
    response = ask(FakeCluster([*WORLD, odd, promises()]), lets_in("front", "web", {"anonymous": True}))
    assert not response["allowed"]
    assert "SecurityPolicy odd cannot be understood and may allow anything" in response["status"]["message"]
    mended = resource("SecurityPolicy", "odd", {"ingress": [{"name": "a", "from": [{"zone": "pci"}]}]}, "middle")
    assert ask(FakeCluster([*WORLD, odd, promises()]), mended)["allowed"]


def test_a_namespace_that_the_cache_does_not_hold_is_read() -> None:
    new = lets_in("new", "svc", {"zone": "public"})
    del new["spec"]["appliesTo"]
    live = [namespace("new", "enforce", **{ZONE: "pci"})]
    cluster = FakeCluster([*WORLD, promises()], live)
    response = ask(cluster, new)
    assert [each.name for each in cluster.reads] == ["new"]
    assert not response["allowed"], "its pods are in the zone"
