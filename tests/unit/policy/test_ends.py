"""The two ends of a call."""

from dataclasses import replace

import pytest
from ringfence.model.errors import CannotTell
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.resources import Protocol
from ringfence.model.world import ContainerPort, Workload
from ringfence.policy import ends
from ringfence.policy.ends import Address

from tests.unit.policy import making
from tests.unit.policy.making import pod

WEB = pod("web", ip="10.244.0.1")


def test_an_address_of_a_pod_is_the_pod_with_that_address_only() -> None:
    both = replace(WEB, ips=("10.244.0.1", "fd00::1"))
    assert ends.locate(making.world(pods=(both,)), Address("fd00:0::1")) == replace(both, ips=("fd00::1",))


def test_other_addresses_stay_addresses_in_canonical_form() -> None:
    assert ends.locate(making.world(pods=(WEB,)), Address("2001:DB8:0::1")) == Address("2001:db8::1")


def test_an_ipv4_address_written_as_ipv6_is_the_same_address() -> None:
    assert ends.locate(making.world(pods=(WEB,)), Address("::ffff:10.244.0.1")) == WEB
    assert ends.locate(making.world(), Address("::ffff:203.0.113.9")) == Address("203.0.113.9")


def test_pods_that_ended_or_share_their_nodes_address_do_not_own_it() -> None:
    done = replace(WEB, finished=True)
    agent = replace(WEB, name="agent", host_network=True)
    assert ends.locate(making.world(pods=(done, agent)), Address("10.244.0.1")) == Address("10.244.0.1")


def test_a_pod_is_itself() -> None:
    assert ends.locate(making.world(), WEB) is WEB


def test_admission_labels_pods_of_enrolled_namespaces() -> None:
    plain = Workload("shop", "new", "web", {"app": "x"})
    assert ends.admitted(making.world(), plain).labels == {"app": "x", LABEL_IDENTITY: "web"}
    assert ends.admitted(making.world(), replace(plain, namespace="lab")).labels == {"app": "x"}
    assert ends.admitted(making.world(), replace(plain, namespace="nowhere")).labels == {"app": "x"}


def test_admission_overrides_a_forged_label() -> None:
    forged = Workload("shop", "new", "web", {LABEL_IDENTITY: "db"})
    assert ends.admitted(making.world(), forged).labels == {LABEL_IDENTITY: "web"}


def test_the_bearers_of_an_identity_are_its_pods() -> None:
    known = making.world(pods=(WEB, pod("api")))
    assert ends.bearers(known, "shop", "web") == (WEB,)


def test_an_identity_without_pods_has_one_bearer_without_other_labels() -> None:
    assert ends.bearers(making.world(), "shop", "web") == (Workload("shop", "web", "web", {LABEL_IDENTITY: "web"}),)


def test_an_identity_that_does_not_exist_has_no_bearers() -> None:
    with pytest.raises(CannotTell, match="no ServiceIdentity ghost in namespace shop"):
        ends.bearers(making.world(), "shop", "ghost")


def test_names_of_ports_go_by_number_and_protocol() -> None:
    target = replace(WEB, ports=(ContainerPort("a", 80), ContainerPort("b", 80), ContainerPort("c", 80, Protocol.UDP)))
    assert ends.port_names(target, 80, Protocol.TCP) == {"a", "b"}
    assert ends.port_names(Address("192.0.2.1"), 80, Protocol.TCP) == frozenset()
    assert ends.port_number(target, "c", Protocol.UDP) == 80
    with pytest.raises(CannotTell):
        ends.port_number(target, "c", Protocol.TCP)
