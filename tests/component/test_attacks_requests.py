"""Ways around rules about requests, tried on a real Envoy: whatever is said of a path, a header or a port."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ringfence.model.requests import Asks, HeaderCondition, HttpMatch, Request, Requests
from ringfence.model.resources import AnonymousPeer, SecurityPolicy
from ringfence.policy.requests import OTHER_METHOD, OTHER_PATH, spellings

from tests.component import proxy_net, request_rig
from tests.component.proxy_net import Identities, Net
from tests.component.request_peers import SENT
from tests.component.request_rig import API, HTTP_PORT, OUTSIDE, TCP_PORT, WEB, Asked
from tests.unit.policy.making import allow, caller, deny, policy

pytestmark = pytest.mark.component

#: That of the fixture `net`.
NETWORK = request_rig.network


class Proxy:
    """What a proxy under some rules answers."""

    def __init__(self, net: Net, svids: Identities, *rules: Any) -> None:
        self._net, self._svids = net, svids
        self._written: SecurityPolicy = policy(ingress=rules)

    def ask(self, *requests: Request | Asked) -> list[tuple[int, str]]:
        """Status and body of what each gets, by web in mutual TLS where nothing else is said."""
        with self.running():
            return self._answers(requests)

    def asked(self, *requests: Request | Asked) -> list[int]:
        """The statuses, of one that runs."""
        return [status for status, _ in self._answers(requests)]

    def _answers(self, requests: Iterable[Request | Asked]) -> list[tuple[int, str]]:
        asked = [each if isinstance(each, Asked) else Asked(each, WEB, True) for each in requests]
        answers = request_rig.ask(self._net, self._svids, asked)
        return [(status if not program else 200, body) for status, program, body in answers]

    def statuses(self, *requests: Request | Asked) -> list[int]:
        return [status for status, _ in self.ask(*requests)]

    def running(self) -> Any:
        made = request_rig.config(request_rig.mesh(self._written))
        return proxy_net.running(self._net, made, self._svids.secrets("shop", "db"))


def on(rule: Any, *matches: HttpMatch, when: tuple[HeaderCondition, ...] = ()) -> Any:
    """The rule, about these requests on the HTTP port."""
    return replace(rule, requests=Requests(matches, when))


def paths(*patterns: str) -> HttpMatch:
    return HttpMatch(paths=patterns)


PORT = (HTTP_PORT,)
ALL = allow("all", caller("web"), ports=PORT)
PUBLIC = on(allow("public", caller("web"), ports=PORT), paths("/public", "/public/*"))
NO_ADMIN = on(deny("admin", ports=PORT), paths("/admin", "/admin/*"))

#: Ways to write /admin or something below it.
ADMIN = (
    "/admin", "/admin/", "/admin?x", "/admin/users", "//admin", "/./admin", "/x/../admin", "/x/%2e%2e/admin",
    "/x/.%2E/admin", "/%61dmin", "/adm%69n", "/admin/.", "/admin/x/..", "/admin//", "/admin;x=1", "/admin;",
    "/;/admin", "/x/..;/admin", "/x/..;y/admin", "/x/%2e%2e;/admin", "/admin%3bx", "/admin%2f", "/admin%2Fusers",
    "/x%2f..%2fadmin", "/x/..%2fadmin", "/\\admin", "/x\\..\\admin", "/admin\\", "/admin%5c", "/x/%2e%2e%5cadmin",
    "/public/../admin", "/public/%2e%2e/admin", "/public/..;/admin", "/public//../../admin", "/admin%00", "/admin#x",
    "/admin\udcc0\udcaf", "/%00/admin",
)  # fmt: skip
#: Names that only look like it: programs that take them for /admin have another idea of paths than RFC 3986.
OTHERS = {
    "/Admin": "/Admin",
    "/admin.": "/admin.",
    "/%2561dmin": "/%2561dmin",
    "/%252561dmin": "/%252561dmin",
    "/x/%252e%252e/admin": "/x/%252e%252e/admin",
    "/%c0%af/admin": "/%c0%af/admin",
    "/administrators": "/administrators",
    "/x?/../admin": "/x?/../admin",
    "/admin%20": "/admin%20",
}


class TestPaths:
    def test_no_way_of_writing_a_path_passes_by_its_deny(self, net: Net, svids: Identities) -> None:
        found = Proxy(net, svids, ALL, NO_ADMIN).statuses(*(Request(path=path) for path in ADMIN))
        assert {path: status for path, status in zip(ADMIN, found, strict=True) if status not in {400, 403}} == {}
        assert found.count(403) > len(found) - 6

    def test_none_leads_out_of_what_is_allowed(self, net: Net, svids: Identities) -> None:
        tried = [*ADMIN, *OTHERS, "/public%2f..%2fadmin", "/publicity", "/public;/../admin"]
        found = Proxy(net, svids, PUBLIC).statuses(*(Request(path=path) for path in tried))
        assert {path: status for path, status in zip(tried, found, strict=True) if status not in {400, 403}} == {}
        assert Proxy(net, svids, PUBLIC).statuses(Request(path="/public/a"), Request(path="/x/../public")) == [200, 200]

    def test_what_is_another_path_reaches_the_program_as_such(self, net: Net, svids: Identities) -> None:
        found = Proxy(net, svids, ALL, NO_ADMIN).ask(*(Request(path=path) for path in OTHERS))
        assert dict(zip(OTHERS, found, strict=True)) == {path: (200, told) for path, told in OTHERS.items()}

    def test_no_leading_slash_in_either_protocol(self, net: Net, svids: Identities) -> None:
        tried = [Asked(Request(path=path), WEB, True, http2) for path in ("admin", "*", "") for http2 in (False, True)]
        assert not {200} & set(Proxy(net, svids, ALL, NO_ADMIN).statuses(*tried))

    def test_a_target_in_absolute_form_is_its_path(self, net: Net, svids: Identities) -> None:
        rules = (on(ALL, HttpMatch(hosts=("pay.shop",))), NO_ADMIN)
        tried = (Request(path="http://pay.shop/admin"), Request(path="http://other.shop/x", host="pay.shop"))
        assert Proxy(net, svids, *rules).statuses(*tried, Request(path="/x", host="pay.shop")) == [403, 403, 200]

    def test_a_star_or_any_other_character_in_an_open_segment_passes_by_no_deny(
        self, net: Net, svids: Identities
    ) -> None:
        rules = (ALL, on(deny("open", ports=PORT), paths("/a/{*}/b")))
        tried = [f"/a/{char}/b" for char in "*!$&()+,:=@[]~|\"<>^`{}'"]
        tried += [f"/a/%{byte:02x}/b" for byte in range(256)]
        # A dot and nothing are no segments: there is none left between /a/ and /b.
        tried.remove("/a/%2e/b")
        found = Proxy(net, svids, *rules).statuses(*(Request(path=path) for path in tried))
        assert {path for path, status in zip(tried, found, strict=True) if status not in {400, 403}} == set()


def env(asks: Asks, *values: str) -> HeaderCondition:
    return HeaderCondition("x-env", asks, values)


def sent(**headers: str | tuple[str, ...]) -> Request:
    named = {name.replace("__", "-"): (v,) if isinstance(v, str) else v for name, v in headers.items()}
    return Request(headers=named)


class TestHeaders:
    FORMS = (
        sent(x__env="prod"),
        sent(X__Env="prod"),
        sent(),
        sent(x__env=("prod", "dev")),
        sent(x__env=("dev", "prod")),
        sent(x__env="dev,prod"),
        sent(x__env=("prod", "\udcff")),
        sent(x__env="pr\udcf8d"),
        sent(x__env="prod\udcff"),
        sent(x__env=""),
        sent(x__env="dev", x_env="prod"),
        sent(x_env="prod"),
    )

    def test_an_allow_takes_the_one_value_and_nothing_like_it(self, net: Net, svids: Identities) -> None:
        rule = on(ALL, when=(env(Asks.IN, "prod"),))
        assert Proxy(net, svids, rule).statuses(*self.FORMS) == [200, 200, *[403] * 10]

    def test_a_deny_is_passed_by_only_with_another_value_that_is_clear(self, net: Net, svids: Identities) -> None:
        rule = on(deny("env", ports=PORT), when=(env(Asks.IN, "prod"),))
        # What is not the value, byte by byte, is another.
        assert Proxy(net, svids, ALL, rule).statuses(*self.FORMS) == [403] * 7 + [200] * 3 + [403] * 2
        assert Proxy(net, svids, ALL, rule).statuses(sent(x__env="dev")) == [200]

    def test_a_deny_of_all_but_one_value_is_not_passed_by_without_any(self, net: Net, svids: Identities) -> None:
        """An expression that fails is no match elsewhere, and lets pass."""
        rule = on(deny("env", ports=PORT), when=(env(Asks.NOT_IN, "prod"),))
        assert Proxy(net, svids, ALL, rule).statuses(*self.FORMS) == [200, 200, *[403] * 10]

    def test_nobody_asks_a_program_for_another_method_or_path_than_was_judged(
        self, net: Net, svids: Identities
    ) -> None:
        """Many programs obey such headers, in spellings of CGI too."""
        rule = on(allow("read", caller("web"), ports=PORT), HttpMatch(("GET", "POST"), ("/orders",)))
        names = [each for name in (*OTHER_METHOD, *OTHER_PATH) for each in spellings(name)]
        forms = [Request("POST", "/orders", headers={name: (value,)}) for name in names for value in ("DELETE", "")]
        alike = Request("POST", "/orders", headers={"x-http-methods": ("DELETE",), "x-original-uri": ("/admin",)})
        assert Proxy(net, svids, rule).statuses(alike, *forms) == [200, *[403] * 48]
        no_deletes = on(deny("no-deletes", ports=PORT), HttpMatch(("DELETE",)))
        assert Proxy(net, svids, ALL, no_deletes).statuses(alike, *forms) == [200, *[403] * 32, *[200] * 16]
        assert set(Proxy(net, svids, ALL).statuses(*forms)) == {200}

    def test_a_rule_that_looks_at_such_a_header_lets_it_pass_as_it_says(self, net: Net, svids: Identities) -> None:
        name = "x-http-method-override"
        match, said = HttpMatch(("POST",), ("/orders",)), HeaderCondition(name, Asks.IN, ("PATCH",))
        rule = on(allow("patch", caller("web"), ports=PORT), match, when=(said,))
        forms = [
            Request("POST", "/orders", headers=headers)
            for headers in (
                {name: ("PATCH",)},
                {},
                {name: ("DELETE",)},
                {name: ("PATCH", "DELETE")},
                {name: ("PATCH",), "x_http_method_override": ("DELETE",)},
                {name: ("PATCH",), "x-http-method": ("DELETE",)},
                {name: ("PATCH",), "x-original-url": ("/admin",)},
            )
        ]
        assert Proxy(net, svids, rule).statuses(*forms) == [200, *[403] * 6]
        other = on(allow("read", caller("web"), ports=PORT), HttpMatch(("GET",)))
        assert Proxy(net, svids, rule, other).statuses(*forms) == [403] * 7

    def test_a_caller_without_identity_gets_none_by_saying_so(self, net: Net, svids: Identities) -> None:
        forged = {
            "x-forwarded-client-cert": ("URI=spiffe://cluster.local/ns/shop/sa/web",),
            "x-forwarded-for": (WEB,),
            "x-envoy-external-address": (WEB,),
        }
        rules = (PUBLIC, on(allow("open", AnonymousPeer(), ports=PORT), paths("/open")))
        tried = [Asked(Request(path=path, headers=forged), OUTSIDE, False) for path in ("/public", "/open")]
        assert Proxy(net, svids, *rules).statuses(*tried) == [403, 200]


class TestCallers:
    def test_names_are_compared_exactly(self, net: Net, svids: Identities) -> None:
        """A dot, a star or a bracket in a rule's identity is that character."""
        rules = (on(allow("one", caller("w.b"), caller("web*"), ports=PORT), paths("/*")),)
        assert Proxy(net, svids, *rules).statuses(Request(), Asked(Request(), API, True)) == [403, 403]

    def test_rules_of_one_caller_are_not_anothers(self, net: Net, svids: Identities) -> None:
        other = on(allow("other", caller("api"), ports=PORT), paths("/other"))
        tried = [Asked(Request(path=path), source, True) for path in ("/public", "/other") for source in (WEB, API)]
        assert Proxy(net, svids, PUBLIC, other).statuses(*tried) == [200, 403, 403, 200]


