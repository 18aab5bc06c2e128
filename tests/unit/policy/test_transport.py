"""The strictest transport wins, and calls without mutual TLS have no identity where it is Strict."""

from dataclasses import replace

import pytest
from ringfence.model.effective import Direction
from ringfence.model.resources import MTLS, AnonymousPeer, Mode, NamespacePeer, Protocol, SecurityPolicy, Transport
from ringfence.model.verdict import Half, Reason
from ringfence.model.world import World
from ringfence.policy.decide import decide
from ringfence.policy.resolve import resolve
from ringfence.policy.transport import transport_of

from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, deny, pod, policy

API, WEB, ODD = pod("api", ip="10.244.0.1"), pod("web", ip="10.244.0.2"), pod("odd", "lab", ip="10.244.9.9")


def wishing(mtls: MTLS | None, name: str = "t", mode: Mode = Mode.ENFORCE) -> SecurityPolicy:
    made = policy(name)
    transport = Transport(mtls) if mtls is not None else None
    return replace(made, spec=replace(made.spec, transport=transport, mode=mode))


def asked(known: World, *, plaintext: bool = True, source: object = WEB) -> Half:
    effective = making.effective(known)
    return decide(known, effective, source, API, Protocol.TCP, 80, plaintext=plaintext).ingress  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ((), MTLS.STRICT),
        ((None,), MTLS.STRICT),
        ((MTLS.PERMISSIVE,), MTLS.PERMISSIVE),
        ((MTLS.DISABLED, MTLS.PERMISSIVE), MTLS.PERMISSIVE),
        ((MTLS.DISABLED,), MTLS.DISABLED),
        ((MTLS.DISABLED, MTLS.STRICT, MTLS.PERMISSIVE), MTLS.STRICT),
    ],
)
def test_the_strictest_wins(wishes: tuple[MTLS | None, ...], expected: MTLS) -> None:
    known = making.world(*(wishing(each, f"t{n}") for n, each in enumerate(wishes)))
    assert transport_of(resolve(known, "shop"), {}) is expected


def test_a_policy_in_audit_loosens_nothing_and_tightens_nothing() -> None:
    known = making.world(wishing(MTLS.DISABLED, "a"), wishing(MTLS.STRICT, "b", Mode.AUDIT))
    assert transport_of(resolve(known, "shop"), {}) is MTLS.DISABLED


def test_what_is_not_closed_takes_anything() -> None:
    assert transport_of(resolve(making.world(), "lab"), {}) is MTLS.PERMISSIVE


def test_without_mutual_tls_an_identity_does_not_count() -> None:
    known = making.world(policy(ingress=(allow("web", caller("web")),)), pods=(API, WEB))
    assert asked(known, plaintext=False).allowed
    half = asked(known)
    assert (half.allowed, half.reason, half.direction) == (False, Reason.NEEDS_MUTUAL_TLS, Direction.INGRESS)
    assert half.rule is not None
    assert half.rule.rule == "web"


def test_permissive_takes_the_address_for_the_identity() -> None:
    rules = policy(ingress=(allow("web", caller("web")),))
    known = making.world(rules, wishing(MTLS.PERMISSIVE), pods=(API, WEB))
    assert asked(known).allowed


def test_namespace_and_anonymous_need_no_identity() -> None:
    for peer, source in ((NamespacePeer("lab"), ODD), (AnonymousPeer(), WEB)):
        known = making.world(policy(ingress=(allow("x", peer),)), pods=(API, WEB, ODD))
        assert asked(known, source=source).allowed


def test_a_deny_of_the_anonymous_meets_whoever_shows_nothing() -> None:
    rules = policy(ingress=(allow("all", AnonymousPeer()), deny("no", AnonymousPeer())))
    known = making.world(rules, pods=(API, WEB))
    assert asked(known).reason is Reason.DENIED_BY_RULE


def test_a_deny_of_an_identity_does_not_know_who_shows_nothing() -> None:
    rules = policy(ingress=(allow("all", AnonymousPeer()), deny("no", caller("web"))))
    known = making.world(rules, pods=(API, WEB))
    assert asked(known).allowed
