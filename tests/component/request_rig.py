"""Random policies about requests, and random requests with every hostile form that is known."""

import json
import random
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ringfence.model.mesh import Mesh, ServicePort
from ringfence.model.proxy import ProxyConfig
from ringfence.model.requests import (
    CONNECT,
    Asks,
    HeaderCondition,
    HttpMatch,
    QueryCondition,
    Request,
    Requests,
    TimeCondition,
)
from ringfence.model.resources import Action, AnonymousPeer, Mode, Peer, PortSpec, Rule, SecurityPolicy
from ringfence.model.sources import SourceAttribute, SourceCondition
from ringfence.model.windows import Window
from ringfence.policy.requests import OTHER_METHOD, OTHER_PATH

from tests.component import proxy_net
from tests.component.proxy_net import Identities, Net
from tests.unit.policy import making as policies
from tests.unit.policy.making import caller
from tests.unit.translate.envoy import making

PEERS = Path(__file__).with_name("request_peers.py")
POD, WEB, API, OUTSIDE = "10.244.0.1", "10.244.0.2", "10.244.0.3", "203.0.113.9"
PODS = (policies.pod("db", ip=POD), policies.pod("web", ip=WEB), policies.pod("api", ip=API))
HTTP_PORT, TCP_PORT = 8080, 5432
HTTP = {"shop": (making.service("db", ServicePort("http", 80, HTTP_PORT), ServicePort("sql", TCP_PORT, TCP_PORT)),)}
PORTS = [{"name": "c", "ports": [{"containerPort": HTTP_PORT}, {"containerPort": TCP_PORT}]}]
LABELLED = (policies.identity("shop", "web", role="front"), policies.identity("shop", "api"))
INSTALLATION = replace(policies.INSTALLATION, proxies=True)

