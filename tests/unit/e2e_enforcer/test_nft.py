"""The text for the kernel. That it does what it says is judged by packets (python -m e2e.netpol)."""

import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import yaml

from e2e.enforcer import model, nft
from e2e.enforcer.model import NodeFacts, Pod, World
from tests.conftest import Golden

GOLDEN = Path(__file__).parents[2] / "golden" / "e2e_enforcer"
NODE = NodeFacts((ip_network("10.128.1.0/24"), ip_network("fd00:1::/64")))


def world(documents: list[dict[str, Any]]) -> World:
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for each in documents:
        by_kind.setdefault(each["kind"], []).append(each)
    pods = [pod for each in by_kind["Pod"] if (pod := model.pod_from(each))]
    namespaces = {each["metadata"]["name"]: model.namespace_labels(each) for each in by_kind["Namespace"]}
    return World(tuple(pods), namespaces, tuple(by_kind["NetworkPolicy"]))


def test_a_shop_is_rendered_as_before(golden: Golden) -> None:
    documents = list(yaml.safe_load_all((GOLDEN / "shop.in.yaml").read_text()))
    golden.check(GOLDEN / "shop.out.nft", nft.render(world(documents), NODE))


def test_the_order_of_what_it_is_given_does_not_show() -> None:
    documents = list(yaml.safe_load_all((GOLDEN / "shop.in.yaml").read_text()))
    assert nft.render(world(documents[::-1]), NODE) == nft.render(world(documents), NODE)


def test_the_table_is_replaced_in_one_transaction_whether_or_not_it_is_there() -> None:
    assert re.match(r"table inet (\w+)\ndelete table inet \1\ntable inet \1 \{\n", nft.render(World(), NODE))


def test_pods_that_are_treated_alike_share_their_chains() -> None:
    def chains(count: int) -> int:
        pods = tuple(Pod("x", f"p{n}", {}, (ip_address(f"10.128.1.{n}"),)) for n in range(2, 2 + count))
        policy = {"metadata": {"namespace": "x", "name": "p"}, "spec": {"podSelector": {}, "ingress": [{}]}}
        return nft.render(World(pods, {"x": {}}, (policy,)), NODE).count("chain ")

    assert chains(2) == chains(200)


def test_no_packet_passes_more_rules_because_there_are_more_policies() -> None:
    pod = Pod("x", "p", {}, (ip_address("10.128.1.2"),))

    def longest_chain(count: int) -> int:
        policies = tuple(
            {
                "metadata": {"namespace": "x", "name": f"p{n}"},
                "spec": {
                    "podSelector": {},
                    "ingress": [{"from": [{"ipBlock": {"cidr": f"192.0.{n}.0/24"}}], "ports": [{"port": 1000 + n}]}],
                },
            }
            for n in range(count)
        )
        text = nft.render(World((pod,), {"x": {}}, policies), NODE)
        return max(len(body.splitlines()) for body in re.findall(r"chain \w+ \{\n(.*?)\t\}", text, re.DOTALL))

    assert longest_chain(2) == longest_chain(200)


def test_an_address_that_two_pods_show_belongs_to_the_later_one() -> None:
    address = (ip_address("10.128.1.2"),)
    policy = {"metadata": {"namespace": "new", "name": "p"}, "spec": {"podSelector": {}}}
    pods = (Pod("old", "p", {}, address), Pod("new", "p", {}, address))
    assert "10.128.1.2 : goto ingress_" in nft.render(World(pods, {"old": {}, "new": {}}, (policy,)), NODE)
    assert "10.128.1.2 : goto" not in nft.render(World(pods[::-1], {"old": {}, "new": {}}, (policy,)), NODE)
