"""Which DNS names follow from the Services of a namespace, and which somebody of the platform has granted."""

import base64
import binascii
from collections.abc import Iterable, Sequence

from cryptography import x509

from ringfence.model.ports import Object
from ringfence.model.resources import ClusterSecurityPolicy
from ringfence.model.world import Workload
from ringfence.pki import dns, encoding, identity_secret


def of(namespace: str, services: Sequence[Object], pods: Sequence[Workload], held: Object | None) -> tuple[str, ...]:
    """The names of the Services that select any of the identity's ``pods``, sorted.

    While it has no pods (scaled to nothing, rolled out anew) the names that its certificate (``held``) has are kept as
    long as their Services exist: otherwise the first pod would start with a certificate that lacks them.
    """
    running = [each for each in pods if not each.finished]
    selecting = [each for each in services if _selector(each)]
    if running:
        chosen = [each for each in selecting if any(_selects(each, pod) for pod in running)]
        return dns.own_names(namespace, (each["metadata"]["name"] for each in chosen))
    possible = dns.own_names(namespace, (each["metadata"]["name"] for each in selecting))
    carried = set(_carried(held))
    return tuple(name for name in possible if name in carried)


def granted(policies: Iterable[ClusterSecurityPolicy], namespace: str, identity: str) -> tuple[str, ...]:
    """The patterns that the identity has been granted, sorted."""
    return tuple(
        sorted(
            {
                pattern
                for policy in policies
                for grant in policy.grants
                if grant.namespace == namespace and identity in grant.identities
                for pattern in grant.dns_names
            }
        )
    )


def _selector(service: Object) -> dict[str, str]:
    spec = service.get("spec") or {}
    return {} if spec.get("type") == "ExternalName" else spec.get("selector") or {}


def _selects(service: Object, pod: Workload) -> bool:
    return _selector(service).items() <= pod.labels.items()


def _carried(secret: Object | None) -> list[str]:
    """The DNS names of the certificate in a Secret; none when it cannot be read."""
    if secret is None or not identity_secret.is_ours(secret):
        return []
    try:
        pem = base64.b64decode((secret.get("data") or {}).get(identity_secret.CERTIFICATE) or "", validate=True)
        names = encoding.certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (binascii.Error, ValueError, x509.ExtensionNotFound, encoding.BadCertificate):
        return []
    return names.get_values_for_type(x509.DNSName)