PATTERNS = (
    "/", "/*", "/a", "/a/", "/a/*", "/a/b", "/a/{*}/b", "/a/{*}", "/{*}/admin", "/a/{*}/*", "/admin", "/admin/*",
    "/a.b", "/shop.Pay/Charge", "/shop.Pay/*", "/a+b", "/a/.b",
)  # fmt: skip
_PARTS = (
    "/", "/", "/", "/", "a", "a", "b", "admin", "x", "", ".", "..", "%2e", "%2E%2e", "%2f", "%2F", "%5c", "\\", ";",
    ";x=1", "..;", "%3b", "//", "%61", "%41", "A", "%", "%%", "%2", "%252e", "%252f", "%00", "%C0%AF", "%c3%a9",
    "\xe9", "\udcff", "#f", "?q=/admin", "?", "*", "{*}", "~", "%7e", "+", "a.b", "aXb", "|", "\"", "[", "\x7f",
    "shop.Pay", "Charge", ".b", "admin.", "%20", "@", ":",
)  # fmt: skip
_PLAIN = (
    "/", "/a", "/a/", "/a/b", "/a/b/", "/a/x/b", "/a/x", "/a//b", "/admin", "/admin/", "/admin/x", "/x/admin", "/aXb",
    "/a.b", "/A", "/shop.Pay/Charge", "/shop.Pay/Refund", "/a/x/y/z", "/a/../admin", "/a/%2e%2e/admin", "/%61dmin",
    "/admin;x", "/a/..;/admin", "/a%2fb", "/a%2f..%2fadmin", "//admin", "/./admin", "/admin/.", "/admin/..",
    "/a/b?x=../admin", "/ADMIN", "/adm%69n", "/a+b", "/a/.b",
)  # fmt: skip
HOSTS = ("pay.shop", "other.shop")
_SENT_HOSTS = (
    "pay.shop", "PAY.shop", "pay.shop:8080", "pay.shop.", "pay.shop.:80", "x@pay.shop", "pay.shop:x@other.shop",
    "other.shop", "other.shop:8080", "pay.shopping", "apay.shop", "pay-shop", "10.244.0.1:8080", "pay.shop:",
    "pay.shop:123456",
)  # fmt: skip
_PLACES = ("pay.shop:443", "pay.shop:443", "other.shop:22", "PAY.shop:80", "[fd00::1]:443", "10.244.0.2:8080")
_HEADERS = ("x-env", "x-team-name")
_VALUES = (
    "prod",
    "prod",
    "dev",
    "dev",
    "pro",
    "production",
    "PROD",
    "",
    "prod,dev",
    "dev, prod",
    "pr\xf8d",
    "pr\udcf8",
    "prod x",
)
#: What programs may take for another method or path, in spellings that some know, and what is said there.
_INSTEAD = (
    *(*OTHER_METHOD, "x_http-method_override", "x_http_method", "x_method-override"),
    *(*OTHER_PATH, "x_original_url", "x-rewrite_url", "x-original-uri", "x-http-methods"),
)
_SAID_INSTEAD = ("DELETE", "GET", "", "/admin")
_PARAMETERS = ("env", "team_id")
#: Names that some program takes for one of these, and that none does.
_NAMES = (
    "env", "env", "team_id", "team_id", "Env", "ENV", "e%6ev", "%65nv", "%45nv", "%2565nv", "env[]", "env[a]", "env%5b",
    "env%00x", "+env", "%20env", "env+", "env%20", "%65%6E%56", "env.x", "envx", "xenv", "e", "env%", "env%3d", "",
    "team.id", "team+id", "team%20id", "team[id", "team[id]", "team%5fid", "team%5Fid", "team-id", "teamid",
    "team__id", "TEAM_ID", "team%2eid", "team_id%5B%5D", "env;", "env%26", "x;env",
)  # fmt: skip
_QUERY_VALUES = (
    "prod", "prod", "dev", "pro", "production", "PROD", "", "prod,dev", "%70rod", "prod%20", "prod+", "prod;x", "pr?od",
    "prod=1", "=prod", "prod%00", "pr%6fd", "prod/..", "prod%", "x&", "pr\xe9d", "prod~", "prod;env=dev",
)  # fmt: skip
#: How long before and after now a window may not begin or end: a run takes a while.
_MARGIN = 900
#: Where HTTP/1.1 can ask for a tunnel to: its port has to be there (RFC 9110 section 9.3.6).
_PLACE = re.compile(r"[^@:/]+:[0-9]{1,5}|\[[0-9a-f:]+\]:[0-9]{1,5}")
METHODS = ("GET", "POST", "DELETE", "OPTIONS", "PATCH")


@dataclass(frozen=True)
class Asked:
    """A request, how it is sent, and who sends it."""

    request: Request
    source: str
    shown: bool
    http2: bool = False

    @property
    def carried(self) -> bool:
        """Whether the protocol can carry it at all; a proxy refuses what it cannot."""
        if self.http2:
            return "@" not in self.request.host
        return _PLACE.fullmatch(self.request.host) is not None if self.request.tunnel else self.request.path.isascii()

    def call(self, svids: Identities) -> dict[str, Any]:
        account = {WEB: "web", API: "api"}.get(self.source, "")
        sent = self.request
        return {
            "source": self.source,
            "target": POD,
            "port": HTTP_PORT,
            "identity": svids.files("shop", account) if self.shown and account else (),
            "http2": self.http2,
            "method": sent.method,
            "path": sent.path,
            "host": sent.host,
            "headers": [(name, value) for name, values in sent.headers.items() for value in values],
            "upgrade": sent.upgrade,
        }


