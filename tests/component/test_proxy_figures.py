"""A real Envoy's metrics and logs: the share of mutual TLS, denials by policy and rule, and what people are told."""

import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from envoy.config.metrics.v3 import stats_pb2
from google.protobuf import json_format
from ringfence.cli import proxy_logs
from ringfence.cli.proxy_logs import Tally
from ringfence.inject import bootstrap
from ringfence.model.resources import MTLS, CidrPeer, Mode, PortSpec, SecurityPolicy, Transport
from ringfence.translate.envoy import filters

from tests.component import proxy_net
from tests.component.proxy_net import API, POD, WEB, Identities, Net
from tests.component.test_proxy_envoy import answer, call, config
from tests.unit.policy.making import allow, caller, deny, policy

pytestmark = pytest.mark.component

DOCS = Path(__file__).parents[2] / "docs" / "proxy.md"
STATISTICS = json_format.ParseDict(bootstrap.statistics(), stats_pb2.StatsConfig())


def permissive() -> SecurityPolicy:
    found = policy("t")
    return replace(found, spec=replace(found.spec, transport=Transport(MTLS.PERMISSIVE)))


def written() -> tuple[SecurityPolicy, ...]:
    """Web may come, the API may not; in Audit, web would not."""
    rules = (
        allow("web", caller("web")),
        deny("api", caller("api")),
        deny("net", CidrPeer("10.244.0.3/32"), ports=(PortSpec(5432),)),
    )
    return (
        permissive(),
        policy("p", ingress=rules),
        policy("q", mode=Mode.AUDIT, ingress=(deny("later", caller("web")),)),
    )


@pytest.fixture(scope="module")
def told(net: Net, svids: Identities) -> tuple[dict[str, float], str]:
    """After one call of each kind: the metrics, and the log."""
    web, api = svids.files("shop", "web"), svids.files("shop", "api")
    with proxy_net.running(net, config(*written()), svids.secrets("shop", "db"), stats_config=STATISTICS) as log:
        calls = [
            call(WEB, 8080, web, http=True),
            call(API, 8080, api, http=True),
            call(WEB, 8080, http=True),
            call(API, 8080, http=True),
            call(WEB, 5432, web),
            call(API, 5432, api),
            call(WEB, 5432),
            call(API, 5432),
        ]
        assert net.call(calls) == ["allowed", "denied"] * 4
        found = settled(net)
    return found, log.read_text()


def settled(net: Net) -> dict[str, float]:
    """The figures about calls, once none of them changes any more: some count what has ended."""
    before: dict[str, float] = {}
    for _ in range(40):
        time.sleep(0.5)
        status, body = answer(net, 15021, "GET /metrics")
        assert status == 200
        now = metrics(body)
        of_calls = {name: value for name, value in now.items() if _of_calls(name)}
        if of_calls == before:
            return now
        before = of_calls
    raise AssertionError(f"they change all the time: {before}")


def _of_calls(name: str) -> bool:
    return name.startswith(("envoy_http_in_", "envoy_tcp_in", "envoy_tcp_outbound", "envoy_deny", "envoy_allow"))


def metrics(text: str) -> dict[str, float]:
    """The figures, by name with labels."""
    lines = (re.fullmatch(r"(envoy_\w+)\{(.*)\} ([0-9.e+]+)", line.strip()) for line in text.splitlines())
    return {f"{e[1]}{{{','.join(sorted(e[2].split(',')))}}}": float(e[3]) for e in lines if e is not None}


def test_the_share_of_mutual_tls(told: tuple[dict[str, float], str]) -> None:
    found, _ = told
    assert found['envoy_http_in_downstream_rq_total{transport="mesh"}'] == 2
    assert found['envoy_http_in_downstream_rq_total{transport="plain"}'] == 2
    # The API's call in mutual TLS is one of them, and has ended in the handshake.
    assert found['envoy_tcp_in_downstream_cx_total{transport="mesh"}'] == 2
    assert found["envoy_listener_inbound_ssl_fail_verify_san{}"] == 1


def test_denials_by_policy_and_rule(told: tuple[dict[str, float], str]) -> None:
    found, _ = told
    for transport in ("mesh", "plain"):
        labels = f'policy="shop/p#api",transport="{transport}"'
        assert found[f"envoy_http_in_rbac_policy_denied{{{labels}}}"] == 1
        allowed = f'policy="shop/p#web",transport="{transport}"'
        assert found[f"envoy_http_in_rbac_policy_allowed{{{allowed}}}"] == 1
    # In plaintext the caller is told by its address; of two rules the first decides.
    denied = 'answer="denied",policy="shop/p#api",transport="plain"'
    assert found[f"envoy_tcp_in_policy_downstream_cx_total{{{denied}}}"] == 1


