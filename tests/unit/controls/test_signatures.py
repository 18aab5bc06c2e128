"""Images that must be signed, judged by what is known of their digests."""

from typing import Any

import pytest
from ringfence.controls import evaluate, pod, registry
from ringfence.controls.evaluate import Context
from ringfence.controls.signatures import Known
from ringfence.model.effective import EffectivePolicy, RuleRef, SignatureDemand
from ringfence.model.labels import LabelBox
from ringfence.model.resources import Mode, PodSecurityException
from ringfence.model.signatures import CONTROL, LIFE, Answer, Held, SignatureReason, SignatureRule, Wanted
from ringfence.model.world import Enrolment, Namespace

NOW = 1_800_000_000.0
RULE = SignatureRule("release", ("registry.example/shop/*",), keys=("a key",))
OWN = RuleRef("SecurityPolicy", "shop", "payments", "release")
FLOOR = RuleRef("ClusterSecurityPolicy", "", "floor", "release")
IMAGE = "registry.example/shop/app@sha256:" + "a" * 64
OTHER = "registry.example/shop/app@sha256:" + "b" * 64
NAMESPACE = Namespace.of("shop", {"ringfence.dev/enroll": "enforce"})


class Verdicts:
    """Fulfils model.signatures.Verdicts."""

    def __init__(self, **held: Held) -> None:
        self._held = {IMAGE: held.get("image"), OTHER: held.get("other")}

    def held(self, image: str, fingerprint: str) -> Held | None:
        return self._held.get(image) if fingerprint == RULE.fingerprint else None


GOOD = Held(Answer(SignatureReason.VERIFIED), NOW + LIFE)
BAD = Held(Answer(SignatureReason.NOT_TRUSTED, "one signature, none as asked"), NOW + 60)


def policy(
    mode: Mode = Mode.ENFORCE, ref: RuleRef = OWN, enrolment: Enrolment = Enrolment.ENFORCE, **more: Any
) -> EffectivePolicy:
    demand = SignatureDemand(LabelBox(), RULE, mode, ref)
    return EffectivePolicy("shop", enrolment, True, (("app", "app"),), signatures=(demand,), **more)


def made(image: str, **spec: Any) -> pod.Pod:
    context = {"allowPrivilegeEscalation": False}
    container = {"name": "main", "image": image, "securityContext": context}
    labels = {"ringfence.dev/identity": "app"}
    return pod.of(
        {"metadata": {"labels": labels}, "spec": {"serviceAccountName": "app", "containers": [container], **spec}}
    )


def judged(
    image: str, verdicts: Verdicts | None, asked: EffectivePolicy | None = None, *, refuses: bool = True, **spec: Any
) -> evaluate.Outcome:
    known = Known(verdicts, NOW, refuses) if verdicts is not None else None
    return evaluate.create(made(image, **spec), Context(NAMESPACE, asked or policy(), NOW, known=known))


def test_what_is_verified_is_admitted() -> None:
    outcome = judged(IMAGE, Verdicts(image=GOOD))
    assert outcome.admitted
    assert outcome.wanted == ()


def test_what_is_not_known_is_refused_for_now_and_looked_at() -> None:
    outcome = judged(IMAGE, Verdicts(), imagePullSecrets=[{"name": "s"}, {"name": "s"}])
    (violation,) = outcome.violations
    assert (violation.control, violation.field) == (CONTROL, "spec.containers[0].image")
    assert "verification pending" in violation.message
    assert violation.policy == "SecurityPolicy shop/payments"
    assert outcome.wanted == (Wanted("shop", IMAGE, "app", ("s",)),)


def test_a_workload_may_come_before_its_image_was_checked() -> None:
    outcome = judged(IMAGE, Verdicts(), refuses=False)
    assert outcome.admitted
    assert outcome.wanted == (Wanted("shop", IMAGE, "app"),)
    assert not judged(IMAGE, Verdicts(image=BAD), refuses=False).admitted


def test_an_answer_that_has_ended_counts_no_more() -> None:
    outcome = judged(IMAGE, Verdicts(image=Held(GOOD.answer, NOW)))
    assert "verification pending" in outcome.violations[0].message
    assert outcome.wanted


