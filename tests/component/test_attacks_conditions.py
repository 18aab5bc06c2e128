"""Ways around conditions on parameters, times and the source, tried on a real Envoy."""

import time
from dataclasses import replace
from typing import Any

import pytest
from ringfence.model.requests import Asks, QueryCondition, Request, Requests, TimeCondition
from ringfence.model.resources import AnonymousPeer
from ringfence.model.sources import SourceAttribute, SourceCondition
from ringfence.model.windows import Window

from tests.component.proxy_net import Identities, Net
from tests.component.request_rig import API, HTTP_PORT, OUTSIDE, TCP_PORT, WEB, Asked
from tests.component.test_attacks_requests import ALL, NETWORK, Proxy
from tests.unit.policy.making import allow, caller, deny

__all__ = ("NETWORK",)  # that of the fixture `net`

pytestmark = pytest.mark.component

PORT = (HTTP_PORT,)

#: Ways to write a query that some program takes for ``env=prod``, of which some are it.
PROD = (
    "env=prod", "a=b&env=prod", "env=prod&a=b", "&env=prod&", "env=dev&env=prod", "env=prod&env=dev", "env&env=prod",
    "ENV=prod", "Env=prod", "env=dev&ENV=prod", "e%6Ev=prod", "%65nv=prod", "%65%6e%76=prod", "%45NV=prod",
    "env[]=prod", "env[0]=prod", "env%5B%5D=prod", "env=dev&env[]=prod", "a=1;env=prod", "env=dev;env=prod",
    "+env=prod", "%20env=prod", "env+=prod", "env%20=prod", "env%00=prod", "env%00x=prod", "env=%70rod", "env=prod%00",
    "env=pro%64", "env=prod+", "env=prod%20", "env=prod;x", "env=prod&x=\udcff", "%2565nv=prod",
)  # fmt: skip
PLAIN = ("env=prod", "a=b&env=prod", "env=prod&a=b", "&env=prod&")
#: Others, in which nobody finds that.
OTHERS = (
    "envx=prod",
    "xenv=prod",
    "x=env=prod",
    "x=?env=prod",
    "en=prod",
    "env=production",
    "env-x=prod",
    "a%20b=prod",
)


def on(rule: Any, *query: QueryCondition, times: tuple[TimeCondition, ...] = ()) -> Any:
    return replace(rule, requests=Requests(query=query, times=times))


def env(test: Asks, *values: str) -> QueryCondition:
    return QueryCondition("env", test, values)


def requests(*queries: str) -> list[Request | Asked]:
    """HTTP/1.1 carries ASCII alone; what is beyond comes over HTTP/2."""
    made = (Request(path=f"/a?{query}") for query in queries)
    return [each if each.path.isascii() else Asked(each, WEB, True, http2=True) for each in made]


class TestParameters:
    def test_no_way_of_writing_it_passes_by_its_deny(self, net: Net, svids: Identities) -> None:
        rules = (ALL, on(deny("prod", ports=PORT), env(Asks.IN, "prod")))
        found = Proxy(net, svids, *rules).statuses(*requests(*PROD))
        # What is no ASCII may be refused as no request of HTTP at all.
        assert {
            query: status for query, status in zip(PROD, found, strict=True) if status != 403 and query.isascii()
        } == {}
        assert 200 not in found

    def test_a_deny_of_all_but_one_value_is_passed_by_that_alone(self, net: Net, svids: Identities) -> None:
        rules = (ALL, on(deny("others", ports=PORT), env(Asks.NOT_IN, "prod")))
        tried = (*PROD, *OTHERS, "env", "env=", "x")
        found = Proxy(net, svids, *rules).statuses(*requests(*tried), Request(path="/&env=prod"))
        assert [query for query, status in zip(tried, found, strict=False) if status == 200] == list(PLAIN)
        assert found[-1] == 403

    def test_an_allow_takes_it_plainly_written_and_nothing_else(self, net: Net, svids: Identities) -> None:
        rules = (on(allow("prod", caller("web"), ports=PORT), env(Asks.IN, "prod")),)
        tried = (*PROD, *OTHERS, "env", "env=", "x")
        found = Proxy(net, svids, *rules).statuses(*requests(*tried), Request(path="/&env=prod"))
        assert [query for query, status in zip(tried, found, strict=False) if status == 200] == list(PLAIN)
        assert found[-1] == 403

    def test_what_must_be_absent_is_so_in_every_spelling(self, net: Net, svids: Identities) -> None:
        rules = (on(allow("none", caller("web"), ports=PORT), env(Asks.ABSENT)),)
        tried = (*PROD, "env", "env=", *OTHERS)
        found = Proxy(net, svids, *rules).statuses(*requests(*tried))
        passed = [query for query, status in zip(tried, found, strict=True) if status == 200]
        assert passed == [each for each in OTHERS if each != "env=production"]

    def test_who_is_not_asked_for_it_writes_what_he_likes(self, net: Net, svids: Identities) -> None:
        rules = (on(allow("prod", caller("api"), ports=PORT), env(Asks.IN, "prod")), ALL)
        ascii_ = [query for query in PROD if query.isascii()]
        assert set(Proxy(net, svids, *rules).statuses(*requests(*ascii_))) == {200}


