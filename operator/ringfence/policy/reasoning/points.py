"""A concrete request as a point of the sets, and the part of one that a question names."""

import re
from typing import Any, Final

from ringfence.model.requests import Opaque, Request
from ringfence.policy import paths
from ringfence.policy.algebra import diagram, dimensions
from ringfence.policy.algebra.diagram import Diagram
from ringfence.policy.algebra.values import MISSING, SEVERAL

#: A host with its port, which is no part of its name.
_HOST: Final = re.compile(r"(?P<name>[^:@]*)(:[0-9]{1,5})?")
_BYTES: Final = {dimensions.TRAFFIC.name: "bytes"}
_HTTP: Final = {dimensions.TRAFFIC.name: "HTTP"}


def header(name: str) -> str:
    """The dimension of a header, by its name in small letters."""
    return f"header:{name}"


def point(request: Request) -> dict[str, Any]:
    """The values of a request as rules see it, by dimension; an attribute that it does not have is left out.

    A host with user information is one that nobody can read; so counts, here only, any that is not ``readable``.
    Requests that a proxy refuses and those that can be read in two ways where a rule looks have no place in the sets:
    policy.requests knows them.
    """
    # Rules name methods in upper case; one that is spelled otherwise is the same to Denies, however it is.
    method = request.method if request.method == request.method.upper() else request.method.lower()
    return {
        **_HTTP,
        dimensions.METHOD.name: method,
        dimensions.PATH.name: paths.normalized(request.path) or "/",
        dimensions.HOST.name: _host(request.host.lower()),
        dimensions.UPGRADE.name: request.upgrade.lower(),
        **{header(name): ",".join(values) for name, values in request.headers.items()},
    }


def readable(host: str) -> bool:
    """Whether a host is a name, or a name with the number of a port."""
    return _HOST.fullmatch(host) is not None


def _host(text: str) -> str | tuple[str] | None:
    if not text:
        return MISSING
    found = _HOST.fullmatch(text)
    return found["name"] if found is not None else SEVERAL


def named(requests: Diagram, port: tuple[int, int], sent: Request | Opaque | None, told: frozenset[str]) -> Diagram:
    """Those of ``requests`` that a question about one port (a member of Ports) names, by what it leaves free.

    ``sent`` is the request, bytes, or None for any request at all. ``told`` are the dimensions of which the question
    says anything; empty: of all, so that the answer is True or False.
    """
    on_port = {dimensions.PORT.name: port}
    if sent is None:
        return diagram.given(requests, {**on_port, **_HTTP})
    if isinstance(sent, Opaque):
        return diagram.given(requests, {**on_port, **_BYTES})
    whole = point(sent)
    if not told:
        return diagram.holds(requests, dimensions.point({**on_port, **whole}))
    return diagram.given(requests, {**on_port, **_HTTP, **{name: whole.get(name, MISSING) for name in told}})
