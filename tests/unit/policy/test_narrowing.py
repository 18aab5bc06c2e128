"""Conditions on the source: which callers a rule with them names, said directly and by ``decide``."""

from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringfence.model.requests import Asks
from ringfence.model.resources import Action, AnonymousPeer, Mode, Protocol, Rule, SpiffePeer, ZonePeer
from ringfence.model.sources import SourceAttribute, SourceCondition
from ringfence.model.verdict import Reason
from ringfence.model.world import Namespace, Workload, World
from ringfence.policy import narrowing
from ringfence.policy.decide import decide
from ringfence.policy.ends import Address, End
from ringfence.policy.reasons import FindingReason
from ringfence.policy.resolve import resolve
from ringfence.reconcile.impact import Impact

from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, deny, policy

NAMESPACE, ZONE, LABEL = SourceAttribute
IDENTITIES = (
    making.identity("shop", "web", role="front", tier="1"),
    making.identity("shop", "api", role="back"),
    making.identity("bank", "api", role="front"),
    making.identity("free", "api", role="front"),
    making.identity("shop", "both", "db", role="front"),  # a second identity on the account of one without labels
)
#: Enrolled, in no zone.
FREE = making.enforced("free")
PODS = tuple(making.pod(name, where) for where in ("shop", "bank", "free", "lab") for name in ("web", "api", "db"))
TARGET = making.pod("target")
ADDRESS = Address("203.0.113.9")


def world(*rules: Rule) -> World:
    written = policy(ingress=tuple(rules))
    return making.world(written, pods=(*PODS, TARGET), namespaces=(FREE,), identities=IDENTITIES)


def label(test: Asks, *values: str, name: str = "role") -> SourceCondition:
    return SourceCondition(LABEL, test, values, name)


def rule(made: Rule, *conditions: SourceCondition) -> Rule:
    return Rule(made.name, made.action, made.peers, made.ports, None, tuple(conditions))


def named(made: Rule) -> set[str]:
    """The callers that an Allow lets in, or that a Deny keeps out beside an Allow of everybody."""
    others = () if made.action is Action.ALLOW else (allow("all", *EVERYBODY, ports=(80,)),)
    known = world(made, *others)
    effective = cache(lambda name: resolve(known, name))
    found = set()
    for end in ends():
        half = decide(known, effective, end, TARGET, Protocol.TCP, 80).ingress
        hit = half.allowed if made.action is Action.ALLOW else half.reason is Reason.DENIED_BY_RULE
        if hit:
            found.add(end.ip if isinstance(end, Address) else f"{end.namespace}/{end.service_account}")
    return found


EVERYBODY = (AnonymousPeer(),)


def ends() -> Iterator[End]:
    yield from PODS
    yield ADDRESS


@pytest.mark.parametrize(
    ("conditions", "allowed"),
    [
        ((SourceCondition(NAMESPACE, Asks.IN, ("bank",)),), "bank/web bank/api bank/db"),
        ((SourceCondition(NAMESPACE, Asks.NOT_IN, ("shop", "bank")),), "free/web free/api free/db"),
        ((SourceCondition(ZONE, Asks.IN, ("a",)),), "shop/web shop/api shop/db"),
        ((SourceCondition(ZONE, Asks.NOT_IN, ("a",)),), "bank/web bank/api bank/db"),
        ((SourceCondition(ZONE, Asks.EXISTS),), "shop/web shop/api shop/db bank/web bank/api bank/db"),
        ((SourceCondition(ZONE, Asks.ABSENT),), "free/web free/api free/db"),
        ((label(Asks.IN, "front"),), "shop/web bank/api free/api"),
        ((label(Asks.NOT_IN, "front"),), "shop/api"),
        ((label(Asks.EXISTS),), "shop/web shop/api bank/api free/api"),
        ((label(Asks.ABSENT), SourceCondition(NAMESPACE, Asks.IN, ("bank",))), "bank/web bank/db"),
        ((label(Asks.IN, "front"), label(Asks.IN, "1", name="tier")), "shop/web"),
        ((label(Asks.IN, "front"), SourceCondition(ZONE, Asks.IN, ("b",))), "bank/api"),
    ],
)
def test_whom_an_allow_names(conditions: tuple[SourceCondition, ...], allowed: str) -> None:
    assert named(rule(allow("r", ports=(80,)), *conditions)) == set(allowed.split())


@pytest.mark.parametrize(
    ("condition", "known"),
    [
        (SourceCondition(NAMESPACE, Asks.IN, ("bank",)), "bank"),
        (SourceCondition(NAMESPACE, Asks.NOT_IN, ("shop", "bank")), "free"),
        (SourceCondition(ZONE, Asks.IN, ("a",)), "shop free"),
        (SourceCondition(ZONE, Asks.NOT_IN, ("a",)), "bank free"),
        (SourceCondition(ZONE, Asks.EXISTS), "shop bank"),
        (SourceCondition(ZONE, Asks.ABSENT), "free"),
    ],
)
def test_whom_a_deny_names(condition: SourceCondition, known: str) -> None:
    """A zone that is missing counts against the caller, and so does everything of callers without an identity."""
    identified = {f"{space}/{name}" for space in known.split() for name in ("web", "api", "db")}
    strangers = {ADDRESS.ip, "lab/web", "lab/api", "lab/db"}
    assert named(rule(deny("r", ports=(80,)), condition)) == identified | strangers
    # Whoever names callers means those alone.
    callers = (caller("web"), caller("api", "bank"), caller("api", "free"))
    assert named(rule(deny("r", *callers, ports=(80,)), condition)) == identified & {
        "shop/web",
        "bank/api",
        "free/api",
    }


