"""The kinds that Ringfence reads or writes, and where the API server serves them.

A table instead of discovery: the set is closed, and a process that starts while an aggregated API is down must not
wait for it. The one kind that not every API server has stands here in each of its versions.
"""

from dataclasses import dataclass
from typing import Final

from ringfence.model.names import API_VERSION


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind and its place: ``api_version`` as objects carry it (``v1``, ``networking.k8s.io/v1``)."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """URL path of the collection, of an object, or of its subresource; no namespace lists all namespaces."""
        root = "/api/" if "/" not in self.api_version else "/apis/"
        parts = [root + self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


NAMESPACES: Final = Resource("v1", "Namespace", "namespaces", namespaced=False)
PODS: Final = Resource("v1", "Pod", "pods")
SECRETS: Final = Resource("v1", "Secret", "secrets")
SERVICES: Final = Resource("v1", "Service", "services")
SERVICE_ACCOUNTS: Final = Resource("v1", "ServiceAccount", "serviceaccounts")
CONFIG_MAPS: Final = Resource("v1", "ConfigMap", "configmaps")
ENDPOINT_SLICES: Final = Resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
NETWORK_POLICIES: Final = Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
ROLE_BINDINGS: Final = Resource("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
LEASES: Final = Resource("coordination.k8s.io/v1", "Lease", "leases")
EVENTS: Final = Resource("events.k8s.io/v1", "Event", "events")
DEPLOYMENTS: Final = Resource("apps/v1", "Deployment", "deployments")
STATEFUL_SETS: Final = Resource("apps/v1", "StatefulSet", "statefulsets")
DAEMON_SETS: Final = Resource("apps/v1", "DaemonSet", "daemonsets")
REPLICA_SETS: Final = Resource("apps/v1", "ReplicaSet", "replicasets")
JOBS: Final = Resource("batch/v1", "Job", "jobs")
CRON_JOBS: Final = Resource("batch/v1", "CronJob", "cronjobs")
CUSTOM_RESOURCE_DEFINITIONS: Final = Resource(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)
VALIDATING_WEBHOOKS: Final = Resource(
    "admissionregistration.k8s.io/v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    namespaced=False,
)
MUTATING_WEBHOOKS: Final = Resource(
    "admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", namespaced=False
)
ADMISSION_POLICIES: Final = Resource(
    "admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", namespaced=False
)
ADMISSION_POLICY_BINDINGS: Final = Resource(
    "admissionregistration.k8s.io/v1",
    "ValidatingAdmissionPolicyBinding",
    "validatingadmissionpolicybindings",
    namespaced=False,
)
#: One kind, newest version first; which of them an API server has, if any, must be asked (kube.trust_bundles).
CLUSTER_TRUST_BUNDLES: Final = tuple(
    Resource(f"certificates.k8s.io/{version}", "ClusterTrustBundle", "clustertrustbundles", namespaced=False)
    for version in ("v1", "v1beta1", "v1alpha1")
)
SERVICE_IDENTITIES: Final = Resource(API_VERSION, "ServiceIdentity", "serviceidentities")
SECURITY_POLICIES: Final = Resource(API_VERSION, "SecurityPolicy", "securitypolicies")
CLUSTER_SECURITY_POLICIES: Final = Resource(
    API_VERSION, "ClusterSecurityPolicy", "clustersecuritypolicies", namespaced=False
)
POLICY_REPORTS: Final = Resource("wgpolicyk8s.io/v1alpha2", "PolicyReport", "policyreports")
OPEN_REPORTS: Final = Resource("openreports.io/v1alpha1", "Report", "reports")
IMAGE_VERDICTS: Final = Resource(API_VERSION, "ImageVerdict", "imageverdicts")

ALL: Final = (
    IMAGE_VERDICTS,
    NAMESPACES,
    PODS,
    SECRETS,
    SERVICES,
    SERVICE_ACCOUNTS,
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    NETWORK_POLICIES,
    ROLE_BINDINGS,
    LEASES,
    EVENTS,
    DEPLOYMENTS,
    STATEFUL_SETS,
    DAEMON_SETS,
    REPLICA_SETS,
    JOBS,
    CRON_JOBS,
    CUSTOM_RESOURCE_DEFINITIONS,
    VALIDATING_WEBHOOKS,
    MUTATING_WEBHOOKS,
    ADMISSION_POLICIES,
    ADMISSION_POLICY_BINDINGS,
    *CLUSTER_TRUST_BUNDLES,
    SERVICE_IDENTITIES,
    SECURITY_POLICIES,
    CLUSTER_SECURITY_POLICIES,
    POLICY_REPORTS,
    OPEN_REPORTS,
)

_BY_KIND: Final = {(resource.api_version, resource.kind): resource for resource in ALL}


def of(api_version: str, kind: str) -> Resource:
    """The resource of an object's ``apiVersion`` and ``kind``; KeyError for one that Ringfence has no business with."""
    return _BY_KIND[api_version, kind]
