"""Short ways to make the values that the policy tests are about."""

from collections.abc import Callable
from functools import cache

from ringfence.model.effective import EffectivePolicy, Finding
from ringfence.model.labels import LabelBox
from ringfence.model.names import LABEL_ENROLL, LABEL_IDENTITY, LABEL_ZONE
from ringfence.model.resources import (
    Action,
    AppliesTo,
    ClusterSecurityPolicy,
    IdentityPeer,
    Mode,
    Peer,
    PolicySpec,
    PortSpec,
    ResourceMeta,
    Rule,
    SecurityPolicy,
    ServiceIdentity,
)
from ringfence.model.world import Installation, Namespace, Workload, World
from ringfence.policy.resolve import resolve

INSTALLATION = Installation(pod_cidrs=("10.244.0.0/16",), api_server=(("192.168.0.1", 6443),), open_services=())


def enforced(name: str, zone: str = "") -> Namespace:
    """A closed namespace."""
    labels = {LABEL_ENROLL: "enforce"} | ({LABEL_ZONE: zone} if zone else {})
    return Namespace.of(name, labels, enforced=True)


def identity(namespace: str, name: str, service_account: str = "", **labels: str) -> ServiceIdentity:
    return ServiceIdentity(ResourceMeta(name, namespace), service_account or name, labels=tuple(sorted(labels.items())))


def caller(name: str, namespace: str = "shop") -> IdentityPeer:
    return IdentityPeer(namespace, name)


def allow(name: str, *peers: Peer, ports: tuple[int | str | PortSpec, ...] = ()) -> Rule:
    """An Allow; without peers any identity, without ports every port."""
    return Rule(name, Action.ALLOW, peers or None, _ports(ports))


def deny(name: str, *peers: Peer, ports: tuple[int | str | PortSpec, ...] = ()) -> Rule:
    """A Deny, likewise."""
    return Rule(name, Action.DENY, peers or None, _ports(ports))


def _ports(ports: tuple[int | str | PortSpec, ...]) -> tuple[PortSpec, ...] | None:
    return tuple(port if isinstance(port, PortSpec) else PortSpec(port) for port in ports) or None


def policy(
    name: str = "p",
    *,
    namespace: str = "shop",
    applies_to: AppliesTo | None = None,
    ingress: tuple[Rule, ...] | None = None,
    egress: tuple[Rule, ...] | None = None,
    mode: Mode = Mode.ENFORCE,
) -> SecurityPolicy:
    spec = PolicySpec(mode=mode, ingress=ingress, egress=egress)
    return SecurityPolicy(ResourceMeta(name, namespace), applies_to or AppliesTo(), spec)


def floor(
    name: str = "floor",
    *,
    selector: LabelBox | None = None,
    ingress: tuple[Rule, ...] | None = None,
    egress: tuple[Rule, ...] | None = None,
    mode: Mode = Mode.ENFORCE,
) -> ClusterSecurityPolicy:
    spec = PolicySpec(mode=mode, ingress=ingress, egress=egress)
    return ClusterSecurityPolicy(ResourceMeta(name), selector or LabelBox(), spec)


def pod(name: str, namespace: str = "shop", ip: str = "", **labels: str) -> Workload:
    """A pod that runs under the ServiceAccount of its name, with its identity label."""
    return Workload(namespace, name, name, {LABEL_IDENTITY: name, **labels}, (ip,) if ip else ())


def world(
    *policies: SecurityPolicy,
    floors: tuple[ClusterSecurityPolicy, ...] = (),
    pods: tuple[Workload, ...] = (),
    installation: Installation = INSTALLATION,
    namespaces: tuple[Namespace, ...] = (),
    identities: tuple[ServiceIdentity, ...] = (),
) -> World:
    """Namespaces shop (zone a, closed), bank (zone b, closed) and lab (not enrolled), three identities in each."""
    known = (enforced("shop", "a"), enforced("bank", "b"), Namespace.of("lab"), *namespaces)
    usual = tuple(identity(n, i) for n in ("shop", "bank", "lab") for i in ("api", "web", "db"))
    return World(
        installation=installation,
        namespaces={each.name: each for each in known},
        identities={
            each.name: {i.meta.name: i for i in (*usual, *identities) if i.meta.namespace == each.name}
            for each in known
        },
        policies={each.name: tuple(p for p in policies if p.meta.namespace == each.name) for each in known},
        cluster_policies=floors,
        workloads={each.name: tuple(p for p in pods if p.namespace == each.name) for each in known},
    )


def effective(known: World) -> Callable[[str], EffectivePolicy]:
    return cache(lambda namespace: resolve(known, namespace))


def findings(known: World, reason: str, namespace: str = "shop") -> list[Finding]:
    """The findings of one reason."""
    return [finding for finding in resolve(known, namespace).findings if finding.reason == reason]
