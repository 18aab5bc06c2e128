"""What a registry answers to whoever comes without a token, and where the token may be asked for."""

import re
from dataclasses import dataclass, field
from typing import Final

from yarl import URL

from ringfence.registry.addresses import Reach, literal
from ringfence.registry.errors import Forbidden, Garbage

_MAX_HEADER: Final = 4096
_PARAMETER: Final = re.compile(r'\s*,?\s*([A-Za-z]+)="([^"\\]*)"')


@dataclass(frozen=True, slots=True)
class Challenge:
    """``scheme`` is basic or bearer (lower case); ``parameters`` those of a bearer challenge."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)


def parse(header: str) -> Challenge:
    """The first challenge of a WWW-Authenticate header; raises Garbage."""
    scheme, _, rest = header[:_MAX_HEADER].strip().partition(" ")
    parameters: dict[str, str] = {}
    position = 0
    while match := _PARAMETER.match(rest, position):
        parameters.setdefault(match[1].lower(), match[2])
        position = match.end()
    if scheme.lower() not in {"basic", "bearer"}:
        raise Garbage(f"the registry asks for authentication of a kind that is not known: {ascii(scheme)[:40]}")
    return Challenge(scheme.lower(), parameters)


def token_url(challenge: Challenge, registry: URL, repository: str, reach: Reach) -> URL:
    """Where to ask for a token to pull from ``repository``; raises Forbidden, Garbage.

    What the token is for is what is needed here, not what the registry proposes.
    """
    try:
        realm = URL(challenge.parameters.get("realm", ""))
    except ValueError as error:
        raise Garbage("the registry names a token service that is no URL") from error
    host = realm.host or ""
    if not host or realm.user is not None or realm.password is not None:
        raise Garbage("the registry names no token service that can be asked")
    plain = reach.of(authority(realm)).plain_http and realm.scheme == "http"
    if realm.scheme != "https" and not plain:
        raise Forbidden(f"the registry names a token service without TLS: {host}")
    if not same_site(host, registry.host or ""):
        raise Forbidden(f"the registry {registry.host} names a token service of another site: {host}")
    query = {"scope": f"repository:{repository}:pull"}
    if service := challenge.parameters.get("service"):
        query["service"] = service
    return realm.update_query(query)


def authority(url: URL) -> str:
    """``host:port`` as an image reference would write it: without the port that the scheme has anyway."""
    host = url.host or ""
    shown = f"[{host}]" if ":" in host else host
    return shown if url.is_default_port() else f"{shown}:{url.port}"


def same_site(one: str, other: str) -> bool:
    """Whether two hosts are one, or names below the same last two labels."""
    if one == other:
        return True
    if literal(one) or literal(other):
        return False
    ours, theirs = one.lower().split(".")[-2:], other.lower().split(".")[-2:]
    return len(ours) == 2 and ours == theirs
