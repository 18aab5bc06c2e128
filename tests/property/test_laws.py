"""The laws of the design, over random worlds: judged on the compiled NetworkPolicies, by the plain evaluator."""

import ipaddress
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from ringfence.model import resources
from ringfence.model.effective import Direction, EffectiveRule
from ringfence.model.labels import LabelBox
from ringfence.model.names import is_dns_subdomain
from ringfence.model.resources import (
    Action,
    ClusterSecurityPolicy,
    Mode,
    PolicySpec,
    ResourceMeta,
    Rule,
    SecurityPolicy,
)
from ringfence.model.world import Workload, World
from ringfence.policy import decide, ends, resolve, rules

from tests.property.judging import Question, compiled, evaluated, forget, questions, show, widened
from tests.property.worlds import NAMESPACES, pools, worlds
from tests.property.worlds import rules as some_rules

Policy = SecurityPolicy | ClusterSecurityPolicy


def as_bytes(world: World) -> bytes:
    """The compiled policies, byte for byte."""
    return json.dumps(compiled(world)).encode()


def with_policies(world: World, change: Any) -> World:
    """The world with ``change`` applied to the tuple of policies of every namespace and of the cluster."""
    own = {name: tuple(change(policies)) for name, policies in world.policies.items()}
    return replace(world, policies=own, cluster_policies=tuple(change(world.cluster_policies)))


@given(worlds(), st.randoms(use_true_random=False))
def test_order_never_matters(world: World, dice: Any) -> None:
    def mixed(items: Iterable[Any] | None) -> Any:
        shuffled = list(items) if items is not None else None
        if shuffled is not None:
            dice.shuffle(shuffled)
        return tuple(shuffled) if shuffled is not None else None

    def mixed_rule(rule: Rule) -> Rule:
        return replace(rule, peers=mixed(rule.peers), ports=mixed(rule.ports))

    def mixed_policy(policy: Any) -> Any:
        sections = {
            name: None if section is None else tuple(mixed_rule(rule) for rule in mixed(section))
            for name, section in (("ingress", policy.spec.ingress), ("egress", policy.spec.egress))
        }
        return replace(policy, spec=replace(policy.spec, **sections))

    other = with_policies(world, lambda policies: [mixed_policy(policy) for policy in mixed(policies)])
    assert as_bytes(other) == as_bytes(world)
    for name in NAMESPACES:
        assert resolve.resolve(other, name) == resolve.resolve(world, name)


@given(worlds())
def test_the_same_input_gives_the_same_bytes_whatever_was_compiled_before(world: World) -> None:
    kept = as_bytes(world)
    forget()
    assert as_bytes(world) == kept


@given(worlds())
def test_policies_in_mode_audit_change_nothing(world: World) -> None:
    without = with_policies(world, lambda policies: [p for p in policies if p.spec.mode is Mode.ENFORCE])
    assert as_bytes(without) == as_bytes(world)


@given(worlds(), st.data())
def test_one_deny_more_never_allows_more(world: World, data: st.DataObject) -> None:
    pool = data.draw(pools())
    direction = data.draw(st.sampled_from(("ingress", "egress")))
    denies = tuple(
        replace(rule, name=f"more-{rule.name}", action=Action.DENY) for rule in data.draw(some_rules(direction, pool))
    )
    floor = ClusterSecurityPolicy(
        ResourceMeta("more"),
        LabelBox(),
        PolicySpec(
            ingress=denies if direction == "ingress" else None, egress=denies if direction == "egress" else None
        ),
    )
    asked = questions(world)
    stricter = replace(world, cluster_policies=(*world.cluster_policies, floor))
    assert widened(asked, evaluated(world, asked), evaluated(stricter, asked)) == []


@given(worlds(), st.data())
def test_one_allow_less_never_allows_more(world: World, data: st.DataObject) -> None:
    places = [
        (policy, direction, number)
        for policies in (*world.policies.values(), world.cluster_policies)
        for policy in policies
        for direction, section in rules.sections(policy.spec)
        for number, rule in enumerate(section)
        if rule.action is Action.ALLOW and not _is_the_last_of_a_floor(policy, direction)
    ]
    assume(places)
    policy, direction, number = data.draw(st.sampled_from(places))
    section = getattr(policy.spec, direction.value)
    fewer = replace(policy, spec=replace(policy.spec, **{direction.value: section[:number] + section[number + 1 :]}))
    other = with_policies(world, lambda policies: [fewer if each is policy else each for each in policies])
    asked = questions(world)
    assert widened(asked, evaluated(world, asked), evaluated(other, asked)) == []


