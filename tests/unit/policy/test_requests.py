"""What rules about requests match: as an Allow a little less, as a Deny a little more."""

from typing import Any

import pytest
from ringfence.model.requests import Asks, HeaderCondition, HttpMatch, QueryCondition, Request, Requests
from ringfence.model.resources import Action
from ringfence.policy import requests

ALLOW, DENY = Action.ALLOW, Action.DENY
#: What neither, only a Deny, or both match.
NO, WIDE, YES = (False, False), (False, True), (True, True)


def both(rule: Requests, **sent: Any) -> tuple[bool, bool]:
    request = Request(**sent)
    return requests.matches(rule, request, ALLOW), requests.matches(rule, request, DENY)


def http(**said: Any) -> Requests:
    return Requests((HttpMatch(**said),))


def when(asks: Asks, *values: str) -> Requests:
    return Requests(when=(HeaderCondition("x-env", asks, values),))


@pytest.mark.parametrize(
    ("pattern", "path", "answer"),
    [
        ("/", "/", YES),
        ("/", "/a", NO),
        ("/a", "/a", YES),
        ("/a", "/a/", WIDE),
        ("/a/", "/a", WIDE),
        ("/a", "/A", NO),
        ("/a", "/ab", NO),
        ("/a", "/x/../%61?q", YES),
        ("/a/*", "/a", NO),
        ("/a/*", "/a/", YES),
        ("/a/*", "/a/b/c", YES),
        ("/a/*", "/ab/c", NO),
        ("/a/*", "/a/../b", NO),
        ("/*", "/", YES),
        ("/*", "/a/b", YES),
        ("/a/{*}/b", "/a/x/b", YES),
        ("/a/{*}/b", "/a/x/b/", WIDE),
        ("/a/{*}/b", "/a/x/y/b", NO),
        ("/a/{*}/b", "/a/b", NO),
        ("/a/{*}", "/a/", NO),
        ("/a/{*}", "/a/*", YES),
        ("/a/{*}/*", "/a/x/y/z", YES),
        ("/a/{*}/*", "/a/x", NO),
    ],
)
def test_paths(pattern: str, path: str, answer: tuple[bool, bool]) -> None:
    assert both(http(paths=(pattern,)), path=path) == answer


@pytest.mark.parametrize(("sent", "answer"), [("GET", YES), ("get", WIDE), ("GETS", NO), ("POST", NO)])
def test_methods(sent: str, answer: tuple[bool, bool]) -> None:
    assert both(http(methods=("GET",)), method=sent) == answer


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        ("pay.shop", YES),
        ("PAY.Shop:8080", YES),
        ("pay.shop.", WIDE),
        ("pay.shop:x@other", WIDE),
        ("x@pay.shop", WIDE),
        ("", WIDE),
        ("pay.shopping", NO),
        ("apay.shop", NO),
    ],
)
def test_hosts(sent: str, answer: tuple[bool, bool]) -> None:
    assert both(http(hosts=("pay.shop",)), host=sent) == answer


def test_an_upgrade_is_allowed_only_by_name_and_denied_with_the_rest() -> None:
    assert both(http(paths=("/a",)), path="/a", upgrade="websocket") == WIDE
    assert both(http(paths=("/a",), upgrades=("websocket",)), path="/a", upgrade="WebSocket") == YES
    assert both(http(paths=("/a",), upgrades=("websocket",)), path="/a") == NO


def test_grpc_is_a_content_type_where_it_is_allowed() -> None:
    rule = http(methods=("POST",), paths=("/shop.Pay/Charge",), grpc=True)
    sent = {"method": "POST", "path": "/shop.Pay/Charge"}
    assert both(rule, **sent, headers={"content-type": ("application/grpc+proto",)}) == YES
    assert both(rule, **sent) == WIDE
    assert both(rule, method="PUT", path="/shop.Pay/Charge") == WIDE


