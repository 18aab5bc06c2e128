"""Tokens of end users (JWT, RFC 7519): who issues them, what a rule asks of one, and what a request brings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

#: Where tokens are by default, behind the word Bearer (RFC 6750 section 2.1).
AUTHORIZATION: Final = "authorization"
#: Claims that are lists of words in one text (RFC 8693 section 4.2): each word is a value.
SPACED: Final = ("scope", "scp")

#: Between the names of a path to a claim that is inside others. No name in a policy and no value has it, so a path is
#: never taken for the name of a claim with a dot or a slash in it, nor for a name and a value.
INSIDE: Final = "\u203a"
#: Names in a path, at most.
DEEPEST: Final = 4

HTTPS_PORT: Final = 443

#: The texts that each claim of a token has, by its name or its path; a claim without any is left out.
Claims = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, order=True)
class Issuer:
    """Who signs tokens, and which of them are good.

    ``issuer`` is the claim ``iss``; a token must be for one of ``audiences`` (never empty). ``jwks`` are the public
    keys as JSON (RFC 7517), checked and written the same way whenever they are the same; "" where proxies fetch them
    from ``jwks_uri`` (https). ``ca_bundle`` are the roots (PEM) of whoever serves them there, "" for those of the
    proxy's image. ``header`` is where tokens are, in lower case; ``remove`` takes it out before the program. In
    seconds: ``skew`` by which clocks may differ (1..300), and ``max_lifetime`` that a token may last, from now and from
    when it says that it was issued.
    """

    name: str
    issuer: str
    audiences: tuple[str, ...]
    jwks: str = ""
    header: str = AUTHORIZATION
    remove: bool = False
    skew: int = 60
    max_lifetime: int = 86400
    jwks_uri: str = ""
    ca_bundle: str = ""

    @property
    def fetched(self) -> bool:
        """Whether proxies fetch the keys."""
        return bool(self.jwks_uri)


@dataclass(frozen=True, slots=True, order=True)
class TokenMatch:
    """Requests with a good token of an issuer that has one of the values of each of ``claims`` (names or paths).

    ``issuer`` is its key (``cluster_key``, ``own_key``). ``absent``: requests without a good one; ``claims`` is empty
    then. Where the policies are resolved ``header`` is where its tokens are, "" for an issuer that nobody declares, and
    ``version`` changes with what makes a token good.
    """

    issuer: str
    claims: tuple[tuple[str, tuple[str, ...]], ...] = ()
    absent: bool = False
    header: str = ""
    version: str = ""


def path(claim: str) -> tuple[str, ...]:
    """The names that lead to a claim, one for a claim that is inside none."""
    return tuple(claim.split(INSIDE))


def claim_at(names: Iterable[str]) -> str:
    """The claim to which these names lead; no name may hold INSIDE."""
    return INSIDE.join(names)


def cluster_key(name: str) -> str:
    """The key of an issuer of the platform's; no namespace has a colon in its name."""
    return f":cluster/{name}"


def own_key(namespace: str, policy: str, name: str) -> str:
    """The key of an issuer that a SecurityPolicy declares for its own rules."""
    return f"{namespace}/{policy}/{name}"


def served_at(uri: str) -> tuple[str, int]:
    """Host and port of an address of keys, as the API takes it (https, a name, a port or none)."""
    found = urlsplit(uri)
    return found.hostname or "", found.port or HTTPS_PORT


def name_of(key: str) -> str:
    """The name by which people know an issuer."""
    return key.rpartition("/")[2]
