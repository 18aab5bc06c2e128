"""A pod whose proxy has limits, and its callers, with a real Envoy between them."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from envoy.config.metrics.v3 import stats_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format
from ringfence.api.parser import parse
from ringfence.inject import bootstrap
from ringfence.model import durations
from ringfence.model.mesh import ServicePort
from ringfence.model.proxy import ProxyConfig
from ringfence.model.resources import ClusterSecurityPolicy, SecurityPolicy
from ringfence.model.tokens import Issuer
from ringfence.translate.envoy import messages, static

from tests.component import proxy_net
from tests.component.proxy_net import POD, Identities, Net
from tests.component.request_rig import INSTALLATION
from tests.unit.policy import making as policies
from tests.unit.translate.envoy import making

PEERS = Path(__file__).with_name("traffic_peers.py")
WEB, API, OUTSIDE = proxy_net.WEB, proxy_net.API, "203.0.113.9"
HTTP_PORT, TCP_PORT = 8080, 5432
STATISTICS = json_format.ParseDict(bootstrap.statistics(), stats_pb2.StatsConfig())
_PODS = (policies.pod("db", ip=POD), policies.pod("web", ip=WEB), policies.pod("api", ip=API))
_SERVICES = {
    "shop": (making.service("db", ServicePort("http", 80, HTTP_PORT), ServicePort("tcp", TCP_PORT, TCP_PORT)),)
}
_PORTS = [{"name": "c", "ports": [{"containerPort": HTTP_PORT}, {"containerPort": TCP_PORT}]}]
#: Two may call by their identities.
FRIENDS = """
  - {name: web, from: [{identity: {name: web}}, {identity: {namespace: bank, name: web}}], ports: [8080, 5432]}
"""
#: And whoever has none.
_INGRESS = f"""{FRIENDS}
  - {{name: others, from: [{{anonymous: true}}], ports: [8080]}}
