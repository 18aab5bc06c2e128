"""Ways to forge an end user, or to hide who one is, tried on a real Envoy: nothing but a good token opens anything."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ringfence.model.requests import HttpMatch, Request, Requests
from ringfence.model.resources import AnonymousPeer, Mode, Rule, SecurityPolicy
from ringfence.model.tokens import TokenMatch

from tests.component import proxy_net, request_rig, token_rig
from tests.component.proxy_net import Identities, Net
from tests.component.request_rig import HTTP_PORT, OUTSIDE, WEB, Asked
from tests.component.token_rig import LIFE, POLICY, SKEW, Signer
from tests.unit.policy.making import allow, caller, deny, policy

pytestmark = pytest.mark.component

#: That of the fixture `net`.
NETWORK = request_rig.network

CORP, PARTNER, USER = token_rig.signers()
PORT = (HTTP_PORT,)
#: Not allowed, not allowed with a token that is not good, allowed.
REFUSED, BAD, LET_IN = 403, 401, 200


class Proxy:
    """What a proxy under some rules answers, and what it writes down."""

    def __init__(
        self,
        net: Net,
        svids: Identities,
        *rules: Rule,
        known: tuple[Signer, ...] = (CORP, PARTNER, USER),
        mode: Mode = Mode.ENFORCE,
        beside: tuple[SecurityPolicy, ...] = (),
    ) -> None:
        self._net, self._svids, self._beside = net, svids, beside
        made = policy(POLICY, ingress=rules, mode=mode)
        self._written = replace(made, spec=replace(made.spec, issuers=tuple(each.declared for each in known)))
        self.log: list[dict[str, Any]] = []

    def ask(self, *requests: Request | Asked) -> list[tuple[int, str]]:
        asked = [each if isinstance(each, Asked) else Asked(each, WEB, True) for each in requests]
        config = request_rig.config(request_rig.mesh(self._written, *self._beside))
        with proxy_net.running(self._net, config, self._svids.secrets("shop", "db")) as log:
            answers = request_rig.ask(self._net, self._svids, asked)
        self.log = [json.loads(line) for line in Path(log).read_text().splitlines() if line.startswith("{")]
        return [(status if not program else 200, body) for status, program, body in answers]

    def statuses(self, *requests: Request | Asked) -> list[int]:
        return [status for status, _ in self.ask(*requests)]


def asking(
    rule: Rule, by: Signer = CORP, *, absent: bool = False, http: tuple[HttpMatch, ...] = (), **claims: str
) -> Rule:
    wanted = tuple(sorted((name, (value,)) for name, value in claims.items()))
    return replace(rule, requests=Requests(http, token=TokenMatch(by.key, wanted, absent)))


def bearing(token: str, by: Signer = CORP, **more: Any) -> Request:
    return Request(headers=by.header(token), **more)


WITH = asking(allow("with", caller("web"), ports=PORT))
WRITERS = asking(allow("writers", caller("web"), ports=PORT), scope="write")
ALL = allow("all", caller("web"), ports=PORT)
NOT_CONTRACTORS = asking(deny("contractors", ports=PORT), role="contractor")


def forged() -> dict[str, str]:
    """Tokens that are not good, by what is wrong with them."""
    now = int(time.time())
    return {
        "alg none": token_rig.unsigned(CORP),
        "alg none in other letters": token_rig.unsigned(CORP, "nOnE"),
        "alg none with a signature": token_rig.unsigned(CORP, "none", CORP.token().rpartition(".")[2]),
        "no signature": CORP.token().rpartition(".")[0] + ".",
        "another's claims under its signature": token_rig.tampered(CORP.token()),
        "for others": CORP.token(aud="other"),
        "for nobody": CORP.token(aud=None),
        "by another issuer": CORP.token(iss="https://evil.example/"),
        "by an issuer with a slash less": CORP.token(iss=CORP.declared.issuer.rstrip("/")),
        "by nobody": CORP.token(iss=None),
        "without an end": CORP.token(exp=None),
        "ended beyond the skew": CORP.token(exp=now - SKEW - 15),
        "not begun": CORP.token(nbf=now + SKEW + 300),
        "lasting for too long": CORP.token(exp=now + LIFE + 300),
        # By less than the skew, and by more than it takes until it is shown.
        "lasting a little too long": CORP.token(exp=now + LIFE + SKEW - 1),
        "lasting for ever": CORP.token(exp=2**62),
        "ended long before 1970": CORP.token(exp=-1),
        "the public key as a secret": token_rig.confused(CORP),
        "the public key as a secret, of RSA": token_rig.confused(PARTNER),
        "no secret at all": token_rig.hmac_signed(CORP, b""),
        "another's key under its name": replace(PARTNER, kid=CORP.kid).token(iss=CORP.declared.issuer),
        "a key of its own in the head": replace(token_rig.signer("evil", "ES256"), kid=CORP.kid).token(
            iss=CORP.declared.issuer, headers={"jwk": {"kty": "EC"}, "jku": "http://127.0.0.1/keys"}
        ),
        "an unknown key": CORP.token(headers={"kid": "../../dev/null"}),
        "three words": "a.b.c",
        "two words": "a.b",
        "nothing": "",
        "a very long one": "a" * 60000,
    }


class TestForged:
    def test_none_opens_what_asks_for_a_token(self, net: Net, svids: Identities) -> None:
        found = Proxy(net, svids, WITH, asking(WITH, PARTNER)).statuses(*map(bearing, forged().values()))
        assert {name for name, status in zip(forged(), found, strict=True) if status not in {REFUSED, BAD}} == set()

    def test_none_passes_by_a_deny_that_looks_at_claims(self, net: Net, svids: Identities) -> None:
        found = Proxy(net, svids, ALL, NOT_CONTRACTORS).statuses(*map(bearing, forged().values()))
        assert {name for name, status in zip(forged(), found, strict=True) if status not in {REFUSED, BAD}} == set()

    def test_good_ones_pass_up_to_the_skew(self, net: Net, svids: Identities) -> None:
        now = int(time.time())
        good = (CORP.token(), CORP.token(exp=now - 1), CORP.token(aud=["other", "pay"]), CORP.token(nbf=now))
        assert Proxy(net, svids, WITH).statuses(*map(bearing, good)) == [LET_IN] * 4

    def test_each_kind_of_key_signs(self, net: Net, svids: Identities) -> None:
        known = tuple(
            token_rig.signer(f"i{n}", each) for n, each in enumerate(("RS256", "PS256", "ES256", "ES384", "EdDSA"))
        )
        rules = [asking(replace(ALL, name=f"r{n}"), each) for n, each in enumerate(known)]
        found = Proxy(net, svids, *rules, known=known).statuses(*(bearing(each.token(), each) for each in known))
        assert found == [LET_IN] * 5

    def test_whoever_else_calls_gains_nothing_by_a_token(self, net: Net, svids: Identities) -> None:
        tried = [Asked(bearing(CORP.token()), OUTSIDE, False), Asked(bearing(CORP.token()), WEB, False)]
        # In the clear they do not even get to speak; where some may, they are refused.
        assert Proxy(net, svids, WITH).statuses(*tried) == [0, 0]
        other = asking(allow("others", AnonymousPeer(), ports=PORT), PARTNER)
        assert Proxy(net, svids, WITH, other).statuses(*tried) == [REFUSED] * 2


class TestPlaces:
    def tried(self) -> dict[str, Request]:
        # Made when they are needed: a run of all tests may take longer than a token lives.
        token = CORP.token()
        good, other = f"Bearer {token}", f"Bearer {CORP.token(sub='bob')}"
        return {
            "twice the same": Request(headers={"authorization": (good, good)}),
            "two": Request(headers={"authorization": (good, other)}),
            "a bad one before": Request(headers={"authorization": ("Bearer a.b.c", good)}),
            "a bad one behind": Request(headers={"authorization": (good, "Basic YTpi")}),
            "with a comma": Request(headers={"authorization": (f"{good}, {other}",)}),
            "behind another word": Request(headers={"authorization": (f"Basic YTpi {good}",)}),
            "before another word": Request(headers={"authorization": (f"{good} x",)}),
            "before another token": Request(headers={"authorization": (f"{good} Bearer a.b.c",)}),
            "in small letters": Request(headers={"authorization": (good.replace("Bearer", "bearer"),)}),
            "without Bearer": Request(headers={"authorization": (token,)}),
            "in the query": Request(path=f"/?access_token={token}"),
            "in a cookie": Request(headers={"cookie": (f"access_token={token}",)}),
            "in another header": Request(headers={"x-user-token": (token,)}),
            "in what proxies leave for programs": Request(headers={"x-jwt-payload": ("e30",)}),
        }

    def test_a_token_counts_in_its_own_place_alone(self, net: Net, svids: Identities) -> None:
        found = Proxy(net, svids, WITH).statuses(*self.tried().values())
        assert {name for name, status in zip(self.tried(), found, strict=True) if status not in {REFUSED, BAD}} == set()

    def test_nowhere_else_does_it_pass_by_a_deny(self, net: Net, svids: Identities) -> None:
        found = Proxy(net, svids, ALL, NOT_CONTRACTORS).statuses(*self.tried().values())
        assert {name for name, status in zip(self.tried(), found, strict=True) if status not in {REFUSED, BAD}} == set()

    def test_over_http2_too(self, net: Net, svids: Identities) -> None:
        requests = (*self.tried().values(), bearing(CORP.token()))
        tried = [Asked(replace(each, host="pay.shop"), WEB, True, http2=True) for each in requests]
        *found, good = Proxy(net, svids, WITH).statuses(*tried)
        assert {REFUSED, BAD} >= set(found)
        assert good == LET_IN

    def test_a_header_that_programs_take_for_the_tokens_own(self, net: Net, svids: Identities) -> None:
        token = USER.token()
        tried = [Request(headers={**USER.header(token), name: ("a.b.c",)}) for name in ("x_user_token", "x-user_token")]
        found = Proxy(net, svids, asking(ALL, USER)).statuses(*tried, bearing(token, USER))
        assert found == [REFUSED, REFUSED, LET_IN]


class TestIssuers:
    def test_one_issuers_token_is_not_anothers(self, net: Net, svids: Identities) -> None:
        tried = [bearing(CORP.token()), bearing(PARTNER.token()), bearing(PARTNER.token(iss=CORP.declared.issuer))]
        assert Proxy(net, svids, WITH).statuses(*tried) == [LET_IN, REFUSED, BAD]

    def test_two_of_one_name_keep_their_keys_apart(self, net: Net, svids: Identities) -> None:
        """A namespace that declares the platform's issuer with keys of its own makes no token of the platform's."""
        mine = token_rig.signer("mine", "ES256", issuer=CORP.declared.issuer)
        rules = (WITH, asking(allow("mine", caller("web"), ports=PORT), mine, http=(HttpMatch(paths=("/mine",)),)))
        tried = [bearing(each.token(), path=path) for each in (CORP, mine) for path in ("/x", "/mine")]
        found = Proxy(net, svids, *rules, known=(CORP, mine)).statuses(*tried)
        assert found == [LET_IN, LET_IN, REFUSED, LET_IN]

    def test_a_request_may_bring_one_of_each(self, net: Net, svids: Identities) -> None:
        both = Request(headers={**CORP.header(CORP.token(scope="write")), **USER.header(USER.token())})
        rules = (WRITERS, asking(deny("no-user", ports=PORT), USER, absent=True))
        tried = [both, bearing(CORP.token(scope="write")), bearing(USER.token(), USER)]
        assert Proxy(net, svids, *rules).statuses(*tried) == [LET_IN, REFUSED, REFUSED]


class TestClaims:
    def test_a_scope_is_a_word_of_the_list_and_nothing_like_it(self, net: Net, svids: Identities) -> None:
        scopes = ("write", "read write", ["read", "write"], "writer", "rewrite", "Write", "write,read", "", None)
        tried = [bearing(CORP.token(scope=scope)) for scope in scopes]
        assert Proxy(net, svids, WRITERS).statuses(*tried) == [LET_IN] * 3 + [REFUSED] * 6

    def test_a_deny_is_passed_by_with_another_value_only(self, net: Net, svids: Identities) -> None:
        roles: tuple[Any, ...] = (
            "staff",
            ["staff"],
            1,
            "contractor",
            ["staff", "contractor"],
            {"a": "b"},
            [],
            [[]],
            None,
        )
        tried = [*(bearing(CORP.token(role=role)) for role in roles), Request()]
        found = Proxy(net, svids, ALL, NOT_CONTRACTORS).statuses(*tried)
        assert found == [LET_IN] * 3 + [REFUSED] * 7

    def test_a_scope_without_a_word_is_none(self, net: Net, svids: Identities) -> None:
        tried = [bearing(CORP.token(scope=scope)) for scope in ("", " ", "   ", [], "write", "read", [""])]
        found = Proxy(net, svids, ALL, asking(deny("write", ports=PORT), scope="write")).statuses(*tried)
        assert found == [REFUSED] * 5 + [LET_IN] * 2

    def test_a_name_with_dots_is_one_name(self, net: Net, svids: Identities) -> None:
        rule = replace(ALL, requests=Requests(token=TokenMatch(CORP.key, (("a.b", ("c",)),))))
        tried = [bearing(CORP.token(**{"a.b": "c"})), bearing(CORP.token(a={"b": "c"}))]
        assert Proxy(net, svids, rule).statuses(*tried) == [LET_IN, REFUSED]


class TestWithout:
    def test_a_token_may_be_demanded_of_all(self, net: Net, svids: Identities) -> None:
        rules = (ALL, asking(deny("nobody", ports=PORT), absent=True))
        tried = [bearing(CORP.token()), Request(), bearing("a.b.c")]
        assert Proxy(net, svids, *rules).statuses(*tried) == [LET_IN, REFUSED, BAD]

    def test_or_be_allowed_to_be_missing(self, net: Net, svids: Identities) -> None:
        public = asking(allow("public", caller("web"), ports=PORT), absent=True, http=(HttpMatch(paths=("/public",)),))
        tried = [Request(path="/public"), Request(path="/x"), bearing(CORP.token(), path="/x")]
        assert Proxy(net, svids, WITH, public).statuses(*tried) == [LET_IN, REFUSED, LET_IN]

    def test_rules_that_ask_for_none_do_not_look(self, net: Net, svids: Identities) -> None:
        tried = [Request(), bearing("a.b.c"), Request(headers={"authorization": ("Basic YTpi",)})]
        assert Proxy(net, svids, ALL).statuses(*tried) == [LET_IN] * 3

    def test_in_mode_audit_nobody_is_refused(self, net: Net, svids: Identities) -> None:
        made = Proxy(net, svids, NOT_CONTRACTORS, mode=Mode.AUDIT, beside=(policy("open", ingress=(ALL,)),))
        assert made.statuses(bearing("a.b.c")) == [LET_IN]
        (line,) = [each for each in made.log if each.get("method")]
        assert line["policy"]["audit_deny.shadow_engine_result"] == "denied"


class TestWhatIsTold:
    def test_one_decision_for_the_caller_and_in_the_log_and_no_token(self, net: Net, svids: Identities) -> None:
        made = Proxy(net, svids, WITH)
        token = CORP.token(exp=int(time.time()) - 3600)
        ((status, body),) = made.ask(bearing(token))
        assert status == BAD
        (line,) = [each for each in made.log if each.get("method")]
        assert body == f"denied, decision {line['decision']}\n"
        assert line["details"] == "rbac_access_denied_matched_policy[none]"
        assert line["tokens"][CORP.key] == "Jwt is expired"
        assert not any(part in json.dumps(line) for part in token.split("."))

    @pytest.mark.parametrize("known", [(CORP, PARTNER, USER), (CORP,)], ids=["several issuers", "one issuer"])
    def test_whoever_should_get_another_token_is_told_so_and_nobody_else(
        self, net: Net, svids: Identities, known: tuple[Signer, ...]
    ) -> None:
        """401 makes programs get another token, and again and again if that is not what is missing."""
        path = {"path": "/x"}
        good, scope = CORP.token(scope="write"), CORP.token(scope="read")
        tried = {
            "ended": (bearing(CORP.token(exp=5), **path), BAD),
            "forged": (bearing(token_rig.tampered(good), **path), BAD),
            "for others": (bearing(CORP.token(aud="x"), **path), BAD),
            "none": (Request(**path), REFUSED),
            "none, but a password": (Request(headers={"authorization": ("Basic YTpi",)}, **path), REFUSED),
            "good, without the scope": (bearing(scope, **path), REFUSED),
            "of another issuer": (bearing(PARTNER.token(), **path), REFUSED if PARTNER in known else BAD),
            "good": (bearing(good, **path), LET_IN),
        }
        found = Proxy(net, svids, WRITERS, known=known).statuses(*(request for request, _ in tried.values()))
        assert dict(zip(tried, found, strict=True)) == {name: status for name, (_, status) in tried.items()}


class TestRemoved:
    def test_a_program_gets_the_token_unless_its_issuer_says_otherwise(self, net: Net, svids: Identities) -> None:
        """The path comes back from the program, and so does, under /authorization, that header."""
        removing = replace(CORP, declared=replace(CORP.declared, remove=True))
        token = CORP.token()
        tried = [bearing(token, path="/authorization"), bearing(token, path="/x")]
        assert Proxy(net, svids, WITH).ask(*tried) == [(LET_IN, f"Bearer {token}"), (LET_IN, "/x")]
        assert Proxy(net, svids, WITH, known=(removing,)).ask(*tried) == [(LET_IN, ""), (LET_IN, "/x")]
        # Where no rule asks for it nothing is taken away.
        assert Proxy(net, svids, ALL, known=(removing,)).ask(tried[0]) == [(LET_IN, f"Bearer {token}")]
