"""Many peers said in few words, and never in other words."""

from hypothesis import given
from hypothesis import strategies as st
from ringfence.model.effective import AddressPeers, Everyone, PodPeers
from ringfence.model.labels import LabelBox, exists, missing, none_of, one_of
from ringfence.model.net import IpSet
from ringfence.policy import peers
from ringfence.policy.uniting import united_boxes
from ringfence.translate import peer_list

WEB, API = peers.identity_pods("shop", "web"), peers.identity_pods("shop", "api")


def block(cidr: str, *excluded: str) -> AddressPeers:
    return AddressPeers(IpSet.of(cidr, excluded))


def test_everyone_swallows_the_rest() -> None:
    assert peer_list.shortest([WEB, Everyone(), block("10.0.0.0/8")]) == (Everyone(),)


def test_identities_of_one_namespace_become_one_peer() -> None:
    (found,) = peer_list.shortest([WEB, API])
    assert isinstance(found, PodPeers)
    assert found.namespaces == WEB.namespaces
    assert found.pods.get("ringfence.dev/identity") == one_of("api", "web")


def test_the_same_identities_of_two_namespaces_become_one_peer() -> None:
    elsewhere = [peers.identity_pods("bank", name) for name in ("web", "api")]
    assert len(peer_list.shortest([WEB, API, *elsewhere])) == 1


def test_different_identities_of_two_namespaces_stay_apart() -> None:
    assert len(peer_list.shortest([WEB, peers.identity_pods("bank", "api")])) == 2


def test_an_identity_within_its_namespace_is_left_out() -> None:
    assert peer_list.shortest([WEB, peers.namespace_pods("shop")]) == (peers.namespace_pods("shop"),)


def test_peers_that_match_nobody_are_left_out() -> None:
    nobody = PodPeers(WEB.namespaces, LabelBox.of({"a": one_of()}))
    assert peer_list.shortest([nobody]) == ()
    assert peer_list.shortest([nobody, WEB]) == (WEB,)


def test_addresses_within_others_are_left_out() -> None:
    found = peer_list.shortest([block("10.0.0.0/8"), block("10.1.0.0/16"), block("192.0.2.0/24")])
    assert found == (block("10.0.0.0/8"), block("192.0.2.0/24"))


def test_of_two_ways_to_say_the_same_addresses_one_stays() -> None:
    found = peer_list.shortest([block("10.0.0.0/8", "10.0.0.0/9"), block("10.128.0.0/9")])
    assert len(found) == 1


def test_all_blocks_of_one_set_are_peers_of_their_own() -> None:
    both = AddressPeers(IpSet.of("10.0.0.0/8") | IpSet.of("192.0.2.0/24"))
    assert peer_list.shortest([both]) == (block("10.0.0.0/8"), block("192.0.2.0/24"))


def test_long_lists_are_kept_whole() -> None:
    many = [block(f"10.{number}.0.0/16") for number in range(100)]
    assert len(peer_list.shortest(many)) == 100


KEYS = ("a", "b")
SETS = st.sampled_from((one_of("1"), one_of("2"), one_of("1", "2"), none_of("1"), exists(), missing()))
BOXES = st.dictionaries(st.sampled_from(KEYS), SETS, max_size=2).map(LabelBox.of)
LABELS = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(("1", "2", "3")))


@given(st.lists(st.builds(PodPeers, BOXES, BOXES), max_size=5), LABELS, LABELS)
def test_the_same_pods_are_matched(given_: list[PodPeers], namespace: dict[str, str], pod: dict[str, str]) -> None:
    def matched(some: object) -> bool:
        return isinstance(some, PodPeers) and some.namespaces.matches(namespace) and some.pods.matches(pod)

    found = peer_list.shortest(given_)
    assert any(map(matched, found)) == any(map(matched, given_))
    assert len(found) <= len(given_)


@given(st.lists(BOXES, max_size=5), LABELS)
def test_the_same_objects_are_in_the_boxes(boxes: list[LabelBox], some: dict[str, str]) -> None:
    found = united_boxes(boxes)
    assert any(box.matches(some) for box in found) == any(box.matches(some) for box in boxes)
