"""What rules about tokens mean, and which issuers hold where."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringfence.model.effective import EffectiveRule
from ringfence.model.requests import Request, Requests
from ringfence.model.resources import Action, Rule, SecurityPolicy
from ringfence.model.tokens import Issuer, TokenMatch, claim_at, cluster_key, own_key
from ringfence.policy import issuers, tokens
from ringfence.policy.resolve import resolve

from tests.unit.policy import making
from tests.unit.policy.making import allow, deny, floor, policy

KEY = cluster_key("corp")
CORP = Issuer("corp", "https://corp.example", ("pay",), '{"keys":[]}')
MATCH = TokenMatch(KEY, (("role", ("a", "b")),), header="authorization")
INNER = replace(MATCH, claims=((claim_at(("realm", "roles")), ("a",)),))
BOTH = replace(MATCH, claims=(("role", ("a",)), ("team", ("x",))))


def sent(header: str = "", **claims: Any) -> Request:
    headers = {"authorization": (header,)} if header else {}
    return Request(tokens={KEY: tokens.claims(claims)}, headers=headers)


@pytest.mark.parametrize(
    ("name", "value", "texts"),
    [
        ("role", "a", ("a",)),
        ("role", "a b", ("a b",)),
        ("role", "", ("",)),
        ("role", True, ("true",)),
        ("role", ["a", False, 1, None, ["b"], {"c": "d"}], ("a", "false", "1")),
        ("role", 1, ("1",)),
        ("role", 3.0, ("3",)),
        ("role", -0.0, ("0",)),
        ("role", 1.5, ("1.5",)),
        ("role", 2**53 - 1, ("9007199254740991",)),
        ("role", 2**53, ("9007199254740992.0",)),
        ("role", 10**20, ("1e+20",)),
        ("role", None, ()),
        ("role", {"a": "b"}, ()),
        ("scope", "a  b ", ("a", "b")),
        ("scp", "a b", ("a", "b")),
        ("scope", ["a b"], ("a b",)),
        ("scope", " ", ()),
    ],
)
def test_a_claim_has_texts(name: str, value: Any, texts: tuple[str, ...]) -> None:
    assert tokens.texts(name, value) == texts


def test_claims_inside_others_are_known_by_their_path_and_by_nothing_else() -> None:
    payload = {
        "realm.roles": "dot",
        "realm/roles": "slash",
        "realm\u203aroles": "forged",
        "realm": {"roles": ["a", {"b": "c"}, ["d"]], "deep": {"er": {"est": True, "more": {"x": "y"}}}, "scope": "a b"},
        "list": [{"roles": "e"}],
    }
    assert tokens.claims(payload) == {
        "realm.roles": ("dot",),
        "realm/roles": ("slash",),
        claim_at(("realm", "roles")): ("a",),
        claim_at(("realm", "deep", "er", "est")): ("true",),
        claim_at(("realm", "scope")): ("a b",),  # words are values of the claims of these names alone, inside none
    }


@pytest.mark.parametrize(
    "text", ["03", "1.50", "+1", "1e2", "1.0", "0x1", "", "1_0", "\u0661", "-0", "1e+16", "inf", "1 "]
)
def test_a_number_is_written_in_one_way(text: str) -> None:
    assert (tokens.number(text) is None) is (text != "1e+16")


@given(st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False)))
def test_the_text_of_a_number_is_that_of_no_other(value: float) -> None:
    (text,) = tokens.texts("role", value)
    assert tokens.number(text) == float(value)


@pytest.mark.parametrize(
    ("match", "request_", "allow", "deny"),
    [
        (MATCH, sent(role="a"), True, True),
        (MATCH, sent(role=["c", "b"]), True, True),
        (MATCH, sent(role="c"), False, False),
        (MATCH, sent(role="A"), False, False),
        (MATCH, sent(), False, True),
        (MATCH, sent(role=1), False, False),
        (MATCH, sent(role={"a": "b"}), False, True),
        (MATCH, Request(), False, True),
        (MATCH, Request(tokens={KEY: None}), False, True),
        (MATCH, Request(tokens={"other": {"role": ("a",)}}), False, True),
        (MATCH, sent("Bearer a.b.c", role="a"), True, True),
        (MATCH, sent("Bearer a.b.c", role="c"), False, False),
        (MATCH, sent("Bearer a.b.c x", role="c"), False, True),
        (MATCH, sent("bearer a.b.c", role="a"), False, True),
        (BOTH, sent(role="a", team="x"), True, True),
        (BOTH, sent(role="a", team="y"), False, False),
        (BOTH, sent(role="a"), False, True),
        (INNER, sent(realm={"roles": ["b", "a"]}), True, True),
        (INNER, sent(realm={"roles": "b"}), False, False),
        (INNER, sent(realm={"roles": {"a": "a"}}), False, True),
        (INNER, sent(realm="a"), False, True),
        (INNER, sent(realm=[{"roles": "a"}]), False, True),
        (INNER, sent(**{"realm.roles": "a"}), False, True),
        (INNER, sent(**{"realm\u203aroles": "a"}), False, True),
        (replace(MATCH, claims=()), sent(), True, True),
        (replace(MATCH, claims=(), absent=True), sent(), False, False),
        (replace(MATCH, claims=(), absent=True), Request(), True, True),
        (replace(MATCH, claims=(), absent=True), Request(tokens={KEY: None}), True, True),
        (replace(MATCH, header=""), sent(role="a"), False, True),
        (replace(MATCH, header="", claims=(), absent=True), Request(), False, True),
    ],
)
def test_what_is_missing_or_not_good_counts_against_the_request(
    match: TokenMatch, request_: Request, allow: bool, deny: bool
) -> None:
    assert tokens.matches(match, request_, Action.ALLOW) is allow
    assert tokens.matches(match, request_, Action.DENY) is deny


@pytest.mark.parametrize(
    ("match", "request_", "said"),
    [
        (MATCH, sent(role="a"), ""),
        (MATCH, sent(role=["c", "d"]), "its role is c, d"),
        (MATCH, sent(), "its token has no claim role"),
        (MATCH, Request(), "the request has no token of corp"),
        (MATCH, Request(tokens={KEY: None}), "the token of corp is not good"),
        (BOTH, sent(role="c"), "its role is c; its token has no claim team"),
        (replace(MATCH, header=""), sent(role="a"), "nobody declares the issuer corp"),
        (replace(MATCH, claims=(), absent=True), sent(), "the request has a token of corp"),
    ],
)
def test_what_is_missing_is_said(match: TokenMatch, request_: Request, said: str) -> None:
    assert tokens.missing(match, request_) == said


def test_words_for_what_a_rule_asks() -> None:
    assert tokens.in_words(BOTH) == "a token of corp with role in a and team in x"
    assert tokens.in_words(replace(MATCH, absent=True)) == "no token of corp"


def asking(rule: Rule, key: str = KEY) -> Rule:
    return replace(rule, requests=Requests(token=TokenMatch(key, (("role", ("a",)),))))


def declaring(made: Any, *found: Issuer) -> Any:
    return replace(made, spec=replace(made.spec, issuers=found))


def resolved(*policies: SecurityPolicy, floors: tuple[Any, ...] = ()) -> list[EffectiveRule]:
    proxies = replace(making.INSTALLATION, proxies=True)
    world = making.world(*policies, floors=floors, installation=proxies)
    return [rule for rule in resolve(world, "shop").rules if rule.requests is not None]


def found(*policies: SecurityPolicy, reason: str, floors: tuple[Any, ...] = ()) -> list[str]:
    world = making.world(*policies, floors=floors)
    return [f"{each.subject[2]}: {each.message}" for each in making.findings(world, reason)]


ASKING = policy("asks", ingress=(asking(allow("in", ports=(80,))), asking(deny("out", ports=(81,)))))


def test_a_rule_knows_where_the_platforms_tokens_are() -> None:
    rules = resolved(ASKING, floors=(declaring(floor(), replace(CORP, header="x-token")),))
    assert [rule.requests.token.header for rule in rules if rule.requests and rule.requests.token] == ["x-token"] * 2


def test_an_issuer_that_nobody_declares_is_told_of() -> None:
    assert {rule.requests.token.header for rule in resolved(ASKING) if rule.requests and rule.requests.token} == {""}
    assert found(ASKING, reason="UnknownIssuer") == [
        "asks: rule in allows nothing: no policy that holds here declares the issuer corp",
        "asks: rule out denies every request: no policy that holds here declares the issuer corp",
    ]


def test_two_declarations_of_the_platform_must_agree() -> None:
    one, other = declaring(floor("a"), CORP), declaring(floor("b"), replace(CORP, audiences=("else",)))
    assert found(ASKING, floors=(one, declaring(floor("b"), CORP)), reason="IssuerConflict") == []
    world = making.world(ASKING, floors=(one, other))
    assert resolve(world, "shop").issuers == ()
    assert len(found(ASKING, floors=(one, other), reason="UnknownIssuer")) == 2
    assert found(ASKING, floors=(one, other), reason="IssuerConflict") == [
        "a: b declares the issuer corp in another way: no token of it counts until they agree",
        "b: a declares the issuer corp in another way: no token of it counts until they agree",
    ]


def test_a_policys_own_issuer_is_there_for_its_own_rules_only() -> None:
    mine = own_key("shop", "mine", "corp")
    own = declaring(policy("mine", ingress=(asking(allow("in", ports=(80,)), mine),)), CORP)
    assert found(own, ASKING, reason="UnknownIssuer") == found(ASKING, reason="UnknownIssuer")
    held = resolve(making.world(own, ASKING), "shop").issuers
    assert [(key, issuer) for _, key, issuer in held] == [(mine, CORP)]
    assert issuers.of_pods(held, {"any": "pod"}) == {mine: CORP}


def test_other_keys_make_another_version() -> None:
    def version(issuer: Issuer) -> str:
        (rule, _) = resolved(ASKING, floors=(declaring(floor(), issuer),))
        assert rule.requests is not None
        assert rule.requests.token is not None
        return rule.requests.token.version

    assert version(CORP) == version(replace(CORP, remove=True))
    others = [replace(CORP, jwks="{}"), replace(CORP, audiences=("b",)), replace(CORP, max_lifetime=60)]
    assert len({version(CORP), *map(version, others)}) == 4
