"""What `ringfence status` says of images: counted by namespace, the oldest failures first, each with its reason."""

import argparse
import io
import json
from typing import Any

import pytest
from ringfence import settings
from ringfence.cli import live, status, status_images
from ringfence.cli.console import Console, Output
from ringfence.cli.documents import Document
from ringfence.cli.options import Target
from ringfence.model.signatures import Answer, Held, SignatureReason, Wanted
from ringfence.reconcile import verdict_objects
from ringfence.reconcile.verdict_objects import Kept

NOW = 1_790_000_000.0
GOOD = Held(Answer(SignatureReason.VERIFIED), NOW + 60)
ENDED = Held(Answer(SignatureReason.VERIFIED), NOW - 60)
UNSIGNED = Held(Answer(SignatureReason.NOT_SIGNED, "the registry holds no signature"), NOW - 60)
AWAY = Held(Answer(SignatureReason.REGISTRY_FAILED, "connection refused"), NOW + 60)


def image(number: int) -> str:
    return f"registry.example/shop/app@sha256:{number:064x}"


def verdict(number: int, *answers: Held, namespace: str = "shop", born: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    wanted = Wanted(namespace, image(number))
    rules = {f"{index:032x}": held for index, held in enumerate(answers)}
    kept = Kept(wanted, NOW, rules, NOW, 0, "")
    names = {rule: f"SecurityPolicy {namespace}/signed rule r{index}" for index, rule in enumerate(rules)}
    obj = {**verdict_objects.request(wanted, NOW), **({} if not answers else verdict_objects.answered(kept, names))}
    obj["spec"] = verdict_objects.request(wanted, NOW)["spec"]
    obj["metadata"] = {**obj["metadata"], "creationTimestamp": born}
    return obj


def test_each_image_is_counted_once() -> None:
    told = status_images.images(
        [
            verdict(1, GOOD),
            verdict(2, GOOD, UNSIGNED),
            verdict(3),
            verdict(4, GOOD, ENDED),
            verdict(5, GOOD, namespace="bank"),
            {"metadata": {"name": "x", "namespace": "shop"}, "spec": {"image": "nothing"}},
        ],
        NOW,
    )
    assert [(each["namespace"], each["verified"], each["failed"], each["pending"]) for each in told] == [
        ("bank", 1, 0, 0),
        ("shop", 1, 1, 3),
    ]
    assert told[0]["failures"] == []
    assert told[1]["failures"] == [
        {
            "image": image(2),
            "rule": "SecurityPolicy shop/signed rule r1",
            "since": "2026-01-01T00:00:00Z",
            "reason": "NotSigned",
            "message": "the registry holds no signature",
        }
    ]


def test_the_oldest_failures_come_first_whatever_their_namespace() -> None:
    told = status_images.images(
        [
            verdict(1, UNSIGNED, born="2026-01-03T00:00:00Z"),
            verdict(2, AWAY, born="2026-01-01T00:00:00Z"),
            verdict(3, UNSIGNED, namespace="bank", born="2026-01-02T00:00:00Z"),
        ],
        NOW,
    )
    assert [each["image"] for each in told[1]["failures"]] == [image(2), image(1)]
    assert [(each["namespace"], each["reason"]) for each in status_images.failures(told)] == [
        ("shop", "RegistryFailed"),
        ("bank", "NotSigned"),
        ("shop", "NotSigned"),
    ]


def told_of(
    monkeypatch: pytest.MonkeyPatch, objects: list[dict[str, Any]], output: Output, remarks: tuple[str, ...] = ()
) -> str:
    async def asked(_: Target) -> live.Answered:
        documents = tuple(Document.answered(each) for each in objects)
        return live.Answered(documents, settings.parse("", {"POD_NAMESPACE": "x"}), remarks)

    monkeypatch.setattr(live, "ask_status", asked)
    out = io.StringIO()
    arguments = argparse.Namespace(
        namespace=None, all=False, kubeconfig=None, context=None, ringfence_namespace="ringfence-system"
    )
    assert status.run(arguments, Console(out, out, {}, output=output)) == 0
    return out.getvalue()


def test_people_see_the_counts_and_the_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = [verdict(1, GOOD), *(verdict(number, UNSIGNED) for number in range(2, 14))]
    said = told_of(monkeypatch, objects, Output.TEXT)
    assert "IMAGES OF" in said
    assert said.count("the registry holds no signature") == status_images.SHOWN
    assert "registry.example/shop/app@sha256:000000000000…" in said
    assert "and 2 more" in said


def test_programs_see_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = [verdict(number, UNSIGNED) for number in range(12)]
    (shop,) = json.loads(told_of(monkeypatch, objects, Output.JSON))["images"]
    assert (shop["failed"], len(shop["failures"])) == (12, 12)


def test_nothing_is_said_of_images_where_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "IMAGES OF" not in told_of(monkeypatch, [], Output.TEXT)