@pytest.mark.parametrize(
    ("rule", "values", "answer"),
    [
        (when(Asks.IN, "prod"), ("prod",), YES),
        (when(Asks.IN, "prod"), ("dev",), NO),
        (when(Asks.IN, "prod"), (), WIDE),
        (when(Asks.IN, "prod"), ("",), NO),
        (when(Asks.NOT_IN, "prod"), ("dev",), YES),
        (when(Asks.NOT_IN, "prod"), ("prod",), NO),
        (when(Asks.NOT_IN, "prod"), (), WIDE),
        (when(Asks.PREFIX, "pro"), ("prod",), YES),
        (when(Asks.PREFIX, "pro"), ("dev",), NO),
        (when(Asks.PREFIX, "pro"), (), WIDE),
        (when(Asks.EXISTS), ("",), YES),
        (when(Asks.EXISTS), (), NO),
        (when(Asks.ABSENT), (), YES),
        (when(Asks.ABSENT), ("", ""), NO),
    ],
)
def test_headers(rule: Requests, values: tuple[str, ...], answer: tuple[bool, bool]) -> None:
    assert both(rule, headers={"x-env": values} if values else {}) == answer


def test_any_of_http_and_all_of_when() -> None:
    rule = Requests((HttpMatch(paths=("/a",)), HttpMatch(methods=("POST",))), when(Asks.IN, "prod").when)
    sent = {"x-env": ("prod",)}
    assert both(rule, path="/a", headers=sent) == YES
    assert both(rule, method="POST", path="/b", headers=sent) == YES
    assert both(rule, path="/b", headers=sent) == NO
    assert both(rule, path="/a", headers={"x-env": ("dev",)}) == NO


def test_headers_that_programs_take_for_another_are_unclear() -> None:
    rule = Requests(when=(HeaderCondition("x-a-b", Asks.IN, ("1",)),))
    assert requests.twins(rule) == ("x-a_b", "x_a-b", "x_a_b")
    assert requests.unclear(Request(headers={"x_a-b": ("1",)}), [rule])
    assert requests.looked_at(rule) == ("x-a-b",)
    assert not requests.unclear(Request(headers={"x-a-b": ("1",), "x_c": ("1",)}), [rule])


@pytest.mark.parametrize("values", [("prod", "prod"), ("dev", "prod"), ("dev,prod",), ("prod ",), ("\tdev",)])
def test_a_header_whose_value_matters_has_one(values: tuple[str, ...]) -> None:
    for asks in (Asks.IN, Asks.NOT_IN, Asks.PREFIX):
        assert requests.unclear(Request(headers={"x-env": values}), [when(asks, "prod")])
    assert not requests.unclear(Request(headers={"x-env": values}), [when(Asks.EXISTS)])


METHOD_NAMES = (
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x_http_method",
    "x-http_method-override",
)
PATH_NAMES = ("x-original-url", "x-rewrite-url", "x_original_url", "x-rewrite_url")


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_a_header_that_asks_for_another_method_is_refused_where_rules_look_at_methods(name: str) -> None:
    for said in ("DELETE", "GET", ""):
        request = Request(headers={name: (said,)})
        assert requests.unclear(request, [http(methods=("GET",))])
        assert requests.unclear(request, [http(paths=("/a",)), http(methods=("GET",), paths=("/b",))])
        assert not requests.unclear(request, [http(paths=("/a",)), http(hosts=("a",)), when(Asks.EXISTS)])


@pytest.mark.parametrize("name", PATH_NAMES)
def test_and_one_that_asks_for_another_path_where_they_look_at_paths(name: str) -> None:
    request = Request(headers={name: ("/admin",)})
    assert requests.unclear(request, [http(paths=("/a",))])
    assert not requests.unclear(request, [http(methods=("GET",)), when(Asks.EXISTS)])


