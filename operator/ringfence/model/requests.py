"""Requests, and what a rule can say of them: layer 7 as values.

A rule names requests by ``http`` (any of several matches) and by conditions on headers, the query and the time, every
one of which must hold. What that means of a request is in policy.requests.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ringfence.model.tokens import Claims, TokenMatch
from ringfence.model.windows import Window

#: The upgrades of HTTP/1.1 and HTTP/2 (RFC 8441) that proxies pass on.
UPGRADES: Final = ("websocket",)
#: The method that asks for a tunnel (RFC 9110 section 9.3.6, RFC 9113 section 8.5), written exactly so.
CONNECT: Final = "CONNECT"


@dataclass(frozen=True, slots=True, order=True)
class HttpMatch:
    """Requests with one of these methods, paths and hosts; an empty tuple says nothing of its part.

    ``paths`` are exact (``/a``), with ``{*}`` for one segment, or with ``/*`` at the end for everything below.
    ``upgrades`` are those that the request may ask for; empty: it asks for none. ``grpc``: it is a call of gRPC.
    CONNECT is among ``methods`` alone, with ``hosts`` or nothing beside it: such a request has no path.
    """

    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    upgrades: tuple[str, ...] = ()
    grpc: bool = False


class Asks(StrEnum):
    """What a condition asks of a value."""

    IN = "in"
    NOT_IN = "notIn"
    PREFIX = "prefix"
    EXISTS = "exists"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True, order=True)
class HeaderCondition:
    """A condition on the header of this name (lower case); ``values`` are empty for EXISTS and ABSENT only."""

    header: str
    test: Asks
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class QueryCondition:
    """A condition on the parameter of this name in the query; ``values`` are empty for EXISTS and ABSENT only."""

    parameter: str
    test: Asks
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class TimeCondition:
    """A condition on when the request begins: in one of ``windows``, or (``outside``) in none of them."""

    windows: tuple[Window, ...]
    outside: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Requests:
    """The requests that a rule names: any of ``http`` (empty: whatever it is) and all conditions. Never all empty.

    ``when`` are conditions on headers, ``query`` on parameters, ``times`` on the moment, ``token`` on who the end user
    is.
    """

    http: tuple[HttpMatch, ...] = ()
    when: tuple[HeaderCondition, ...] = ()
    query: tuple[QueryCondition, ...] = ()
    times: tuple[TimeCondition, ...] = ()
    token: TokenMatch | None = None

    @property
    def paths(self) -> bool:
        """Whether the path of a request matters."""
        return any(match.paths for match in self.http)

    @property
    def methods(self) -> bool:
        """Whether the method of a request matters."""
        return any(match.methods for match in self.http)

    @property
    def tunnels(self) -> bool:
        """Whether CONNECT is named, which an Allow has to do."""
        return any(CONNECT in match.methods for match in self.http)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as its caller sends it.

    ``path`` with its query, before anything is normalized; ``headers`` by name in lower case, the values of one that
    is repeated in their order; ``upgrade`` is the protocol that it asks to change to, "" for none. ``time`` is when it
    begins by the clock of the target's proxy, in seconds since 1970; None where that is not known. ``tokens`` are the
    claims of those that it brings, by the key of the issuer whose signature they have; None for one that is not good.
    Of CONNECT ``host`` is the authority to which a tunnel is asked for, and ``path`` says nothing: it has none.
    """

    method: str = "GET"
    path: str = "/"
    host: str = ""
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    upgrade: str = ""
    time: int | None = None
    tokens: Mapping[str, Claims | None] = field(default_factory=dict)

    @property
    def tunnel(self) -> bool:
        """Whether a tunnel is asked for."""
        return self.method == CONNECT

    @property
    def target(self) -> str:
        """The path with its query, as far as there is one: a CONNECT has none."""
        return "" if self.tunnel else self.path


@dataclass(frozen=True, slots=True)
class Opaque:
    """What is asked of a port that does not speak HTTP: bytes, in which nobody sees a request."""


#: What a question about a call is about: one request, bytes, or (None) whatever could be sent.
Asked = Request | Opaque | None