TESTS = st.sampled_from((Asks.IN, Asks.NOT_IN, Asks.EXISTS, Asks.ABSENT))


@st.composite
def conditions(draw: st.DrawFn) -> SourceCondition:
    attribute = draw(st.sampled_from(tuple(SourceAttribute)))
    test = draw(TESTS) if attribute is not NAMESPACE else draw(st.sampled_from((Asks.IN, Asks.NOT_IN)))
    among = {NAMESPACE: ("shop", "bank", "free"), ZONE: ("a", "b"), LABEL: ("front", "back", "1")}[attribute]
    values = draw(st.sets(st.sampled_from(among), min_size=1)) if test in {Asks.IN, Asks.NOT_IN} else set()
    name = draw(st.sampled_from(("role", "tier"))) if attribute is LABEL else ""
    return SourceCondition(attribute, test, tuple(sorted(values)), name)


def holds(condition: SourceCondition, pod: Workload, known: World) -> bool:
    """In an Allow, of one identity: as the documentation has it."""
    space: Namespace = known.namespaces[pod.namespace]
    match condition.attribute:
        case SourceAttribute.NAMESPACE:
            values: list[str | None] = [pod.namespace]
        case SourceAttribute.ZONE:
            values = [space.zone or None]
        case _:
            own = [i for i in known.identities[pod.namespace].values() if i.service_account == pod.service_account]
            values = [dict(each.labels).get(condition.label) for each in own]
            if not own:
                return False  # of whom nothing is said, nothing is known
    tests = {
        Asks.EXISTS: lambda v: v is not None,
        Asks.ABSENT: lambda v: v is None,
        Asks.IN: lambda v: v in condition.values,
        Asks.NOT_IN: lambda v: v is not None and v not in condition.values,
    }
    return all(tests[condition.test](each) for each in values)


@given(st.lists(conditions(), min_size=1, max_size=3))
def test_an_allow_names_those_for_whom_every_condition_holds(found: list[SourceCondition]) -> None:
    known = world()
    enrolled = (pod for pod in PODS if pod.namespace != "lab")
    wanted = {f"{p.namespace}/{p.service_account}" for p in enrolled if all(holds(c, p, known) for c in found)}
    assert named(rule(allow("r", ports=(80,)), *found)) == wanted


def test_a_rule_whose_conditions_hold_for_nobody_says_so() -> None:
    contradicts = rule(allow("r", caller("web")), SourceCondition(NAMESPACE, Asks.IN, ("bank",)))
    unknown = rule(allow("s"), label(Asks.IN, "nobody"))
    findings = making.findings(world(contradicts, unknown), FindingReason.RULE_NEVER_MATCHES)
    assert [each.message.partition(":")[0] for each in findings] == [
        "rule r allows nothing",
        "rule s allows nothing",
    ]
    assert narrowing.contradictory(contradicts)
    assert not narrowing.contradictory(unknown)
    assert narrowing.contradictory(rule(allow("t"), label(Asks.IN, "a"), label(Asks.ABSENT)))


def test_names_that_do_not_exist_are_told() -> None:
    asked = [SourceCondition(NAMESPACE, Asks.IN, ("shp",)), SourceCondition(ZONE, Asks.IN, ("z",))]
    known = world(*(rule(deny(f"r{n}"), each) for n, each in enumerate(asked)))
    assert len(making.findings(known, FindingReason.UNKNOWN_NAMESPACE)) == 1
    assert len(making.findings(known, FindingReason.UNKNOWN_ZONE)) == 1


def test_who_must_be_computed_again() -> None:
    """A label may come anywhere, a zone with any Namespace."""
    impact = Impact()
    impact.note("shop", [policy(ingress=(rule(allow("r"), label(Asks.IN, "x")),), mode=Mode.AUDIT)])
    within = SourceCondition(NAMESPACE, Asks.IN, ("free",))
    impact.note("other", [policy(namespace="other", ingress=(rule(allow("r"), label(Asks.IN, "x"), within),))])
    impact.note("bank", [policy(namespace="bank", ingress=(rule(allow("r"), SourceCondition(ZONE, Asks.EXISTS)),))])
    assert impact.of_identity("lab") == {"shop"}
    assert impact.of_identity("free") == {"shop", "other"}
    assert impact.of_namespace("lab") == {"bank"}


def test_only_those_whom_a_rule_may_name_are_looked_at() -> None:
    asked = label(Asks.IN, "front")
    callers = (caller("web"), ZonePeer("b"), SpiffePeer("spiffe://cluster.local/ns/free/sa/api"))
    wanted = narrowing.asked(rule(allow("r", *callers), asked))
    assert wanted == narrowing.Labelled((asked,), ("free", "shop"), ("b",))
    assert wanted is not None
    assert narrowing.labelled(wanted, world()) == (("bank", "api"), ("free", "api"), ("shop", "web"))
    assert named(rule(allow("r", *callers, ports=(80,)), asked)) == {"shop/web", "bank/api", "free/api"}
