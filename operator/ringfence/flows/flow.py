"""A call that somebody has recorded, whatever format it was recorded in."""

from enum import StrEnum

import msgspec

from ringfence.model.requests import Request
from ringfence.model.resources import Protocol


class View(StrEnum):
    """Where a call was seen. Both ends may have recorded the same one."""

    TARGET = "target"
    SOURCE = "source"
    UNKNOWN = "unknown"


class Party(msgspec.Struct, frozen=True, gc=False):
    """An end of a recorded call, as far as the record tells.

    ``account`` is the ServiceAccount of ``namespace``, "" where nobody says; ``named`` says that it may as well be the
    name of a ServiceIdentity. ``pod`` is a pod's name in ``namespace``, ``ip`` an address, "" likewise. ``local`` says
    that it is a pod for sure: the one whose proxy wrote the record. ``domain`` is the trust domain of a SPIFFE ID.
    ``host`` is the name by which a host outside was called, in lower case and without a port.
    """

    namespace: str = ""
    account: str = ""
    pod: str = ""
    ip: str = ""
    named: bool = False
    local: bool = False
    domain: str = ""
    host: str = ""


#: Claims with their texts by the name of the issuer, sorted; None for a token that was not good.
Tokens = tuple[tuple[str, tuple[tuple[str, tuple[str, ...]], ...] | None], ...]


class Flow(msgspec.Struct, frozen=True):
    """One record. Times are epoch seconds, 0 where it has none; ``count`` is how many calls it stands for.

    ``port`` is the pod's own. ``denied`` says that the call did not get through when it was recorded; ``plaintext``
    that it came without mutual TLS. ``request`` is None where the record tells of a connection only; ``headers`` says
    that it has all headers of the request that are worth knowing, ``query`` that its path has the query too. ``tokens``
    are all that it brought, None where nobody says.
    """

    source: Party
    target: Party
    protocol: Protocol
    port: int
    first: float = 0.0
    last: float = 0.0
    count: int = 1
    view: View = View.UNKNOWN
    denied: bool = False
    plaintext: bool = False
    request: Request | None = None
    headers: bool = False
    query: bool = False
    tokens: Tokens | None = None

    @property
    def moment(self) -> int | None:
        """The second in which all of these calls began; None where they began at several, or nobody says."""
        return int(self.first) if self.first and self.first == self.last else None


class BadLine(Exception):
    """A line that is meant to be a record and cannot be understood; the message says what is wrong with it."""


class Aside(Exception):
    """A line that is a record of something else than a call; the message says of what."""
