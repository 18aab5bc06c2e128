"""What a question says of a request, and whether the port that it is about speaks HTTP."""

import argparse
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from ringfence.cli.problems import Usage
from ringfence.model.effective import EffectivePolicy
from ringfence.model.mesh import ServiceValue
from ringfence.model.requests import Asked, Opaque, Request
from ringfence.model.resources import Protocol
from ringfence.model.tokens import DEEPEST, INSIDE, Claims, claim_at, name_of
from ringfence.model.world import Workload
from ringfence.policy import ends, issuers, tokens
from ringfence.policy.ends import Called
from ringfence.policy.nearest import TOKEN
from ringfence.policy.reasoning import points
from ringfence.policy.speech import speaks_http

#: What names of headers and methods are made of (RFC 9110 5.6.2), as a regular expression.
NAME_PATTERN: Final = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TOKEN: Final = re.compile(NAME_PATTERN)
#: What no pointer to a claim has: a tilde that stands for nothing, and what parts the names inside.
_POINTED: Final = re.compile(f"~(?![01])|{INSIDE}")


class NoIssuer(Usage):
    """Nobody declares the issuer ``name``, or "" is that of none; ``known`` are the names that are declared, sorted."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        listed = ", ".join(known)
        if not known:
            super().__init__("no policy declares an issuer of tokens (jwtIssuers) that holds at the target")
        elif name:
            super().__init__(f"no policy declares the issuer {name}: known are {listed}")
        else:
            super().__init__(f"say whose token it is by --issuer: {listed}")


def add(parser: argparse.ArgumentParser) -> None:
    """The options that describe a request."""
    group = parser.add_argument_group(
        "which requests (what is left out may be anything; with --method and --path it is one request, and what is left"
        " out is not sent)"
    )
    group.add_argument("--method", type=_method, help="such as POST")
    group.add_argument("--path", help="as it is sent, with its query")
    group.add_argument(
        "--header",
        action="append",
        type=_header,
        metavar="NAME=VALUE",
        help="may be repeated; host says where the request is sent to, upgrade that it would change its protocol",
    )
    group.add_argument(
        "--time",
        type=_time,
        metavar="TIME",
        help="when it is sent, such as 2026-11-26T10:00Z or 2026-11-26T10:00:30+01:00; default: now",
    )
    group.add_argument("--issuer", metavar="NAME", help="it brings a good token of this issuer (jwtIssuers)")
    group.add_argument(
        "--claim",
        action="append",
        type=_claim,
        metavar="NAME=VALUE",
        help="the token says so; may be repeated; without --issuer it is the one issuer that there is; a claim inside"
        " others is /realm_access/roles=admin",
    )
    group.add_argument("--bad-token", action="store_true", help="the token is not good: forged, ended, for others")


def _time(text: str) -> int:
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return int(found.astimezone(UTC).timestamp())
    except (ValueError, OverflowError):
        pass
    raise argparse.ArgumentTypeError(f"{text[:80]!r} is no time: write it as 2026-11-26T10:00Z, with Z or an offset")


def _method(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no method: write one like POST")
    return text


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not _TOKEN.fullmatch(name):
        raise argparse.ArgumentTypeError(f"{text!r} is no header: write it as x-env=prod")
    return name.lower(), value.strip()


def _claim(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is no claim: write it as scope=payments.write")
    return _at(name), value


def _at(name: str) -> str:
    """The claim of a name, or, where it begins with a slash, of a pointer (RFC 6901)."""
    if not name.startswith("/"):
        return name
    names = name[1:].split("/")
    if not all(names) or len(names) > DEEPEST or _POINTED.search(name):
        told = (
            f"write the names that lead to it like /realm_access/roles, at most {DEEPEST}, with ~1 for / and ~0 for ~"
        )
        raise argparse.ArgumentTypeError(f"{name!r} is no claim: {told}")
    return claim_at(each.replace("~1", "/").replace("~0", "~") for each in names)


def request(arguments: argparse.Namespace) -> Request | None:
    """The request of the command line, with defaults for what it leaves out; None when it says nothing of requests.

    Raises Usage where it cannot be one.
    """
    headers: Sequence[tuple[str, str]] = arguments.header or ()
    tokens_ = _tokens(arguments)
    said = (arguments.method, arguments.path, arguments.time)
    if all(each is None for each in said) and not headers and not tokens_:
        return None
    if (arguments.protocol or Protocol.TCP) != Protocol.TCP:
        raise Usage("requests are sent over TCP: leave --protocol out")
    named: dict[str, tuple[str, ...]] = {}
    for name, value in headers:
        named[name] = (*named.get(name, ()), value)
    host, upgrade = named.pop("host", ("",))[-1], named.pop("upgrade", ("",))[-1]
    if host and "@" not in host and not points.readable(host):
        raise Usage(f"{host!r} is no host: write a name, or a name and a port like shop.example:8443")
    moment = int(time.time()) if arguments.time is None else arguments.time
    return Request(arguments.method or "GET", arguments.path or "/", host, named, upgrade, moment, tokens_)


def told(arguments: argparse.Namespace) -> frozenset[str] | None:
    """The dimensions of requests of which the command line says something; None where it names one request.

    It does by a method and a path.
    """
    if arguments.method is not None and arguments.path is not None:
        return None
    found = {each for each in ("method", "path", points.TIME) if getattr(arguments, each) is not None}
    found |= {name if name in {"host", "upgrade"} else points.header(name) for name, _ in arguments.header or ()}
    return frozenset(found | ({TOKEN} if _tokens(arguments) else set()))


def _tokens(arguments: argparse.Namespace) -> dict[str, Claims | None]:
    """The token of the command line by the name of its issuer, "" for the one that there is."""
    said: Sequence[tuple[str, str]] = arguments.claim or ()
    if arguments.bad_token:
        if said:
            raise Usage("a token that is not good says nothing: leave --claim out, or --bad-token")
        return {arguments.issuer or "": None}
    if arguments.issuer is None and not said:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for name, value in said:
        found[name] = (*found.get(name, ()), *tokens.texts(name, value))
    return {arguments.issuer or "": {name: each for name, each in found.items() if each}}


def with_issuers(sent: Request | None, target: Called, policy: EffectivePolicy) -> Request | None:
    """The request, its token by the key under which the target's proxy knows the issuer.

    Raises NoIssuer for an issuer that it does not know, and where there are several and none is named.
    """
    if sent is None or not sent.tokens or not isinstance(target, Workload):
        return sent
    return by_keys(sent, issuers.of_pods(policy.issuers, target.labels))


def by_keys(sent: Request, known: Iterable[str]) -> Request:
    """The request, its token by those of the known keys that have the name of its issuer.

    Raises NoIssuer for an issuer that is not known, and where there are several and none is named.
    """
    keys = sorted(known)
    found: dict[str, Claims | None] = {}
    for name, claims in sent.tokens.items():
        found |= dict.fromkeys(_keys(name, keys), claims)
    return replace(sent, tokens=found)


def _keys(name: str, known: Iterable[str]) -> list[str]:
    names = sorted({name_of(key) for key in known})
    wanted = names[0] if not name and len(names) == 1 else name
    if wanted in names:
        return [key for key in known if name_of(key) == wanted]
    raise NoIssuer(name, names)


def asked(
    target: Called,
    protocol: Protocol,
    port: int | str,
    sent: Request | None,
    services: Mapping[str, tuple[ServiceValue, ...]],
) -> Asked:
    """What the target's proxy sees of it: the request, or bytes where no Service says that the port speaks HTTP."""
    if not isinstance(target, Workload):
        return sent
    if protocol is not Protocol.TCP:
        return Opaque()
    number = port if isinstance(port, int) else ends.port_number(target, port, protocol)
    return sent if speaks_http(target, number, services.get(target.namespace, ())) else Opaque()


def http_ports(target: Called, services: Mapping[str, tuple[ServiceValue, ...]]) -> tuple[int, ...]:
    """The ports of the target that speak HTTP."""
    if not isinstance(target, Workload):
        return ()
    known = services.get(target.namespace, ())
    numbers = {port.port for port in target.ports if port.protocol is Protocol.TCP}
    numbers |= {port.target for service in known for port in service.ports if isinstance(port.target, int)}
    return tuple(sorted(number for number in numbers if speaks_http(target, number, known)))
