"""Kinds beside NetworkPolicy by which tenants open paths, as networks that enforce NetworkPolicies define them.

What such an object allows is allowed whatever NetworkPolicies say: it is added to them, or is asked before them.
Calico's NetworkSets are among them: Calico selects by labels whatever carries them, and addresses with the labels of
pods would count as those pods. Left out are kinds that only close or only propose, kinds for the whole cluster, which
RBAC gives to the platform, and what a network's own parts write for each other (ADR 0277 lists them).
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ForeignPolicy:
    """A namespaced kind: ``group`` and ``plural`` as a request has them, ``kind`` as its objects do."""

    group: str
    plural: str
    kind: str


#: Sorted by group. None of them need be installed.
FOREIGN: Final = (
    ForeignPolicy("cilium.io", "ciliumnetworkpolicies", "CiliumNetworkPolicy"),
    ForeignPolicy("crd.antrea.io", "networkpolicies", "NetworkPolicy"),
    # Where Calico keeps what comes by its aggregated API, of which this API server sees nothing else.
    ForeignPolicy("crd.projectcalico.org", "networkpolicies", "NetworkPolicy"),
    ForeignPolicy("crd.projectcalico.org", "networksets", "NetworkSet"),
    ForeignPolicy("networking.gke.io", "fqdnnetworkpolicies", "FQDNNetworkPolicy"),
    ForeignPolicy("networking.k8s.aws", "applicationnetworkpolicies", "ApplicationNetworkPolicy"),
    ForeignPolicy("projectcalico.org", "networkpolicies", "NetworkPolicy"),
    ForeignPolicy("projectcalico.org", "networksets", "NetworkSet"),
)
