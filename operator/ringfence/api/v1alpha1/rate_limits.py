"""Rate limits: the field ``rateLimits`` of an entry of ``traffic``, and what the rest of the entry is written with."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from ringfence.api.schema import Complaint, Field, Integer, ListOf, Obj, Rule, Text, at_least_one_of, exactly_one_of
from ringfence.api.v1alpha1 import identifiers, peers, tokens
from ringfence.model import durations
from ringfence.model.tokens import claim_at, cluster_key
from ringfence.model.traffic import By, Limit, NamedRate, Rate

MAX_NAMED: Final = 32
MAX_CLAIM_LIMITS: Final = 4
MAX_HEADER_LIMITS: Final = 4
DAY: Final = 24 * 3600


def duration(description: str, least: int, most: int) -> Text:
    """A duration from ``least`` to ``most`` seconds."""
    low, high = durations.text(least), durations.text(most)

    def test(text: str) -> Complaint | None:
        if least <= durations.parse(text) <= most:
            return None
        return Complaint(f'"{text}" is out of range', f"give {low} to {high}")

    return Text(
        description=f"{description} {low} to {high}.",
        pattern=durations.PATTERN,
        what="a duration of hours, minutes and seconds, such as 30s",
        max_length=21,
        rules=(
            Rule(
                test=test,
                cel=f"duration(self) >= duration('{low}') && duration(self) <= duration('{high}')",
                message=f"is not from {low} to {high}",
            ),
        ),
    )


def _burst(value: Mapping[str, Any]) -> Complaint | None:
    if "burst" not in value or value["burst"] >= value["requests"]:
        return None
    return Complaint(
        f"is less than requests ({value['requests']})",
        "give as many at least, or leave it out; for smaller bursts give fewer requests per a shorter time",
        at="burst",
    )


_BURST: Final = Rule(
    test=_burst,
    cel="!has(self.burst) || self.burst >= self.requests",
    message="burst is less than requests",
)
_RATE: Final = (
    Field(
        name="requests",
        node=Integer(description="How many requests pass in that time, 1 to 1000000.", minimum=1, maximum=1_000_000),
        required=True,
    ),
    Field(name="per", node=duration("The time in which so many pass; they come back evenly.", 1, DAY), required=True),
    Field(
        name="burst",
        node=Integer(
            description="How many pass at once after a pause, from requests to 1000000. Default: requests.",
            minimum=1,
            maximum=1_000_000,
        ),
    ),
)
_HINTS: Final = {
    "limit": Complaint("is not a field", "write requests"),
    "rate": Complaint("is not a field", "write requests and per"),
    "period": Complaint("is not a field", "write per"),
    "interval": Complaint("is not a field", "write per"),
}


def _rate(description: str, *more: Field, rules: tuple[Rule, ...] = ()) -> Obj:
    return Obj(description=description, fields=(*more, *_RATE), rules=(_BURST, *rules), hints=_HINTS)


def _no_two(name: str, key: Callable[[Any], object], what: str) -> Rule:
    """The entries of a list differ in ``key``."""

    def test(value: Mapping[str, Any]) -> Complaint | None:
        seen: set[object] = set()
        for number, each in enumerate(value.get(name, ())):
            if key(each) in seen:
                return Complaint(f"names {what} that is there already", "give each once", at=f"{name}[{number}]")
            seen.add(key(each))
        return None

    return Rule(test=test)


def _caller_of(value: Mapping[str, Any]) -> tuple[str, str]:
    return value["identity"].get("namespace", ""), value["identity"]["name"]


#: What proxies and connections say themselves.
_OWN: Final = frozenset(
    {"connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
_OWN_PREFIXES: Final = ("x-forwarded-", "x-envoy-", "x-ringfence-", "proxy-", "grpc-")


def _own_header(name: str) -> Complaint | None:
    told = name.replace("_", "-")  # to many programs the same
    if told in _OWN or told.startswith(_OWN_PREFIXES):
        return Complaint(f"{name} is what proxies and connections say of themselves", "name another header")
    return None


HEADER: Final = Text(
    description="The name of a header, in lower case.",
    pattern="^[a-z0-9]+([-_][a-z0-9]+)*$",
    what="the name of a header, of lower-case letters, digits and, inside, single '-' and '_'",
    max_length=64,
    rules=(Rule(test=_own_header),),
)


_CLAIM: Final = (
    Field(
        name="issuer",
        node=replace(identifiers.DNS_LABEL, description="The issuer of the tokens, by its name in jwtIssuers."),
        required=True,
    ),
    Field(name="claim", node=tokens.CLAIM),
    Field(
        name="path",
        node=replace(
            tokens.PATH,
            description=(
                "In place of claim, the names that lead to one inside others, from the outside in: [org, id]. A dot is"
                " a dot."
            ),
        ),
    ),
)


_PER_CLAIM: Final = Field(
    name="perClaim",
    node=ListOf(
        description=(
            "The requests with each value of a claim by themselves, of good tokens of an issuer. Those"
            " without a good token have a bucket together, and so has a claim that is missing, an object,"
            " or has several values."
        ),
        items=_rate("A claim.", *_CLAIM, rules=(exactly_one_of(("claim", "path"), "a limit"),)),
        max_items=MAX_CLAIM_LIMITS,
    ),
)
_PER_HEADER: Final = Field(
    name="perHeader",
    node=ListOf(
        description=(
            "The requests with each value of a header by themselves; those without it have a bucket"
            " together. Callers choose the value: give perCaller beside it."
        ),
        items=_rate(
            "A header.",
            Field(name="header", node=replace(HEADER, pattern="^[a-z0-9]+(-[a-z0-9]+)*$"), required=True),
        ),
        max_items=MAX_HEADER_LIMITS,
    ),
)


def _claim_of(value: Mapping[str, Any]) -> str:
    """The name or the path of the claim, as limits have it."""
    return claim_at(value["path"]) if "path" in value else str(value.get("claim", ""))


def rate_limits(*, own_namespace: bool) -> Obj:
    """The field's schema; ``own_namespace`` says that the policy has a namespace."""
    identity = peers.identity(own_namespace)
    named = _rate(
        "A caller with a rate of its own, instead of that of all others.",
        Field(name="identity", node=identity, required=True),
    )
    callers = Field(name="callers", node=ListOf(description="Callers that differ.", items=named, max_items=MAX_NAMED))
    return Obj(
        description=(
            "How many requests pass, at each pod by itself. Only requests that rules allow count; what is too much gets"
            " 429 with Retry-After. Where several limits apply, all of them hold."
        ),
        fields=(
            Field(name="all", node=_rate("All requests to the port together.")),
            Field(
                name="perCaller",
                node=_rate(
                    "The requests of each caller by itself: by its identity, without one by its address.",
                    callers,
                    rules=(_no_two("callers", _caller_of, "a caller"),),
                ),
            ),
            _PER_CLAIM,
            _PER_HEADER,
        ),
        rules=(
            at_least_one_of(("all", "perCaller", "perClaim", "perHeader"), "rateLimits"),
            _no_two("perClaim", lambda each: (each["issuer"], _claim_of(each)), "a claim"),
            _no_two("perHeader", lambda each: each["header"], "a header"),
        ),
    )


def _read_rate(value: Mapping[str, Any]) -> Rate:
    return Rate(value["requests"], durations.parse(value["per"]), value.get("burst", value["requests"]))


def limits(value: Mapping[str, Any], namespace: str, own: Mapping[str, str]) -> Iterator[Limit]:
    """The limits that the field says; identities without a namespace are of ``namespace``.

    ``own`` are the keys of the issuers that the policy declares, by name; others are the platform's.
    """
    if "all" in value:
        yield Limit(By.ALL, _read_rate(value["all"]))
    if "perCaller" in value:
        named = (
            NamedRate(each["identity"].get("namespace", namespace), each["identity"]["name"], _read_rate(each))
            for each in value["perCaller"].get("callers", ())
        )
        yield Limit(By.CALLER, _read_rate(value["perCaller"]), named=tuple(sorted(named)))
    for each in value.get("perClaim", ()):
        key = own.get(each["issuer"], cluster_key(each["issuer"]))
        yield Limit(By.CLAIM, _read_rate(each), issuer=key, claim=_claim_of(each))
    for each in value.get("perHeader", ()):
        yield Limit(By.HEADER, _read_rate(each), each["header"])
