"""What "closed" does not cover is said where people read that it is closed."""

from ringfence.model.effective import EffectivePolicy, Finding
from ringfence.model.world import Enrolment
from ringfence.policy.reasons import FindingReason
from ringfence.reconcile import staging


def _closed(*findings: Finding) -> staging.Staging:
    return staging.of(EffectivePolicy("shop", Enrolment.ENFORCE, closed=True, findings=findings))


def test_a_closed_namespace_names_the_pods_that_no_network_policy_governs() -> None:
    here = ("Namespace", "", "shop")
    said = _closed(
        Finding(here, FindingReason.PODS_OUTSIDE_RANGES, "second"),
        Finding(here, FindingReason.HOST_NETWORK_PODS, "first"),
        Finding(("SecurityPolicy", "shop", "a"), FindingReason.SELECTS_NO_PODS, "not here"),
    )
    assert said == staging.Staging(True, "Closed", "everything that no rule allows is denied; but first; but second")


def test_otherwise_it_says_no_more_than_that() -> None:
    assert _closed().message == "everything that no rule allows is denied"
