"""ImageVerdicts: what is written is what is read, and what cannot be relied on is not read."""

from typing import Any

import pytest
from ringfence.model.signatures import Answer, Held, SignatureReason, Wanted
from ringfence.reconcile import verdict_objects
from ringfence.reconcile.known_verdicts import CachedVerdicts, ReadVerdicts
from ringfence.reconcile.verdict_objects import Kept

from tests.unit.webhook.fakes import FakeLister

NOW = 1_800_000_000.0
WANTED = Wanted("shop", "registry.example/app@sha256:" + "a" * 64, "app", ("one", "two"))
RULE = "0" * 32
HELD = Held(Answer(SignatureReason.NOT_TRUSTED, "why"), NOW + 60)


def stored() -> dict[str, Any]:
    kept = Kept(WANTED, NOW, {RULE: HELD}, NOW, 3, "abc")
    obj = verdict_objects.request(WANTED, NOW)
    return {**obj, **verdict_objects.answered(kept, {RULE: "rule"}), "spec": obj["spec"]}


def test_what_is_written_is_what_is_read() -> None:
    assert verdict_objects.read(stored()) == Kept(WANTED, NOW, {RULE: HELD}, NOW, 3, "abc")


def test_a_request_has_no_answer_yet() -> None:
    kept = verdict_objects.read(verdict_objects.request(Wanted("shop", WANTED.image), NOW + 59))
    assert kept is not None
    assert (kept.requested, kept.answers, kept.checked) == (NOW, {}, 0.0)


def test_the_webhook_finds_the_answer_by_the_image() -> None:
    verdicts = CachedVerdicts(ReadVerdicts(FakeLister([stored()])), "shop")
    assert verdicts.held(WANTED.image, RULE) == HELD
    assert verdicts.held(WANTED.image, "1" * 32) is None
    assert verdicts.held(WANTED.image.replace("app", "other"), RULE) is None
    assert CachedVerdicts(ReadVerdicts(FakeLister([stored()])), "other").held(WANTED.image, RULE) is None


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {}},
        {"spec": None},
        {"spec": {"image": "registry.example/other@sha256:" + "a" * 64, "requested": "2026-01-01T00:00:00Z"}},
        {"spec": {"image": WANTED.image, "requested": "yesterday"}},
        {"spec": {"image": WANTED.image, "requested": "2026-01-01T00:00:00"}},
        {"status": {"answers": [{"rule": RULE, "reason": "Fine", "until": "2026-01-01T00:00:00Z"}]}},
        {"status": {"answers": [1]}},
        {"status": 1},
        {"metadata": {"name": "other", "namespace": "shop"}},
    ],
)
def test_what_cannot_be_relied_on_is_not_read(change: dict[str, Any]) -> None:
    assert verdict_objects.read({**stored(), **change}) is None
    assert CachedVerdicts(ReadVerdicts(FakeLister([{**stored(), **change}])), "shop").held(WANTED.image, RULE) is None


def test_a_verdict_that_changes_is_read_again() -> None:
    lister = FakeLister([stored()])
    verdicts = CachedVerdicts(ReadVerdicts(lister), "shop")
    assert verdicts.held(WANTED.image, RULE) == HELD
    lister.objects["shop", WANTED.name] = {**stored(), "status": {}}
    assert verdicts.held(WANTED.image, RULE) is None
    del lister.objects["shop", WANTED.name]
    assert verdicts.held(WANTED.image, RULE) is None
