"""Ringfence's three resources as values: what a user wrote, checked and with its defaults, names not yet looked up.

Only ``api`` makes these, so whoever holds one holds something well formed.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ringfence.model.demands import Setting
from ringfence.model.labels import LabelBox
from ringfence.model.requests import HttpMatch, Requests
from ringfence.model.signatures import SignatureRule
from ringfence.model.sources import SourceCondition
from ringfence.model.tokens import Issuer
from ringfence.model.traffic import Asks


class Kind(StrEnum):
    """The kinds of group ringfence.dev."""

    SERVICE_IDENTITY = "ServiceIdentity"
    SECURITY_POLICY = "SecurityPolicy"
    CLUSTER_SECURITY_POLICY = "ClusterSecurityPolicy"


class Mode(StrEnum):
    """Whether a policy contributes to enforcement, or is only evaluated and reported."""

    ENFORCE = "Enforce"
    AUDIT = "Audit"


class Action(StrEnum):
    """What a rule does with the calls that it matches; Deny wins over every Allow."""

    ALLOW = "Allow"
    DENY = "Deny"


class Protocol(StrEnum):
    """Transport protocols that a port can have."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


class MTLS(StrEnum):
    """Transport modes, from loosest to strictest."""

    DISABLED = "Disabled"
    PERMISSIVE = "Permissive"
    STRICT = "Strict"


class PodSecurityLevel(StrEnum):
    """The Pod Security Standards of Kubernetes, from loosest to strictest."""

    PRIVILEGED = "privileged"
    BASELINE = "baseline"
    RESTRICTED = "restricted"


#: The newest version of the Pod Security Standards that the controls know: that of Kubernetes 1.35.
NEWEST_POD_SECURITY: Final = 35


@dataclass(frozen=True, slots=True)
class ResourceMeta:
    """What every resource has; ``namespace`` is empty for cluster-scoped kinds, ``generation`` 0 when from a file.

    ``source`` is where it was read (``file:line`` or empty for the cluster).
    """

    name: str
    namespace: str = ""
    generation: int = 0
    uid: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """Wishes for the identity's certificates; ``ttl`` in seconds (600..86400), ``renew_at`` a share (0, 1)."""

    ttl: int = 4 * 3600
    renew_at: float = 0.25
    key_algorithm: str = "ECDSA-P256"
    dns_names: tuple[str, ...] = ()
    secret_name: str = ""


@dataclass(frozen=True, slots=True)
class ServiceIdentity:
    """An identity: the ServiceAccount it rests on (default: the name of the resource).

    ``labels``, sorted by name, are what conditions of rules may ask of it.
    """

    meta: ResourceMeta
    service_account: str
    certificate: Certificate = Certificate()
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PortSpec:
    """A port of the pod: a number 1..65535 (with ``end_port`` a range, inclusive) or a container port's name."""

    port: int | str
    end_port: int | None = None
    protocol: Protocol = Protocol.TCP


