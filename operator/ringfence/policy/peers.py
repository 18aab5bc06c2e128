"""From the peers that a rule names to pods by their labels and addresses: look-ups, and what they found missing.

Enrolment stays in the selector of every identity. So between the moment in which a namespace is un-enrolled and
the next compilation, its pods (whose identity labels nobody guards any more) already match nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from ringfence.model import hosts, resources
from ringfence.model.effective import (
    AddressPeers,
    Direction,
    EffectivePeer,
    EffectiveRule,
    Everyone,
    PodPeers,
    RuleRef,
    Unidentified,
)
from ringfence.model.labels import LabelBox, exists, one_of
from ringfence.model.names import (
    LABEL_ENROLL,
    LABEL_IDENTITY,
    LABEL_NAMESPACE_NAME,
    LABEL_ZONE,
    MAX_LABEL_VALUE,
)
from ringfence.model.net import IpSet
from ringfence.model.requests import Asks
from ringfence.model.resources import Action, Protocol
from ringfence.model.sources import SourceAttribute
from ringfence.model.spiffe import SpiffeId
from ringfence.model.world import Enrolment, Installation
from ringfence.policy import narrowing
from ringfence.policy.notes import Notes
from ringfence.policy.reasons import FindingReason
from ringfence.policy.sight import Name, Sight

ENROLLED: Final = one_of(Enrolment.AUDIT.value, Enrolment.ENFORCE.value)
IDENTIFIED: Final = LabelBox.of({LABEL_IDENTITY: exists()})

#: Addresses that no network gives to pods: link-local (RFC 3927, RFC 4291; where clouds serve credentials), loopback
#: and multicast. Were they taken for pods', a floor that closes 169.254.169.254 would hold back every Allow of pods
#: wherever the pods' ranges are not known.
NEVER_PODS: Final = ("127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "::1/128", "fe80::/10", "ff00::/8")

#: Every pod that has an identity.
ANY_IDENTITY: Final = PodPeers(LabelBox.of({LABEL_ENROLL: ENROLLED}), IDENTIFIED)
#: Every pod of the cluster.
ANY_POD: Final = PodPeers(LabelBox(), LabelBox())


@lru_cache(maxsize=4096)
def _enrolled_namespace(name: str) -> LabelBox:
    return LabelBox.of({LABEL_NAMESPACE_NAME: one_of(name), LABEL_ENROLL: ENROLLED})


@lru_cache(maxsize=16384)
def identity_pods(namespace: str, service_account: str) -> PodPeers:
    """The pods that run under a ServiceAccount of an enrolled namespace."""
    return PodPeers(_enrolled_namespace(namespace), LabelBox.of({LABEL_IDENTITY: one_of(service_account)}))


@lru_cache(maxsize=4096)
def identified_pods(namespace: str) -> PodPeers:
    """The pods with any identity of an enrolled namespace."""
    return PodPeers(_enrolled_namespace(namespace), IDENTIFIED)


@lru_cache(maxsize=4096)
def zone_pods(zone: str) -> PodPeers:
    """The pods with an identity in the namespaces of a zone."""
    return PodPeers(LabelBox.of({LABEL_ZONE: one_of(zone), LABEL_ENROLL: ENROLLED}), IDENTIFIED)


@lru_cache(maxsize=4096)
def namespace_pods(namespace: str) -> PodPeers:
    """Every pod of a namespace, enrolled or not."""
    return PodPeers(LabelBox.of({LABEL_NAMESPACE_NAME: one_of(namespace)}), LabelBox())


@lru_cache(maxsize=4096)
def cidr_addresses(cidr: str, excluded: tuple[str, ...], pod_cidrs: tuple[str, ...], covers_pods: bool) -> AddressPeers:
    """The addresses of a ``cidr`` peer; the pods' ranges are taken out unless the installation says otherwise."""
    addresses = IpSet.of(cidr, excluded)
    if not pod_cidrs:
        return AddressPeers(addresses, covers_pods=not addresses.minus_networks(NEVER_PODS).empty)
    if covers_pods:
        return AddressPeers(addresses, covers_pods=addresses.overlaps(pod_cidrs))
    return AddressPeers(addresses.minus_networks(pod_cidrs))


def api_server_addresses(api_server: Iterable[tuple[str, int]]) -> AddressPeers:
    """The endpoints of the API server, each address by itself; no pod ever has one of them."""
    hosts = sorted({address for address, _ in api_server})
    addresses = IpSet()
    for host in hosts:
        addresses |= IpSet.of(f"{host}/{128 if ':' in host else 32}")
    return AddressPeers(addresses)


def outside(known: Installation | Sight) -> IpSet:
    """The addresses to which a name of a host may lead: never those of pods or of the API server."""
    api_server = sorted({f"{host}/{128 if ':' in host else 32}" for host, _ in known.api_server})
    return hosts.outside(known.host_open, (*known.pod_cidrs, *api_server, *known.host_closed))


