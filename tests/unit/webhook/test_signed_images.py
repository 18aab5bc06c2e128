"""Reviews about images that must be signed, from bytes to bytes: refused, admitted, and asked for."""

import asyncio
import json
import time
from typing import Any

import pytest
from ringfence.model.signatures import CONTROL, Answer, Held, SignatureReason, SignatureRule, Wanted
from ringfence.reconcile import verdict_objects
from ringfence.reconcile.verdict_objects import Kept
from ringfence.webhook.review import Purpose

from tests.unit.signatures import authority
from tests.unit.webhook.fakes import NOW, FakeCluster, floor, shop
from tests.unit.webhook.reviews import encoded, pod

PEM = authority.pem(authority.new_key())
RULE = SignatureRule("release", ("registry.example/shop/*",), keys=(PEM,))
IMAGE = "registry.example/shop/app@sha256:" + "a" * 64
FLOOR = floor(
    "signed",
    "privileged",
    admission={"images": {"signatures": [{"name": "release", "images": ["registry.example/shop/*"], "keys": [PEM]}]}},
)


def verdict(reason: SignatureReason, until: float = NOW + 3600, rule: SignatureRule = RULE) -> dict[str, Any]:
    wanted = Wanted("shop", IMAGE)
    kept = Kept(wanted, NOW, {rule.fingerprint: Held(Answer(reason, "because"), until)}, NOW, 0, "")
    return {**verdict_objects.request(wanted, NOW), "status": verdict_objects.answered(kept, {})["status"]}


def asked(cluster: FakeCluster, body: bytes, purpose: Purpose = Purpose.VALIDATE) -> dict[str, Any]:
    answer = asyncio.run(cluster.answering().answer(purpose, body, time.monotonic() + 1))
    response: dict[str, Any] = json.loads(answer)["response"]
    return response


def running(image: str = IMAGE) -> dict[str, Any]:
    return pod(containers=[{"name": "main", "image": image}], imagePullSecrets=[{"name": "pull"}])


def test_an_unknown_image_is_refused_and_asked_for() -> None:
    cluster = FakeCluster(shop(FLOOR))
    response = asked(cluster, encoded(running()))
    assert not response["allowed"]
    assert "verification pending" in response["status"]["message"]
    assert f"[{CONTROL}, asked by ClusterSecurityPolicy signed]" in response["status"]["message"]
    assert cluster.wanted == [Wanted("shop", IMAGE, "default", ("pull",))]
    # What is shown to the API server says nothing of the question.
    assert set(response) == {"uid", "allowed", "status", "auditAnnotations"}


def test_a_dry_run_asks_for_nothing() -> None:
    cluster = FakeCluster(shop(FLOOR))
    assert not asked(cluster, encoded(running(), dryRun=True))["allowed"]
    assert cluster.wanted == []


def test_a_known_image_is_admitted() -> None:
    cluster = FakeCluster(shop(FLOOR, verdict(SignatureReason.VERIFIED, NOW + 86400)))
    assert asked(cluster, encoded(running()))["allowed"]
    assert cluster.wanted == []


@pytest.mark.parametrize(
    "known",
    [
        verdict(SignatureReason.NOT_SIGNED),
        verdict(SignatureReason.REGISTRY_FAILED),
        verdict(SignatureReason.NO_TRUST_ROOT),
        verdict(SignatureReason.VERIFIED, NOW),
        verdict(SignatureReason.VERIFIED, rule=SignatureRule("release", ("*",), keys=("another key",))),
        {**verdict(SignatureReason.VERIFIED), "spec": {"image": IMAGE}},
        {
            **verdict(SignatureReason.VERIFIED),
            "metadata": {"name": verdict(SignatureReason.VERIFIED)["metadata"]["name"], "namespace": "other"},
        },
    ],
    ids=["not signed", "failed", "no trust root", "ended", "another rule", "cannot be read", "another namespace"],
)
def test_nothing_but_a_good_answer_admits(known: dict[str, Any]) -> None:
    assert not asked(FakeCluster(shop(FLOOR, known)), encoded(running()))["allowed"]


def test_a_workload_is_admitted_without_a_warning_and_its_image_asked_for() -> None:
    cluster = FakeCluster(shop(FLOOR))
    workload = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "app", "namespace": "shop"},
        "spec": {"template": running()},
    }
    response = asked(cluster, encoded(workload), Purpose.WARN)
    assert response["allowed"]
    assert "warnings" not in response
    assert cluster.wanted == [Wanted("shop", IMAGE, "default", ("pull",))]


def test_an_image_that_nobody_asks_about_costs_nothing() -> None:
    cluster = FakeCluster(shop(FLOOR))
    assert asked(cluster, encoded(running("registry.example/other")))["allowed"]
    assert cluster.wanted == []
