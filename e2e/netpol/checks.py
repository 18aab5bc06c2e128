"""What the enforcer's rules must do beyond what cyclonus' cases ask, each a small scene between network namespaces."""

import itertools
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

from e2e.enforcer import kernel, nft
from e2e.enforcer.kernel import KernelError
from e2e.enforcer.model import Manifest, NodeFacts, Pod, World
from e2e.netpol.fabric import NODES, Fabric
from e2e.netpol.prober import Site

PORT = 8080
SHORT_SECONDS = 0.3
"""How long a connection that should not come about is waited for."""
LONG_SECONDS = 5.0
ECHO_REQUEST, ECHO_REPLY = 8, 0
"""ICMP types (RFC 792)."""


class Scene:
    """A client and a server pod on different nodes, and a Fabric to load rules into."""

    def __init__(self, fabric: Fabric) -> None:
        """Wire the pods."""
        self.fabric = fabric
        self.client, self.server = fabric.add_pod("x/client", NODES[0]), fabric.add_pod("x/server", NODES[1])
        # An echo with an identifier that was tracked before would pass as part of an established exchange.
        self.identifiers = itertools.count(1)
        with self.server.namespace.entered():
            self.listener = socket.create_server((self.server.address, PORT))

    def enforce(self, *specs: Mapping[str, Any], known: bool = True) -> None:
        """Load policies with these specs; ``known`` says whether the enforcer knows the pods."""
        policies: tuple[Manifest, ...] = tuple(
            {"metadata": {"namespace": "x", "name": f"policy-{number}"}, "spec": spec}
            for number, spec in enumerate(specs)
        )
        pods = (_pod(self.client), _pod(self.server)) if known else ()
        self.fabric.load(nft.render(World(pods, {"x": {}}, policies), NodeFacts(self.fabric.pod_ranges)))

    def connect(self, seconds: float) -> socket.socket | None:
        """Connect the client to the server; None when that fails."""
        with self.client.namespace.entered():
            try:
                return socket.create_connection((self.server.address, PORT), timeout=seconds)
            except OSError:
                return None

    def reaches(self) -> bool:
        """Whether a connection that should come about does."""
        return _closed(self.connect(LONG_SECONDS))

    def is_cut(self) -> bool:
        """Whether a connection that should not come about does not."""
        return not _closed(self.connect(SHORT_SECONDS))

    def pings(self, seconds: float) -> bool:
        """Whether an echo request of the client is answered."""
        with self.client.namespace.entered():
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        with raw:
            raw.settimeout(seconds)
            raw.sendto(_echo_request(next(self.identifiers)), (self.server.address, 0))
            try:
                answer, _ = raw.recvfrom(1024)
            except TimeoutError:
                return False
            return answer[(answer[0] & 15) * 4] == ECHO_REPLY


DENY: Mapping[str, Any] = {"podSelector": {}, "policyTypes": ["Ingress"]}
ANY: Mapping[str, Any] = {"podSelector": {}, "ingress": [{}]}
ONE_PORT: Mapping[str, Any] = {"podSelector": {}, "ingress": [{"ports": [{"port": PORT}]}]}


def established_connections_survive(scene: Scene) -> bool:
    """A policy that tightens stops new connections and leaves those that exist, as most network plugins do."""
    scene.enforce(ANY)
    stream = scene.connect(LONG_SECONDS)
    accepted, _ = scene.listener.accept()
    scene.enforce(DENY)
    with accepted:
        if stream is None or not scene.is_cut():
            return False
        with stream:
            stream.sendall(b"still")
            accepted.settimeout(LONG_SECONDS)
            return accepted.recv(5) == b"still"


def unknown_pods_are_closed(scene: Scene) -> bool:
    """A pod that the enforcer has not heard of reaches nothing and is reached by nothing, with no policy at all."""
    scene.enforce(known=False)
    closed = scene.is_cut()
    scene.enforce()
    return closed and scene.reaches()


def services_are_judged_by_their_pods(scene: Scene) -> bool:
    """A Service's address is translated before the rules look: the policy of the pod behind it decides."""
    virtual = "198.51.100.77"
    translate = (
        "table ip services {\n chain prerouting {\n type nat hook prerouting priority dstnat;\n"
        f"ip daddr {virtual} tcp dport 80 dnat to {scene.server.address}:{PORT}\n }}\n}}\n"
    )
    kernel.load(translate, scene.fabric.nodes[NODES[0]].namespace)

    def through_service(seconds: float) -> bool:
        with scene.client.namespace.entered():
            try:
                return _closed(socket.create_connection((virtual, 80), timeout=seconds))
            except OSError:
                return False

    scene.enforce(ONE_PORT)
    opened = through_service(LONG_SECONDS)
    scene.enforce(DENY)
    return opened and not through_service(SHORT_SECONDS)


def other_protocols_need_a_rule_without_ports(scene: Scene) -> bool:
    """ICMP to an isolated pod passes where a rule opens everything, not where it opens a port."""
    scene.enforce(ANY)
    opened = scene.pings(LONG_SECONDS)
    scene.enforce(ONE_PORT)
    return opened and not scene.pings(SHORT_SECONDS)


def a_table_that_fails_changes_nothing(scene: Scene) -> bool:
    """Rules that the kernel refuses leave the former ones in force, whole."""
    scene.enforce(DENY)
    try:
        scene.fabric.load(nft.render(World(), NodeFacts(scene.fabric.pod_ranges)) + "no such thing\n")
    except KernelError:
        return scene.is_cut()
    return False


def removal_opens(scene: Scene) -> bool:
    """Once the table is gone nothing is enforced, and removing it again is no error."""
    scene.enforce(DENY)
    closed = scene.is_cut()
    for _ in range(2):
        scene.fabric.load(nft.removal())
    return closed and scene.reaches()


CHECKS: tuple[Callable[[Scene], bool], ...] = (
    established_connections_survive,
    unknown_pods_are_closed,
    services_are_judged_by_their_pods,
    other_protocols_need_a_rule_without_ports,
    a_table_that_fails_changes_nothing,
    removal_opens,
)


def failures() -> list[str]:
    """Run every check on a scene of its own; returns a line for each that failed. Raises FabricError, KernelError."""
    failed = []
    for check in CHECKS:
        with _scene() as scene:
            if not check(scene):
                failed.append(f"{check.__name__}: {check.__doc__}")
    return failed


@contextmanager
def _scene() -> Iterator[Scene]:
    with Fabric() as fabric:
        scene = Scene(fabric)
        with scene.listener:
            yield scene


def _pod(site: Site) -> Pod:
    namespace, _, name = site.name.partition("/")
    return Pod(namespace, name, {}, (ip_address(site.address),))


def _echo_request(identifier: int) -> bytes:
    checksum = 0xFFFF - (ECHO_REQUEST << 8) - identifier
    return struct.pack("!BBHHH", ECHO_REQUEST, 0, checksum, identifier, 0)


def _closed(stream: socket.socket | None) -> bool:
    if stream is not None:
        stream.close()
    return stream is not None