def test_whom_audit_would_deny(told: tuple[dict[str, float], str]) -> None:
    found, _ = told
    for transport in ("mesh", "plain"):
        labels = f'policy="shop/q#later",transport="{transport}"'
        assert found[f"envoy_http_in_rbac_policy_shadow_denied{{{labels}}}"] == 1
    labels = 'answer="allowed",audit="denied",policy="shop/q#later",transport="plain"'
    assert found[f"envoy_tcp_in_policy_downstream_cx_total{{{labels}}}"] == 1
    assert found["envoy_deny_rbac_audit_deny_shadow_denied{}"] == 1


def test_the_queries_of_the_docs_ask_for_figures_that_are_there(told: tuple[dict[str, float], str]) -> None:
    found, _ = told
    names = {series.partition("{")[0] for series in found}
    text = DOCS.read_text()
    queries = text[text.index("# the share of requests") : text.index("## From Permissive to Strict")]
    asked = re.findall(r'__name__=~"([^"]+)"', queries)
    asked += re.findall(r"\((envoy_\w+)\{", queries)
    assert len(asked) == 4
    for each in asked:
        for one in re.split(r"\|", each):
            assert any(re.fullmatch(one, name) for name in names), one
    for label in set(re.findall(r'(\w+)!?="', queries)):
        assert any(f"{label}=" in series for series in found), label


def test_the_log_says_it_all_to_people(told: tuple[dict[str, float], str]) -> None:
    _, text = told
    now = time.time()
    stamped = "".join(f"2027-01-15T08:00:00Z {line}\n" for line in text.splitlines())
    tally = Tally(0.0, lambda address: address)
    tally.add("db-1", proxy_logs.read(stamped, 1000, now))
    assert counted(tally.plaintext) == {(WEB, 8080, "shop/p#web"): 1, (WEB, 5432, "shop/p#web"): 1}
    assert counted(tally.audit) == {
        ("shop/web", 8080, "shop/q#later"): 1,
        (WEB, 8080, "shop/q#later"): 1,
        ("shop/web", 5432, "shop/q#later"): 1,
        (WEB, 5432, "shop/q#later"): 1,
    }
    assert counted(tally.denied) == {
        ("shop/api", 8080, "shop/p#api"): 1,
        (API, 8080, "shop/p#api"): 1,
        (API, 5432, "shop/p#api"): 1,
        ("shop/api", 5432, proxy_logs.HANDSHAKE): 1,
    }


def counted(tally: dict[proxy_logs.Key, proxy_logs.Count]) -> dict[tuple[str, int, str], int]:
    return {(other, port, rule): len(each.sources) for (_, other, port, rule), each in tally.items()}


def test_what_is_open_is_written_down_while_it_is(net: Net, svids: Identities, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "_PLAIN_AGAIN", 1.0)
    made = config(*written())
    with proxy_net.running(net, made, svids.secrets("shop", "db"), stats_config=STATISTICS) as log:
        code = (
            "import socket,time\n"
            f"c=socket.create_connection(('{POD}',5432),10,('{WEB}',0))\n"
            "c.sendall(b'hello')\n"
            "time.sleep(60)\n"
        )
        with subprocess.Popen(net.command("callers", sys.executable, "-c", code)) as process:
            deadline = time.monotonic() + 30
            while not (open_ := [each for each in lines(log) if each.get("rule") == "shop/p#web"]):
                assert process.poll() is None, "it was written down only when it had ended"
                assert time.monotonic() < deadline
                time.sleep(0.2)
            process.kill()
    assert all(proxy_logs.fact(each) for each in open_)


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]


def test_plaintext_where_only_identities_may_call_is_written_down_and_counted(net: Net, svids: Identities) -> None:
    strict = policy("p", ingress=(allow("web", caller("web")),))
    with proxy_net.running(net, config(strict), svids.secrets("shop", "db"), stats_config=STATISTICS) as log:
        assert net.call([call(WEB, 8080, http=True), call(WEB, 5432)]) == ["denied"] * 2
        found = settled(net)
    said = {(each["answer"], each["direction"], each["destination"]) for each in lines(log)}
    assert said == {("denied", "inbound", f"{POD}:{port}") for port in (8080, 5432)}
    assert found["envoy_tcp_inbound_refused_downstream_cx_total{}"] == 2
    assert found["envoy_tcp_outbound_refused_downstream_cx_total{}"] == 0
    assert "`envoy_tcp_inbound_refused_downstream_cx_total`" in DOCS.read_text()
