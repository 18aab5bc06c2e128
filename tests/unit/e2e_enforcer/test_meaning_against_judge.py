"""What the enforcer reads in any NetworkPolicy is what cyclonus reads in it: two readings that share no code."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from e2e.enforcer import meaning
from e2e.enforcer.model import NamedPort, Pod, Protocol, World
from e2e.judge import client
from e2e.judge.client import Judge, Traffic

LABELS = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["a", "b", ""]))
NAMESPACES = ["x", "y", "z"]
OUTSIDE = ["192.0.2.1", "10.0.0.200"]
PORTS = [79, 80, 81, 82]
NAMES = ["web", "admin"]


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge() as running:
        yield running


def expressions() -> st.SearchStrategy[dict[str, Any]]:
    keys = st.sampled_from(["app", "tier", "none"])
    values = st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=2, unique=True)
    listed = st.builds(
        lambda key, operator, chosen: {"key": key, "operator": operator, "values": chosen},
        keys,
        st.sampled_from(["In", "NotIn"]),
        values,
    )
    bare = st.builds(
        lambda key, operator: {"key": key, "operator": operator}, keys, st.sampled_from(["Exists", "DoesNotExist"])
    )
    return listed | bare


def selectors() -> st.SearchStrategy[dict[str, Any]]:
    # A selector drawn at random selects hardly ever anything, so most are wide.
    narrow = st.fixed_dictionaries(
        {}, optional={"matchLabels": LABELS, "matchExpressions": st.lists(expressions(), min_size=1, max_size=2)}
    )
    return st.one_of(
        st.just({}), st.fixed_dictionaries({"matchExpressions": st.lists(expressions(), max_size=1)}), narrow
    )


def blocks() -> st.SearchStrategy[dict[str, Any]]:
    wide = st.sampled_from(["0.0.0.0/0", "10.0.0.0/24", "10.0.0.0/30", "10.0.0.3/32", "192.0.2.0/24"])
    holes = {"0.0.0.0/0": ["10.0.0.0/30", "192.0.2.1/32"], "10.0.0.0/24": ["10.0.0.0/29", "10.0.0.4/31", "10.0.0.4/32"]}
    return wide.flatmap(
        lambda cidr: st.fixed_dictionaries(
            {"cidr": st.just(cidr)},
            optional={"except": st.lists(st.sampled_from(holes.get(cidr) or [cidr]), max_size=2)},
        )
    ).map(lambda block: {"ipBlock": block})


def peers() -> st.SearchStrategy[dict[str, Any]]:
    chosen = st.fixed_dictionaries({}, optional={"podSelector": selectors(), "namespaceSelector": selectors()})
    return chosen.filter(bool) | blocks()


def port_entries() -> st.SearchStrategy[dict[str, Any]]:
    protocols = st.sampled_from(list(Protocol))
    plain = st.fixed_dictionaries(
        {}, optional={"protocol": protocols, "port": st.sampled_from(PORTS) | st.sampled_from(NAMES)}
    )
    spans = st.builds(
        lambda protocol, pair: {"protocol": protocol, "port": min(pair), "endPort": max(pair)},
        protocols,
        st.tuples(st.sampled_from(PORTS), st.sampled_from(PORTS)),
    )
    return plain | spans


def rules(peer_field: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    some_peers = st.lists(peers(), min_size=1, max_size=3)
    some_ports = st.lists(port_entries(), min_size=1, max_size=3)
    rule = st.one_of(
        st.fixed_dictionaries({peer_field: some_peers}),
        st.fixed_dictionaries({"ports": some_ports}),
        st.fixed_dictionaries({peer_field: some_peers, "ports": some_ports}),
        st.sampled_from([{}, {peer_field: [], "ports": []}]),
    )
    return st.lists(rule, min_size=1, max_size=2) | st.just([])


def specs() -> st.SearchStrategy[dict[str, Any]]:
    types = st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]])
    return st.one_of(
        st.fixed_dictionaries({"podSelector": selectors(), "ingress": rules("from"), "egress": rules("to")}),
        st.fixed_dictionaries(
            {"podSelector": selectors()},
            optional={"policyTypes": types, "ingress": rules("from"), "egress": rules("to")},
        ),
    )


def policies() -> st.SearchStrategy[list[dict[str, Any]]]:
    one = st.tuples(st.sampled_from(NAMESPACES), specs())
    return st.lists(one, min_size=1, max_size=4).map(
        lambda drawn: [
            {"metadata": {"namespace": namespace, "name": f"policy-{number}"}, "spec": spec}
            for number, (namespace, spec) in enumerate(drawn)
        ]
    )


@st.composite
def pods(draw: st.DrawFn) -> tuple[Pod, ...]:
    # In one pod web is 80 and admin 81, in another the other way round: a name means another number on each.
    named = st.permutations([80, 81]).map(
        lambda numbers: tuple(
            NamedPort(name, number, protocol)
            for name, number in zip(NAMES, numbers, strict=True)
            for protocol in (Protocol.TCP, Protocol.UDP)
        )
    )
    placed = draw(st.lists(st.tuples(st.sampled_from(NAMESPACES), LABELS, named | st.just(())), min_size=2, max_size=6))
    return tuple(
        Pod(namespace, f"pod-{number}", labels, (ip_address(f"10.0.0.{number + 1}"),), ports)
        for number, (namespace, labels, ports) in enumerate(placed)
    )


@settings(max_examples=max(400, settings().max_examples), suppress_health_check=list(HealthCheck))
@given(pods=pods(), spaces=st.tuples(LABELS, LABELS, LABELS), given_policies=policies())
def test_every_policy_means_what_the_judge_says(
    judge: Judge, pods: tuple[Pod, ...], spaces: tuple[dict[str, str], ...], given_policies: list[dict[str, Any]]
) -> None:
    namespaces = {
        name: {**labels, "kubernetes.io/metadata.name": name} for name, labels in zip(NAMESPACES, spaces, strict=True)
    }
    isolated = meaning.isolation(World(pods, namespaces, tuple(given_policies)))
    questions, answers = [], []
    for protocol in Protocol:
        for port in PORTS:
            for pod, tables in isolated:
                for other in [*(str(each.addresses[0]) for each in pods if each is not pod), *OUTSIDE]:
                    peer, own = ip_address(other), str(pod.addresses[0])
                    questions.append(Traffic(other, own, port, client.Protocol(protocol)))
                    answers.append(("ingress", tables.ingress is None or tables.ingress.allows(peer, protocol, port)))
                    questions.append(Traffic(own, other, port, client.Protocol(protocol)))
                    answers.append(("egress", tables.egress is None or tables.egress.allows(peer, protocol, port)))
    verdicts = judge.verdicts(namespaces, [seen(pod) for pod in pods], given_policies, questions)
    assert [
        (question, direction)
        for question, (direction, ours), verdict in zip(questions, answers, verdicts, strict=True)
        if ours != (verdict.ingress if direction == "ingress" else verdict.egress)
    ] == []


def seen(pod: Pod) -> client.Pod:
    ports = tuple(client.Port(each.number, client.Protocol(each.protocol), each.name) for each in pod.ports)
    return client.Pod(pod.namespace, pod.name, pod.labels, str(pod.addresses[0]), ports)
