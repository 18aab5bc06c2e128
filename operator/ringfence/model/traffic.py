"""How much may come to a pod, and in which shape: the values of ``traffic`` in a policy.

Whatever several policies ask of a port holds together: of two bounds the smaller one, and of rate limits each.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ringfence.model.tokens import name_of

#: Bytes of a body whose length is not told beforehand that a proxy holds at most, until it is whole.
UNTOLD_BODY: Final = 1 << 20
_ODD: Final = re.compile("[^A-Za-z0-9_-]")


class By(StrEnum):
    """What has a bucket of its own in a rate limit: each caller, each value of a claim or header, or all together."""

    CALLER = "caller"
    CLAIM = "claim"
    HEADER = "header"
    ALL = "all"


@dataclass(frozen=True, slots=True, order=True)
class Rate:
    """So many ``requests`` in ``period`` seconds, ``burst`` (never less than ``requests``) at once; all positive."""

    requests: int
    period: int
    burst: int


@dataclass(frozen=True, slots=True, order=True)
class NamedRate:
    """A rate of one caller's own: a ServiceIdentity as policies write it, its ServiceAccount once it is resolved."""

    namespace: str
    name: str
    rate: Rate


@dataclass(frozen=True, slots=True, order=True)
class Limit:
    """A rate limit; ``header`` (lower case) is of HEADER alone, ``named`` (sorted) of CALLER alone.

    ``claim`` (a name or a path) and the key of its ``issuer`` (model.tokens) are of CLAIM alone.
    """

    by: By
    rate: Rate
    header: str = ""
    named: tuple[NamedRate, ...] = ()
    issuer: str = ""
    claim: str = ""

    @property
    def word(self) -> str:
        """Tells the limit from the others of its entry: ``caller``, ``all``, ``header.x-tenant``, ``claim.corp.sub``.

        Logs and the names of figures hold it, so what they could not is ``_`` in the name of a claim, and so is what
        stands between the names of a path.
        """
        if self.by is By.CLAIM:
            return f"{self.by.value}.{name_of(self.issuer)}.{_ODD.sub('_', self.claim)}"
        return f"{self.by.value}.{self.header}" if self.header else self.by.value


class Bound(StrEnum):
    """What has a greatest value, by the field that says so: connections, bytes, headers, and seconds."""

    CONNECTIONS = "maxConnections"
    BODY = "maxBody"
    HEADERS_SIZE = "requestHeaders.maxSize"
    HEADERS_COUNT = "requestHeaders.maxCount"
    REQUEST = "timeouts.request"
    IDLE = "timeouts.idle"
    STREAM = "timeouts.stream"


#: What a proxy bounds by itself; no policy can ask for more.
OWN_BOUNDS: Final = {Bound.HEADERS_SIZE: 96 << 10, Bound.HEADERS_COUNT: 100}


@dataclass(frozen=True, slots=True, order=True)
class HeaderChanges:
    """Headers that proxies ``remove`` and ``set`` (name and value; in place of what was there). Sorted, names apart."""

    remove: tuple[str, ...] = ()
    set: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The headers that are changed."""
        return (*self.remove, *(name for name, _ in self.set))


#: None at all.
UNCHANGED: Final = HeaderChanges()


@dataclass(frozen=True, slots=True, order=True)
class Asks:
    """What an entry of ``traffic`` asks of its ports; every tuple is sorted, ``bounds`` has each Bound at most once.

    ``to_program`` are changes to requests, ``to_caller`` to answers.
    """

    limits: tuple[Limit, ...] = ()
    bounds: tuple[tuple[Bound, int], ...] = ()
    to_program: HeaderChanges = UNCHANGED
    to_caller: HeaderChanges = UNCHANGED
