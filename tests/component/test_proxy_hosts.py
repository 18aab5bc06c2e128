"""Egress by host: a real Envoy, a name server, and addresses of every kind."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ringfence.flows.flow import Party
from ringfence.model.resources import CidrPeer, HostPeer

from tests.component import host_rig
from tests.component.host_rig import GONE, HOSTS, INSIDE, LISTED, Outside, http, tls
from tests.component.node_rig import eventually
from tests.unit.policy.making import allow, deny

pytestmark = pytest.mark.component

RULES = (
    allow("api", HostPeer("api.example.com"), ports=(443, 80, 8443)),
    allow("wide", HostPeer("*.wide.example"), HostPeer("*.filed.example"), ports=(443, 80)),
    allow("net", CidrPeer("20.0.0.2/32"), ports=(443,)),
    deny("not-there", CidrPeer("20.0.0.3/32"), ports=(443, 80)),
)


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with host_rig.outside(tmp_path_factory.mktemp("outside")) as made:
        yield made


@pytest.fixture(scope="module")
def log(outside: Outside) -> Iterator[Path]:
    with outside.proxied(host_rig.world(*RULES)) as found:
        yield found


def came(outside: Outside, *calls: dict[str, object]) -> list[str]:
    return [each.partition(" ")[0] if each.startswith("refused") else each for each in outside.call(list(calls))]


@pytest.mark.usefixtures("log")
def test_the_name_decides_and_not_the_address(outside: Outside) -> None:
    outside.knows({"api.example.com": [HOSTS[0]], "a.wide.example": [HOSTS[1]], "other.example": [HOSTS[0]]})
    to_api, to_wide = f"reached {HOSTS[0]}", f"reached {HOSTS[1]}"
    assert came(
        outside,
        tls("api.example.com"),
        tls("api.example.com", to="1.2.3.4"),
        tls("api.example.com", to=INSIDE[0]),
        tls("api.example.com", port=8443),
        http("api.example.com"),
        http("api.example.com:80"),
        http("API.Example.COM"),
        http("api.example.com:8443", port=8443),
        tls("a.wide.example"),
        http("a.wide.example"),
    ) == [*[to_api] * 8, *[to_wide] * 2]


@pytest.mark.usefixtures("log")
def test_whatever_else_is_refused_and_reaches_nobody(outside: Outside) -> None:
    others = ("other.example", "a.b.wide.example", "wide.example", "xapi.example.com", "aXwide.example")
    everything = {each: [HOSTS[0]] for each in ("api.example.com", *others)}
    outside.knows(everything)
    outside.reached()
    line = "GET http://{}/ HTTP/1.1"
    raw = "GET / HTTP/1.1\r\nHost: api.example.com\r\nHost: other.example\r\n\r\n"
    calls = [
        *map(tls, others),
        *map(http, others),
        *(tls("", to=each) for each in (HOSTS[0], "10.96.0.1", "169.254.169.254")),
        *(tls(each) for each in ("api.example.com.", "api.example.com:443", "x@api.example.com", "api.example.com\0")),
        *(tls(each) for each in (".wide.example", "a..wide.example", "a/b.wide.example", "a b.wide.example", "*")),
        *(tls(each) for each in ("api.example.com\r\nx: y", "\xe9.wide.example", "a" * 200 + ".wide.example")),
        *(
            http(each)
            for each in ("", HOSTS[0], "169.254.169.254", "localhost", "api.example.com:443", "x@api.example.com")
        ),
        *(
            http(each)
            for each in ("api.example.com:80@other.example", "api.example.com.", "api.example.com,other.example")
        ),
        http("api.example.com", port=8443),
        tls("a.wide.example", port=8443),
        http("api.example.com", line=line.format("api.example.com")),
        http("api.example.com", line=line.format("other.example")),
        http("other.example", line=line.format("api.example.com")),
        http("api.example.com", line="CONNECT api.example.com:80 HTTP/1.1"),
        http("api.example.com:443", line="CONNECT api.example.com:443 HTTP/1.1"),
        {"to": "20.9.9.9", "port": 80, "raw": raw},
        {"to": "20.9.9.9", "port": 80, "raw": "GET / HTTP/1.0\r\n\r\n"},
        {"to": "20.9.9.9", "port": 443, "raw": "SSH-2.0-x\r\n"},
        {"to": "20.9.9.9", "port": 8080, "raw": "GET / HTTP/1.1\r\nHost: api.example.com:8080\r\n\r\n"},
    ]
    answers = came(outside, *calls)
    assert [(call, answer) for call, answer in zip(calls, answers, strict=True) if answer != "refused"] == []
    assert outside.reached() == set()


@pytest.mark.usefixtures("log")
def test_a_name_that_leads_inside_leads_nowhere(outside: Outside) -> None:
    """DNS rebinding: alone, beside an address outside that does not answer, in turn with one that does."""
    names = {}
    for number, address in enumerate(INSIDE):
        there, turns = (lambda kind, at=number: f"{kind}-{at}.wide.example"), [[HOSTS[0]], [address]]
        names |= {there("alone"): [address], there("first"): [address, GONE], there("last"): [GONE, address]}
        names |= {there("turns"): turns, there("back"): turns[::-1]}
    outside.knows(names)
    outside.reached()
    calls = [call for name in names for call in (tls(name), http(name))]
    reached = []
    for _ in range(3):
        for call, answer in zip(calls, came(outside, *calls), strict=True):
            reached += [(call, answer)] if answer != "refused" else []
        time.sleep(1.2)
    assert {answer for _, answer in reached} == {f"reached {HOSTS[0]}"}, reached
    assert outside.reached() == {HOSTS[0]}


@pytest.mark.usefixtures("log")
def test_addresses_that_are_denied_listed_or_opened_by_network(outside: Outside) -> None:
    outside.knows({
        "denied.wide.example": [HOSTS[2]],
        "listed.wide.example": [LISTED],
        "six.wide.example": [HOSTS[3]],
        "none.wide.example": [],
    })  # fmt: skip
    assert came(
        outside,
        tls("denied.wide.example"),
        http("denied.wide.example"),
        tls("listed.wide.example"),
        tls("six.wide.example"),
        http("six.wide.example"),
        tls("none.wide.example"),
        tls("whatever.example", to=HOSTS[1]),
        tls("", to=HOSTS[1]),
        tls("", to=HOSTS[0]),
    ) == [
        "refused", "refused", f"reached {LISTED}", f"reached {HOSTS[3]}", f"reached {HOSTS[3]}", "refused",
        f"reached {HOSTS[1]}", f"reached {HOSTS[1]}", "refused",
    ]  # fmt: skip


@pytest.mark.usefixtures("log")
def test_a_file_of_hosts_in_the_pod_leads_outside_at_most(outside: Outside) -> None:
    """The limit of ADR 225: the proxy's resolver reads /etc/hosts, and whoever writes it names addresses outside."""
    outside.knows({})
    outside.reached()
    names = host_rig.FILED
    answers = came(outside, *(call for name in names for call in (tls(name), http(name))))
    told = {name: answers[2 * number : 2 * number + 2] for number, name in enumerate(names)}
    assert told.pop("out.filed.example") == [f"reached {HOSTS[1]}"] * 2
    assert set(map(tuple, told.values())) == {("refused", "refused")}
    assert outside.reached() == {HOSTS[1]}