@dataclass(frozen=True, slots=True)
class IdentityPeer:
    """The ServiceIdentity of this name."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class ZonePeer:
    """Every identity of the namespaces labelled ``ringfence.dev/zone: <name>``."""

    name: str


@dataclass(frozen=True, slots=True)
class NamespacePeer:
    """Every pod of the namespace, enrolled or not, by network identity only."""

    name: str


@dataclass(frozen=True, slots=True)
class SpiffePeer:
    """A SPIFFE ID in full; of another trust domain it resolves to nothing at layer 4."""

    spiffe_id: str


@dataclass(frozen=True, slots=True)
class CidrPeer:
    """Addresses, as a canonical network (``10.0.0.0/8``, ``2001:db8::/32``) less ``excluded``; implies anonymous."""

    cidr: str
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostPeer:
    """Hosts outside by name (egress Allows only): in lower case, ``*.`` before it for exactly one label."""

    host: str


@dataclass(frozen=True, slots=True)
class ApiServerPeer:
    """The Kubernetes API server."""


@dataclass(frozen=True, slots=True)
class AnonymousPeer:
    """Callers with no identity (ingress only)."""


Peer = IdentityPeer | ZonePeer | NamespacePeer | SpiffePeer | CidrPeer | HostPeer | ApiServerPeer | AnonymousPeer


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; ``peers`` None means any authenticated identity, ``ports`` None every port. Neither is ever empty.

    ``requests`` (of ingress rules whose ports are TCP) narrows it to these; None means whatever is sent. ``source``
    narrows the peers of an ingress rule to those of whom all of it holds.
    """

    name: str
    action: Action
    peers: tuple[Peer, ...] | None
    ports: tuple[PortSpec, ...] | None
    requests: Requests | None = None
    source: tuple[SourceCondition, ...] = ()


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a policy asks of the requests to some ports (TCP; None: every one), once a caller is let in."""

    name: str
    ports: tuple[PortSpec, ...] | None
    asks: Asks


@dataclass(frozen=True, slots=True)
class AppliesTo:
    """Which pods of the namespace a policy governs: exactly one of the fields is set, or none for every pod."""

    identities: tuple[str, ...] | None = None
    pod_selector: LabelBox | None = None


@dataclass(frozen=True, slots=True)
class Transport:
    """Transport wishes; ``min_tls_version`` is "1.2" or "1.3"."""

    mtls: MTLS = MTLS.STRICT
    min_tls_version: str = "1.3"


@dataclass(frozen=True, slots=True)
class AdmissionSpec:
    """What pods must satisfy; None leaves it to other policies.

    ``pod_security_version`` is N where the level is meant as Kubernetes 1.N has it, None for the newest that is known.
    """

    pod_security: PodSecurityLevel | None = None
    pod_security_version: int | None = None
    #: Controls beyond Pod Security, sorted by control; each at most once.
    controls: tuple[Setting, ...] = ()
    #: By name.
    signatures: tuple[SignatureRule, ...] = ()


@dataclass(frozen=True, slots=True)
class PodSecurityException:
    """Pods that a floor does not bind: who, what, why and until when.

    ``until`` is RFC 3339 in UTC; after it the exception does not count. ``controls`` are control ids, ``policy`` the
    ClusterSecurityPolicy that grants it.
    """

    name: str
    namespace: str
    identities: tuple[str, ...]
    controls: tuple[str, ...]
    reason: str
    until: str
    policy: str = ""


@dataclass(frozen=True, slots=True)
class DnsGrant:
    """DNS names that certificates of these identities may carry beyond those of their own Services.

    ``dns_names`` are exact names, or ``*.suffix`` for any one label before the suffix.
    """

    namespace: str
    identities: tuple[str, ...]
    dns_names: tuple[str, ...]


class Promise(StrEnum):
    """What an invariant says of the calls that it names."""

    NEVER = "never"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Invariant:
    """What must hold whatever the policies say, proven over all of them.

    ``sources`` None is whoever can call, ``targets`` None every pod of an enrolled namespace, ``ports`` None every
    port. ``unless`` are callers that it says nothing of. NEVER alone: ``direct`` leaves out what goes through others,
    and ``through`` are pods that calls may go through. ``http``: it is about these requests only (of the last call).
    ``policy`` is the ClusterSecurityPolicy that says it.
    """

    promise: Promise
    name: str
    sources: tuple[Peer, ...] | None
    targets: tuple[Peer, ...] | None
    ports: tuple[PortSpec, ...] | None = None
    unless: tuple[Peer, ...] = ()
    direct: bool = True
    through: tuple[Peer, ...] = ()
    policy: str = ""
    http: tuple[HttpMatch, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """What SecurityPolicy and ClusterSecurityPolicy share; ``ingress``/``egress`` None when the section is absent."""

    mode: Mode = Mode.ENFORCE
    transport: Transport | None = None
    ingress: tuple[Rule, ...] | None = None
    egress: tuple[Rule, ...] | None = None
    admission: AdmissionSpec = AdmissionSpec()
    traffic: tuple[Traffic, ...] = ()
    #: Of tokens, by name.
    issuers: tuple[Issuer, ...] = ()
    _hash: int = field(default=0, init=False, repr=False, compare=False, hash=False)

    def __hash__(self) -> int:
        # Kept: policies are long, and the keys by which what they mean is found again.
        if not self._hash:
            key = (self.mode, self.transport, self.ingress, self.egress, self.admission, self.traffic, self.issuers)
            object.__setattr__(self, "_hash", hash(key) or 1)
        return self._hash


@dataclass(frozen=True, slots=True)
class SecurityPolicy:
    """A policy for pods of its own namespace."""

    meta: ResourceMeta
    applies_to: AppliesTo
    spec: PolicySpec


@dataclass(frozen=True, slots=True)
class ClusterSecurityPolicy:
    """A floor for every pod of the selected namespaces (``namespace_selector`` over the Namespaces' labels)."""

    meta: ResourceMeta
    namespace_selector: LabelBox
    spec: PolicySpec
    exceptions: tuple[PodSecurityException, ...] = ()
    grants: tuple[DnsGrant, ...] = ()
    invariants: tuple[Invariant, ...] = ()
