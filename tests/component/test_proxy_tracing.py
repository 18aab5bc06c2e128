"""Trace context and spans of a real Envoy: passed on, exported to a collector, and nothing at all without one."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ringfence.model.mesh import ServicePort
from ringfence.model.proxy import ProxyConfig
from ringfence.model.proxy_settings import Tracing

from tests.component import proxy_net
from tests.component.proxy_net import Identities, Net
from tests.unit.policy import making as policies
from tests.unit.policy.making import allow, caller, deny, policy
from tests.unit.translate.envoy import making

pytestmark = pytest.mark.component

DB, WEB, API, SERVICE = "10.244.0.1", "10.244.0.2", "10.244.0.3", "10.96.0.1"
PODS = (policies.pod("db", ip=DB), policies.pod("web", ip=WEB), policies.pod("api", ip=API))
HTTP = {"shop": (making.service("db", ServicePort("http", 80, 8080)),)}
RECEIVER = Path(__file__).parents[2] / "e2e" / "demo" / "otlp_receiver.py"
PORT = 4317
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
#: Envoy exports five spans at once, or what there is after five seconds.
EXPORTED = 7.0


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with proxy_net.network(tmp_path_factory.mktemp("net")) as made:
        yield made


@pytest.fixture(scope="module")
def svids(net: Net) -> Identities:
    return Identities(net.directory, "cluster.local")


def config(account: str, tracing: Tracing | None) -> ProxyConfig:
    """The configuration of an identity: web may call db, the API may not."""
    rules = (allow("web", caller("web")), deny("api", caller("api")))
    known = policies.world(policy("t", ingress=rules), pods=PODS)
    known = replace(known, installation=replace(known.installation, tracing=tracing))
    containers = [{"name": "c", "ports": [{"containerPort": 8080}]}]
    return making.configured(making.mesh(known, HTTP), account, containers=containers)


@contextmanager
def collector(net: Net) -> Iterator[Path]:
    """A collector beside the proxy; yields the file of its spans."""
    path = net.directory / "spans.json"
    path.write_text("")
    command = net.command("pod", sys.executable, str(RECEIVER), "127.0.0.1", str(PORT), str(path))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        try:
            yield path
        finally:
            process.terminate()


def spans(path: Path, count: int, within: float = 20.0) -> list[dict[str, Any]]:
    """As many spans, as soon as they have come."""
    deadline = time.monotonic() + within
    while True:
        *lines, _ = path.read_text().split("\n")
        found = [json.loads(line) for line in lines]
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, f"{len(found)} spans instead of {count}: {found}"
        time.sleep(0.1)


def call(source: str, identity: tuple[str, str, str], headers: str = "", path: str = "/headers") -> dict[str, Any]:
    return {
        "source": source,
        "target": DB,
        "port": 8080,
        "identity": identity,
        "http": True,
        "told": True,
        "headers": headers,
        "path": path,
    }


def context(told: str) -> tuple[str, str, str]:
    """Trace, span and flags of the ``traceparent`` that the program was sent."""
    (found,) = re.findall(r"(?mi)^traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\r?$", told)
    return found


def parent(flags: str) -> str:
    return f"traceparent: 00-{TRACE}-{PARENT}-{flags}\r\ntracestate: vendor=1\r\n"


def test_a_request_that_comes_in_has_a_span_and_its_context_goes_on(net: Net, svids: Identities) -> None:
    web, api = svids.files("shop", "web"), svids.files("shop", "api")
    net.give("pod", [DB])
    net.give("callers", [WEB, API])
    secrets = svids.secrets("shop", "db")
    with (
        collector(net) as path,
        proxy_net.running(net, config("db", Tracing("127.0.0.1", PORT, sampling=100)), secrets) as log,
    ):
        begun, continued, unsampled, denied = net.call(
            [
                call(WEB, web, path="/headers?token=hidden"),
                call(WEB, web, parent("01")),
                call(WEB, web, parent("00")),
                call(API, api, parent("01")),
            ]
        )
        found = {
            each["parent"] or "root": each for each in spans(path, 3) if each["attributes"]["http.status_code"] == "200"
        }
        (refused,) = [each for each in spans(path, 3) if each["attributes"]["http.status_code"] == "403"]
        time.sleep(EXPORTED)
        assert len(spans(path, 3)) == 3
    assert denied == "denied"
    root, child = found["root"], found[PARENT]
    assert context(begun) == (root["trace"], root["span"], "01")
    assert context(continued) == (TRACE, child["span"], "01")
    assert child["trace"] == refused["trace"] == TRACE
    assert "tracestate: vendor=1" in continued
    # Whose caller is not traced is not, but what it said goes on.
    assert context(unsampled)[::2] == (TRACE, "00")

    assert (root["name"], root["kind"]) == ("GET", "server")
    assert root["resource"]["service.name"] == "db"
    assert root["resource"]["service.namespace"] == "shop"
    said = root["attributes"]
    assert said["url.path"] == "/headers"
    assert said["ringfence.peer"] == "spiffe://cluster.local/ns/shop/sa/web"
    assert "shop/t#web" in said["ringfence.policy"]
    assert refused["attributes"]["ringfence.details"] == "rbac_access_denied_matched_policy[shop/t#api]"
    # What a caller that is refused is told, and the log has.
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    decisions = {line["decision"] for line in lines if line.get("code") == 403}
    assert refused["attributes"]["ringfence.decision"] in decisions
    # Queries hold secrets.
    assert "hidden" not in json.dumps(root)
    # What the program is told is what was sent, and the context.
    assert "x-request-id" not in begun.lower()


def test_a_request_that_goes_out_has_a_span_too(net: Net, svids: Identities) -> None:
    net.give("pod", [WEB])
    net.give("callers", [DB, SERVICE])
    out = {**call("", ()), "target": SERVICE, "port": 80}
    with (
        net.pods({DB: svids.files("shop", "db")}),
        collector(net) as path,
        proxy_net.running(net, config("web", Tracing("127.0.0.1", PORT, sampling=0)), svids.secrets("shop", "web")),
    ):
        continued, untraced = net.call([{**out, "headers": parent("01")}, out], "pod")
        (found,) = spans(path, 1)
        time.sleep(EXPORTED)
        assert len(spans(path, 1)) == 1
    assert context(continued) == (TRACE, found["span"], "01")
    assert (found["trace"], found["parent"], found["kind"]) == (TRACE, PARENT, "client")
    assert found["attributes"]["ringfence.peer"] == "spiffe://cluster.local/ns/shop/sa/db"
    # A share of nought: begun here, and not traced.
    assert context(untraced)[2] == "00"


def test_without_a_collector_context_passes_as_it_came_and_nothing_is_configured(net: Net, svids: Identities) -> None:
    web = svids.files("shop", "web")
    net.give("pod", [DB])
    net.give("callers", [WEB, API])
    made = config("db", None)
    assert not any(
        b"tracing" in each.body or b"opentelemetry" in each.body for each in (*made.clusters, *made.listeners)
    )
    with proxy_net.running(net, made, svids.secrets("shop", "db")):
        with_, without = net.call([call(WEB, web, parent("01")), call(WEB, web)])
    assert context(with_) == (TRACE, PARENT, "01")
    assert "traceparent" not in without.lower()


@pytest.mark.parametrize("host", ["127.0.0.1", "collector.nowhere.svc"], ids=["nobody listens", "nobody knows it"])
def test_a_collector_that_is_away_holds_nothing_up(net: Net, svids: Identities, host: str) -> None:
    web = svids.files("shop", "web")
    net.give("pod", [DB])
    net.give("callers", [WEB, API])
    made = config("db", Tracing(host, PORT, sampling=100))
    started = time.monotonic()
    with proxy_net.running(net, made, svids.secrets("shop", "db")):
        assert time.monotonic() - started < 10
        calls = net.call([call(WEB, web)] * 8)
        assert all(context(each)[2] == "01" for each in calls)
