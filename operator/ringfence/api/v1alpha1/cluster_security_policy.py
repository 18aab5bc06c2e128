"""ClusterSecurityPolicy: a floor that no namespace can lower, and the exceptions from it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from ringfence.api.schema import Complaint, Field, ListOf, Obj, Resource, Rule, Text, at_least_one_of
from ringfence.api.v1alpha1 import identifiers, invariants, policies, traffic
from ringfence.api.v1alpha1.selectors import selector
from ringfence.model.resources import Kind


def moment(text: str) -> datetime:
    """The RFC 3339 time in UTC; raises ValueError for days that do not exist."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _no_such_day(text: str) -> Complaint | None:
    try:
        moment(text)
    except (ValueError, OverflowError):
        return Complaint(f'"{text}" is not a time that exists')
    return None


#: RFC 3339 §5.6, to the second, within this century; no leap seconds.
_UNTIL: Final = Text(
    description=(
        "When the exception ends, such as 2026-12-31T00:00:00Z (RFC 3339). From then on it does not count any more."
    ),
    pattern=(
        "^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
        "(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])$"
    ),
    what="a time such as 2026-12-31T00:00:00Z",
    max_length=25,
    format="date-time",
    rules=(Rule(test=_no_such_day),),
)

#: C0 and C1 controls, and the Unicode characters that turn, hide or break text.
_UNPRINTABLE: Final = r"\x00-\x1f\x7f-\x9f\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2060}-\x{2069}\x{feff}\x{fffd}"
_REASON: Final = Text(
    description="Why, in a sentence: who decided it, and what has to happen before it can go.",
    pattern=f"^[^{_UNPRINTABLE}]*[^ {_UNPRINTABLE}][^{_UNPRINTABLE}]*$",
    what="one line of text without control characters",
    max_length=1024,
)

_EXCEPTION: Final = Obj(
    description=(
        "Pods that need not satisfy some controls of cluster policies, for a reason and until a date. It frees a pod"
        " only when it covers everything that the pod breaks; two exceptions never combine."
    ),
    fields=(
        Field(
            name="name",
            node=replace(identifiers.DNS_LABEL, description="Tells the exception from the others."),
            required=True,
        ),
        Field(
            name="namespace",
            node=replace(identifiers.DNS_LABEL, description="The namespace of the pods."),
            required=True,
        ),
        Field(
            name="identities",
            node=ListOf(
                description="The ServiceIdentities of the pods.",
                items=replace(identifiers.DNS_SUBDOMAIN, description="The name of a ServiceIdentity of the namespace."),
                max_items=64,
                unique=True,
            ),
            required=True,
        ),
        Field(
            name="controls",
            node=ListOf(
                description="The controls that the pods need not satisfy, by the names that rejections show.",
                items=Text(
                    description="The name of a control.",
                    pattern="^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
                    what="the name of a control",
                    max_length=63,
                ),
                max_items=64,
                unique=True,
            ),
            required=True,
        ),
        Field(name="reason", node=_REASON, required=True),
        Field(name="until", node=_UNTIL, required=True),
    ),
)

_GRANT: Final = Obj(
    description="DNS names that certificates of some identities may carry.",
    fields=(
        Field(
            name="namespace",
            node=replace(identifiers.DNS_LABEL, description="The namespace of the identities."),
            required=True,
        ),
        Field(
            name="identities",
            node=ListOf(
                description="The ServiceIdentities that may have the names.",
                items=replace(identifiers.DNS_SUBDOMAIN, description="The name of a ServiceIdentity of the namespace."),
                max_items=64,
                unique=True,
            ),
            required=True,
        ),
        Field(
            name="dnsNames",
            node=ListOf(
                description="The names; *.example.com covers every name with one label before the suffix.",
                items=replace(identifiers.DNS_PATTERN, description="A DNS name, or *. and a suffix."),
                max_items=32,
                unique=True,
            ),
            required=True,
        ),
    ),
)

_SPEC: Final = Obj(
    description="What the policy demands.",
    fields=(
        Field(
            name="namespaceSelector",
            node=selector(
                "The enrolled namespaces with these labels; {} selects all of them. A namespace that is not enrolled is"
                " never governed. Labels that tenants may set, or leave out of a new namespace, let them leave the"
                " policy: select by those under ringfence.dev/, or by kubernetes.io/metadata.name."
            ),
            required=True,
        ),
        *policies.shared_fields(own_namespace=False),
        *invariants.FIELDS,
        Field(
            name="exceptions",
            node=ListOf(
                description="Pods that need not satisfy all of the admission levels, each with a reason and an end.",
                items=_EXCEPTION,
                max_items=64,
                key="name",
            ),
        ),
        Field(
            name="grants",
            node=ListOf(
                description=(
                    "DNS names that identities may ask for beyond those of the Services of their own namespace. They"
                    " hold wherever the named namespace is, whatever namespaceSelector says."
                ),
                items=_GRANT,
                max_items=64,
            ),
        ),
    ),
    rules=(
        at_least_one_of(
            (
                "transport",
                "ingress",
                "egress",
                "traffic",
                "admission",
                "jwtIssuers",
                "exceptions",
                "grants",
                *invariants.NAMES,
            ),
            "the policy",
        ),
        traffic.HEADERS_OF_RULES,
    ),
    hints={
        **policies.SPEC_HINTS,
        "appliesTo": Complaint("a ClusterSecurityPolicy governs whole namespaces", "write namespaceSelector"),
        "podSelector": Complaint("a ClusterSecurityPolicy governs whole namespaces", "write namespaceSelector"),
    },
)

CLUSTER_SECURITY_POLICY: Final = Resource(
    kind=Kind.CLUSTER_SECURITY_POLICY.value,
    plural="clustersecuritypolicies",
    short_name="csecpol",
    namespaced=False,
    description=(
        "A floor for every pod of the selected namespaces: its Deny rules and admission levels hold whatever a"
        " namespace's own policies say. Only here are exceptions granted."
    ),
    spec=Field(name="spec", node=_SPEC, required=True),
    status=policies.POLICY_STATUS,
    example="""
apiVersion: ringfence.dev/v1alpha1
kind: ClusterSecurityPolicy
metadata: {name: floor}
spec:
  namespaceSelector: {}
  egress:
    - name: no-cloud-credentials
      action: Deny
      to: [{cidr: 169.254.169.254/32}]
  admission: {podSecurity: baseline}
  neverAllow:
    - name: customers-never-reach-the-books
      from: [{anonymous: true}]
      to: [{zone: data}]
      through: [{identity: {namespace: shop, name: checkout}}]
  alwaysAllow:
    - name: metrics
      from: [{identity: {namespace: monitoring, name: prometheus}}]
      ports: [9090]
  exceptions:
    - name: log-collector
      namespace: logging
      identities: [collector]
      controls: [host-path]
      reason: Reads the nodes' logs until the collector of the platform replaces it (OPS-1234).
      until: "2027-03-31T00:00:00Z"
  grants:
    - {namespace: shop, identities: [payments], dnsNames: [payments.example.com]}
""",
    columns=(policies.MODE, policies.PODS, policies.READY, policies.REASON, policies.AGE, policies.MESSAGE),
)
