"""What Denies leave of an Allow."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from ringfence.model.effective import (
    AddressPeers,
    Direction,
    EffectivePeer,
    EffectiveRule,
    Everyone,
    PodPeers,
    RuleRef,
    Unidentified,
)
from ringfence.model.labels import LabelBox, exists, missing, none_of, one_of
from ringfence.model.names import LABEL_ENROLL, LABEL_IDENTITY, LABEL_NAMESPACE_NAME
from ringfence.model.net import IpSet, PortSet
from ringfence.model.resources import Action, Mode, PortSpec
from ringfence.policy import peers, regions
from ringfence.policy.regions import Region

POD_CIDRS = ("10.244.0.0/16",)
EVERY_POD = LabelBox()
ALL_PORTS = PortSet(everything=True)
WEB = peers.identity_pods("shop", "web")
API = peers.identity_pods("shop", "api")


def rule(
    *named: EffectivePeer,
    action: Action = Action.ALLOW,
    subject: LabelBox = EVERY_POD,
    ports: PortSet = ALL_PORTS,
    name: str = "r",
) -> EffectiveRule:
    ref = RuleRef("SecurityPolicy", "shop", "p", name)
    return EffectiveRule(ref, Direction.INGRESS, action, Mode.ENFORCE, subject, named, ports)


def deny(
    *named: EffectivePeer, name: str = "no", ports: PortSet = ALL_PORTS, subject: LabelBox = EVERY_POD
) -> EffectiveRule:
    return rule(*named, action=Action.DENY, subject=subject, ports=ports, name=name)


def ports(*numbers: int | str) -> PortSet:
    return PortSet.of(PortSpec(number) for number in numbers)


def addresses(*cidrs: str, covers_pods: bool = False) -> AddressPeers:
    found = IpSet()
    for cidr in cidrs:
        found |= IpSet.of(cidr)
    return AddressPeers(found, covers_pods)


def left(allow: EffectiveRule, *denies: EffectiveRule, pod_cidrs: tuple[str, ...] = POD_CIDRS) -> tuple[Region, ...]:
    found = regions.remaining(allow, denies, pod_cidrs)
    assert found.held_by is None, found.why
    return found.regions


def held(allow: EffectiveRule, *denies: EffectiveRule, pod_cidrs: tuple[str, ...] = POD_CIDRS) -> tuple[str, str]:
    found = regions.remaining(allow, denies, pod_cidrs)
    assert found.held_by is not None
    assert found.regions == ()
    return found.held_by.rule, found.why


def test_without_denies_the_allow_is_whole() -> None:
    both = PodPeers(WEB.namespaces, LabelBox.of({LABEL_IDENTITY: one_of("api", "web")}))
    addresses_ = addresses("192.0.2.0/24")
    assert left(rule(WEB, API, addresses_)) == (
        Region(EVERY_POD, both, ALL_PORTS),
        Region(EVERY_POD, addresses_, ALL_PORTS),
    )


def test_a_deny_of_other_callers_takes_nothing() -> None:
    assert left(rule(WEB), deny(API)) == (Region(EVERY_POD, WEB, ALL_PORTS),)


def test_a_deny_of_other_ports_takes_nothing() -> None:
    assert left(rule(WEB, ports=ports(80)), deny(WEB, ports=ports(81))) == (Region(EVERY_POD, WEB, ports(80)),)


def test_a_deny_of_the_same_leaves_nothing() -> None:
    assert left(rule(WEB, ports=ports(80)), deny(WEB)) == ()


def test_a_deny_of_one_port_leaves_the_others() -> None:
    assert left(rule(WEB, ports=ports(80, 443)), deny(WEB, ports=ports(443))) == (Region(EVERY_POD, WEB, ports(80)),)


def test_a_deny_for_some_pods_leaves_the_others() -> None:
    batch = LabelBox.of({"app": one_of("batch")})
    assert left(rule(WEB), deny(WEB, subject=batch)) == (
        Region(LabelBox.of({"app": none_of("batch")}), WEB, ALL_PORTS),
    )


def test_a_deny_of_an_identity_is_taken_out_of_its_namespace() -> None:
    found = left(rule(peers.namespace_pods("shop")), deny(WEB))
    shop = {LABEL_NAMESPACE_NAME: one_of("shop")}
    assert {region.peer for region in found} == {
        PodPeers(LabelBox.of({**shop, LABEL_ENROLL: ~peers.ENROLLED}), LabelBox()),
        PodPeers(LabelBox.of({**shop, LABEL_ENROLL: peers.ENROLLED}), LabelBox.of({LABEL_IDENTITY: none_of("web")})),
    }


def test_addresses_are_taken_out_of_addresses() -> None:
    found = left(rule(addresses("10.0.0.0/8")), deny(addresses("10.1.0.0/16")))
    assert [region.peer for region in found] == [AddressPeers(IpSet((("10.0.0.0/8", ("10.1.0.0/16",)),)))]


def test_denied_addresses_leave_pods_alone() -> None:
    assert left(rule(WEB), deny(addresses("0.0.0.0/0"))) == (Region(EVERY_POD, WEB, ALL_PORTS),)


def test_addresses_that_cover_pods_hold_an_allow_of_pods_back() -> None:
    name, why = held(rule(WEB), deny(addresses("10.0.0.0/8", covers_pods=True)))
    assert name == "no"
    assert "by address" in why


def test_denied_pods_hold_an_allow_of_addresses_back_that_cover_pods() -> None:
    assert held(rule(addresses("10.0.0.0/8", covers_pods=True)), deny(WEB))[0] == "no"


def test_a_port_by_name_holds_an_allow_by_number_back() -> None:
    name, why = held(rule(WEB, ports=ports(8080)), deny(WEB, ports=ports("http")))
    assert (name, why) == ("no", "a named port cannot be taken out of port numbers")


def test_an_allow_is_held_back_as_a_whole_although_another_deny_would_leave_nothing_in_the_way() -> None:
    allow = rule(WEB, API, ports=ports("http"))
    by_number = deny(WEB, ports=ports(8080), name="b")
    assert held(allow, by_number)[0] == "b"
    assert held(allow, deny(WEB, name="a"), by_number)[0] == "b"


def test_everyone_is_told_apart_as_pods_and_addresses() -> None:
    found = {region.peer for region in left(rule(Everyone()), deny(peers.namespace_pods("lab")))}
    assert found == {
        PodPeers(LabelBox.of({LABEL_NAMESPACE_NAME: none_of("lab")}), LabelBox()),
        AddressPeers(IpSet((("0.0.0.0/0", POD_CIDRS), ("::/0", ())))),
    }


def test_everyone_less_the_unidentified_are_the_identities() -> None:
    found = [region.peer for region in left(rule(Everyone()), deny(Unidentified()))]
    assert found == [PodPeers(LabelBox.of({LABEL_ENROLL: peers.ENROLLED}), LabelBox.of({LABEL_IDENTITY: exists()}))]


def test_everyone_less_pods_cannot_be_said_while_the_ranges_of_pods_are_unknown() -> None:
    assert "podCIDRs" in held(rule(Everyone()), deny(WEB), pod_cidrs=())[1]


def test_everyone_less_addresses_can_be_said_while_the_ranges_of_pods_are_unknown() -> None:
    found = left(rule(Everyone()), deny(addresses("203.0.113.0/24", covers_pods=True)), pod_cidrs=())
    assert [region.peer for region in found] == [
        AddressPeers(IpSet((("0.0.0.0/0", ("203.0.113.0/24",)), ("::/0", ()))), covers_pods=True)
    ]


def test_everyone_less_pods_by_address_and_pods_by_label_cannot_be_said() -> None:
    by_address = deny(addresses("10.244.0.0/24", covers_pods=True), name="a")
    assert held(rule(Everyone()), by_address, deny(WEB, name="b"))[0] == "a"


def test_the_unidentified_are_taken_out_of_a_namespace() -> None:
    found = {region.peer for region in left(rule(peers.namespace_pods("shop")), deny(Unidentified()))}
    inside = LabelBox.of({LABEL_NAMESPACE_NAME: one_of("shop"), LABEL_ENROLL: peers.ENROLLED})
    assert found == {PodPeers(inside, LabelBox.of({LABEL_IDENTITY: exists()}))}


def test_addresses_are_unidentified_unless_they_cover_pods() -> None:
    assert left(rule(addresses("203.0.113.0/24")), deny(Unidentified())) == ()
    assert held(rule(addresses("10.0.0.0/8", covers_pods=True)), deny(Unidentified()))[0] == "no"


def test_an_allow_in_too_many_pieces_is_held_back() -> None:
    cuts = [
        deny(WEB, subject=LabelBox.of({f"a{number}": one_of("1"), f"b{number}": one_of("1")}), name=f"{number:02}")
        for number in range(12)
    ]
    assert "pieces" in held(rule(WEB), *cuts)[1]


def test_many_denied_identities_make_few_pieces() -> None:
    cuts = [deny(peers.identity_pods("shop", f"s{number}"), name=f"{number:03}") for number in range(200)]
    assert len(left(rule(peers.ANY_IDENTITY), *cuts)) == 2


def test_overlapping_names_only_what_may_meet() -> None:
    one, other = deny(WEB, name="a"), deny(API, name="b")
    assert regions.overlapping(rule(WEB), (one, other)) == (one,)


KEYS = (LABEL_ENROLL, LABEL_IDENTITY, LABEL_NAMESPACE_NAME)
VALUES = st.sampled_from((one_of("a"), none_of("a"), one_of("a", "b"), exists(), missing()))
BOXES = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=2).map(LabelBox.of)
PODS = st.builds(PodPeers, BOXES, BOXES)
LABELS = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(("a", "b", "c")))


@given(PODS, st.lists(PODS, max_size=3), LABELS, LABELS)
def test_a_pod_is_left_exactly_if_no_deny_names_it(
    own: PodPeers, cut: list[PodPeers], namespace: dict[str, str], pod: dict[str, str]
) -> None:
    def member(peer: object) -> bool:
        return isinstance(peer, PodPeers) and peer.namespaces.matches(namespace) and peer.pods.matches(pod)

    denies = [deny(each, name=str(number)) for number, each in enumerate(cut)]
    found = [region.peer for region in left(rule(own), *denies)]
    assert any(member(peer) for peer in found) == (member(own) and not any(member(each) for each in cut))
    assert sum(member(peer) for peer in found) <= 1, "pieces are disjoint"


def test_what_is_left_does_not_depend_on_marks_of_the_rule() -> None:
    marked = replace(rule(WEB), suspended_in_audit=RuleRef("SecurityPolicy", "shop", "q", "x"))
    assert left(marked) == left(rule(WEB))


def test_work_on_one_allow_is_bounded() -> None:
    far = [peers.identity_pods(f"n{number}", f"s{number}") for number in range(60)]
    cuts = [
        deny(*far, subject=LabelBox.of({f"k{number}": one_of("x")}), ports=ports(number + 1), name=f"{number:03}")
        for number in range(100)
    ]
    found = regions.remaining(rule(peers.ANY_IDENTITY), tuple(cuts), POD_CIDRS)
    assert found.held_by is not None
    assert found.steps <= regions.MAX_STEPS * 2
