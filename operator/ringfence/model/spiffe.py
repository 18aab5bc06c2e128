"""SPIFFE IDs, by the SPIFFE-ID specification, and the one form of them that Ringfence mints."""

import re
from dataclasses import dataclass
from typing import Self

from ringfence.model.names import is_dns_label, is_dns_subdomain

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT = re.compile(r"[a-zA-Z0-9._-]+")
#: SPIFFE-ID §2.3: an ID is at most 2048 bytes.
MAX_ID_BYTES = 2048


@dataclass(frozen=True, slots=True, order=True)
class SpiffeId:
    """A SPIFFE ID: a trust domain (lower case, at most 255 bytes) and a path of at least one segment.

    The root ID of a trust domain (no path) names no workload and is refused.
    """

    trust_domain: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``spiffe://trust.domain/path``; raises ValueError that says what the specification refuses."""
        if not text.startswith("spiffe://"):
            raise ValueError("a SPIFFE ID starts with spiffe://")
        if len(text.encode()) > MAX_ID_BYTES:
            raise ValueError(f"a SPIFFE ID has at most {MAX_ID_BYTES} bytes")
        domain, slash, path = text.removeprefix("spiffe://").partition("/")
        if not _TRUST_DOMAIN.fullmatch(domain):
            raise ValueError(f"trust domain {domain!r} may hold only lower-case letters, digits, '.', '-', '_'")
        segments = path.split("/") if slash else []
        if not segments:
            raise ValueError("a SPIFFE ID of a workload has a path")
        for segment in segments:
            if not _SEGMENT.fullmatch(segment) or segment in {".", ".."}:
                raise ValueError(
                    f"path segment {segment!r} may hold only letters, digits, '.', '-', '_', and be no dots"
                )
        return cls(domain, "/" + path)

    @classmethod
    def of_service_account(cls, trust_domain: str, namespace: str, name: str) -> Self:
        """The identity of a ServiceAccount: ``spiffe://<trust domain>/ns/<namespace>/sa/<name>``.

        Raises ValueError for names that Kubernetes does not have, so that none can pose as a longer path.
        """
        if not is_dns_label(namespace) or not is_dns_subdomain(name):
            raise ValueError(f"{namespace!r} and {name!r} are not a namespace and a ServiceAccount")
        return cls.parse(f"spiffe://{trust_domain}/ns/{namespace}/sa/{name}")

    def service_account(self) -> tuple[str, str] | None:
        """(namespace, name) when the path has Ringfence's form, else None."""
        parts = self.path.split("/")
        if len(parts) == 5 and parts[1] == "ns" and parts[3] == "sa":
            return parts[2], parts[4]
        return None

    def __str__(self) -> str:
        return f"spiffe://{self.trust_domain}{self.path}"
