"""What recorded calls ask policies for: who calls whom, on which ports, by which requests, and how often.

Memory is bounded by the number of ends that talk, not by the number of calls.
"""

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Final

from ringfence.api.v1alpha1.peers import is_outside
from ringfence.flows.cast import Nobody, Role
from ringfence.flows.flow import Flow
from ringfence.flows.folding import Folded
from ringfence.flows.general import general
from ringfence.flows.judge import Judge
from ringfence.flows.replay import Seen
from ringfence.model.effective import Direction
from ringfence.model.requests import CONNECT, UPGRADES, Request
from ringfence.model.resources import (
    AnonymousPeer,
    ApiServerPeer,
    CidrPeer,
    HostPeer,
    IdentityPeer,
    NamespacePeer,
    Protocol,
)
from ringfence.model.world import Enrolment, Workload, World
from ringfence.policy import decide, ends
from ringfence.policy.ends import Address, Called
from ringfence.policy.peers import outside

#: A method as a policy can write it.
_METHOD: Final = re.compile(r"[A-Z]([A-Z-]{0,30}[A-Z])?")
#: More different addresses that call one port are taken for anyone.
ADDRESSES: Final = 10
#: More different addresses, or hosts, that one identity calls on one port are left out.
CALLED: Final = 256
#: Reasons for leaving calls out that are told apart.
_REASONS: Final = 200

#: Facts that are kept.
_KEPT: Final = 200_000

Peer = IdentityPeer | NamespacePeer | CidrPeer | HostPeer | ApiServerPeer | AnonymousPeer


@dataclass(frozen=True, slots=True)
class Between:
    """Two ends and a port."""

    source: Peer
    target: Peer
    protocol: Protocol
    port: int


@dataclass(slots=True)
class Want:
    """Calls between two ends. ``requests`` by (method, upgrade); none where they are bytes or nobody saw them.

    ``plaintext`` counts the calls without mutual TLS.
    """

    seen: Seen = field(default_factory=Seen)
    requests: dict[tuple[str, str], Folded] = field(default_factory=dict)
    plaintext: int = 0

    def take(self, other: "Want") -> None:
        """All that another one has seen."""
        self.seen.take(other.seen)
        self.plaintext += other.plaintext
        for place, paths in other.requests.items():
            self.requests.setdefault(place, Folded()).join(paths)