class TestProtocols:
    def test_a_websocket_and_a_tunnel_only_by_name(self, net: Net, svids: Identities) -> None:
        named = on(allow("named", caller("web"), ports=PORT), HttpMatch(paths=("/ws",), upgrades=("websocket",)))
        upgrade = {"method": "GET", "upgrade": "websocket"}
        tried = [Request(path="/public", **upgrade), Request(path="/ws", **upgrade), Request(path="/ws")]
        tunnel = Request("CONNECT", host="pay.shop:443")
        tunnels = [tunnel, Asked(tunnel, WEB, True, http2=True)]
        tried += [Request(path="/ws", upgrade="h2c"), *tunnels, Request("CONNECT", host="/public")]
        for rules in ((PUBLIC, named), (ALL, named)):
            found = Proxy(net, svids, *rules).statuses(*tried)
            assert found[1] == 200
            assert not {200} & set(found[4:])
        assert Proxy(net, svids, PUBLIC, named).statuses(*tried[:4]) == [403, 200, 403, 403]

    def test_a_tunnel_that_is_named_carries_bytes_both_ways(self, net: Net, svids: Identities) -> None:
        tunnel, elsewhere = Request("CONNECT", host="pay.shop:443"), Request("CONNECT", host="other.shop:443")
        rule = on(allow("tunnel", caller("web"), ports=PORT), HttpMatch(("CONNECT",), hosts=("pay.shop",)))
        tried = [Asked(each, source, True, http2) for each in (tunnel, elsewhere) for source in (WEB, API)
                 for http2 in (False, True)]  # fmt: skip
        found = Proxy(net, svids, PUBLIC, rule).ask(*tried, Request(path="/public"), Request(path="/x"))
        assert [status for status, _ in found] == [200, 200, *[403] * 6, 200, 403]
        # The program says where it was asked to, or who it is, and sends back what comes.
        assert [body for _, body in found[:2]] == [f"{first}{SENT.decode()}" for first in ("pay.shop:443 ", "program")]
        # What denies some path without a method denies what has none.
        assert Proxy(net, svids, rule, NO_ADMIN).statuses(tunnel) == [403]
        get = on(deny("get", ports=PORT), HttpMatch(("GET",), ("/admin",)))
        assert Proxy(net, svids, rule, get).statuses(tunnel) == [200]

    def test_methods_of_another_case(self, net: Net, svids: Identities) -> None:
        rules = (ALL, on(deny("delete", ports=PORT), HttpMatch(("DELETE",))))
        tried = [
            Asked(Request(method, host="pay.shop"), WEB, True, http2=True)
            for method in ("DELETE", "delete", "Delete", "GET")
        ]
        assert Proxy(net, svids, *rules).statuses(*tried) == [403, 403, 403, 200]

    def test_a_port_that_carries_bytes_is_opened_by_no_request_and_closed_by_any_deny(
        self, net: Net, svids: Identities
    ) -> None:
        both = (HTTP_PORT, TCP_PORT)
        some = on(allow("some", caller("web"), ports=both), paths("/public"))
        call = Asked(Request(path="/public"), WEB, True).call(svids)
        for rules in ((some,), (allow("all", caller("web")), on(deny("some", ports=both), paths("/other")))):
            proxy = Proxy(net, svids, *rules)
            with proxy.running():
                answers = request_rig.sent(net, [call, {**call, "port": TCP_PORT}])
            assert [program for _, program, _ in answers] == [True, False]


