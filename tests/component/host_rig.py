"""A pod whose proxy looks at the names of hosts, a name server, and hosts at addresses of every kind.

Every address answers on every port, inside the pod too, and says that it was reached: what is refused must not only
get no answer but reach nobody.
"""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2, json_format
from ringfence.flows import reading
from ringfence.flows.flow import Flow
from ringfence.flows.reading import Tally
from ringfence.model.names import LABEL_ENROLL
from ringfence.model.proxy import ProxyConfig
from ringfence.model.resources import Rule
from ringfence.model.world import Namespace, World
from ringfence.translate import envoy as translator
from ringfence.translate.envoy import messages, names, static

from tests.component import proxy_net
from tests.component.proxy_net import CALLER_UID, Identities, Net
from tests.unit.policy import making as policies
from tests.unit.policy.making import policy
from tests.unit.translate.envoy import making

PEERS = Path(__file__).with_name("host_peers.py")
POD, OTHER_POD, NAME_SERVER = "10.244.0.1", "10.244.0.3", "20.0.0.53"
#: Outside, but nothing leads there.
GONE = "20.0.0.99"
#: Addresses of hosts outside, of version 4 and 6; some that the installation lists, and some of its nodes.
HOSTS = ("20.0.0.1", "20.0.0.2", "20.0.0.3", "2600:1f::1")
LISTED, NODE = "10.50.0.1", "20.7.0.1"
#: Where a name must never lead.
INSIDE = (
    *(OTHER_POD, "10.96.0.1", "172.16.0.1", "192.168.0.10", "100.64.0.1", "169.254.169.254", NODE, "192.168.0.1"),
    *("fd00:ec2::254", "fd00::1", "fe80::5", "127.0.0.1", "127.0.0.53", "0.0.0.0", "::1", "::ffff:127.0.0.1", POD),
    *("::ffff:10.96.0.1", "64:ff9b::a60:1", "224.0.0.1"),
)
PORTS = (80, 443, 8443)
#: What a program that runs as root has written into the pod's /etc/hosts, which its containers share.
FILED = {"out.filed.example": HOSTS[1], "in.filed.example": "10.96.0.1", "own.filed.example": "127.0.0.1"}
INSTALLATION = replace(policies.INSTALLATION, proxies=True, host_open=("10.50.0.0/16",), host_closed=("20.7.0.0/16",))


def world(*egress: Rule, closed: bool = True) -> World:
    """``web`` may call what the rules say, and nothing else; not ``closed``: nothing is blocked, as in audit."""
    pods = tuple(replace(policies.pod(name, ip=ip), proxied=True) for name, ip in (("web", POD), ("db", OTHER_POD)))
    audited = () if closed else (Namespace.of("shop", {LABEL_ENROLL: "audit"}),)
    return policies.world(policy(egress=egress or None), pods=pods, installation=INSTALLATION, namespaces=audited)


@dataclass
class Outside:
    """The network with its hosts; ``zone`` is what the name server knows."""

    net: Net
    svids: Identities
    zone: Path

    def knows(self, names: dict[str, Any]) -> None:
        """Names and their addresses from now on; a list of lists is given in turn."""
        fresh = self.zone.with_suffix(".new")
        fresh.write_text(json.dumps(names))
        fresh.rename(self.zone)

    def _config(self, known: World) -> ProxyConfig:
        mesh = making.mesh(known)
        pod = making.pod("web")
        pod["status"] = {"podIPs": [{"ip": POD}, {"ip": "fd00:244::1"}]}
        return translator.configure(translator.subject(pod, mesh), mesh)

    @contextmanager
    def proxied(self, known: World) -> Iterator[Path]:
        """The proxy of ``web``, ready."""
        with proxy_net.running(self.net, self._config(known), self.svids.secrets("shop", "web")) as log:
            yield log

    @contextmanager
    def live(self, known: World) -> Iterator[Callable[[World], None]]:
        """The same, its listeners, routes and clusters in files; what is yielded changes what the rules say."""
        place = self.net.directory

        def write(told: World) -> ProxyConfig:
            config = self._config(told)
            moved = static.bootstrap(config, (), admin=str(place / "admin.sock")).static_resources
            made = [messages.packed(each).SerializeToString() for each in moved.clusters if each.name in _BY_NAME]
            _write(place / "cds.json", config.revision, made)
            for each in config.routes:
                _write(place / f"{each.name.replace('|', '.')}.json", config.revision, [each.body])
            found = [_from_files(each, place) for each in moved.listeners]
            _write(place / "lds.json", config.revision, [messages.packed(each).SerializeToString() for each in found])
            return config

        made = write(known)
        moving = proxy_net.listeners_from(place / "lds.json")
        moving.cds_config.path_config_source.path = str(place / "cds.json")
        secrets = self.svids.secrets("shop", "web")
        node = {"id": "test", "cluster": "test"}
        rest = tuple(each for each in made.clusters if each.name not in _BY_NAME)
        stays = replace(made, listeners=(), clusters=rest)
        with proxy_net.running(self.net, stays, secrets, dynamic_resources=moving, node=node):
            yield write

    def call(self, wanted: list[dict[str, Any]]) -> list[str]:
        """What came of each call: ``reached ADDRESS`` or ``refused``, with the status of HTTP."""
        path = self.net.directory / "host-calls.json"
        path.write_text(json.dumps(wanted))
        command = self.net.command("pod", sys.executable, str(PEERS), "calls", str(path), str(CALLER_UID))
        found: list[str] = json.loads(proxy_net.run(*command))
        return found

    def count(self) -> int:
        """How often hosts outside were connected to since the last question who was reached."""
        seen = self.zone.with_suffix(".reached")
        return len(seen.read_text().split()) if seen.exists() else 0

    def reached(self) -> set[str]:
        """The addresses that were connected to since the last question."""
        found: set[str] = set()
        for place in (self.zone, self.zone.with_name("pod.json")):
            seen = place.with_suffix(".reached")
            if seen.exists():
                found |= set(seen.read_text().split())
                seen.unlink()
        return found


