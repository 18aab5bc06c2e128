"""What would hold if the rule that decides were not there."""

from dataclasses import replace

from ringfence.model.effective import Direction
from ringfence.model.requests import HttpMatch, Request, Requests
from ringfence.model.resources import PortSpec, Protocol
from ringfence.model.verdict import Half, Reason
from ringfence.model.world import ContainerPort, World
from ringfence.policy.algebra import ports
from ringfence.policy.reasoning import otherwise, passing, pieces
from ringfence.policy.reasoning.otherwise import Otherwise
from ringfence.policy.reasoning.passing import About

from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, deny, floor, policy

DB = replace(making.pod("db"), proxied=True, ports=(ContainerPort("sql", 5432),))
WEB = replace(making.pod("web"), proxied=True)
INSTALLATION = replace(making.INSTALLATION, proxies=True)
SQL = ports.member(Protocol.TCP, 5432)


def world(*written: object) -> World:
    return making.world(*written, pods=(DB, WEB), installation=INSTALLATION)  # type: ignore[arg-type]


def without(
    known: World, direction: Direction = Direction.INGRESS, sent: Request | None = None
) -> tuple[Half, Otherwise | None]:
    """The half that is asked about, and what it would be."""
    effective = making.effective(known)
    asked = About(SQL, sent or Request())
    found = passing.passing(pieces.between(known, effective, WEB, DB, told=asked.request), asked)
    half = found.verdict.ingress if direction is Direction.INGRESS else found.verdict.egress
    return half, otherwise.without(known, effective, WEB, DB, half, asked, found.requests, namespace="shop")


def test_without_the_only_allow_the_call_is_denied() -> None:
    half, other = without(world(policy(ingress=(allow("web", caller("web"), ports=(5432,)),))))
    assert half.reason is Reason.ALLOWED_BY_RULE
    assert other == Otherwise(Half(Direction.INGRESS, False, Reason.NO_RULE_ALLOWS), allowed=False, as_much=False)


def test_another_allow_takes_its_place() -> None:
    _, other = without(world(policy(ingress=(allow("a", caller("web")), allow("b", ports=(5432,))))))
    assert other is not None
    assert (other.half.rule and other.half.rule.rule, other.allowed, other.as_much) == ("b", True, True)


def test_an_allow_that_a_deny_held_back_comes_into_force() -> None:
    """A list of rules would not show it: held back, it allows nothing."""
    rules = (allow("a", caller("web"), ports=("sql",)), deny("no", caller("web"), ports=(PortSpec(1, 9000),)))
    half, other = without(world(policy(ingress=rules)))
    assert (half.reason, half.rule and half.rule.rule) == (Reason.DENIED_BY_RULE, "no")
    assert other is not None
    assert (other.half.reason, other.half.rule and other.half.rule.rule) == (Reason.ALLOWED_BY_RULE, "a")


def test_the_other_end_may_still_deny() -> None:
    known = world(policy(ingress=(allow("api", caller("api")),)))
    known = replace(known, cluster_policies=(floor(egress=(deny("no"),)),))
    half, other = without(known, Direction.EGRESS)
    assert half.reason is Reason.DENIED_BY_RULE
    assert other is not None
    assert other.half.reason is Reason.ALLOWED_INSIDE
    assert not other.allowed


def test_of_some_requests_some_may_be_left() -> None:
    some = [
        replace(allow(name, caller("web"), ports=(5432,)), requests=Requests((HttpMatch(paths=(path,)),)))
        for name, path in (("a", "/a"), ("b", "/b"))
    ]
    known = world(policy(ingress=tuple(some)))
    effective = making.effective(known)
    asked = About(SQL, Request(), frozenset({"method"}))
    found = passing.passing(pieces.between(known, effective, WEB, DB), asked)
    assert found.verdict.ingress.reason is Reason.ALLOWED_FOR_REQUESTS
    other = otherwise.without(known, effective, WEB, DB, found.verdict.ingress, asked, found.requests, namespace="shop")
    assert other is not None
    assert (other.half.allowed, other.as_much) == (True, False)


def test_where_no_rule_decides_there_is_nothing_to_leave_out() -> None:
    assert without(world(policy(ingress=(allow("api", caller("api")),))))[1] is None
