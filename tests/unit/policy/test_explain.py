"""The answer to "why?" for people."""

from ringfence.model.effective import Direction
from ringfence.model.resources import AppliesTo, CidrPeer, Mode, PortSpec, Protocol
from ringfence.model.verdict import Reason
from ringfence.model.world import ContainerPort, Installation, OpenService, Workload, World
from ringfence.policy.decide import Call
from ringfence.policy.ends import Address, End
from ringfence.policy.explain import _SENTENCES, explain, near_misses
from ringfence.policy.resolve import resolve

from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, deny, pod, policy

WEB, API, DB = pod("web"), pod("api"), pod("db")


def lines(known: World, source: End, target: End, port: int | str = 8443) -> tuple[str, ...]:
    verdict, found = explain(known, making.effective(known), source, target, Protocol.TCP, port)
    assert sum("denied:" in line for line in found) == (not verdict.egress.allowed) + (not verdict.ingress.allowed)
    return found


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
        "egress allowed: no policy lists the egress of shop/web, so calls inside are up to the target",
        "ingress denied: no ingress rule for shop/db allows shop/web on TCP 8443",
        "  SecurityPolicy shop/payments rule other-port comes close, but only on TCP 443, TCP 9000-9010, TCP metrics",
        "  SecurityPolicy shop/payments rule other-caller comes close, but it does not name shop/web",
        "  SecurityPolicy shop/for-api rule web comes close, but it governs other pods than shop/db",
    )


def test_only_some_of_many_near_misses_are_shown() -> None:
    rules = tuple(allow(f"r{number}", caller("web"), ports=(number + 1,)) for number in range(9))
    found = lines(making.world(policy(ingress=rules)), WEB, DB)
    assert len(found) == 2 + 5 + 1
    assert found[-1] == "  and 4 more rules"


def test_the_rule_that_decided_is_named() -> None:
    known = making.world(policy(ingress=(allow("web", caller("web")), deny("no", caller("api")))))
    assert lines(known, WEB, DB)[1] == "ingress allowed: SecurityPolicy shop/p rule web"
    assert lines(known, API, DB)[1] == "ingress denied: SecurityPolicy shop/p rule no"


def test_a_suspended_rule_says_by_whom() -> None:
    known = making.world(
        policy(ingress=(allow("web", caller("web"), ports=("sql",)), deny("no", caller("web"), ports=(9,))))
    )
    target = Workload("shop", "db", "db", DB.labels, ports=(ContainerPort("sql", 5432),))
    assert lines(known, WEB, target, "sql")[1:] == (
        "ingress denied: SecurityPolicy shop/p rule web would allow shop/web on TCP 5432, but it is suspended",
        "  SecurityPolicy shop/p rule no overlaps it in a way that no NetworkPolicy can express",
    )


def test_ends_that_nothing_governs() -> None:
    known = making.world()
    stranger = Workload("lab", "mouse", "mouse")
    assert lines(known, stranger, Address("203.0.113.9")) == (
        "egress allowed: the namespace of lab/mouse is not enrolled",
        "ingress allowed: no policy governs 203.0.113.9",
    )


def test_egress_to_an_address_names_the_address() -> None:
    known = making.world(policy(egress=(allow("bank", CidrPeer("198.51.100.0/24")),)))
    assert lines(known, WEB, Address("203.0.113.9"))[:2] == (
        "egress denied: no egress rule for shop/web allows calls to 203.0.113.9 on TCP 8443",
        "  SecurityPolicy shop/p rule bank comes close, but it does not name 203.0.113.9",
    )


def test_an_open_service_is_named() -> None:
    dns = OpenService("dns", "lab", {}, ((Protocol.TCP, 53),))
    known = making.world(policy(egress=()), installation=Installation(open_services=(dns,)))
    assert lines(known, WEB, Workload("lab", "dns", "dns"), 53)[0] == "egress allowed: dns is always open"


def test_what_audit_would_change_is_said() -> None:
    known = making.world(
        policy("a", ingress=(allow("web", caller("web")),)),
        policy("b", ingress=(deny("no", caller("web")),), mode=Mode.AUDIT),
    )
    assert lines(known, WEB, DB)[1] == (
        "ingress allowed: SecurityPolicy shop/a rule web "
        "(would be denied by SecurityPolicy shop/b rule no if all were enforced)"
    )


def test_denies_audits_and_the_default_are_no_near_misses() -> None:
    known = making.world(
        policy("a", ingress=(deny("no", caller("web"), ports=(1,)),)),
        policy("b", ingress=(allow("yes", caller("web"), ports=(1,)),), mode=Mode.AUDIT),
    )
    call = Call(known, Direction.INGRESS, DB, WEB, Protocol.TCP, 8443, frozenset())
    assert near_misses(resolve(known, "shop"), call) == ()


def test_there_is_a_sentence_for_every_reason() -> None:
    assert set(_SENTENCES) == set(Reason)
