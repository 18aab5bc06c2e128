"""Tokens in sets of requests: a request is in the set of a rule exactly when the rule names it."""

from itertools import product

import pytest
from ringfence.model.requests import Request, Requests
from ringfence.model.resources import Action
from ringfence.model.tokens import Claims, TokenMatch
from ringfence.policy import requests
from ringfence.policy.algebra import diagram, dimensions
from ringfence.policy.algebra.diagram import Diagram
from ringfence.policy.reasoning import bearing, sent

CORP, OTHER = ":cluster/corp", "shop/pay/corp"
ROLE, TEAM = ("role", ("a", "b")), ("team", ("x",))


def asking(*claims: tuple[str, tuple[str, ...]], issuer: str = CORP, header: str = "authorization") -> TokenMatch:
    return TokenMatch(issuer, claims, header=header, version="v1")


ABSENT = TokenMatch(CORP, absent=True, header="authorization", version="v1")
MATCHES = (
    asking(),
    asking(ROLE),
    asking(TEAM),
    asking(ROLE, TEAM),
    asking(("role", ("b",)), ("team", ("x", "y"))),
    asking(ROLE, issuer=OTHER, header="x-token"),
    asking(header=""),
    ABSENT,
)
ROLES: tuple[tuple[str, ...], ...] = ((), ("a",), ("b", "c"), ("c",))
TEAMS: tuple[tuple[str, ...], ...] = ((), ("x",), ("y",))
TOKENS: list[Claims | None] = [
    None,
    *({name: values for name, values in (("role", r), ("team", t)) if values} for r, t in product(ROLES, TEAMS)),
]
SENT = [Request(), *(Request(tokens={issuer: each}) for issuer in (CORP, OTHER) for each in TOKENS)]
SENT += [Request(tokens={CORP: one, OTHER: TOKENS[2]}, headers={"authorization": ("Basic x",)}) for one in TOKENS]


def names_of(found: Diagram) -> set[str]:
    return {name for each in diagram.cubes(found) for name in each if name.startswith(dimensions.OF_TOKENS)}


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("match", MATCHES, ids=str)
def test_a_request_is_in_the_set_exactly_when_the_rule_names_it(match: TokenMatch, action: Action) -> None:
    rule = Requests(token=match)
    found = sent.named(rule, action is Action.DENY)
    for request in SENT:
        point = {name: bearing.value(name, request) for name in names_of(found)}
        assert diagram.holds(found, dimensions.point(point)) is requests.matches(rule, request, action), request


@pytest.mark.parametrize("one", MATCHES, ids=str)
@pytest.mark.parametrize("other", MATCHES, ids=str)
def test_an_example_of_what_passes_does_pass(one: TokenMatch, other: TokenMatch) -> None:
    allowed, denied = Requests(token=one), Requests(token=other)
    point = diagram.witness(diagram.subtract(sent.named(allowed, False), sent.named(denied, True)))
    if point is None:
        return
    request = Request(tokens=bearing.some(point))
    # Of several claims together sets know nothing more, so an example of those may be none.
    if max(len(one.claims), len(other.claims)) < len((ROLE, TEAM)):
        assert requests.matches(allowed, request, Action.ALLOW)
        assert not requests.matches(denied, request, Action.DENY)


def test_an_example_leaves_out_what_must_be_missing() -> None:
    only_b = diagram.subtract(
        sent.named(Requests(token=asking(ROLE)), False), sent.named(Requests(token=asking(("role", ("a",)))), True)
    )
    assert bearing.some(diagram.witness(only_b) or {}) == {CORP: {"role": ("b",)}}
    others = diagram.subtract(
        sent.named(Requests(token=asking()), False), sent.named(Requests(token=asking(ROLE)), True)
    )
    assert bearing.some(diagram.witness(others) or {}) == {CORP: {"role": ("other",)}}
