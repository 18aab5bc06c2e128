"""DNS names of certificates: which follow from an identity's Services, which are well formed, which need a grant."""

import re
from collections.abc import Iterable
from typing import Final

from ringfence.model import names

#: Most names in one certificate, those of Services and those asked for together.
MAX_NAMES: Final = 100
CLUSTER_DOMAIN: Final = "cluster.local"

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def own_names(namespace: str, services: Iterable[str], cluster_domain: str = CLUSTER_DOMAIN) -> tuple[str, ...]:
    """The names of a namespace's Services, sorted: ``<service>.<namespace>.svc`` and the same in the cluster's domain.

    The shorter ``<service>.<namespace>`` is left out: with a namespace ``dev`` it would be a name of the internet.
    """
    found = set()
    for service in services:
        found |= {f"{service}.{namespace}.svc", f"{service}.{namespace}.svc.{cluster_domain}"}
    return tuple(sorted(found))


def problem(name: str) -> str | None:
    """Why a name cannot be in a certificate; None when it can. Wildcards and addresses cannot."""
    if "*" in name:
        return "is a wildcard"
    if not names.is_dns_subdomain(name) or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        return "is no DNS name (lower-case letters, digits and '-', labels of at most 63, 253 in all)"
    if name.rpartition(".")[2].isdigit():
        return "ends in a number, which clients take for an IP address"
    return None


def covers(pattern: str, name: str) -> bool:
    """Whether a grant's pattern, a name or ``*.suffix``, covers a name; the star stands for exactly one label."""
    if pattern.startswith("*."):
        first, dot, rest = name.partition(".")
        return bool(first and dot) and rest == pattern[2:]
    return pattern == name


def ungranted(wanted: Iterable[str], own: Iterable[str], patterns: Iterable[str]) -> tuple[str, ...]:
    """The wanted names, sorted, that are neither the namespace's own nor covered by a granted pattern."""
    mine, granted = frozenset(own), tuple(patterns)
    return tuple(
        sorted({name for name in wanted if name not in mine and not any(covers(each, name) for each in granted)})
    )
