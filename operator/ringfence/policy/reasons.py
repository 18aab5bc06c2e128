"""The codes of findings: stable CamelCase words that conditions, Events, tests and scripts rely on.

They stand in one place so that each has one meaning and the documentation can list them all.
"""

from enum import StrEnum


class FindingReason(StrEnum):
    """Why a person should look at a resource."""

    #: A rule or ``appliesTo`` names a ServiceIdentity that does not exist.
    UNKNOWN_IDENTITY = "UnknownIdentity"
    #: A rule names a namespace that does not exist.
    UNKNOWN_NAMESPACE = "UnknownNamespace"
    #: A rule names a zone that no namespace is in.
    UNKNOWN_ZONE = "UnknownZone"
    #: A rule names an identity of a namespace that is not enrolled, or a policy stands in one: it has no effect there.
    NAMESPACE_NOT_ENROLLED = "NamespaceNotEnrolled"
    #: A rule names a SPIFFE ID that no pod of this cluster can have.
    FOREIGN_SPIFFE_ID = "ForeignSpiffeId"
    #: A rule names the API server, whose addresses are not known.
    API_SERVER_UNKNOWN = "ApiServerUnknown"
    #: An egress rule opens ports towards the API server on which it does not listen.
    API_SERVER_PORT = "ApiServerPort"
    #: No pod of the namespace is governed by the policy.
    SELECTS_NO_PODS = "SelectsNoPods"
    #: A Deny overlaps an Allow in a way that no NetworkPolicy can express: the Allow is not in force.
    RULE_SUSPENDED = "RuleSuspended"
    #: The same, would the policies in mode Audit be enforced.
    WOULD_BE_SUSPENDED = "WouldBeSuspended"
    #: All that an Allow names is denied, nothing of what it names exists, or its conditions contradict each other.
    RULE_NEVER_MATCHES = "RuleNeverMatches"
    #: A rule is about requests, and no proxy judges them: an Allow allows nothing, a Deny denies everything.
    REQUESTS_NOT_JUDGED = "RequestsNotJudged"
    #: A rule names hosts, and no proxy looks at names: it opens none of them.
    HOSTS_NOT_JUDGED = "HostsNotJudged"
    #: A rule names a host that a wildcard opens anyway.
    HOST_SHADOWED = "HostShadowed"
    #: A rule is about requests on a port that carries bytes: an Allow allows nothing there, a Deny denies everything.
    REQUESTS_NOT_SEEN = "RequestsNotSeen"
    #: A rule asks for a token of an issuer that no policy declares which holds there.
    UNKNOWN_ISSUER = "UnknownIssuer"
    #: Two ClusterSecurityPolicies declare one issuer in different ways: no token of it counts.
    ISSUER_CONFLICT = "IssuerConflict"
    #: The keys of an issuer would be fetched from a host that the platform does not list: no token of it counts.
    JWKS_HOST_NOT_LISTED = "JwksHostNotListed"
    #: A Deny names DNS or another service that stays open.
    BUILTIN_STAYS_OPEN = "BuiltinStaysOpen"
    #: A policy says what its pods speak, and there are no proxies that would speak it.
    NO_PROXIES = "NoProxies"
    #: Two ServiceIdentities rest on one ServiceAccount.
    DUPLICATE_SERVICE_ACCOUNT = "DuplicateServiceAccount"
    #: A ServiceAccount whose name is too long for a label cannot be an identity.
    INVALID_SERVICE_ACCOUNT = "InvalidServiceAccount"
    #: Pods in the network of their node, which no NetworkPolicy governs.
    HOST_NETWORK_PODS = "HostNetworkPods"
    #: Pods that could go past their NetworkPolicies or their proxy.
    WAYS_PAST = "WaysPast"
    #: Pods whose addresses lie outside the configured ranges of pods.
    PODS_OUTSIDE_RANGES = "PodsOutsideRanges"
    #: A namespace to be enforced still runs pods from before its enrolment.
    STAGED = "Staged"
    #: A namespace to be enforced holds NetworkPolicies that are not Ringfence's.
    STRANGERS_NETWORK_POLICIES = "StrangersNetworkPolicies"
    #: A namespace that must stay open carries the enrol label.
    NAMESPACE_EXEMPT = "NamespaceExempt"
    #: So many policies overlap that the result would have too many pieces; it stays closed.
    TOO_COMPLEX = "TooComplex"
