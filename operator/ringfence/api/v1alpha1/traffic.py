"""The field ``traffic``: rate limits, bounds and headers of what comes to a port."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from ringfence.api.schema import Complaint, Field, Integer, ListOf, Node, Obj, Rule, Text, at_least_one_of
from ringfence.api.v1alpha1 import identifiers, peers
from ringfence.api.v1alpha1.rate_limits import DAY, HEADER, duration, limits, rate_limits
from ringfence.model import durations, sizes
from ringfence.model.traffic import UNTOLD_BODY, Asks, Bound, HeaderChanges

NAME: Final = "traffic"
MAX_ENTRIES: Final = 16
MAX_PORTS: Final = 64
MAX_CHANGES: Final = 16

_KI, _GI = 1 << 10, 1 << 30
_PARTS: Final = ("rateLimits", "maxConnections", "maxBody", "requestHeaders", "timeouts", "headers")


def _size(description: str, least: int, most: int) -> Text:
    low, high = sizes.text(least), sizes.text(most)

    def test(text: str) -> Complaint | None:
        if least <= sizes.parse(text) <= most:
            return None
        return Complaint(f'"{text}" is out of range', f"give {low} to {high}")

    return Text(
        description=f"{description} {low} to {high}.",
        pattern=sizes.PATTERN,
        what="a size in bytes, such as 512Ki or 1Mi",
        max_length=12,
        rules=(Rule(test=test),),
    )


# --- bounds -----------------------------------------------------------------------------------------------------------

_REQUEST_HEADERS: Final = Obj(
    description=(
        "Bounds of requests' headers. Whatever is beyond them gets 431 before anybody is asked who calls. A change ends"
        " the port's connections within the drain time."
    ),
    fields=(
        Field(
            name="maxSize",
            node=_size("The size of all of them together, in steps of 1Ki. Default: 96Ki.", _KI, 96 * _KI),
        ),
        Field(name="maxCount", node=Integer(description="How many, 10 to 100. Default: 100.", minimum=10, maximum=100)),
    ),
    rules=(at_least_one_of(("maxSize", "maxCount"), "requestHeaders"),),
)
_TIMEOUTS: Final = Obj(
    description="How long things may take. By default nothing is bounded but the age of connections.",
    fields=(
        Field(
            name="request",
            node=duration(
                "From the end of the request to the end of the answer; then 504. Not for WebSockets.", 1, DAY
            ),
        ),
        Field(
            name="idle",
            node=duration("Without a byte of a request or its answer; then 408 or 504.", 1, DAY),
        ),
        Field(
            name="stream",
            node=duration("For a request and its answer from first to last, WebSockets and streams too.", 1, DAY),
        ),
    ),
    rules=(at_least_one_of(("request", "idle", "stream"), "timeouts"),),
    hints={"connect": Complaint("is not a field", "the program is in the same pod: leave it out")},
)

# --- headers ----------------------------------------------------------------------------------------------------------


_CREDENTIALS: Final = frozenset({"authorization", "cookie", "set-cookie"})


def _credential(name: str) -> Complaint | None:
    if name in _CREDENTIALS:
        return Complaint(f"{name} carries secrets, and everybody may read policies", "leave it to the program")
    return None


_VALUE: Final = Text(
    description="Its value, as it is sent.",
    pattern="^[!-~]([ -~]*[!-~])?$",
    what="printable ASCII characters, without a space at its ends",
    max_length=1024,
)
_SET: Final = Obj(
    description="A header.",
    fields=(
        Field(name="name", node=replace(HEADER, rules=(*HEADER.rules, Rule(test=_credential))), required=True),
        Field(name="value", node=_VALUE, required=True),
    ),
)


def _set_and_removed(value: Mapping[str, Any]) -> Complaint | None:
    removed = set(value.get("remove", ()))
    for number, each in enumerate(value.get("set", ())):
        if each["name"] in removed:
            return Complaint(f"{each['name']} is removed too", "write it once", at=f"set[{number}].name")
    return None


def _changes(description: str) -> Obj:
    return Obj(
        description=description,
        fields=(
            Field(
                name="remove",
                node=ListOf(description="Headers to take out.", items=HEADER, max_items=MAX_CHANGES, unique=True),
            ),
            Field(
                name="set",
                node=ListOf(
                    description="Headers to set, in place of what is there.",
                    items=_SET,
                    max_items=MAX_CHANGES,
                    key="name",
                ),
            ),
        ),
        rules=(at_least_one_of(("remove", "set"), "headers"), Rule(test=_set_and_removed)),
        hints={"add": Complaint("is not a field", "write set: [{name: …, value: …}]")},
    )


_HEADERS: Final = Obj(
    description="Headers that proxies change, after rules have looked at them as they were sent.",
    fields=(
        Field(name="toProgram", node=_changes("Changes to requests on their way to the program.")),
        Field(name="toCaller", node=_changes("Changes to the program's answers.")),
    ),
    rules=(at_least_one_of(("toProgram", "toCaller"), "headers"),),
)

# --- the field --------------------------------------------------------------------------------------------------------


def _only_tcp(value: Mapping[str, Any]) -> Complaint | None:
    for number, port in enumerate(value.get("ports", ())):
        if isinstance(port, Mapping) and port.get("protocol", "TCP") != "TCP":
            return Complaint("is no TCP port: proxies carry nothing else", "leave it out", at=f"ports[{number}]")
    return None


def _entry(*, own_namespace: bool) -> Obj:
    nodes: dict[str, Node] = {
        "rateLimits": rate_limits(own_namespace=own_namespace),
        "maxConnections": Integer(
            description=(
                "How many connections the port has at once, 1 to 1000000, those in mutual TLS and others each. More are"
                " closed. A change ends the port's connections within the drain time."
            ),
            minimum=1,
            maximum=1_000_000,
        ),
        "maxBody": _size(
            "The size of a request's body; beyond it 413. A body whose length is not told beforehand (chunked, streams"
            f" of gRPC) is held until it is whole, {sizes.text(UNTOLD_BODY)} at most, so it does not stream.",
            1,
            _GI,
        ),
        "requestHeaders": _REQUEST_HEADERS,
        "timeouts": _TIMEOUTS,
        "headers": _HEADERS,
    }
    return Obj(
        description="What holds for some ports.",
        fields=(
            Field(
                name="name",
                node=replace(identifiers.DNS_LABEL, description="Tells the entry from the others; logs name it."),
                required=True,
            ),
            Field(
                name="ports",
                node=ListOf(
                    description="The ports of the pods, TCP. If left out, every port.",
                    items=peers.PORT,
                    max_items=MAX_PORTS,
                ),
            ),
            *(Field(name=name, node=nodes[name]) for name in _PARTS),
        ),
        rules=(at_least_one_of(_PARTS, "an entry of traffic"), Rule(test=_only_tcp)),
        hints={
            "rateLimit": Complaint("is not a field", "write rateLimits"),
            "maxRequestBody": Complaint("is not a field", "write maxBody"),
            "timeout": Complaint("is not a field", "write timeouts: {request: …}"),
        },
    )


def field(*, own_namespace: bool) -> Field:
    """The field of a policy."""
    return Field(
        name=NAME,
        node=ListOf(
            description=(
                "How much may come to the pods that the policy governs, and in which shape. Where policies differ the"
                " strictest holds, and every rate limit. But for maxConnections it is about ports that speak HTTP."
            ),
            items=_entry(own_namespace=own_namespace),
            max_items=MAX_ENTRIES,
            key="name",
        ),
    )


def _headers_of_rules(value: Mapping[str, Any]) -> Complaint | None:
    conditions = (c for rule in value.get("ingress", ()) for c in rule.get("when", ()))
    asked = {each["attribute"].removeprefix("request.headers[").removesuffix("]") for each in conditions}
    for place, entry in enumerate(value.get(NAME, ())):
        changed = entry.get("headers", {}).get("toProgram", {})
        at = f"{NAME}[{place}].headers.toProgram"
        named = [(f"{at}.remove[{n}]", each) for n, each in enumerate(changed.get("remove", ()))]
        named += [(f"{at}.set[{n}].name", each["name"]) for n, each in enumerate(changed.get("set", ()))]
        for where, name in named:
            if name in asked:
                return Complaint(
                    f"{name} is what a rule's when looks at: the program would see another value than the rule",
                    "name another header",
                    at=where,
                )
    return None


#: Of the spec.
HEADERS_OF_RULES: Final = Rule(test=_headers_of_rules)

# --- reading ----------------------------------------------------------------------------------------------------------


def asks(entry: Mapping[str, Any], namespace: str, own: Mapping[str, str]) -> Asks:
    """What an entry asks; identities without a namespace are of ``namespace``.

    ``own`` are the keys of the issuers that the policy declares, by name.
    """
    headers = entry.get("headers", {})
    return Asks(
        limits=tuple(sorted(limits(entry.get("rateLimits", {}), namespace, own))),
        bounds=tuple(sorted(_bounds(entry))),
        to_program=_read_changes(headers.get("toProgram", {})),
        to_caller=_read_changes(headers.get("toCaller", {})),
    )


def _bounds(entry: Mapping[str, Any]) -> Iterable[tuple[Bound, int]]:
    readers: dict[Bound, Callable[[Any], int]] = {
        Bound.CONNECTIONS: int,
        Bound.BODY: sizes.parse,
        Bound.HEADERS_SIZE: sizes.parse,
        Bound.HEADERS_COUNT: int,
        Bound.REQUEST: durations.parse,
        Bound.IDLE: durations.parse,
        Bound.STREAM: durations.parse,
    }
    for bound, read in readers.items():
        outer, _, inner = bound.value.partition(".")
        found = entry.get(outer, {}).get(inner) if inner else entry.get(outer)
        if found is not None:
            yield bound, read(found)


def _read_changes(value: Mapping[str, Any]) -> HeaderChanges:
    return HeaderChanges(
        remove=tuple(sorted(value.get("remove", ()))),
        set=tuple(sorted((each["name"], each["value"]) for each in value.get("set", ()))),
    )