"""


def written(
    traffic: str, name: str = "p", mode: str = "Enforce", ingress: str = "", issuers: tuple[Issuer, ...] = ()
) -> SecurityPolicy:
    """A policy with entries of ``traffic`` (YAML), and issuers of its own."""
    spec: dict[str, Any] = {"mode": mode, "traffic": yaml.safe_load(traffic)}
    if issuers:
        spec["jwtIssuers"] = [_issuer(each) for each in issuers]
    if ingress:
        spec["ingress"] = yaml.safe_load(ingress)
    found = parse(
        {
            "apiVersion": "ringfence.dev/v1alpha1",
            "kind": "SecurityPolicy",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": spec,
        }
    )
    assert isinstance(found, SecurityPolicy)
    return found


def _issuer(declared: Issuer) -> dict[str, Any]:
    return {
        "name": declared.name,
        "issuer": declared.issuer,
        "audiences": list(declared.audiences),
        "jwks": declared.jwks,
        "header": declared.header,
        "clockSkewSeconds": declared.skew,
        "maxLifetime": durations.text(declared.max_lifetime),
    }


def config(
    traffic: str,
    *others: SecurityPolicy,
    floors: tuple[ClusterSecurityPolicy, ...] = (),
    ingress: str = _INGRESS,
    issuers: tuple[Issuer, ...] = (),
) -> ProxyConfig:
    """What the proxy of db gets."""
    own = written(traffic, ingress=ingress, issuers=issuers)
    world = policies.world(own, *others, floors=floors, pods=_PODS, installation=INSTALLATION)
    return making.configured(making.mesh(world, _SERVICES), "db", containers=_PORTS)


@dataclass
class Answer:
    """What came of a call: status 0 where there was no answer; ``headers`` by name in lower case, times in seconds."""

    status: int
    headers: dict[str, str]
    body: str
    begun: float
    seconds: float

    @property
    def came(self) -> Any:
        """What the program says it got."""
        return json.loads(self.body)


@dataclass
class Call:
    """Calls alike, one after the other on one connection, with ``pause`` seconds between them.

    At most ``times``, and (unless 0) for so many ``seconds``.
    """

    source: str = WEB
    account: str = "web"
    namespace: str = "shop"
    times: int = 1
    path: str = "/"
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    size: int = 0
    chunked: bool = False
    pause: float = 0.0
    seconds: float = 0.0
    port: int = HTTP_PORT
    raw: str = ""

    def data(self, svids: Identities) -> dict[str, Any]:
        return {
            "source": self.source,
            "target": POD,
            "port": self.port,
            "raw": self.raw,
            "identity": svids.files(self.namespace, self.account) if self.account else (),
            "times": self.times,
            "path": self.path,
            "method": self.method,
            "headers": self.headers,
            "size": self.size,
            "chunked": self.chunked,
            "pause": self.pause,
            "seconds": self.seconds,
        }


def nobody(**more: Any) -> Call:
    """A caller without identity."""
    return Call(account="", source=more.pop("source", OUTSIDE), **more)


@contextmanager
def network(directory: Path) -> Iterator[Net]:
    """A network whose program says what came."""
    with proxy_net.network(directory, [str(PEERS), "program"]) as net:
        net.give("pod", [POD])
        net.give("callers", [WEB, API, OUTSIDE, "203.0.113.10"])
        yield net


class Rig:
    """The network with a proxy in it."""

    def __init__(self, net: Net, svids: Identities) -> None:
        self.net, self.svids = net, svids

    @contextmanager
    def running(self, made: ProxyConfig) -> Iterator[Path]:
        """Yields the log."""
        with proxy_net.running(self.net, made, self.svids.secrets("shop", "db"), stats_config=STATISTICS) as log:
            yield log

    def started(self, *groups: list[Call]) -> "subprocess.Popen[str]":
        """Calls under way: groups at once, the calls of a group one after the other."""
        path = self.net.directory / f"calls-{len(list(self.net.directory.glob('calls-*')))}.json"
        path.write_text(json.dumps([[each.data(self.svids) for each in group] for group in groups]))
        command = self.net.command("callers", sys.executable, str(PEERS), "calls", str(path))
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def answers(self, *groups: list[Call]) -> list[list[Answer]]:
        """What came of them."""
        return ended(self.started(*groups))

    def statuses(self, *calls: Call) -> list[int]:
        """Of one group."""
        return [each.status for each in self.answers(list(calls))[0]]

    def metrics(self) -> str:
        """As the status listener shows them."""
        found = proxy_net.ask(self.net.directory / "admin.sock", "/stats/prometheus").decode()
        return "\n".join(line for line in found.splitlines() if "limit" in line and not line.startswith("#"))

    @contextmanager
    def by_routes(self, made: ProxyConfig) -> Iterator[Path]:
        """The proxy with routes that come from files; ``route`` changes them."""
        secrets = self.svids.secrets("shop", "db")
        self.route(made)
        found = static.bootstrap(made, secrets).static_resources.listeners
        for one in (one for listener in found for chain in listener.filter_chains for one in chain.filters):
            if one.typed_config.Is(hcm_pb2.HttpConnectionManager.DESCRIPTOR):
                manager = hcm_pb2.HttpConnectionManager.FromString(one.typed_config.value)
                name = manager.route_config.name
                if name in {each.name for each in made.routes}:
                    manager.rds.route_config_name = name
                    manager.rds.config_source.path_config_source.path = str(self._place(name))
                    one.typed_config.CopyFrom(messages.packed(manager))
        lds = self.net.directory / "lds.json"
        response = discovery_pb2.DiscoveryResponse(
            version_info="1", resources=[messages.packed(each) for each in found]
        )
        lds.write_text(json_format.MessageToJson(response, preserving_proto_field_name=True))
        rest = {"dynamic_resources": proxy_net.listeners_from(lds), "node": {"id": "test", "cluster": "test"}}
        with proxy_net.running(self.net, replace(made, listeners=()), secrets, **rest) as log:
            yield log

    def route(self, made: ProxyConfig) -> None:
        """Put the routes of a configuration where Envoy looks for them."""
        for each in made.routes:
            found = messages.unpacked(each, route_pb2.RouteConfiguration)
            response = discovery_pb2.DiscoveryResponse(version_info=each.version, resources=[messages.packed(found)])
            fresh = self._place(each.name).with_suffix(".new")
            fresh.write_text(json_format.MessageToJson(response, preserving_proto_field_name=True))
            fresh.rename(fresh.with_suffix(".json"))

    def _place(self, name: str) -> Path:
        return self.net.directory / f"route-{re.sub('[|/]', '-', name)}.json"


def ended(process: "subprocess.Popen[str]") -> list[list[Answer]]:
    """What came of calls, once they have ended."""
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return [[Answer(*each) for each in group] for group in json.loads(text)]


def lines(log: Path) -> list[dict[str, Any]]:
    """The access log of requests that came in, once Envoy has ended."""
    found = (json.loads(line) for line in log.read_text().splitlines() if line.startswith("{"))
    return [line for line in found if line.get("direction") == "inbound" and line.get("method")]


def fitting(moments: list[float], rate: float) -> int:
    """How many of the requests at these moments a bucket lets pass that holds ``rate`` and gets as many a second."""
    passed, left, last = 0, rate, moments[0]
    for moment in moments:
        left, last = min(rate, left + rate * (moment - last)), moment
        if left >= 1:
            passed, left = passed + 1, left - 1
    return passed
