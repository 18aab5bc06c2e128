"""Names that the cluster sees: the API group, reserved labels, and what Kubernetes accepts as a name.

They stand in one place because a label that two modules spell differently is a hole.
"""

import re
from typing import Final

GROUP: Final = "ringfence.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

#: Reserved on Pods and Namespaces: only Ringfence (and whoever may ``enroll``) writes ``ringfence.dev/*``.
RESERVED_PREFIX: Final = f"{GROUP}/"
LABEL_IDENTITY: Final = f"{GROUP}/identity"
LABEL_ENROLL: Final = f"{GROUP}/enroll"
LABEL_ZONE: Final = f"{GROUP}/zone"

#: Set by the API server on every Namespace; nobody can forge it (KEP-2161).
LABEL_NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"

#: On every object that Ringfence writes and may prune.
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "ringfence"
#: Which compiled set an object belongs to: pruning looks at this label and the one above.
LABEL_PURPOSE: Final = f"{GROUP}/purpose"

#: A Secret of this name in an enrolled namespace holds the certificate of the ServiceAccount that is named before it.
#: Nobody looks that up: it holds before the Secret exists, and with nothing of Ringfence's running.
IDENTITY_SECRET_SUFFIX: Final = "-identity"  # noqa: S105 (a name)
#: The ConfigMap with the public half of the CA, one in each enrolled namespace and one in Ringfence's own.
TRUST_BUNDLE: Final = "ringfence-trust-bundle"
#: The ClusterRole that lets the controller at Secrets, and the RoleBinding to it, one in each enrolled namespace.
SECRETS_ROLE: Final = "ringfence-secrets"

#: Field manager of every server-side apply.
FIELD_MANAGER: Final = "ringfence"

#: Verb on ``clustersecuritypolicies`` that allows to set the reserved labels of a Namespace.
VERB_ENROLL: Final = "enroll"

#: Longest value of a label, so the longest name of a ServiceAccount that can be an identity.
MAX_LABEL_VALUE: Final = 63

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def identity_secret(service_account: str) -> str:
    """The name of the one Secret that may hold the certificate of a ServiceAccount."""
    return service_account + IDENTITY_SECRET_SUFFIX


def is_dns_label(value: str) -> bool:
    """Whether ``value`` is a DNS-1123 label (namespaces, zones): at most 63 of ``[a-z0-9-]``."""
    return _DNS_LABEL.fullmatch(value) is not None


def is_dns_subdomain(value: str) -> bool:
    """Whether ``value`` is a DNS-1123 subdomain (ServiceAccounts and most resources): at most 253 characters."""
    return len(value) <= 253 and _DNS_SUBDOMAIN.fullmatch(value) is not None