def test_a_rule_that_looks_at_such_a_header_itself_does_not_mind_it() -> None:
    """In that spelling; another that does not look minds it all the same, and so does it mind the other headers."""
    name = "x-http-method-override"
    asked = Requests((HttpMatch(("POST",), ("/a",)),), (HeaderCondition(name, Asks.IN, ("PATCH",)),))
    sent = {name: ("PATCH",)}
    assert not requests.unclear(Request(headers=sent), [asked])
    assert both(asked, method="POST", path="/a", headers=sent) == YES
    assert requests.unclear(Request(headers=sent), [asked, http(methods=("GET",))])
    for other in ("x_http_method_override", "x-http-method", "x-original-url"):
        assert requests.unclear(Request(headers={**sent, other: ("PATCH",)}), [asked])
    assert not requests.unclear(Request(headers={"x-http-methods": ("PATCH",)}), [asked])


def test_only_rules_that_look_at_paths_ask_for_clear_ones() -> None:
    assert requests.unclear(Request(path="/a//b"), [http(paths=("/x",))])
    assert not requests.unclear(Request(path="/a//b"), [http(methods=("GET",))])


@pytest.mark.parametrize(
    "sent", [{"method": "CONNECT", "upgrade": "websocket"}, {"method": "connect", "path": "a"}, {"upgrade": "h2c"}]
)
def test_what_a_proxy_refuses_by_itself(sent: dict[str, Any]) -> None:
    assert requests.refused(Request(**sent))
    assert not requests.refused(Request(upgrade="websocket"))
    assert not requests.refused(Request("CONNECT", "", "pay.shop:443"))


class TestTunnels:
    """Of CONNECT: an Allow has to name it, a Deny means it unless it names other methods."""

    def test_an_allow_names_it_by_its_method_alone(self) -> None:
        assert both(http(methods=("CONNECT",)), method="CONNECT") == YES
        for other in (http(paths=("/*",)), http(hosts=("pay.shop",)), http(upgrades=("websocket",))):
            assert both(other, method="CONNECT", host="pay.shop:443")[0] is False
        assert both(http(methods=("CONNECT",)), method="GET") == NO
        # What is spelled so asks for no tunnel, though programs may think so.
        assert both(http(methods=("CONNECT",)), method="connect") == (False, True)

    def test_a_deny_means_it_whatever_paths_it_names(self) -> None:
        for named in (
            http(paths=("/admin",)),
            http(hosts=("pay.shop",)),
            http(methods=("POST",), paths=("/a.B/*",), grpc=True),
        ):
            assert both(named, method="CONNECT", host="pay.shop:443") == (False, True)
        for other in (http(methods=("GET",)), http(methods=("GET",), paths=("/a",)), http(upgrades=("websocket",))):
            assert both(other, method="CONNECT") == NO

    def test_hosts_are_where_it_leads(self) -> None:
        rule = http(methods=("CONNECT",), hosts=("pay.shop",))
        assert both(rule, method="CONNECT", host="pay.shop:443") == YES
        assert both(rule, method="CONNECT", host="PAY.shop:22") == YES
        assert both(rule, method="CONNECT", host="other.shop:443") == NO
        assert both(rule, method="CONNECT", host="") == (False, True)

    def test_conditions_alone_name_none_in_an_allow(self) -> None:
        sent = {"x-env": ("prod",)}
        assert both(when(Asks.IN, "prod"), method="CONNECT", headers=sent) == (False, True)
        rule = Requests((HttpMatch(("CONNECT",)),), when(Asks.IN, "prod").when)
        assert both(rule, method="CONNECT", headers=sent) == YES
        assert both(rule, method="CONNECT") == (False, True)

    def test_it_has_no_query(self) -> None:
        for asks, expected in ((Asks.ABSENT, YES), (Asks.EXISTS, NO)):
            rule = Requests((HttpMatch(("CONNECT",)),), query=(QueryCondition("a", asks),))
            assert both(rule, method="CONNECT", path="/?a=1") == expected
            assert not requests.unclear(Request("CONNECT", "/?a=1&a=2", "pay.shop:1"), [rule])

    def test_nobody_reads_its_path_in_two_ways(self) -> None:
        assert not requests.unclear(Request("CONNECT", "", "pay.shop:443"), [http(paths=("/x",))])