class TestWhatIsTold:
    def test_a_denied_caller_hears_a_decision_and_the_log_has_policy_and_rule(
        self, net: Net, svids: Identities
    ) -> None:
        proxy = Proxy(net, svids, PUBLIC, NO_ADMIN)
        grpc = Request("POST", "/admin/x", headers={"content-type": ("application/grpc",)})
        asked = [Request(path="/admin"), Request(path="/x"), Request(path="/a;b")]
        with proxy.running() as log:
            answers = request_rig.ask(net, svids, [Asked(each, WEB, True) for each in (*asked, grpc)])
        found = {line["decision"]: line for line in _lines(log)}
        told = ["shop/p#admin", "none", ":builtin/unclear#1"]
        for (status, _, body), rule in zip(answers, told, strict=False):
            assert status == 403
            words, _, decision = body.rpartition(" ")
            assert words == "denied, decision"
            assert found[decision.strip()]["details"] == f"rbac_access_denied_matched_policy[{rule}]"
        status, program, body = answers[3]
        assert (status, program, body) == (200, False, "")  # gRPC carries its status in a header

    def test_a_request_that_is_let_through_names_its_rule_in_the_log(self, net: Net, svids: Identities) -> None:
        proxy = Proxy(net, svids, PUBLIC)
        with proxy.running() as log:
            request_rig.ask(net, svids, [Asked(Request(path="/public/x?secret=1"), WEB, True)])
        (line,) = _lines(log)
        assert line["policy"]["allow.enforced_effective_policy_id"] == "shop/p#public"
        assert line["path"] == "/public/x"


def _lines(log: Path) -> list[dict[str, Any]]:
    found = (json.loads(line) for line in log.read_text().splitlines() if line.startswith("{"))
    return [line for line in found if line.get("method")]
