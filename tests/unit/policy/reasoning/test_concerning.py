"""Rules that can have no say are left out, all others stay."""

from ringfence.model.effective import Direction
from ringfence.model.resources import (
    AnonymousPeer,
    AppliesTo,
    CidrPeer,
    Mode,
    NamespacePeer,
    ZonePeer,
)
from ringfence.model.world import Workload
from ringfence.policy.ends import Address
from ringfence.policy.reasoning.concerning import ADDRESSES, EVERYONE, Concerning, Ends

from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, deny, pod, policy

DB = AppliesTo(identities=("db",))
WORLD = making.world(
    policy(
        "of-db",
        applies_to=DB,
        ingress=(
            allow("web", caller("web")),
            allow("bank", NamespacePeer("bank")),
            allow("zone-b", ZonePeer("b")),
            allow("any"),
            deny("office", CidrPeer("203.0.113.0/24")),
            deny("strangers", AnonymousPeer()),
        ),
    ),
    policy("of-web", applies_to=AppliesTo(identities=("web",)), ingress=(allow("db", caller("db")),)),
    policy(
        "out",
        applies_to=AppliesTo(identities=("web",)),
        egress=(allow("db", caller("db")), allow("api", caller("api"))),
    ),
    policy("audit", mode=Mode.AUDIT, ingress=(allow("audited"),)),
)
DB_ALONE = Ends.of([pod("db")])


def left(sources: Ends, targets: Ends, namespace: str = "shop") -> dict[Direction, list[str]]:
    """The names of the rules that may have a say."""
    found = Concerning(WORLD, making.effective(WORLD), sources, targets).policy(namespace).rules
    written = [rule for rule in found if rule.ref.kind == "SecurityPolicy"]
    return {each: [rule.ref.rule for rule in written if rule.direction is each] for each in Direction}


def test_rules_that_name_none_of_the_callers_are_left_out() -> None:
    ingress, egress = Direction.INGRESS, Direction.EGRESS
    found = left(Ends.of([pod("web")]), DB_ALONE)
    assert found == {ingress: ["any", "strangers", "web"], egress: ["db"]}
    assert left(Ends.of([pod("api")]), DB_ALONE) == {ingress: ["any", "strangers"], egress: []}
    assert left(Ends.in_namespaces(["bank"]), DB_ALONE) == {ingress: ["any", "bank", "strangers", "zone-b"], egress: []}
    assert left(ADDRESSES, DB_ALONE) == {ingress: ["office", "strangers"], egress: []}
    assert left(Ends.of([Address("203.0.113.9")]), DB_ALONE) == left(ADDRESSES, DB_ALONE)


def test_for_everyone_all_that_governs_the_other_end_stays() -> None:
    assert left(EVERYONE, DB_ALONE)[Direction.INGRESS] == ["any", "bank", "office", "strangers", "web", "zone-b"]
    assert left(EVERYONE, DB_ALONE)[Direction.EGRESS] == ["db"]
    assert left(Ends.of([pod("web")]), EVERYONE)[Direction.EGRESS] == ["api", "db"]


def test_pods_without_an_identity_are_thought_of() -> None:
    unlabelled = Ends.of([pod("web"), Workload("shop", "job", "job")])
    assert unlabelled.pods == {"shop": None}
    assert unlabelled.by_name == {("shop", "web"), ("shop", "job")}


def test_namespaces_where_either_end_may_be() -> None:
    effective = making.effective(WORLD)
    assert Concerning(WORLD, effective, Ends.in_namespaces(["bank"]), DB_ALONE).namespaces == {"bank", "shop"}
    assert Concerning(WORLD, effective, ADDRESSES, DB_ALONE).namespaces == {"shop"}
    assert Concerning(WORLD, effective, EVERYONE, DB_ALONE).namespaces is None


def test_rules_that_are_left_are_as_they_were() -> None:
    whole = making.effective(WORLD)("shop")
    kept = Concerning(WORLD, making.effective(WORLD), EVERYONE, EVERYONE).policy("shop")
    assert [rule for rule in whole.rules if rule.mode is Mode.ENFORCE] == list(kept.rules)
    assert kept.egress_listed == whole.egress_listed != ()
