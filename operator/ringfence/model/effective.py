"""The effective policy of a namespace: the one meaning that every output is translated from.

Names are looked up, defaults filled in, floors merged. A rule matches a call when its subject matches the pod that
it governs, one of its peers the other end, and its ports the port at the target.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from ringfence.model.demands import Setting
from ringfence.model.labels import LabelBox
from ringfence.model.net import IpSet, PortSet
from ringfence.model.requests import Requests
from ringfence.model.resources import Action, Mode, PodSecurityException, PodSecurityLevel, Transport
from ringfence.model.signatures import SignatureRule
from ringfence.model.tokens import Issuer
from ringfence.model.traffic import Asks
from ringfence.model.world import Enrolment


class Direction(StrEnum):
    """Seen from the pod that a rule governs."""

    INGRESS = "ingress"
    EGRESS = "egress"


@dataclass(frozen=True, slots=True, order=True)
class RuleRef:
    """Where a rule was written. ``kind`` is SecurityPolicy, ClusterSecurityPolicy or ``Builtin`` (DNS and the like)."""

    kind: str
    namespace: str
    policy: str
    rule: str

    @property
    def owner(self) -> str:
        """The policy alone: ``SecurityPolicy shop/payments``, ``ClusterSecurityPolicy floor``."""
        return f"{self.kind} {self.namespace}/{self.policy}" if self.namespace else f"{self.kind} {self.policy}"

    def __str__(self) -> str:
        return f"{self.owner} rule {self.rule}"


@dataclass(frozen=True, slots=True)
class PodPeers:
    """Pods: those in namespaces that ``namespaces`` matches (over Namespace labels) and that ``pods`` matches."""

    namespaces: LabelBox
    pods: LabelBox


@dataclass(frozen=True, slots=True)
class AddressPeers:
    """Addresses. ``covers_pods`` says that pods with such an address match too.

    ``hosts`` (patterns of model.hosts, sorted): not the addresses are meant but hosts of these names there, which only
    a proxy can tell apart (policy.held). A network sees the addresses.
    """

    addresses: IpSet
    covers_pods: bool = False
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Everyone:
    """Every caller: anyone can come without an identity."""


@dataclass(frozen=True, slots=True)
class Unidentified:
    """Callers that certainly have no identity (what a Deny of ``anonymous`` can name at layer 4)."""


EffectivePeer = PodPeers | AddressPeers | Everyone | Unidentified


@dataclass(frozen=True, slots=True)
class EffectiveRule:
    """One rule, resolved. ``peers`` may be empty when nothing of what was named exists: it then matches nothing.

    ``denied_by`` are the enforced Denies that overlap this Allow, sorted. ``suspended_by`` names the one that
    overlaps it in a way that no NetworkPolicy can express: such an Allow is in force nowhere. ``suspended_in_audit``
    names the Deny that would do so if the policies in mode Audit were enforced. ``builtin`` rules cannot be denied.
    ``requests`` are those that the rule is about, None for whatever is sent; a proxy judges them (policy.held).
    ``tunnels``: sets of requests tell CONNECT apart (policy.tunnels); no rule as it is resolved says so.
    """

    ref: RuleRef
    direction: Direction
    action: Action
    mode: Mode
    subject: LabelBox
    peers: tuple[EffectivePeer, ...]
    ports: PortSet
    denied_by: tuple[RuleRef, ...] = ()
    suspended_by: RuleRef | None = None
    suspended_in_audit: RuleRef | None = None
    builtin: bool = False
    requests: Requests | None = None
    tunnels: bool = False
    _hash: int = field(default=0, init=False, repr=False, compare=False, hash=False)

    @property
    def hosts(self) -> tuple[AddressPeers, ...]:
        """The peers that are names of hosts."""
        return tuple(peer for peer in self.peers if isinstance(peer, AddressPeers) and peer.hosts)

    @property
    def others(self) -> tuple[EffectivePeer, ...]:
        """The peers that are not names of hosts."""
        return tuple(peer for peer in self.peers if not (isinstance(peer, AddressPeers) and peer.hosts))

    def __hash__(self) -> int:
        # Kept: rules are the keys by which compiled results are found again.
        if not self._hash:
            key = (
                self.ref,
                self.direction,
                self.action,
                self.mode,
                self.subject,
                self.peers,
                self.ports,
                self.requests,
                self.tunnels,
            )
            object.__setattr__(self, "_hash", hash(key) or 1)
        return self._hash


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something that a person must know about a resource; becomes a condition and an Event.

    ``reason`` is a stable CamelCase code (see policy.reasons), ``subject`` the resource as
    (kind, namespace, name).
    """

    subject: tuple[str, str, str]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class AdmissionRequirement:
    """A Pod Security level that pods of the subject must satisfy, and who asked for it.

    ``version`` is N for the level as Kubernetes 1.N has it, None for the newest that is known.
    """

    subject: LabelBox
    level: PodSecurityLevel
    mode: Mode
    ref: RuleRef
    version: int | None = None