def test_the_log_names_the_rule_and_the_name(outside: Outside, log: Path) -> None:
    outside.knows({"api.example.com": [HOSTS[0]], "evil.example": [HOSTS[0]], "in.wide.example": ["10.96.0.1"]})
    came(outside, tls("api.example.com"), tls("evil.example"), http("evil.example"), tls("in.wide.example"))

    def lines() -> list[dict[str, object]]:
        return [json.loads(each) for each in log.read_text().splitlines() if each.startswith("{") and each[-1] == "}"]

    nobody = "rbac_access_denied_matched_policy[none]"
    wanted = {(host, 403, nobody) for host in ("evil.example:443", "evil.example", "in.wide.example:443")}

    def told() -> bool:
        found = {(each.get("host"), each.get("code"), each.get("details")) for each in lines()}
        return wanted <= found and "api.example.com:443" in {host for host, _, _ in found}

    # Envoy writes its log out every ten seconds.
    eventually(told, 40)
    assert any("shop/p#api" in json.dumps(each) for each in lines() if each.get("host") == "api.example.com:443")
    # Other tests have called by other ports.
    records = {(each.target.host, each.denied): each for each in host_rig.recorded(log) if each.port == 443}
    for name, denied in (("api.example.com", False), ("evil.example", True), ("in.wide.example", True)):
        found = records[name, denied]
        assert (found.source.namespace, found.source.account) == ("shop", "web"), found
    assert records["api.example.com", False].target == Party(ip=HOSTS[0], host="api.example.com")
