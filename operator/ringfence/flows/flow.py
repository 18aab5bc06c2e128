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
    """

    namespace: str = ""
    account: str = ""
    pod: str = ""
    ip: str = ""
    named: bool = False
    local: bool = False
    domain: str = ""


class Flow(msgspec.Struct, frozen=True):
    """One record. Times are epoch seconds, 0 where it has none; ``count`` is how many calls it stands for.

    ``port`` is the pod's own. ``denied`` says that the call did not get through when it was recorded; ``plaintext``
    that it came without mutual TLS. ``request`` is None where the record tells of a connection only; ``headers`` says
    that it has all headers of the request that are worth knowing.
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


class BadLine(Exception):
    """A line that is meant to be a record and cannot be understood; the message says what is wrong with it."""


class Aside(Exception):
    """A line that is a record of something else than a call; the message says of what."""