@dataclass(frozen=True, slots=True)
class ControlDemand:
    """Controls beyond Pod Security that pods of the subject must satisfy, and who asked for them."""

    subject: LabelBox
    settings: tuple[Setting, ...]
    mode: Mode
    ref: RuleRef
    _hash: int = field(default=0, init=False, repr=False, compare=False, hash=False)

    def __hash__(self) -> int:
        # Kept: demands are the keys by which the plan of a review is found again.
        if not self._hash:
            object.__setattr__(self, "_hash", hash((self.settings, self.mode, self.ref)) or 1)
        return self._hash


@dataclass(frozen=True, slots=True)
class SignatureDemand:
    """Images of pods of the subject must be signed as the rule says, and who asked for it."""

    subject: LabelBox
    rule: SignatureRule
    mode: Mode
    ref: RuleRef


@dataclass(frozen=True, slots=True)
class EffectiveTraffic:
    """What an entry of ``traffic`` asks of the ports of its pods; ``ref.rule`` is the name of the entry."""

    ref: RuleRef
    mode: Mode
    subject: LabelBox
    ports: PortSet
    asks: Asks


@dataclass(frozen=True, slots=True)
class EffectivePolicy:
    """All that holds in one namespace. Tuples are sorted by ref, so equal meaning is equal value.

    ``closed`` says that the network is default deny now (enrolled to enforce and no longer staged).
    ``service_accounts`` maps ServiceAccount to the name of its ServiceIdentity.
    ``egress_listed`` are the pods that need an egress Allow: a policy that applies to them has ``egress``.
    ``traffic`` has what ClusterSecurityPolicies ask before what SecurityPolicies ask.
    """

    namespace: str
    enrolment: Enrolment
    closed: bool
    service_accounts: tuple[tuple[str, str], ...] = ()
    rules: tuple[EffectiveRule, ...] = ()
    egress_listed: tuple[LabelBox, ...] = ()
    egress_listed_audit: tuple[LabelBox, ...] = ()
    transport: tuple[tuple[LabelBox, Transport], ...] = ()
    traffic: tuple[EffectiveTraffic, ...] = ()
    #: Pods, the key of an issuer, and the issuer whose tokens their proxies check.
    issuers: tuple[tuple[LabelBox, str, Issuer], ...] = ()
    #: What proxies call by themselves, as Allows of egress (policy.fetches): for the network alone, no program's calls.
    fetches: tuple[EffectiveRule, ...] = ()
    admission: tuple[AdmissionRequirement, ...] = ()
    demands: tuple[ControlDemand, ...] = ()
    signatures: tuple[SignatureDemand, ...] = ()
    exceptions: tuple[PodSecurityException, ...] = ()
    findings: tuple[Finding, ...] = ()