def outside_on(port: int, denies: Iterable[EffectiveRule], known: Installation | Sight) -> IpSet:
    """The same on a TCP port, less what Denies of egress name there."""
    left = outside(known)
    for rule in denies:
        if rule.ports.contains(Protocol.TCP, port):
            for peer in rule.peers:
                left = left.minus(peer.addresses) if isinstance(peer, AddressPeers) else left
    return left


def names_identities(peer: PodPeers) -> bool:
    """Whether a peer names pods by identity, not by the network alone."""
    return not peer.pods.get(LABEL_IDENTITY).absent


@dataclass(slots=True)
class PeerResolver:
    """Looks up the peers of one policy's rules in what they see; what is missing goes to ``notes``."""

    sight: Sight
    notes: Notes
    #: Whether each namespace that exists is enrolled.
    _enrolled: dict[str, bool] = field(init=False)
    #: The ServiceAccount of each identity that exists.
    _accounts: dict[Name, str] = field(init=False)

    def __post_init__(self) -> None:
        self._enrolled = dict(self.sight.namespaces)
        self._accounts = dict(self.sight.identities)

    def resolve(
        self, rule: resources.Rule, ref: RuleRef, direction: Direction
    ) -> tuple[tuple[EffectivePeer, ...], bool]:
        """The peers of a rule and whether all that was named exists. No peers means any authenticated identity."""
        found, complete = self._named(rule, ref, direction)
        return (self._narrowed(found, rule, ref) if rule.source else found), complete

    def _narrowed(
        self, peers: tuple[EffectivePeer, ...], rule: resources.Rule, ref: RuleRef
    ) -> tuple[EffectivePeer, ...]:
        """What the rule's conditions on the source leave of its peers."""
        for condition in rule.source:
            for name in condition.values if condition.test is Asks.IN else ():
                match condition.attribute:
                    case SourceAttribute.NAMESPACE:
                        self._namespace_exists(name, ref, f"namespace {name}")
                    case SourceAttribute.ZONE:
                        self._zone(name, ref)
        wanted = narrowing.asked(rule)
        accounts = () if wanted is None else dict(self.sight.labelled)[wanted]
        left = tuple(narrowing.narrowed(peers, rule.source, rule.action, accounts))
        if peers and not left:
            does = "allows" if rule.action is Action.ALLOW else "denies"
            self.notes.rule(
                ref,
                FindingReason.RULE_NEVER_MATCHES,
                f"{does} nothing: its conditions on the source hold for nobody that it names; correct them or from",
            )
        return left + narrowing.strangers(rule.source, rule.action, named=rule.peers is not None)

    def _named(
        self, rule: resources.Rule, ref: RuleRef, direction: Direction
    ) -> tuple[tuple[EffectivePeer, ...], bool]:
        if rule.peers is None:
            return (ANY_IDENTITY,), True
        found: list[EffectivePeer] = []
        complete = True
        named = sorted({peer.host for peer in rule.peers if isinstance(peer, resources.HostPeer)})
        if named:
            found.append(AddressPeers(outside(self.sight), hosts=tuple(named)))
        for peer in rule.peers:
            if isinstance(peer, resources.HostPeer):
                continue
            one = self._peer(peer, rule.action, ref)
            if one is None:
                complete = False
            else:
                found.append(one)
        if direction is Direction.EGRESS and any(isinstance(p, resources.ApiServerPeer) for p in rule.peers):
            self._check_api_server_port(rule, ref)
        return tuple(found), complete

    def _peer(self, peer: resources.Peer, action: Action, ref: RuleRef) -> EffectivePeer | None:
        found: EffectivePeer | None
        match peer:
            case resources.IdentityPeer(namespace, name):
                found = self._identity(namespace, name, action, ref)
            case resources.ZonePeer(name):
                found = self._zone(name, ref)
            case resources.NamespacePeer(name):
                found = self._namespace(name, ref)
            case resources.SpiffePeer(spiffe_id):
                found = self._spiffe(spiffe_id, action, ref)
            case resources.CidrPeer():
                found = self._cidr(peer, ref)
            case resources.ApiServerPeer():
                found = self._api_server(ref)
            case resources.HostPeer():
                raise AssertionError("names of hosts are resolved together")
            case resources.AnonymousPeer():
                # Whoever can come with an identity can come without it, so an Allow opens to everyone. A Deny can
                # only name those that certainly have none.
                found = Everyone() if action is Action.ALLOW else Unidentified()
        return found

    def _identity(self, namespace: str, name: str, action: Action, ref: RuleRef) -> EffectivePeer | None:
        # A ServiceIdentity belongs to the admins of its own namespace. An Allow that loses it closes. A Deny must not
        # be lifted by whom it denies, so it then names every identity of that namespace.
        missing = identified_pods(namespace) if action is Action.DENY else None
        if not self._namespace_exists(namespace, ref, f"identity {namespace}/{name}"):
            return missing
        account = self._accounts.get((namespace, name))
        if account is None:
            means = "it denies every identity of that namespace meanwhile" if missing else "it matches no pod"
            self.notes.rule(
                ref,
                FindingReason.UNKNOWN_IDENTITY,
                f"names identity {namespace}/{name}, which does not exist: {means}; "
                f"create ServiceIdentity {name} in namespace {namespace} or correct the name",
            )
            return missing
        return self._service_account(namespace, account, f"identity {namespace}/{name}", ref)

    def _service_account(self, namespace: str, service_account: str, what: str, ref: RuleRef) -> EffectivePeer | None:
        if not self._enrolled[namespace]:
            self.notes.rule(
                ref,
                FindingReason.NAMESPACE_NOT_ENROLLED,
                f"names {what}, whose namespace is not enrolled: it matches no pod until that is; "
                f"enrol {namespace}, or name its pods by `namespace: {namespace}`",
            )
        if len(service_account) > MAX_LABEL_VALUE:
            return None  # said once, on the ServiceIdentity
        return identity_pods(namespace, service_account)

    def _zone(self, name: str, ref: RuleRef) -> EffectivePeer:
        if name not in self.sight.zones:
            self.notes.rule(
                ref,
                FindingReason.UNKNOWN_ZONE,
                f"names zone {name}, which no namespace is in: it matches no pod until one has the label "
                f"{LABEL_ZONE}: {name}",
            )
        return zone_pods(name)

    def _namespace(self, name: str, ref: RuleRef) -> EffectivePeer:
        self._namespace_exists(name, ref, f"namespace {name}")
        return namespace_pods(name)

    def _namespace_exists(self, namespace: str, ref: RuleRef, what: str) -> bool:
        if namespace in self._enrolled:
            return True
        self.notes.rule(
            ref,
            FindingReason.UNKNOWN_NAMESPACE,
            f"names {what}, but there is no namespace {namespace}: it matches no pod; correct the name or create it",
        )
        return False

    def _spiffe(self, spiffe_id: str, action: Action, ref: RuleRef) -> EffectivePeer | None:
        parsed = SpiffeId.parse(spiffe_id)
        account = parsed.service_account() if parsed.trust_domain == self.sight.trust_domain else None
        if account is None:
            own = SpiffeId(self.sight.trust_domain, "/ns/NAMESPACE/sa/SERVICEACCOUNT")
            self.notes.rule(
                ref,
                FindingReason.FOREIGN_SPIFFE_ID,
                f"names {spiffe_id}, which no pod of this cluster can have: network policies cannot match it; "
                f"identities of this cluster are {own}",
            )
            return None
        namespace, service_account = account
        if not self._namespace_exists(namespace, ref, spiffe_id):
            return identity_pods(namespace, service_account) if action is Action.DENY else None
        if action is Action.DENY:
            # It names the ServiceAccount itself: no resource of the denied namespace can change what it means.
            return self._service_account(namespace, service_account, spiffe_id, ref)
        if account not in self.sight.accounts:
            self.notes.rule(
                ref,
                FindingReason.UNKNOWN_IDENTITY,
                f"names {spiffe_id}, but no ServiceIdentity of namespace {namespace} rests on ServiceAccount "
                f"{service_account}: it matches no pod; create one",
            )
            return None
        return self._service_account(namespace, service_account, spiffe_id, ref)

    def _cidr(self, peer: resources.CidrPeer, ref: RuleRef) -> EffectivePeer | None:
        found = cidr_addresses(peer.cidr, peer.excluded, self.sight.pod_cidrs, self.sight.cidr_covers_pods)
        if not found.addresses.empty:
            return found
        self.notes.rule(
            ref,
            FindingReason.RULE_NEVER_MATCHES,
            f"names {peer.cidr}, but nothing is left of it: addresses of pods are never named by cidr; "
            "name the pods by identity, zone or namespace",
        )
        return None

    def _api_server(self, ref: RuleRef) -> EffectivePeer | None:
        if self.sight.api_server:
            return api_server_addresses(self.sight.api_server)
        self.notes.rule(
            ref,
            FindingReason.API_SERVER_UNKNOWN,
            "names the API server, whose addresses are not known: it matches nothing; check the EndpointSlices of "
            "Service default/kubernetes or set `apiServer` in the chart",
        )
        return None

    def _check_api_server_port(self, rule: resources.Rule, ref: RuleRef) -> None:
        listening = sorted({port for _, port in self.sight.api_server})
        if rule.ports is None or rule.action is Action.DENY or not listening:
            return
        if _opens(rule.ports, listening):
            return
        ports = ", ".join(str(port) for port in listening)
        self.notes.rule(
            ref,
            FindingReason.API_SERVER_PORT,
            f"opens no port on which the API server listens ({ports}): a NetworkPolicy sees the port behind the "
            f"Service, so write ports: [{ports}]",
        )


def _opens(ports: Iterable[resources.PortSpec], wanted: Iterable[int]) -> bool:
    """Whether any of ``wanted`` is among the TCP ``ports``."""
    return any(
        isinstance(spec.port, int)
        and spec.protocol is resources.Protocol.TCP
        and any(spec.port <= port <= (spec.end_port or spec.port) for port in wanted)
        for spec in ports
    )
