"""What a rule says of requests: ``http`` and ``when``."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from ringfence.api.schema import (
    Choice,
    Complaint,
    Field,
    Flag,
    ListOf,
    Obj,
    Rule,
    Text,
    at_least_one_of,
    exactly_one_of,
)
from ringfence.api.v1alpha1 import conditions, identifiers
from ringfence.model.requests import (
    CONNECT,
    UPGRADES,
    HeaderCondition,
    HttpMatch,
    QueryCondition,
    Requests,
    TimeCondition,
)
from ringfence.model.sources import SourceCondition
from ringfence.model.tokens import TokenMatch

_CHAR: Final = "[A-Za-z0-9._~!$&'()+,=:@-]"
_NOT_DOT: Final = "[A-Za-z0-9_~!$&'()+,=:@-]"
_SEGMENT: Final = rf"({_NOT_DOT}|\.{_NOT_DOT}|\.\.{_CHAR}){_CHAR}*"

#: Of a path with {*}: what Envoy takes as a regular expression (at most a hundred steps).
MAX_OPEN_PATH: Final = 80


def _too_long(path: str) -> Complaint | None:
    if "{*}" not in path or len(path) <= MAX_OPEN_PATH:
        return None
    fix = f"with {{*}} at most {MAX_OPEN_PATH} are allowed; name all below it with /*"
    return Complaint(f"has {len(path)} characters", fix)


_PATH: Final = Text(
    description=(
        "A path: exact, such as /charges; with {*} for any one segment, such as /orders/{*}/items; or with /* at the"
        " end for everything below, such as /charges/* (which is not /charges itself). It is compared with the path"
        " without its query, as RFC 3986 normalizes it: dot segments taken out, letters, digits and - . _ ~ decoded."
        " Upper and lower case differ. In a Deny a slash at the end makes no difference."
    ),
    pattern=rf"^(/({_SEGMENT}|\{{\*\}}))*(/|/\*)?$",
    what="a path such as /charges, /charges/* or /orders/{*}/items, without %, ;, * elsewhere and dot segments",
    max_length=256,
    rules=(Rule(test=_too_long),),
)


def _connect(method: str) -> Complaint | None:
    if method != CONNECT:
        return None
    return Complaint("is nothing that an invariant can ask", "leave it out; neverAllow without methods means it too")


_METHOD: Final = Text(
    description="A method, in upper case. CONNECT asks for a tunnel, and stands in an entry of its own.",
    pattern="^[A-Z]([A-Z-]*[A-Z])?$",
    what="a method such as GET or POST",
    max_length=32,
)
_NO_TUNNEL: Final = replace(
    _METHOD,
    description="A method, in upper case; not CONNECT.",
    rules=(Rule(test=_connect, cel=f"self != '{CONNECT}'", message="CONNECT is nothing that an invariant can ask"),),
)

_GRPC: Final = Obj(
    description="Calls of a gRPC service.",
    fields=(
        Field(
            name="service",
            node=Text(
                description="The full name of the service, such as shop.v1.Payments.",
                pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$",
                what="the full name of a gRPC service, such as shop.v1.Payments",
                max_length=200,
            ),
            required=True,
        ),
        Field(
            name="methods",
            node=ListOf(
                description="Its methods. If left out, all of them.",
                items=Text(
                    description="The name of a method, such as Charge.",
                    pattern="^[A-Za-z_][A-Za-z0-9_]*$",
                    what="the name of a gRPC method, such as Charge",
                    max_length=100,
                ),
                max_items=32,
                unique=True,
            ),
        ),
    ),
)

_PARTS: Final = ("methods", "paths", "hosts", "upgrades", "grpc")


def _grpc_alone(value: Mapping[str, Any]) -> Complaint | None:
    if "grpc" not in value or not {"methods", "paths", "upgrades"} & value.keys():
        return None
    return Complaint("says the method and the path already", "write what is not gRPC as another entry", at="grpc")


def _alone(value: Mapping[str, Any]) -> Complaint | None:
    methods = value.get("methods", ())
    if CONNECT not in methods:
        return None
    beside = next((name for name in ("paths", "upgrades", "grpc") if name in value), None)
    if beside is not None:
        return Complaint("cannot stand beside CONNECT, which has no path", "write it as another entry", at=beside)
    if len(methods) == 1:
        return None
    return Complaint("has CONNECT beside other methods", "write CONNECT as another entry", at="methods")


_HTTP: Final = Obj(
    description="Requests: those that have one of each of these that are given.",
    fields=(
        Field(
            name="methods",
            node=ListOf(
                description=(
                    "The methods. If left out, any but CONNECT in an Allow, and in a Deny any. [CONNECT] alone, with"
                    " hosts or without, is about tunnels through a program that is a forward proxy; what is sent"
                    " through a tunnel no rule sees."
                ),
                items=_METHOD,
                max_items=16,
                unique=True,
            ),
        ),
        Field(
            name="paths",
            node=ListOf(description="The paths. If left out, any.", items=_PATH, max_items=32, unique=True),
        ),
        Field(
            name="hosts",
            node=ListOf(
                description="The hosts that the request is sent to (Host, :authority; of CONNECT where the tunnel"
                " leads), whatever the port. If left out, any.",
                items=replace(identifiers.DNS_NAME, description="A host, in lower case."),
                max_items=16,
                unique=True,
            ),
        ),
        Field(
            name="upgrades",
            node=ListOf(
                description=(
                    "The protocols to which the request may change. If left out, an Allow matches no request that"
                    " would change its protocol, and a Deny does not ask."
                ),
                items=Choice(description="A protocol.", values=UPGRADES),
                max_items=len(UPGRADES),
                unique=True,
            ),
        ),
        Field(
            name="grpc",
            node=ListOf(description="Calls of gRPC, instead of methods and paths.", items=_GRPC, max_items=16),
        ),
    ),
    rules=(
        at_least_one_of(_PARTS, "an entry of http"),
        Rule(
            test=_grpc_alone,
            cel="!has(self.grpc) || !(has(self.methods) || has(self.paths) || has(self.upgrades))",
            message="grpc says the method and the path already: write what is not gRPC as another entry",
        ),
        Rule(
            test=_alone,
            cel=(
                f"!has(self.methods) || !('{CONNECT}' in self.methods)"
                " || (size(self.methods) == 1 && !has(self.paths) && !has(self.upgrades) && !has(self.grpc))"
            ),
            message="CONNECT stands in an entry of its own, with hosts or nothing beside it",
        ),
    ),
    hints={
        "path": Complaint("is not a field", "write paths, a list"),
        "method": Complaint("is not a field", "write methods, a list"),
        "host": Complaint("is not a field", "write hosts, a list"),
        "headers": Complaint("is not a field here", "write when: [{attribute: request.headers[NAME], in: […]}]"),
    },
)

#: What proxies say themselves, or take out; and what is said elsewhere.
_OWN: Final = frozenset(
    {"connection", "content-length", "forwarded", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
_OWN_PREFIXES: Final = ("x-forwarded-", "x-envoy-", "proxy-")


def is_own(name: str) -> bool:
    """Whether proxies say a header themselves, take it out, or pass on what anybody wrote."""
    return name in _OWN or name.startswith(_OWN_PREFIXES)


def _own_header(attribute: str) -> Complaint | None:
    what, name = conditions.split(attribute)
    if what != conditions.HEADERS or not is_own(name):
        return None
    return Complaint(f"names {name}, which callers or proxies on the way write as they like", "name another header")


_ATTRIBUTE: Final = Text(
    description=(
        "What is looked at: request.headers[NAME] (in lower case), request.query[NAME], request.time; and of the"
        " caller's identity source.namespace, source.zone and source.labels[NAME], those of its ServiceIdentity."
    ),
    pattern=conditions.PATTERN,
    what=conditions.WHAT,
    max_length=96,
    rules=(Rule(test=_own_header),),
)

_VALUES: Final = Text(
    description="A value; upper and lower case differ.",
    pattern=r"^[!-+\--~]([ -+\--~]*[!-+\--~])?$",
    what="a value of printable ASCII characters without a comma, and without a space at its ends",
    max_length=256,
)


def _values(description: str) -> ListOf:
    return ListOf(description=description, items=_VALUES, max_items=32, unique=True)


_UNKNOWN: Final = "Where the attribute is missing an Allow does not match, and a Deny does."

_WHEN: Final = Obj(
    description=(
        "A condition: an attribute, and exactly one of in, notIn, prefix, exists and absent, or of request.time within"
        " and outside."
    ),
    fields=(
        Field(name="attribute", node=_ATTRIBUTE, required=True),
        Field(name="in", node=_values(f"It has one of these values. {_UNKNOWN}")),
        Field(name="notIn", node=_values(f"It has another value than these. {_UNKNOWN}")),
        Field(name="prefix", node=_values(f"It begins with one of these. {_UNKNOWN}")),
        Field(name="exists", node=Flag(description="It is there, whatever its value.")),
        Field(name="absent", node=Flag(description="It is not there.")),
        Field(name="within", node=conditions.windows("The request begins in one of these windows of time.")),
        Field(name="outside", node=conditions.windows("The request begins in none of these windows of time.")),
    ),
    rules=(exactly_one_of(conditions.TESTS, "a condition"), conditions.FITS),
    hints={
        "values": Complaint("is not a field", "write in or notIn"),
        "notExists": Complaint("is not a field", "write absent: true"),
    },
)


def _untunnelled() -> Obj:
    """The same without CONNECT."""
    first, *others = _HTTP.fields
    node = ListOf(description="The methods. If left out, any.", items=_NO_TUNNEL, max_items=16, unique=True)
    return replace(_HTTP, fields=(replace(first, node=node), *others), rules=_HTTP.rules[:-1])


def http(description: str, max_items: int, *, tunnels: bool = True) -> Field:
    """Requests: any of these, CONNECT among them or (``tunnels`` False) not."""
    items = _HTTP if tunnels else _untunnelled()
    return Field(name="http", node=ListOf(description=description, items=items, max_items=max_items))


FIELDS: Final = (
    http(
        "The requests that the rule matches: any of these. It needs ports, which must speak HTTP as their Service says"
        " (appProtocol, or the port's name): on others the rule allows nothing, and denies all.",
        16,
    ),
    Field(
        name="when",
        node=ListOf(
            description=(
                "Conditions, all of which must hold. Those on the request need ports that speak HTTP, as http does;"
                " those on the source narrow from, and in a Deny without from they mean callers without an identity"
                " too. A request in which a header or a parameter that is compared comes twice is refused, and so is"
                " a header with a comma, or a parameter with %, + or ;."
            ),
            items=_WHEN,
            max_items=8,
        ),
    ),
)


def needs_ports(name: str) -> Rule:
    """The field has a meaning beside TCP ports only."""

    def test(value: Mapping[str, Any]) -> Complaint | None:
        if name not in value or (name == "when" and all(map(conditions.about_source, value[name]))):
            return None
        if "ports" not in value:
            return Complaint("needs ports beside it", "give the ports that speak HTTP", at=name)
        others = [
            n for n, p in enumerate(value["ports"]) if isinstance(p, Mapping) and p.get("protocol", "TCP") != "TCP"
        ]
        if not others:
            return None
        at = f"ports[{others[0]}]"
        return Complaint(f"is no TCP port, on which {name} could look at requests", "write a rule of its own", at=at)

    return Rule(test=test)


def requests(rule: Mapping[str, Any], token: TokenMatch | None = None) -> Requests | None:
    """What a rule says of requests, ``token`` among it; None for nothing."""
    when = [conditions.condition(each) for each in rule.get("when", ())]
    found = Requests(
        http=matches(rule),
        when=conditions.of_kind(HeaderCondition, when),
        query=conditions.of_kind(QueryCondition, when),
        times=conditions.of_kind(TimeCondition, when),
        token=token,
    )
    return found if found != Requests() else None


def source(rule: Mapping[str, Any]) -> tuple[SourceCondition, ...]:
    """What a rule says of the identity that calls."""
    return conditions.of_kind(SourceCondition, [conditions.condition(each) for each in rule.get("when", ())])


def matches(value: Mapping[str, Any]) -> tuple[HttpMatch, ...]:
    """What ``http`` says, sorted."""
    return tuple(sorted({match for entry in value.get("http", ()) for match in _matches(entry)}))


def _matches(entry: Mapping[str, Any]) -> Iterable[HttpMatch]:
    hosts = _sorted(entry, "hosts")
    if "grpc" not in entry:
        yield HttpMatch(_sorted(entry, "methods"), _sorted(entry, "paths"), hosts, _sorted(entry, "upgrades"))
        return
    paths = {f"/{each['service']}/{method}" for each in entry["grpc"] for method in each.get("methods", ("*",))}
    yield HttpMatch(("POST",), tuple(sorted(paths)), hosts, grpc=True)


def _sorted(entry: Mapping[str, Any], name: str) -> tuple[str, ...]:
    return tuple(sorted(entry.get(name, ())))
