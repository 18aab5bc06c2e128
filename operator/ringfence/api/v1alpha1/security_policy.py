"""SecurityPolicy: what holds for pods of its own namespace."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from ringfence.api.schema import Complaint, Field, ListOf, Obj, Resource, Rule, at_least_one_of, exactly_one_of
from ringfence.api.v1alpha1 import identifiers, policies, traffic
from ringfence.api.v1alpha1.selectors import selector
from ringfence.model.resources import Kind


def _selects_all(value: Mapping[str, Any]) -> Complaint | None:
    return None if value else Complaint("is empty", "to govern every pod of the namespace, leave appliesTo out")


APPLIES_TO: Final = Obj(
    description=(
        "The pods of the namespace that the policy governs: exactly one of identities and podSelector. If left out,"
        " every pod of the namespace."
    ),
    fields=(
        Field(
            name="identities",
            node=ListOf(
                description="The pods of these ServiceIdentities of the namespace.",
                items=replace(identifiers.DNS_SUBDOMAIN, description="The name of a ServiceIdentity."),
                max_items=64,
                unique=True,
            ),
        ),
        Field(
            name="podSelector",
            node=selector(
                "The pods with these labels.",
                rules=(
                    Rule(
                        test=_selects_all,
                        cel="has(self.matchLabels) || has(self.matchExpressions)",
                        message="podSelector is empty: to govern every pod of the namespace, leave appliesTo out",
                    ),
                ),
            ),
        ),
    ),
    rules=(exactly_one_of(("identities", "podSelector"), "appliesTo"),),
    hints={"namespaceSelector": Complaint("a SecurityPolicy governs its own namespace", "use a ClusterSecurityPolicy")},
)

_SPEC: Final = Obj(
    description="What the policy demands.",
    fields=(Field(name="appliesTo", node=APPLIES_TO), *policies.shared_fields(own_namespace=True)),
    rules=(
        at_least_one_of(("transport", "ingress", "egress", "traffic", "admission", "jwtIssuers"), "the policy"),
        traffic.HEADERS_OF_RULES,
    ),
    hints={
        **policies.SPEC_HINTS,
        "podSelector": Complaint("is not a field here", "write it in appliesTo"),
        "identities": Complaint("is not a field here", "write it in appliesTo"),
        "namespaceSelector": Complaint("a SecurityPolicy governs its own namespace", "use a ClusterSecurityPolicy"),
        "exceptions": Complaint("only the platform grants exceptions", "use a ClusterSecurityPolicy"),
        "neverAllow": Complaint("invariants are the platform's", "use a ClusterSecurityPolicy"),
        "alwaysAllow": Complaint("invariants are the platform's", "use a ClusterSecurityPolicy"),
    },
)

SECURITY_POLICY: Final = Resource(
    kind=Kind.SECURITY_POLICY.value,
    plural="securitypolicies",
    short_name="secpol",
    namespaced=True,
    description=(
        "What holds for pods of this namespace: who may call them, what they may call, and what they must satisfy to"
        " be admitted. In a namespace with the label ringfence.dev/enroll=enforce all that no rule allows is denied."
    ),
    spec=Field(name="spec", node=_SPEC, required=True),
    status=policies.POLICY_STATUS,
    example="""
apiVersion: ringfence.dev/v1alpha1
kind: SecurityPolicy
metadata: {name: payments, namespace: shop}
spec:
  appliesTo: {identities: [payments]}
  ingress:
    - name: checkout-charges
      from: [{identity: {name: checkout}}]
      ports: [8443]
    - name: monitoring
      from: [{namespace: monitoring}]
      ports: [metrics]
    - name: never-from-the-lab
      action: Deny
      from: [{zone: lab}]
  egress:
    - name: bank
      to: [{cidr: 203.0.113.0/24, except: [203.0.113.128/25]}]
      ports: [443, {port: 9000, endPort: 9010}, {port: 123, protocol: UDP}]
  traffic:
    - name: charges
      ports: [8443]
      rateLimits:
        perCaller:
          {requests: 50, per: 1s, burst: 100, callers: [{identity: {name: checkout}, requests: 500, per: 1s}]}
        all: {requests: 2000, per: 1s}
      maxBody: 1Mi
      timeouts: {request: 30s}
  transport: {mtls: Strict}
  admission: {podSecurity: restricted}
""",
    columns=(policies.MODE, policies.PODS, policies.READY, policies.REASON, policies.AGE, policies.MESSAGE),
)