class Draw:
    """Draws policies and requests."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 (which cases are tried)

    def _some(self, among: tuple[str, ...], most: int, least: int = 0) -> tuple[str, ...]:
        return tuple(sorted(self._random.sample(among, self._random.randint(least, most))))

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def policies(self) -> tuple[SecurityPolicy, ...]:
        """One that is enforced, and mostly another, in mode Audit or not."""
        modes = [Mode.ENFORCE, *(m for m in (Mode.AUDIT, Mode.ENFORCE) if self._chance(0.4))]
        return tuple(
            policies.policy(
                f"p{n}", ingress=tuple(self._rule(f"r{m}") for m in range(self._random.randint(1, 4))), mode=m
            )
            for n, m in enumerate(modes)
        )

    def _rule(self, name: str) -> Rule:
        action = Action.DENY if self._chance(0.3) else Action.ALLOW
        peers: tuple[Peer, ...] | None = self._random.choice(
            ((caller("web"),), (caller("web"), caller("api")), (caller("api"),), (AnonymousPeer(),), None)
        )
        ports = (PortSpec(HTTP_PORT),) if self._chance(0.7) else (PortSpec(HTTP_PORT), PortSpec(TCP_PORT))
        requests = self._requests() if self._chance(0.85) else None
        source = () if peers == (AnonymousPeer(),) or self._chance(0.7) else (self._source(action),)
        return Rule(name, action, peers, ports, requests, source)

    def _source(self, action: Action) -> SourceCondition:
        """A condition that holds for some of the callers, mostly."""
        kinds = tuple(SourceAttribute) if action is Action.ALLOW else (SourceAttribute.NAMESPACE, SourceAttribute.ZONE)
        attribute = self._random.choice(kinds)
        tests = (Asks.IN, Asks.NOT_IN, Asks.EXISTS, Asks.ABSENT)
        test = self._random.choice(tests[:2] if attribute is SourceAttribute.NAMESPACE else tests)
        among = {
            SourceAttribute.NAMESPACE: ("shop", "bank", "lab"),
            SourceAttribute.ZONE: ("a", "b"),
            SourceAttribute.LABEL: ("front", "back"),
        }[attribute]
        values = self._some(among, 2, 1) if test in {Asks.IN, Asks.NOT_IN} else ()
        return SourceCondition(attribute, test, values, "role" if attribute is SourceAttribute.LABEL else "")

    def _requests(self) -> Requests:
        if self._chance(0.2):
            # Most rules that say more deny every tunnel, or allow none.
            return Requests((HttpMatch((CONNECT,), hosts=self._some(HOSTS, 1, 0)),))
        http = tuple(self._match() for _ in range(self._random.randint(0, 2)))
        when = tuple(
            self._condition() for _ in range(self._random.randint(0, 2) if self._chance(0.4) or not http else 0)
        )
        query = tuple(self._parameter() for _ in range(self._random.randint(1, 2) if self._chance(0.3) else 0))
        times = tuple(self._time() for _ in range(self._random.randint(1, 2) if self._chance(0.3) else 0))
        found = Requests(http, when, query=query, times=times)
        return found if found != Requests() else Requests((HttpMatch(paths=("/a/*",)),))

    def _parameter(self) -> QueryCondition:
        asks = self._random.choice(tuple(Asks))
        values = () if asks in {Asks.EXISTS, Asks.ABSENT} else self._some(("prod", "dev", "pro"), 2, 1)
        return QueryCondition(self._random.choice(_PARAMETERS), asks, values)

    def _time(self) -> TimeCondition:
        windows = tuple(self._window() for _ in range(self._random.randint(1, 2)))
        return TimeCondition(windows, outside=self._chance(0.4))

    def _window(self) -> Window:
        """One that does not begin or end while the test runs."""
        now = int(time.time())
        while True:
            bounds = [now + self._random.choice((-1, 1)) * self._random.randint(_MARGIN, 10**7) for _ in range(2)]
            found = Window(
                tuple(sorted(self._random.sample(range(7), self._random.randint(1, 7)))) if self._chance(0.7) else (),
                self._random.randrange(86400) if self._chance(0.7) else 0,
                self._random.randint(1, 86400) if self._chance(0.7) else 86400,
                self._random.randint(-12 * 60, 14 * 60) * 60,
                bounds[0] if self._chance(0.15) else None,
                bounds[1] if self._chance(0.15) else None,
            )
            if found.opens != found.closes and len({found.holds(now + late) for late in range(_MARGIN)}) == 1:
                return found

    def _match(self) -> HttpMatch:
        if self._chance(0.1):
            paths = self._random.choice((("/shop.Pay/Charge",), ("/shop.Pay/*",)))
            return HttpMatch(("POST",), paths, grpc=True)
        hosts = self._some(HOSTS, 1, 1) if self._chance(0.2) else ()
        if self._chance(0.1):
            return HttpMatch((CONNECT,), hosts=hosts)
        upgrades = ("websocket",) if self._chance(0.1) else ()
        found = HttpMatch(
            self._some(METHODS, 2), self._some(PATTERNS, 3, 1 if self._chance(0.8) else 0), hosts, upgrades
        )
        return found if found != HttpMatch() else HttpMatch(("GET",))

    def _condition(self) -> HeaderCondition:
        asks = self._random.choice(tuple(Asks))
        values = () if asks in {Asks.EXISTS, Asks.ABSENT} else self._some(("prod", "dev", "pro"), 2, 1)
        header = self._random.choice(_HEADERS if self._chance(0.9) else (*OTHER_METHOD, *OTHER_PATH))
        if values and header not in _HEADERS:
            values = self._some(_SAID_INSTEAD[:2], 2, 1)
        return HeaderCondition(header, asks, values)

    def asked(self, written: tuple[SecurityPolicy, ...]) -> Asked:
        """A request by anybody, mostly one that some rule is about, or nearly so."""
        source, shown = self._random.choice(((WEB, True), (WEB, True), (API, True), (OUTSIDE, False), (WEB, False)))
        http2 = self._chance(0.15)
        request = self._request(http2=http2)
        about = [rule.requests for each in written for rule in each.spec.ingress or () if rule.requests is not None]
        if about and self._chance(0.7):
            request = self._near(request, self._random.choice(about))
        if self._chance(0.1) or request.tunnel:
            method = CONNECT if self._chance(0.9) else "connect" if http2 else CONNECT
            request = replace(request, method=method, host=self._random.choice((*_PLACES, *_SENT_HOSTS)))
        if http2 and request.upgrade:
            request = replace(request, method="GET")  # as a proxy sees an extended CONNECT (RFC 8441)
        return Asked(request, source, shown, http2)

    def _near(self, request: Request, rule: Requests) -> Request:
        """The request, with most of what the rule asks for."""
        changed: dict[str, Any] = {}
        if rule.http:
            match = self._random.choice(rule.http)
            if match.paths and self._chance(0.9):
                changed["path"] = self._written(self._random.choice(match.paths))
            if match.methods and self._chance(0.9):
                changed["method"] = self._random.choice(match.methods)
            if match.hosts and self._chance(0.6):
                changed["host"] = self._random.choice(match.hosts)
            changed["upgrade"] = match.upgrades[0] if match.upgrades and self._chance(0.7) else ""
        headers = dict(request.headers) if self._chance(0.4) else {}
        for condition in rule.when:
            if condition.values and self._chance(0.85):
                value = self._random.choice(condition.values)
                others = (self._random.choice(_VALUES),) if self._chance(0.25) else ()
                headers[condition.header] = tuple(self._random.sample((value, *others), 1 + len(others)))
        if rule.query and self._chance(0.9):
            path = str(changed.get("path", request.path)).partition("?")[0]
            asked = [
                (
                    each.parameter,
                    self._random.choice(each.values if each.values and self._chance(0.7) else _QUERY_VALUES),
                )
                for each in rule.query
            ]
            changed["path"] = f"{path}?{self._query(asked)}"
        if rule.http and any(each.grpc for each in rule.http) and self._chance(0.7):
            headers["content-type"] = ("application/grpc",)
        return replace(request, headers=headers, **changed)

    def _written(self, pattern: str) -> str:
        """A path that a pattern names, often in one of the ways in which attackers would write it."""
        path = pattern.replace("{*}", self._random.choice(("x", "y.z", "%41", "~", "*", "a;b", "a//b", "%2f", "|")))
        if path.endswith("/*"):
            path = path[:-1] + self._random.choice(("", "x", "x/y", "../b", "%2e%2e/b", "..;/b", "//", "admin"))
        if self._chance(0.5):
            return path
        place = self._random.randrange(len(path))
        way = self._random.choice(
            ("{0}/./{1}", "{0}/z/../{1}", "{0}/{1}", "{0}//{1}", "{0}%2f{1}", "{0}\\{1}", "{0};v{1}")
        )
        if path[place] == "/" and self._chance(0.6):
            return way.format(path[:place], path[place + 1 :])
        end = self._random.choice(("/", "/.", "/..", "?x", ";", "#", ".", "%00", "%20", "/../" + path[1:]))
        return path + end if self._chance(0.5) else f"{path[:place]}%{ord(path[place]):02x}{path[place + 1 :]}"

    def _request(self, *, http2: bool) -> Request:
        path = self._random.choice(_PLAIN)
        if self._chance(0.5):
            path = "/" + "".join(self._random.choice(_PARTS) for _ in range(self._random.randint(0, 7)))
        if self._chance(0.2):
            path = f"{path.partition('?')[0]}?{self._query([])}"
        if self._chance(0.02):
            path = self._random.choice(("*", "admin", "a/admin", "\\admin"))
        headers = self._headers() if self._chance(0.5) else {}
        if self._chance(0.15):
            headers["content-type"] = (
                self._random.choice(("application/grpc", "application/grpc+proto", "text/plain")),
            )
        upgrade = self._random.choice(("websocket", "WebSocket", "foo")) if self._chance(0.06) and not http2 else ""
        method = self._random.choice(METHODS if not http2 else (*METHODS, "get", "delete", "FOO"))
        host, now = self._random.choice(_SENT_HOSTS), int(time.time())
        return Request(method if not upgrade else "GET", path, host, headers, upgrade, now)

    def _query(self, asked: list[tuple[str, str]]) -> str:
        """A query with these parameters, mostly, and often with others that are like them."""
        parts = [f"{name}={value}" for name, value in asked if self._chance(0.9)]
        for _ in range(self._random.choice((0, 0, 0, 1, 1, 2))):
            name, value = self._random.choice(_NAMES), self._random.choice(_QUERY_VALUES)
            parts.append(self._random.choice((name, f"{name}=", f"{name}={value}", f"{name}={value}", f"x={value}")))
        self._random.shuffle(parts)
        joined = self._random.choice(("&", "&", "&", "&&", ";", "&amp;")).join(parts)
        return joined if self._chance(0.9) else self._random.choice(("&", ";", "?", "=", "%26")) + joined

    def _headers(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for name in _HEADERS:
            if self._chance(0.6):
                times = 2 if self._chance(0.25) else 1
                found[name] = tuple(self._random.choice(_VALUES) for _ in range(times))
        if self._chance(0.1):
            found[self._random.choice(("x_env", "x_team-name", "x-team_name"))] = ("prod",)
        if self._chance(0.15):
            found[self._random.choice(_INSTEAD)] = (self._random.choice(_SAID_INSTEAD),)
        return found


def mesh(*written: SecurityPolicy) -> Mesh:
    """The pods of the shop under these policies, each with its proxy."""
    known = policies.world(*written, pods=PODS, installation=INSTALLATION, identities=LABELLED)
    return making.mesh(known, HTTP)


def config(known: Mesh) -> ProxyConfig:
    """What the proxy of db gets."""
    return making.configured(known, "db", containers=PORTS)


@contextmanager
def network(directory: Path) -> Iterator[Net]:
    """A network whose program speaks HTTP with everybody; the callers have their addresses."""
    with proxy_net.network(directory, [str(PEERS), "program"]) as net:
        net.give("pod", [POD])
        net.give("callers", [WEB, API, OUTSIDE])
        yield net


def ask(net: Net, svids: Identities, asked: list[Asked]) -> list[tuple[int, bool, str]]:
    """What came of each request: its status, whether the program answered, and the body."""
    return sent(net, [each.call(svids) for each in asked])


def sent(net: Net, calls: list[dict[str, Any]]) -> list[tuple[int, bool, str]]:
    """The same of calls as request_peers.py takes them."""
    path = net.directory / "requests.json"
    path.write_text(json.dumps(calls))
    command = net.command("callers", sys.executable, str(PEERS), "requests", str(path))
    return [tuple(each) for each in json.loads(proxy_net.run(*command))]