@dataclass
class Wanted:
    """Collects what calls ask for. ``left_out`` are calls that no policy is suggested for, with the reason."""

    judge: Judge
    denied: bool = False
    wants: dict[Between, Want] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    #: Addresses by who calls, or is called, on which port. Of callers, empty once there are too many.
    _addresses: dict[Between, set[str]] = field(default_factory=dict)
    #: What holds for all calls between two roles on a port: whether it is always open, whether requests are judged.
    _facts: dict[object, tuple[bool, bool]] = field(default_factory=dict)

    def add(self, flow: Flow) -> None:
        """One more record; one that was denied counts with ``denied`` only."""
        if flow.denied and not self.denied:
            return
        source, target = self.judge.cast.role(flow.source), self.judge.cast.role(flow.target)
        if isinstance(source, Nobody) or isinstance(target, Nobody):
            nobody = source if isinstance(source, Nobody) else target
            assert isinstance(nobody, Nobody)  # noqa: S101 (one of them is)
            self._leave(f"{nobody.name}: {nobody.why}", flow)
            return
        ends_ = self._peer(source), self._host(source, target, flow) or self._peer(target)
        if None in ends_:
            unnamed = source if ends_[0] is None else target
            why = f"{unnamed.name}: its ServiceAccount has no ServiceIdentity, so no rule can name it"
            if not unnamed.name:
                why = f"host {unnamed.host}: no rule can name it for its callers, and the record has no address"
            self._leave(why, flow)
            return
        always, judged = self._known(source, target, flow)
        if not always:
            between = Between(ends_[0], ends_[1], flow.protocol, flow.port)  # type: ignore[arg-type]
            self._want(between, flow.request if judged else None, flow)

    def _known(self, source: Role, target: Role, flow: Flow) -> tuple[bool, bool]:
        key = (source.key, target.key, flow.protocol, flow.port)
        found = self._facts.get(key)
        if found is None:
            if len(self._facts) > _KEPT:
                self._facts.clear()
            found = self._facts[key] = (self._always(source, target, flow), self._judged(target, flow))
        return found

    def _want(self, between: Between, request: Request | None, flow: Flow) -> None:
        place = _place(request) if request is not None else None
        if request is not None and place is None:
            shown = request.path.partition("?")[0][:80]
            self._leave(f"{_shown(between)}: {request.method[:20]} {shown}: no rule can name such a request", flow)
            return
        counted = self._counted(between)
        if counted is None:
            self._leave(f"{name(between.source)} calls more than {CALLED} addresses on port {between.port}", flow)
            return
        want = self.wants.setdefault(counted, Want())
        want.seen.add(flow)
        if flow.plaintext:
            want.plaintext += flow.count
        if place is not None:
            method, upgrade, parts = place
            want.requests.setdefault((method, upgrade), Folded()).add(parts)

    def _counted(self, between: Between) -> Between | None:
        """The same, from anyone where too many addresses call; None where too many are called."""
        if isinstance(between.target, CidrPeer | HostPeer):
            called = self._addresses.setdefault(replace(between, target=AnonymousPeer()), set())
            end = name(between.target)
            if len(called) < CALLED:
                called.add(end)
            return between if end in called else None
        if not isinstance(between.source, CidrPeer):
            return between
        anyone = replace(between, source=AnonymousPeer())
        if anyone in self.wants:
            return anyone
        calling = self._addresses.setdefault(anyone, set())
        calling.add(between.source.cidr)
        if len(calling) <= ADDRESSES:
            return between
        merged = self.wants.setdefault(anyone, Want())
        for cidr in calling:
            found = self.wants.pop(replace(between, source=CidrPeer(cidr)), None)
            if found is not None:
                merged.take(found)
        calling.clear()
        return anyone

    def _judged(self, target: Role, flow: Flow) -> bool:
        """Whether a proxy judges requests at the target."""
        if not self.judge.world.installation.proxies or flow.protocol is not Protocol.TCP:
            return False
        pods = [each for each in target.members if isinstance(each, Workload)]
        return bool(pods) and all(
            pod.proxied and self.judge.http(pod, flow.protocol, flow.port) is not False for pod in pods
        )

    def _always(self, source: Role, target: Role, flow: Flow) -> bool:
        """Whether it is open by itself (DNS and the like), so that no rule is needed."""
        return any(self._open(a, b, flow) for a in source.members for b in target.members)

    def _open(self, source: Called, target: Called, flow: Flow) -> bool:
        if not isinstance(source, Workload) or source.host_network:
            return False
        names = ends.port_names(target, flow.port, flow.protocol)
        return any(
            rule.builtin
            and rule.direction is Direction.EGRESS
            and rule.ports.contains(flow.protocol, flow.port, names)
            and any(decide.matches(peer, target, self.judge.world) for peer in rule.peers)
            for rule in self.judge.effective(source.namespace).rules
        )

    def _peer(self, role: Role) -> Peer | None:
        """How a rule names an end; None for one that no rule can name."""
        world = self.judge.world
        if not role.name:
            return _outside(role, world)  # None of a host without an address
        namespace = world.namespaces.get(role.namespace)
        if namespace is None or namespace.enrolment is Enrolment.NONE:
            return NamespacePeer(role.namespace)
        identity = self.judge.cast.identity(role.namespace, role.account)
        return IdentityPeer(role.namespace, identity) if identity else None

    def _host(self, source: Role, target: Role, flow: Flow) -> HostPeer | None:
        """The host that was called outside, where the callers' proxies could tell it from others by its name."""
        world = self.judge.world
        if not target.host or flow.protocol is not Protocol.TCP or not is_outside(target.host):
            return None
        callers = [each for each in source.members if isinstance(each, Workload)]
        if not callers or not world.installation.proxies or not all(each.proxied for each in callers):
            return None
        addresses = [each.ip for each in target.members if isinstance(each, Address)]
        return HostPeer(target.host) if all(ip in outside(world.installation) for ip in addresses) else None

    def _leave(self, why: str, flow: Flow) -> None:
        known = why in self.left_out or len(self.left_out) < _REASONS
        self.left_out[why if known else "others"] += flow.count


def _outside(role: Role, world: World) -> Peer | None:
    address = next((each.ip for each in role.members if isinstance(each, Address)), "")
    if not address:
        return None
    if any(address == each for each, _ in world.installation.api_server):
        return ApiServerPeer()
    return CidrPeer(f"{address}/{128 if ':' in address else 32}")


def _place(request: Request) -> tuple[str, str, list[str]] | None:
    """Method, upgrade and segments of a request; None for one that no rule can let pass."""
    path, upgrade = general(request.path), request.upgrade.lower()
    if request.tunnel:
        return None if upgrade else (CONNECT, "", [])
    if path is None or not _METHOD.fullmatch(request.method):
        return None
    if upgrade not in {"", *UPGRADES}:
        return None
    return request.method, upgrade, path.split("/")


def _shown(between: Between) -> str:
    return f"{name(between.source)} -> {name(between.target)} {between.protocol} {between.port}"


def name(peer: Peer) -> str:
    """A peer in a word."""
    match peer:
        case IdentityPeer(namespace, identity):
            return f"{namespace}/{identity}"
        case NamespacePeer(namespace):
            return f"namespace {namespace}"
        case CidrPeer(cidr):
            return cidr.removesuffix("/32").removesuffix("/128")
        case HostPeer(host):
            return host
        case ApiServerPeer():
            return "the API server"
        case AnonymousPeer():
            return "anyone"
    raise AssertionError(peer)
