"""Which DNS names follow from the Services of a namespace, and which somebody of the platform has granted."""

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509

from ringfence.model.ports import Object
from ringfence.model.resources import ClusterSecurityPolicy
from ringfence.model.world import Workload
from ringfence.pki import dns, encoding, identity_secret


@dataclass(frozen=True, slots=True)
class Selecting:
    """A Service that selects pods by labels."""

    name: str
    selector: Mapping[str, str]


def selecting(services: Iterable[Object]) -> tuple[Selecting, ...]:
    """Those of the Services that have a selector; worked out once for all identities of a namespace."""
    found = []
    for each in services:
        spec = each.get("spec") or {}
        if spec.get("selector") and spec.get("type") != "ExternalName":
            found.append(Selecting(each["metadata"]["name"], spec["selector"]))
    return tuple(found)


def of(namespace: str, services: Sequence[Selecting], pods: Sequence[Workload], held: Object | None) -> tuple[str, ...]:
    """The names of the Services that select any of the identity's ``pods``, sorted.

    While it has no pods (scaled to nothing, rolled out anew) the names that its certificate (``held``) has are kept as
    long as their Services exist: otherwise the first pod would start with a certificate that lacks them.
    """
    if not services:
        return ()
    running = [each.labels.items() for each in pods if not each.finished]
    if running:
        chosen = [each.name for each in services if any(each.selector.items() <= labels for labels in running)]
        return dns.own_names(namespace, chosen)
    carried = set(_carried(held))
    return tuple(name for name in dns.own_names(namespace, (each.name for each in services)) if name in carried)


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
