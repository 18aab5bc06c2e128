"""A pod that has IPv6 alone, and one that has both: who is let in, its probes, and a change of what it has."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from ringfence.model.mesh import ServicePort
from ringfence.model.proxy import ProxyConfig
from ringfence.translate import envoy

from tests.component import proxy_net
from tests.component.node_rig import eventually
from tests.component.proxy_net import Identities, Net
from tests.unit.policy import making as policies
from tests.unit.policy.making import allow, caller, policy
from tests.unit.translate.envoy import making

pytestmark = pytest.mark.component

POD4, POD6, WEB4, WEB6 = "10.244.0.1", "fd00:10::1", "10.244.0.2", "fd00:10::2"
HERE, NOWHERE = proxy_net.PROGRAM_PORT, 4321
NODE = {"id": "test", "cluster": "test"}
PROBES = tuple(f"/ringfence/probe/{kind}" for kind in (f"http/{HERE}/healthz", f"tcp/{HERE}", f"tcp/{NOWHERE}"))


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with proxy_net.network(tmp_path_factory.mktemp("net6")) as made:
        made.give("pod", [POD4, POD6])
        made.give("callers", [WEB4, WEB6])
        yield made


@pytest.fixture(scope="module")
def svids(net: Net) -> Identities:
    return Identities(net.directory, "cluster.local")


def config(*addresses: str) -> ProxyConfig:
    """The configuration of db, which lets web in, with these addresses."""
    both = (policies.pod("db", ip=POD6), policies.pod("web", ip=WEB6))
    known = making.mesh(
        policies.world(policy(ingress=(allow("web", caller("web")),)), pods=both),
        {"shop": (making.service("db", ServicePort("http", 80, 8080)),)},
    )
    containers = [
        {"name": f"c{n}", "ports": [], "readinessProbe": {"httpGet": {"port": 15021, "path": path}}}
        for n, path in enumerate(PROBES)
    ]
    containers[0]["ports"] = [{"containerPort": 8080}, {"containerPort": 5432}]
    pod = making.pod("db", containers=containers)
    pod["status"] = {"podIPs": [{"ip": each} for each in addresses]}
    return envoy.configure(envoy.subject(pod, known), known)


def call(port: int, identity: tuple[str, str, str] | tuple[()], source: str, target: str) -> dict[str, Any]:
    http = port == 8080
    return {
        "source": source,
        "target": target,
        "port": port,
        "identity": identity,
        "http": http,
        "first": not http,
    }


def status(net: Net, address: str, path: str) -> int:
    """What the kubelet would be told at an address; 0 where nobody answers."""
    code = (
        "import http.client,sys\n"
        "c=http.client.HTTPConnection(sys.argv[1],15021,timeout=10)\n"
        "try: c.request('GET',sys.argv[2]); print(c.getresponse().status)\n"
        "except OSError: print(0)\n"
    )
    return int(proxy_net.run(*net.command("callers", sys.executable, "-c", code, address, path)))


def _is(net: Net, address: str, path: str, wanted: int) -> bool:
    return status(net, address, path) == wanted


@pytest.mark.parametrize("families", [(POD6,), (POD4, POD6)], ids=["IPv6", "dual"])
def test_who_is_allowed_is_let_in_and_probes_are_answered(
    net: Net, svids: Identities, families: tuple[str, ...]
) -> None:
    web, stranger = svids.files("shop", "web"), svids.files("shop", "api")
    ways = [(WEB6 if ":" in each else WEB4, each) for each in families]
    with proxy_net.running(net, config(*families), svids.secrets("shop", "db")):
        for port in (8080, 5432):
            assert net.call([call(port, web, *way) for way in ways]) == ["allowed"] * len(ways)
            refused = [call(port, who, *way) for way in ways for who in (stranger, ())]
            assert net.call(refused) == ["denied"] * len(refused)
        for address in families:
            eventually(partial(_is, net, address, PROBES[1], 200))
            assert status(net, address, PROBES[0]) == 200
            assert status(net, address, PROBES[2]) == 503


def test_a_program_that_listens_on_ipv6_alone_is_found_by_a_tcp_probe(net: Net, svids: Identities) -> None:
    """As nginx does with `listen [::]:80`."""
    code = (
        "import socket\n"
        "s=socket.socket(socket.AF_INET6); s.setsockopt(socket.IPPROTO_IPV6,socket.IPV6_V6ONLY,1)\n"
        f"s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); s.bind(('::',{NOWHERE})); s.listen()\n"
        "print('listening',flush=True)\n"
        "while True: s.accept()[0].close()\n"
    )
    with (
        proxy_net.running(net, config(POD6), svids.secrets("shop", "db")),
        proxy_net.listening(net.command("pod", sys.executable, "-c", code)),
    ):
        eventually(partial(_is, net, POD6, PROBES[2], 200))


def test_addresses_that_come_later_are_taken_up(net: Net, svids: Identities) -> None:
    """Until its addresses are known, a pod without podCIDRs in the chart is taken for one with IPv4."""
    lds = net.directory / "lds.json"
    before, after = config(POD4), config(POD4, POD6)
    proxy_net.write_listeners(lds, before, svids.secrets("shop", "db"))
    clusters = replace(after, listeners=())
    with proxy_net.running(
        net, clusters, svids.secrets("shop", "db"), dynamic_resources=proxy_net.listeners_from(lds), node=NODE
    ):
        assert status(net, POD4, "/ready") == 200
        assert status(net, POD6, "/ready") == 0
        proxy_net.write_listeners(lds, after, svids.secrets("shop", "db"))
        eventually(partial(_is, net, POD6, "/ready", 200))
        assert status(net, POD4, "/ready") == 200
        web = svids.files("shop", "web")
        calls = [call(8080, web, WEB6, POD6), call(8080, web, WEB4, POD4)]
        # One listener may be there before another.
        eventually(lambda: net.call(calls) == ["allowed"] * 2)
