"""Which Allows are held back, and what a person is told of it."""

import pytest
from ringfence.model import labels
from ringfence.model.effective import EffectiveRule
from ringfence.model.labels import LabelBox
from ringfence.model.resources import AppliesTo, CidrPeer, Mode, NamespacePeer, SecurityPolicy
from ringfence.model.world import Installation, World
from ringfence.policy import overlaps
from ringfence.policy.builtins import is_inside
from ringfence.policy.resolve import resolve

from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, deny, floor, policy


def marks(known: World, name: str) -> EffectiveRule:
    return next(rule for rule in resolve(known, "shop").rules if rule.ref.rule == name)


def test_a_held_allow_names_the_deny_and_the_finding_both() -> None:
    known = making.world(
        policy("a", ingress=(allow("named", caller("web"), ports=("http",)),)),
        policy("b", ingress=(deny("no", caller("web"), ports=(80,)),)),
    )
    assert str(marks(known, "named").suspended_by) == "SecurityPolicy shop/b rule no"
    (finding,) = making.findings(known, "RuleSuspended")
    assert finding.subject == ("SecurityPolicy", "shop", "a")
    assert "rule named is not in force" in finding.message
    assert "SecurityPolicy shop/b rule no" in finding.message


def test_denies_for_other_pods_hold_nothing_back() -> None:
    known = making.world(
        policy(
            "a", applies_to=AppliesTo(identities=("db",)), ingress=(allow("named", caller("web"), ports=("http",)),)
        ),
        policy("b", applies_to=AppliesTo(identities=("api",)), ingress=(deny("no", caller("web"), ports=(80,)),)),
    )
    assert marks(known, "named").suspended_by is None
    assert marks(known, "named").denied_by == ()


def test_overlapping_denies_are_named_on_the_allow() -> None:
    known = making.world(
        policy(
            "a", ingress=(allow("yes", NamespacePeer("shop")), deny("one", caller("web")), deny("two", caller("api")))
        ),
        floors=(floor(ingress=(deny("all", NamespacePeer("bank")),)),),
    )
    assert [ref.rule for ref in marks(known, "yes").denied_by] == ["one", "two"]


def test_an_allow_that_is_wholly_denied_is_said() -> None:
    known = making.world(policy(ingress=(allow("yes", caller("web")), deny("no", NamespacePeer("shop")))))
    (finding,) = making.findings(known, "RuleNeverMatches")
    assert "all that it allows is denied by SecurityPolicy shop/p rule no" in finding.message


def test_a_deny_in_mode_audit_holds_nothing_back_but_says_that_it_would() -> None:
    known = making.world(
        policy("a", ingress=(allow("named", caller("web"), ports=("http",)),)),
        policy("b", ingress=(deny("no", caller("web"), ports=(80,)),), mode=Mode.AUDIT),
    )
    rule = marks(known, "named")
    assert (rule.suspended_by, str(rule.suspended_in_audit)) == (None, "SecurityPolicy shop/b rule no")
    assert making.findings(known, "RuleSuspended") == []
    assert len(making.findings(known, "WouldBeSuspended")) == 1


def test_the_default_inside_is_held_back_for_pods_denied_by_address() -> None:
    known = making.world(
        floors=(floor(egress=(deny("net", CidrPeer("10.0.0.0/8")),)),), installation=Installation(open_services=())
    )
    inside = [rule for rule in resolve(known, "shop").rules if is_inside(rule.ref)]
    assert [str(rule.suspended_by) for rule in inside] == ["ClusterSecurityPolicy floor rule net"]
    (finding,) = making.findings(known, "RuleSuspended")
    assert finding.subject == ("ClusterSecurityPolicy", "", "floor")
    assert "call others is not in force" in finding.message


def test_addresses_that_no_pod_has_hold_nothing_back() -> None:
    known = making.world(
        floors=(floor(egress=(deny("metadata", CidrPeer("169.254.169.254/32")),)),),
        installation=Installation(open_services=()),
    )
    assert making.findings(known, "RuleSuspended") == []


def crowd(mode: Mode = Mode.ENFORCE) -> tuple[SecurityPolicy, ...]:
    """Policies whose Denies cut each of 60 Allows into very many pieces."""
    many = tuple(allow(f"r{number:02}", caller("web"), ports=(number + 1,)) for number in range(60))
    boxes = [LabelBox.of({f"a{n}": labels.one_of("x"), f"b{n}": labels.one_of("x")}) for n in range(7)]
    denies = (
        deny("no", caller("web")),
        *(deny(f"d{number:02}", caller("web"), ports=(number + 1,)) for number in range(60)),
    )
    return (
        policy("a", ingress=many),
        *(
            policy(f"d{n}", applies_to=AppliesTo(pod_selector=box), ingress=denies, mode=mode)
            for n, box in enumerate(boxes)
        ),
    )


def test_work_on_a_namespace_is_bounded_and_the_rest_stays_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlaps, "MAX_WORK", 100_000)
    found = resolve(making.world(*crowd()), "shop")
    suspended = [rule.ref.rule for rule in found.rules if rule.suspended_by is not None]
    assert suspended[-1] == "r59"
    assert suspended == sorted(suspended)
    assert 0 < len(suspended) < 60
    assert any("overlap in too many ways" in finding.message for finding in found.findings)


def test_work_on_policies_in_mode_audit_takes_nothing_from_enforcement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlaps, "MAX_WORK", 100_000)
    found = resolve(making.world(*crowd(Mode.AUDIT)), "shop")
    assert [rule for rule in found.rules if rule.suspended_by is not None] == []