def _is_the_last_of_a_floor(policy: Policy, direction: Direction) -> bool:
    """Egress of a floor counts as a list only while it holds an Allow: the last one gone, the default is back."""
    if isinstance(policy, SecurityPolicy) or direction is Direction.INGRESS:
        return False
    return sum(rule.action is Action.ALLOW for rule in policy.spec.egress or ()) == 1


@given(worlds(), st.sampled_from(NAMESPACES), st.data())
def test_one_identity_less_never_allows_more(world: World, namespace: str, data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(sorted(world.identities[namespace])))
    rest = {name: each for name, each in world.identities[namespace].items() if name != gone}
    other = replace(world, identities={**world.identities, namespace: rest})
    asked = questions(world)
    assert widened(asked, evaluated(world, asked), evaluated(other, asked)) == []


@given(worlds())
def test_floors_hold_whatever_a_namespace_says(world: World) -> None:
    asked = questions(world)
    policies = {name: resolve.resolve(world, name) for name in NAMESPACES}
    for question, (ingress, egress) in zip(asked, evaluated(world, asked), strict=True):
        source, target, _, _ = question
        for direction, governed, other, allowed in (
            (Direction.INGRESS, target, source, ingress),
            (Direction.EGRESS, source, target, egress),
        ):
            if not allowed or not isinstance(governed, Workload) or governed.host_network:
                continue
            if governed.namespace not in policies:
                continue
            matching = [
                rule
                for rule in policies[governed.namespace].rules
                if rule.direction is direction and _matches(rule, world, governed, other, question)
            ]
            if any(rule.builtin for rule in matching):
                continue
            floors = [
                str(rule.ref)
                for rule in matching
                if rule.action is Action.DENY
                and rule.mode is Mode.ENFORCE
                and rule.ref.kind == resources.Kind.CLUSTER_SECURITY_POLICY
            ]
            assert not floors, f"{show(question)} {direction} is allowed against {floors}"


def _matches(rule: EffectiveRule, world: World, governed: Workload, other: ends.End, question: Question) -> bool:
    _, target, protocol, port = question
    return (
        rule.subject.matches(governed.labels)
        and rule.ports.contains(protocol, port, ends.port_names(target, port, protocol))
        and any(decide.matches(peer, other, world) for peer in rule.peers)
    )


@given(worlds())
def test_every_object_is_one_that_an_api_server_accepts(world: World) -> None:
    found = compiled(world)
    names = [(each["metadata"]["namespace"], each["metadata"]["name"]) for each in found]
    assert names == sorted(set(names))
    for each in found:
        assert is_dns_subdomain(each["metadata"]["name"])
        for entry in (*each["spec"].get("ingress", ()), *each["spec"].get("egress", ())):
            _check_entry(entry)


def _check_entry(entry: Any) -> None:
    ends_ = [entry[key] for key in ("from", "to") if key in entry]
    assert all(ends_), "an empty list means everyone"
    assert entry.get("ports", [{}]), "an empty list means every port"
    for port in entry.get("ports", []):
        assert set(port) <= {"protocol", "port", "endPort"}
        assert "endPort" not in port or port["endPort"] > port["port"]
    for peer in (peer for some in ends_ for peer in some):
        assert len([key for key in ("ipBlock", "namespaceSelector") if key in peer]) == 1
        if "ipBlock" in peer:
            whole = ipaddress.ip_network(peer["ipBlock"]["cidr"])
            for hole in map(ipaddress.ip_network, peer["ipBlock"].get("except", [])):
                assert hole.version == whole.version
                assert whole.supernet_of(hole)
                assert whole != hole
        for selector in (peer.get("namespaceSelector", {}), peer.get("podSelector", {})):
            for requirement in selector.get("matchExpressions", []):
                assert bool(requirement.get("values")) == (requirement["operator"] in {"In", "NotIn"})
                assert all(len(value) <= 63 for value in requirement.get("values", []))