def test_a_good_answer_is_found_anew_while_it_still_holds() -> None:
    outcome = judged(IMAGE, Verdicts(image=Held(GOOD.answer, NOW + LIFE / 2 - 1)))
    assert outcome.admitted
    assert outcome.wanted


def test_what_is_not_signed_is_refused_with_the_reason() -> None:
    outcome = judged(IMAGE, Verdicts(image=BAD))
    assert "none as asked" in outcome.violations[0].message
    assert "release" in outcome.violations[0].fix
    assert outcome.wanted == ()


def test_another_digest_is_another_image() -> None:
    assert not judged(OTHER, Verdicts(image=GOOD)).admitted


@pytest.mark.parametrize(
    "image",
    ["registry.example/shop/app", "registry.example/shop/app:v1", f"registry.example/shop/app@sha512:{'a' * 128}"],
)
def test_an_image_without_its_digest_is_refused_with_the_fix(image: str) -> None:
    outcome = judged(image, Verdicts(image=GOOD))
    assert "registry.example/shop/app@sha256:…" in outcome.violations[0].fix
    assert outcome.wanted == ()


@pytest.mark.parametrize("image", ["", "Registry.example/shop/APP", "registry.example/shop/app@sha256:1", "a b"])
def test_what_is_no_reference_is_refused(image: str) -> None:
    assert [each.control for each in judged(image, Verdicts()).violations] == [CONTROL]


@pytest.mark.parametrize("image", ["registry.example/other/app", "nginx:latest", "registry.example.evil/shop/app"])
def test_an_image_that_no_rule_covers_needs_no_signature(image: str) -> None:
    outcome = judged(image, Verdicts())
    assert outcome.admitted
    assert outcome.wanted == ()


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"initContainers": [{"name": "i", "image": OTHER}]}, "spec.initContainers[0].image"),
        ({"ephemeralContainers": [{"name": "e", "image": OTHER}]}, "spec.ephemeralContainers[0].image"),
        ({"volumes": [{"name": "v", "image": {"reference": OTHER}}]}, "spec.volumes[0].image.reference"),
    ],
)
def test_every_image_of_a_pod_counts(spec: dict[str, Any], field: str) -> None:
    outcome = judged(IMAGE, Verdicts(image=GOOD), **spec)
    assert [each.field for each in outcome.violations] == [field]


def test_audit_refuses_nothing_and_looks_all_the_same() -> None:
    for asked in (policy(Mode.AUDIT), policy(enrolment=Enrolment.AUDIT)):
        outcome = judged(IMAGE, Verdicts(), asked)
        assert outcome.admitted
        assert outcome.warnings[0].control == CONTROL
        assert outcome.wanted


def test_an_exception_frees_of_what_the_platform_asks_and_of_nothing_else() -> None:
    exception = PodSecurityException("e", "shop", ("app",), (CONTROL,), "why", "2100-01-01T00:00:00Z")
    assert judged(IMAGE, Verdicts(image=BAD), policy(ref=FLOOR, exceptions=(exception,))).admitted
    assert not judged(IMAGE, Verdicts(image=BAD), policy(ref=FLOOR)).admitted
    assert not judged(IMAGE, Verdicts(image=BAD), policy(exceptions=(exception,))).admitted
    assert CONTROL in registry.IDS


def test_a_file_is_judged_by_its_names_alone() -> None:
    outcome = judged(IMAGE, None)
    assert outcome.admitted
    assert "in the cluster only" in outcome.warnings[0].message
    assert not judged("registry.example/shop/app:v1", None).admitted


def test_an_update_is_judged_by_what_it_changes() -> None:
    context = Context(NAMESPACE, policy(), NOW, known=Known(Verdicts(), NOW))
    assert evaluate.update(made(IMAGE), made(IMAGE), context).admitted
    outcome = evaluate.update(made(OTHER), made(IMAGE), context)
    assert [each.control for each in outcome.violations] == [CONTROL]
    assert Wanted("shop", OTHER, "app") in outcome.wanted