class TestTimes:
    def test_a_window_that_is_over_closes_and_one_to_come_is_closed(self, net: Net, svids: Identities) -> None:
        now = int(time.time())
        cases = {
            Window(not_after=now): 403,
            Window(not_before=now + 3600): 403,
            Window(not_before=now - 60, not_after=now + 3600): 200,
            # Today, and tomorrow, should it begin meanwhile.
            Window(tuple(sorted({(now // 86400 + day) % 7 for day in (3, 4)})), offset=0): 200,
            Window(((now // 86400 + 6) % 7,), offset=0): 403,
        }
        for window, status in cases.items():
            within = TimeCondition((window,))
            rules = (on(allow("r", caller("web"), ports=PORT), times=(within,)),)
            assert Proxy(net, svids, *rules).statuses(Request()) == [status], window
            rules = (ALL, on(deny("r", ports=PORT), times=(within,)))
            assert Proxy(net, svids, *rules).statuses(Request()) == [603 - status], window

    def test_an_open_connection_is_closed_to_the_next_request_at_the_second(self, net: Net, svids: Identities) -> None:
        for seconds in (6, 60):
            end = int(time.time()) + seconds
            rule = on(allow("r", caller("web"), ports=PORT), times=(TimeCondition((Window(not_after=end),)),))
            proxy = Proxy(net, svids, rule)
            with proxy.running():
                before = proxy.asked(Request())
                # A machine that is so busy that the window is over by now gets a longer one.
                if time.time() >= end:
                    continue
                time.sleep(max(0.0, end - time.time()) + 0.05)
                after = proxy.asked(Request())
            assert (before, after) == ([200], [403])
            return
        raise AssertionError("no proxy was there within a minute")


class TestSource:
    def test_nothing_of_the_source_is_known_of_strangers(self, net: Net, svids: Identities) -> None:
        """A Deny means them, and no Allow does."""
        everybody = allow("all", AnonymousPeer(), ports=(HTTP_PORT, TCP_PORT))
        elsewhere = SourceCondition(SourceAttribute.NAMESPACE, Asks.NOT_IN, ("shop",))
        tried = (Asked(Request(), WEB, True), Asked(Request(), WEB, False), Asked(Request(), OUTSIDE, False))
        rules = (everybody, replace(deny("r", ports=PORT), source=(elsewhere,)))
        shown, *strangers = Proxy(net, svids, *rules).statuses(*tried)
        assert shown == 200
        assert 200 not in strangers
        here = SourceCondition(SourceAttribute.ZONE, Asks.IN, ("a",))
        assert Proxy(net, svids, replace(allow("r", ports=PORT), source=(here,))).statuses(*tried)[0] == 200

    def test_a_label_is_that_of_the_identity(self, net: Net, svids: Identities) -> None:
        front = SourceCondition(SourceAttribute.LABEL, Asks.IN, ("front",), "role")
        rule = replace(allow("r", ports=PORT), source=(front,))
        spoofed = Request(headers={"role": ("front",), "x-role": ("front",)})
        tried = (Asked(Request(), WEB, True), Asked(spoofed, API, True), Asked(spoofed, WEB, False))
        assert Proxy(net, svids, rule).statuses(*tried)[:2] == [200, 403]
        assert Proxy(net, svids, rule).statuses(*tried)[2] != 200