@contextmanager
def outside(directory: Path) -> Iterator[Outside]:
    """The network, the hosts and the name server."""
    with ExitStack() as stack:
        net = stack.enter_context(proxy_net.network(directory))
        net.give("pod", [POD, "fd00:244::1"])
        callers = [NAME_SERVER, *HOSTS, LISTED, *(each for each in INSIDE if _elsewhere(each))]
        net.give("callers", callers)
        proxy_net.run(*net.command("pod", "ip", "route", "add", "unreachable", f"{GONE}/32"))
        config = Path("/etc/netns") / net.place("pod")
        config.mkdir(parents=True)
        stack.callback(shutil.rmtree, config)
        (config / "resolv.conf").write_text(f"nameserver {NAME_SERVER}\nsearch svc.cluster.local\noptions ndots:5\n")
        lines = (f"{address} {name}\n" for name, address in FILED.items())
        (config / "hosts").write_text("127.0.0.1 localhost\n" + "".join(lines))
        zone = directory / "zone.json"
        for side, file, at in (("callers", zone, NAME_SERVER), ("pod", zone.with_name("pod.json"), "-")):
            file.write_text("{}")
            command = net.command(side, sys.executable, str(PEERS), "serve", str(file), at, *map(str, PORTS))
            stack.enter_context(proxy_net.listening(command))
        yield Outside(net, Identities(directory, "cluster.local"), zone)


def _elsewhere(address: str) -> bool:
    """Whether an address of INSIDE is somebody's outside of the pod."""
    return address != POD and not address.startswith(("127.", "0.", "224.", "::", "64:ff9b", "fe80"))


#: Clusters that come with rules about hosts.
_BY_NAME = frozenset({names.BY_NAME, names.TO_NAMES})


def _write(path: Path, version: str, bodies: list[bytes]) -> None:
    response = discovery_pb2.DiscoveryResponse(
        version_info=version, resources=[any_pb2.Any.FromString(each) for each in bodies]
    )
    fresh = path.with_suffix(".new")
    fresh.write_text(json_format.MessageToJson(response, preserving_proto_field_name=True))
    fresh.rename(path)


def _from_files(listener: Any, place: Path) -> Any:
    """The listener, with the routes of its managers in files."""
    for chain in listener.filter_chains:
        for each in chain.filters:
            if each.typed_config.Is(hcm_pb2.HttpConnectionManager.DESCRIPTOR):
                manager = hcm_pb2.HttpConnectionManager.FromString(each.typed_config.value)
                name = manager.route_config.name
                if name == "status":
                    continue
                manager.rds.route_config_name = name
                manager.rds.config_source.path_config_source.path = str(place / f"{name.replace('|', '.')}.json")
                each.typed_config.CopyFrom(messages.packed(manager))
    return listener


def tls(name: str, to: str = "20.9.9.9", port: int = 443) -> dict[str, Any]:
    """TLS to a name, at an address that the program chose."""
    return {"to": to, "port": port, "sni": name}


def http(host: str, to: str = "20.9.9.9", port: int = 80, line: str = "GET / HTTP/1.1") -> dict[str, Any]:
    """A plain request."""
    return {"to": to, "port": port, "raw": f"{line}\r\nHost: {host}\r\nConnection: close\r\n\r\n"}


def recorded(log: Path) -> list[Flow]:
    """What `ringfence suggest` reads of connections in a proxy's log, not of requests."""
    with log.open("rb") as stream:
        found = list(reading.read(stream, "log", Tally()))
    return [each for each in found if each.request is None]
