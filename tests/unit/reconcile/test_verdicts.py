"""Which images are looked at when, what an answer becomes, and what goes."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from ringfence.model.effective import RuleRef, SignatureDemand
from ringfence.model.labels import LabelBox
from ringfence.model.resources import Mode
from ringfence.model.signatures import LIFE, MAX_HELD, Answer, Held, SignatureReason, SignatureRule, Signer, Wanted
from ringfence.reconcile import verdict_objects, verdicts
from ringfence.reconcile.means import Means
from ringfence.reconcile.verdict_objects import Kept
from ringfence.reconcile.verdicts import BAD_LIFE, Due, VerdictKeeper, due, merged

from tests.unit.webhook.fakes import FakeLister

NOW = 1_800_000_000.0
IMAGE = "registry.example/shop/app@sha256:" + "a" * 64
WANTED = Wanted("shop", IMAGE)
KEY = SignatureRule("key", ("registry.example/*",), keys=("k",))
SIGNER = SignatureRule("signer", ("registry.example/*",), keyless=(Signer("https://i", "j"),))
RULES = {KEY.fingerprint: KEY}
GOOD, BAD = Answer(SignatureReason.VERIFIED), Answer(SignatureReason.NOT_SIGNED, "none")
FAILED = Answer(SignatureReason.REGISTRY_FAILED, "away")


def kept(*answers: tuple[SignatureRule, Held], **changes: Any) -> Kept:
    made = Kept(WANTED, NOW, {rule.fingerprint: held for rule, held in answers}, NOW - 10, 0, "root")
    return replace(made, **changes)


class TestDue:
    def test_what_has_no_answer_is_looked_at_now(self) -> None:
        assert due(kept(), RULES, "root", NOW) == Due((KEY,), 0.0)

    def test_a_good_answer_is_found_anew_before_it_ends(self) -> None:
        held = kept((KEY, Held(GOOD, NOW + LIFE)))
        assert due(held, RULES, "root", NOW) == Due((), NOW + LIFE * 3 / 4)
        assert due(held, RULES, "root", NOW + LIFE * 3 / 4).now == (KEY,)

    def test_a_bad_answer_stays_until_somebody_asks_again(self) -> None:
        held = kept((KEY, Held(BAD, NOW + 60)), requested=NOW - 20)
        assert due(held, RULES, "root", NOW + 3600) == Due((), 0.0)
        asked = replace(held, requested=NOW)
        assert due(asked, RULES, "root", NOW) == Due((), NOW + 60)
        assert due(asked, RULES, "root", NOW + 60).now == (KEY,)

    def test_a_registry_that_failed_is_asked_again_while_somebody_wants_it(self) -> None:
        held = kept((KEY, Held(FAILED, NOW + 15)), failures=1, checked=NOW)
        assert due(held, RULES, "root", NOW) == Due((), NOW + 15)
        assert due(held, RULES, "root", NOW + 15).now == (KEY,)
        assert due(held, RULES, "root", NOW + 7200) == Due((), 0.0)

    def test_a_refresh_that_failed_waits_too(self) -> None:
        held = kept((KEY, Held(GOOD, NOW + 100)), failures=3, checked=NOW)
        assert due(held, RULES, "root", NOW) == Due((), NOW + 60)

    def test_another_trust_root_asks_anew_what_rests_on_it(self) -> None:
        rules = {**RULES, SIGNER.fingerprint: SIGNER}
        held = kept((KEY, Held(GOOD, NOW + LIFE)), (SIGNER, Held(GOOD, NOW + LIFE)))
        assert due(held, rules, "other", NOW).now == (SIGNER,)


class TestMerged:
    def test_answers_end(self) -> None:
        good = merged(kept(), RULES, {KEY.fingerprint: GOOD}, "root", NOW)
        assert good.answers == {KEY.fingerprint: Held(GOOD, NOW + LIFE)}
        assert (
            merged(kept(), RULES, {KEY.fingerprint: BAD}, "root", NOW).answers[KEY.fingerprint].until == NOW + BAD_LIFE
        )

    def test_failures_come_later_and_later_and_are_forgotten(self) -> None:
        held, waits = kept(), []
        for _ in range(9):
            held = merged(held, RULES, {KEY.fingerprint: FAILED}, "root", NOW)
            waits.append(held.answers[KEY.fingerprint].until - NOW)
        assert waits == [15, 30, 60, 120, 240, 480, 900, 900, 900]
        assert merged(held, RULES, {KEY.fingerprint: GOOD}, "root", NOW).failures == 0

    def test_a_registry_that_fails_takes_no_good_answer_away(self) -> None:
        held = kept((KEY, Held(GOOD, NOW + 100)))
        assert merged(held, RULES, {KEY.fingerprint: FAILED}, "root", NOW).answers == held.answers
        late = merged(held, RULES, {KEY.fingerprint: FAILED}, "root", NOW + 100)
        assert late.answers[KEY.fingerprint].answer == FAILED
        # What rested on another trust root may not be relied on.
        other = merged(held, RULES, {KEY.fingerprint: FAILED}, "other", NOW)
        assert other.answers[KEY.fingerprint].answer == FAILED

    def test_a_bad_answer_takes_a_good_one_away_at_once(self) -> None:
        held = kept((KEY, Held(GOOD, NOW + LIFE)))
        assert merged(held, RULES, {KEY.fingerprint: BAD}, "root", NOW).answers[KEY.fingerprint].answer == BAD

    def test_answers_to_what_nobody_asks_go(self) -> None:
        held = kept((SIGNER, Held(GOOD, NOW + LIFE)))
        assert SIGNER.fingerprint not in merged(held, RULES, {KEY.fingerprint: GOOD}, "root", NOW).answers


class Applier:
    """Fulfils ports.Applier; remembers."""

    def __init__(self) -> None:
        self.applied: list[Any] = []
        self.deleted: list[str] = []

    async def apply(self, obj: Any, *, subresource: str = "") -> Any:
        assert subresource == "status"
        self.applied.append(obj)
        return obj

    async def delete(self, api_version: str, kind: str, namespace: str, name: str, *, uid: str = "") -> None:
        assert (kind, namespace) == ("ImageVerdict", "shop")
        self.deleted.append(name)


class Clock:
    def now(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return NOW


class Inspector:
    """Fulfils verdicts.Inspector with one answer for everything."""

    trust_root = "root"

    def __init__(self, answer: Answer = GOOD) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def inspect(self, wanted: Wanted, rules: Sequence[SignatureRule]) -> tuple[Answer, ...]:
        self.asked.append(wanted.image)
        return (self.answer,) * len(rules)


DEMAND = SignatureDemand(LabelBox(), KEY, Mode.ENFORCE, RuleRef("SecurityPolicy", "shop", "p", "key"))


def request(image: str = IMAGE, at: float = NOW) -> dict[str, Any]:
    return verdict_objects.request(Wanted("shop", image), at)


def reconciled(
    objects: list[dict[str, Any]], demands: tuple[SignatureDemand, ...] | None = (DEMAND,), answer: Answer = GOOD
) -> tuple[float, Applier, Inspector]:
    applier, inspector = Applier(), Inspector(answer)
    means = Means(applier=applier, events=None, clock=Clock(), api_clock=Clock())  # type: ignore[arg-type]
    keeper = VerdictKeeper(FakeLister(objects), lambda _: demands, inspector, means)
    return asyncio.run(keeper.reconcile("shop")), applier, inspector


def test_what_is_asked_for_is_answered() -> None:
    again, applier, inspector = reconciled([request()])
    assert inspector.asked == [IMAGE]
    (written,) = applier.applied
    assert written["metadata"]["name"] == WANTED.name
    (answer,) = written["status"]["answers"]
    assert (answer["rule"], answer["reason"], answer["names"]) == (
        KEY.fingerprint,
        "Verified",
        "SecurityPolicy shop/p rule key",
    )
    assert "spec" not in written
    assert again > 0


def test_what_is_known_is_left_alone_until_it_is_due() -> None:
    held = kept((KEY, Held(GOOD, NOW + LIFE)))
    obj = {**request(), "status": verdict_objects.answered(held, {})["status"]}
    again, applier, inspector = reconciled([obj])
    assert (applier.applied, inspector.asked) == ([], [])
    assert again == LIFE * 3 / 4


@pytest.mark.parametrize(
    ("obj", "demands"),
    [
        (request(), None),
        (request(), ()),
        (request("elsewhere.example/app@sha256:" + "a" * 64), (DEMAND,)),
        (request(at=NOW - verdicts.KEEP - 60), (DEMAND,)),
        ({**request(), "spec": {"image": "forged", "requested": "2026-01-01T00:00:00Z"}}, (DEMAND,)),
        (request("registry.example/app:v1"), (DEMAND,)),
    ],
    ids=["not enrolled", "no rule", "not covered", "old", "forged", "no digest"],
)
def test_what_nobody_asks_for_goes(obj: dict[str, Any], demands: Any) -> None:
    _, applier, inspector = reconciled([obj], demands)
    assert applier.deleted == [obj["metadata"]["name"]]
    assert inspector.asked == []


def test_a_namespace_has_no_more_than_it_may_and_keeps_what_is_good() -> None:
    held = kept((KEY, Held(GOOD, NOW + LIFE)))
    good = {**request(at=NOW - 86400), "status": verdict_objects.answered(held, {})["status"]}
    others = [request(f"registry.example/app@sha256:{n:064x}", NOW - 60 * n) for n in range(MAX_HELD + 5)]
    again, applier, inspector = reconciled([good, *others])
    assert len(applier.deleted) == 6
    assert good["metadata"]["name"] not in applier.deleted
    # Then others have their turn.
    assert len(inspector.asked) == verdicts.BATCH
    assert again == pytest.approx(0.01)
