"""What is said beside a denial."""

from ringfence.model.effective import Direction
from ringfence.model.resources import Action, AppliesTo, CidrPeer, Mode, PortSpec, Protocol
from ringfence.model.world import ContainerPort, Workload, World
from ringfence.policy.decide import Call, decide
from ringfence.policy.ends import Address, End
from ringfence.policy.explain import Judged
from ringfence.policy.nearest import nearest
from ringfence.policy.resolve import resolve

from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, deny, pod, policy

WEB, API, DB = pod("web"), pod("api"), pod("db")


def lines(known: World, source: End, target: End, port: int | str = 8443) -> tuple[str, ...]:
    """The hints of both halves."""
    effective = making.effective(known)
    verdict = decide(known, effective, source, target, Protocol.TCP, port)
    halves = (verdict.egress, verdict.ingress)
    judged = Judged(known, effective, source, target, Protocol.TCP, port)
    return tuple(text for half in halves for text in judged.hints(half))


def test_a_denial_names_what_came_closest() -> None:
    known = making.world(
        policy(
            "payments",
            ingress=(
                allow("other-port", caller("web"), ports=(443, PortSpec(9000, 9010), "metrics")),
                allow("other-caller", caller("api"), ports=(8443,)),
                allow("far", caller("api"), ports=(1,)),
            ),
        ),
        policy("for-api", applies_to=AppliesTo(identities=("api",)), ingress=(allow("web", caller("web")),)),
    )
    assert lines(known, WEB, DB) == (
        "SecurityPolicy shop/payments rule other-port comes close, but only on TCP 443, TCP 9000-9010, TCP metrics",
        "SecurityPolicy shop/payments rule other-caller comes close, but it does not name shop/web",
        "SecurityPolicy shop/for-api rule web comes close, but it governs other pods than shop/db",
    )


def test_only_some_of_many_near_misses_are_shown() -> None:
    rules = tuple(allow(f"r{number}", caller("web"), ports=(number + 1,)) for number in range(9))
    found = lines(making.world(policy(ingress=rules)), WEB, DB)
    assert len(found) == 5 + 1
    assert found[-1] == "and 4 more rules"


def test_a_rule_that_decided_needs_no_hint() -> None:
    known = making.world(policy(ingress=(allow("web", caller("web")), deny("no", caller("api")))))
    assert lines(known, API, DB) == ()


def test_an_allowed_call_names_the_deny_that_differs_in_one_part() -> None:
    denies = (deny("no", caller("api")), deny("far", caller("api"), ports=(1,)))
    known = making.world(policy(ingress=(allow("web", caller("web")), *denies)))
    assert lines(known, WEB, DB) == ("SecurityPolicy shop/p rule no denies, but it does not name shop/web",)


def test_a_suspended_rule_says_by_whom() -> None:
    known = making.world(
        policy(ingress=(allow("web", caller("web"), ports=("sql",)), deny("no", caller("web"), ports=(9,))))
    )
    target = Workload("shop", "db", "db", DB.labels, ports=(ContainerPort("sql", 5432),))
    assert lines(known, WEB, target, "sql") == (
        "SecurityPolicy shop/p rule no overlaps it in a way that no NetworkPolicy can express",
    )


def test_ends_that_nothing_governs() -> None:
    known = making.world()
    stranger = Workload("lab", "mouse", "mouse")
    assert lines(known, stranger, Address("203.0.113.9")) == ()


def test_egress_to_an_address_names_the_address() -> None:
    known = making.world(policy(egress=(allow("bank", CidrPeer("198.51.100.0/24")),)))
    assert lines(known, WEB, Address("203.0.113.9")) == (
        "SecurityPolicy shop/p rule bank comes close, but it does not name 203.0.113.9",
    )


def test_denies_audits_and_the_default_are_no_near_misses() -> None:
    known = making.world(
        policy("a", ingress=(deny("no", caller("web"), ports=(1,)),)),
        policy("b", ingress=(allow("yes", caller("web"), ports=(1,)),), mode=Mode.AUDIT),
    )
    call = Call(known, Direction.INGRESS, DB, WEB, Protocol.TCP, 8443, frozenset())
    assert nearest(resolve(known, "shop"), call, Action.ALLOW) == ()
