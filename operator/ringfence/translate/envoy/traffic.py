"""``traffic`` as Envoy has it: what counts, bounds and changes what authorization has let through.

Rate limits, bodies, timeouts and headers travel in the routes, for filters that every listener has and that are off
until a route brings something for them: so a new limit is in force for the next request, and no connection ends. Only
what is judged before there is a route (connections, the size of headers) is the listener's.

Each rate limit has a filter of its own, so that the log can name it and one that refuses leaves the later ones alone.
"""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from envoy.config.core.v3 import base_pb2, extension_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.common.ratelimit.v3 import ratelimit_pb2
from envoy.extensions.filters.http.buffer.v3 import buffer_pb2
from envoy.extensions.filters.http.header_to_metadata.v3 import header_to_metadata_pb2
from envoy.extensions.filters.http.local_ratelimit.v3 import local_rate_limit_pb2
from envoy.extensions.filters.network.connection_limit.v3 import connection_limit_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.rate_limit_descriptors.expr.v3 import expr_pb2
from envoy.type.v3 import percent_pb2, range_pb2, token_bucket_pb2
from google.protobuf import wrappers_pb2

from ringfence.model.spiffe import SpiffeId
from ringfence.model.traffic import UNTOLD_BODY, Bound, By, Limit, NamedRate, Rate
from ringfence.policy.traffic import Asked, Held
from ringfence.translate.envoy import claims, messages, names, tunnel
from ringfence.translate.envoy.messages import Message

#: Filters for limits that are enforced, and for those of mode Audit; of more limits the last one has the rest.
ENFORCED, AUDITED = 6, 3
#: Buckets that a limit has for callers and values that nobody has named; the one that is not used for longest goes.
BUCKETS: Final = 1000
#: Characters of the value of a header or a claim that a bucket is for; longer ones have one together, so that values
#: cannot fill the memory.
VALUE: Final = 128
#: How a limit tells the log that it has refused or would have; never seen outside the proxy.
TOLD: Final = "x-ringfence-limit"
_MAX_LENGTH: Final = (1 << 63) - 1
_LENGTH: Final = "content-length"
_Limit: Final = local_rate_limit_pb2.LocalRateLimit
_Said: Final = header_to_metadata_pb2.Config


def _enforced(number: int) -> str:
    return f"ringfence.limit.{number}"


def _audited(number: int) -> str:
    return f"ringfence.audit-limit.{number}"


# --- of listeners -----------------------------------------------------------------------------------------------------


def http_filters() -> list[Message]:
    """The filters, in their order, all of them off. The one that tells the log is asked before and after the limits."""
    idle = _Limit(stat_prefix="limit")
    limits = [*map(_enforced, range(ENFORCED)), *map(_audited, range(AUDITED))]
    return [
        _off(names.LIMITS_HUSH, _Said()),
        *(_off(name, idle) for name in limits),
        _off(names.LIMITS_SAID, _Said()),
        _off(names.BODY_FILTER, buffer_pb2.Buffer(max_request_bytes=messages.number(UNTOLD_BODY))),
    ]


def _off(name: str, config: Message) -> Message:
    return hcm_pb2.HttpFilter(name=name, typed_config=messages.packed(config), disabled=True)


def connections(held: Held, prefix: str) -> list[Message]:
    """The filter that bounds the connections of a chain; none where nobody asks for it."""
    found = held.bound(Bound.CONNECTIONS)
    if found is None:
        return []
    most, ref = found
    config = connection_limit_pb2.ConnectionLimit(
        stat_prefix=f"{prefix}.{names.policy_id(ref)}", max_connections=wrappers_pb2.UInt64Value(value=most)
    )
    return [messages.extension(listener_components_pb2.Filter, "envoy.filters.network.connection_limit", config)]


@dataclass(frozen=True, slots=True)
class HeaderBounds:
    """``size`` in KiB and ``count`` of a request's headers; None for the proxy's own."""

    size: int | None = None
    count: int | None = None

    @classmethod
    def of(cls, held: Held) -> "HeaderBounds":
        """What is asked for."""
        size, count = held.bound(Bound.HEADERS_SIZE), held.bound(Bound.HEADERS_COUNT)
        return cls(None if size is None else size[0] >> 10, None if count is None else count[0])


#: The proxy's own.
UNBOUNDED: Final = HeaderBounds()

# --- of routes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Telling:
    """By what requests are told apart: identities of a trust domain where callers show them (``mesh``), and tokens of
    the ``issuers`` (their keys) whose tokens the proxy looks at."""

    trust_domain: str
    mesh: bool
    issuers: Container[str] = frozenset()


def of_routes(held: Held, by: Telling) -> dict[str, Message]:
    """What the filters of these names shall do."""
    made: dict[str, Message] = {}
    for asked, slots, name, audit in (
        (held.limits, ENFORCED, _enforced, False),
        (held.audited, AUDITED, _audited, True),
    ):
        for number, some in enumerate(_slotted(asked, slots)):
            made[name(number)] = messages.packed(_limit(some, by, audit=audit))
    if held.limits or held.audited:
        made[names.LIMITS_SAID] = messages.packed(_saying(audited=bool(held.audited)))
    if held.audited:
        made[names.LIMITS_HUSH] = messages.packed(_hushing())
    return made


def _slotted(asked: tuple[Asked, ...], slots: int) -> Iterator[tuple[Asked, ...]]:
    alone, rest = (asked, ()) if len(asked) <= slots else (asked[: slots - 1], asked[slots - 1 :])
    yield from ((each,) for each in alone)
    if rest:
        yield rest


def limit_id(asked: Asked) -> str:
    """``namespace/policy#entry.caller``: as logs and figures name a limit."""
    ref, limit = asked
    return f"{names.policy_id(ref)}.{limit.word}"


def _limit(some: tuple[Asked, ...], by: Telling, *, audit: bool) -> Message:
    told = ",".join(map(limit_id, some))
    rates = [limit.rate for _, limit in some]
    # What no descriptor is made for counts in the filter's own bucket, so that nothing passes uncounted.
    least = min(rates, key=lambda rate: rate.requests / rate.period)
    found = _Limit(
        stat_prefix=f"{'audit_limit' if audit else 'limit'}.{told}",
        token_bucket=_bucket(least),
        always_consume_default_token_bucket=messages.false(),
        max_dynamic_descriptors=messages.number(BUCKETS * len(some)),
        rate_limited_as_resource_exhausted=True,
        filter_enabled=_share(100),
        filter_enforced=_share(0 if audit else 100),
    )
    for number, (_, limit) in enumerate(some):
        key = f"{number}.{limit.word}"
        found.rate_limits.append(route_components_pb2.RateLimit(actions=_actions(limit, key, by)))
        found.descriptors.extend(_descriptors(limit, key, by))
    if audit:
        found.request_headers_to_add_when_not_enforced.append(_header(TOLD, told, append=True))
    else:
        wait = max(ceil(rate.period / rate.requests) for rate in rates)
        found.response_headers_to_add.extend((_header("retry-after", str(wait)), _header(TOLD, told)))
    return found


def _share(percent: int) -> Message:
    value = percent_pb2.FractionalPercent(numerator=percent, denominator=percent_pb2.FractionalPercent.HUNDRED)
    return base_pb2.RuntimeFractionalPercent(default_value=value)


def _bucket(rate: Rate) -> Message:
    return token_bucket_pb2.TokenBucket(
        max_tokens=rate.burst,
        tokens_per_fill=messages.number(rate.requests),
        fill_interval=messages.seconds(rate.period),
    )


def _actions(limit: Limit, key: str, by: Telling) -> list[Message]:
    """What tells the bucket of a request."""
    action = route_components_pb2.RateLimit.Action
    if limit.by is By.HEADER:
        name = f"request.headers['{limit.header}']"
        value = f"'{limit.header}' in request.headers ? (size({name}) > {VALUE} ? '-' : {name}) : ''"
        return [_expression(key, value)]
    if limit.by is By.CLAIM:
        # Of an issuer that nobody declares no token is good.
        known = limit.issuer in by.issuers
        return [_expression(key, claims.text(limit.issuer, limit.claim, VALUE) if known else claims.NONE)]
    if limit.by is By.CALLER and by.mesh:
        return [_expression(key, "connection.uri_san_peer_certificate")]
    same = action(generic_key=action.GenericKey(descriptor_key=key, descriptor_value="all"))
    return [same, action(remote_address=action.RemoteAddress())] if limit.by is By.CALLER else [same]


def _expression(key: str, text: str) -> Message:
    config = expr_pb2.Descriptor(descriptor_key=key, text=text)
    extension = messages.extension(extension_pb2.TypedExtensionConfig, "envoy.rate_limit_descriptors.expr", config)
    return route_components_pb2.RateLimit.Action(extension=extension)


def _descriptors(limit: Limit, key: str, by: Telling) -> Iterator[Message]:
    if limit.by is By.ALL:
        yield _descriptor(limit.rate, (key, "all"))
    elif limit.by is By.CALLER and not by.mesh:
        yield _descriptor(limit.rate, (key, "all"), ("remote_address", ""))
    else:
        for uri, each in _named(limit.named, by.trust_domain):
            yield _descriptor(each.rate, (key, uri))
        yield _descriptor(limit.rate, (key, ""))


def _named(named: Iterable[NamedRate], trust_domain: str) -> Iterator[tuple[str, NamedRate]]:
    for each in named:
        try:
            yield str(SpiffeId.of_service_account(trust_domain, each.namespace, each.name)), each
        except ValueError:
            continue  # what cannot be an identity is nobody's


def _descriptor(rate: Rate, *entries: tuple[str, str]) -> Message:
    """A bucket for requests with these entries; an empty value is any, each with a bucket of its own."""
    made = [ratelimit_pb2.RateLimitDescriptor.Entry(key=key, value=value) for key, value in entries]
    return ratelimit_pb2.LocalRateLimitDescriptor(entries=made, token_bucket=_bucket(rate))


def _header(name: str, value: str, *, append: bool = False) -> Message:
    option = base_pb2.HeaderValueOption
    how = option.APPEND_IF_EXISTS_OR_ADD if append else option.OVERWRITE_IF_EXISTS_OR_ADD
    return option(header=base_pb2.HeaderValue(key=name, value=value.replace("%", "%%")), append_action=how)


def _saying(*, audited: bool) -> Message:
    """Puts what limits have said where the log finds it, and takes it out of the request and the answer."""

    def rule(key: str) -> Message:
        return _Said.Rule(
            header=TOLD,
            on_header_present=_Said.KeyValuePair(metadata_namespace=names.LIMITS, key=key, type=_Said.STRING),
            remove=True,
        )

    return _Said(request_rules=[rule("would")] if audited else [], response_rules=[rule("refused")])


def _hushing() -> Message:
    """Takes out what a caller says in a limit's place."""
    key = _Said.KeyValuePair(metadata_namespace=names.LIMITS, key="claimed", type=_Said.STRING)
    return _Said(request_rules=[_Said.Rule(header=TOLD, on_header_present=key, remove=True)])


# --- bodies, timeouts and headers -------------------------------------------------------------------------------------


def routes(held: Held, program: Message, *, tunnels: bool = False) -> list[Message]:
    """The routes to the program, which ``program`` (a RouteAction) leads to; with ``tunnels`` for CONNECT as well."""
    bounded = route_components_pb2.RouteAction()
    bounded.CopyFrom(program)
    _time(held, bounded)
    # What goes through a tunnel is no body.
    return [*([tunnel.route(bounded)] if tunnels else []), *_of_requests(held, bounded)]


def _of_requests(held: Held, bounded: Message) -> list[Message]:
    enforced, audited = held.bound(Bound.BODY), held.would_bound(Bound.BODY)
    if enforced is None and audited is None:
        return [_to(bounded)]
    return list(_by_body(held, bounded))


def _by_body(held: Held, program: Message) -> Iterator[Message]:
    """What says its length is judged by that and streams; what does not is held until it is whole.

    Envoy takes ``upgrade`` out of whatever asks for none, so only WebSockets have it. Those with a body are no
    exception: a program that ignores the upgrade would read it.
    """
    enforced, audited = held.bound(Bound.BODY), held.would_bound(Bound.BODY)
    yield _to(program, _present("upgrade"), _absent(_LENGTH), _absent("transfer-encoding"))
    told = _present(_LENGTH)
    if audited is not None:
        yield _to(program, _range(0, audited[0] + 1))
        most = _MAX_LENGTH if enforced is None else enforced[0] + 1
        yield _to(program, _range(audited[0] + 1, most), name=f"audit {_body_id(audited)}")
    if enforced is None:
        yield _to(program)
        return
    yield _to(program, _range(0, enforced[0] + 1))
    refused = route_components_pb2.DirectResponseAction(status=413)
    yield route_components_pb2.Route(match=_match(told), direct_response=refused, name=_body_id(enforced))
    untold = _to(program)
    most = min(enforced[0], UNTOLD_BODY)
    held_whole = buffer_pb2.BufferPerRoute(buffer=buffer_pb2.Buffer(max_request_bytes=messages.number(most)))
    untold.typed_per_filter_config[names.BODY_FILTER].CopyFrom(messages.packed(held_whole))
    yield untold


def _body_id(asked: tuple[int, Any]) -> str:
    return f"{names.policy_id(asked[1])}.{Bound.BODY.value}"


def _to(program: Message, *headers: Message, name: str = "") -> Message:
    return route_components_pb2.Route(match=_match(*headers), route=program, name=name)


def _match(*headers: Message) -> Message:
    return route_components_pb2.RouteMatch(prefix="/", headers=headers)


def _present(name: str) -> Message:
    return route_components_pb2.HeaderMatcher(name=name, present_match=True)


def _absent(name: str) -> Message:
    return route_components_pb2.HeaderMatcher(name=name, present_match=True, invert_match=True)


def _range(first: int, beyond: int) -> Message:
    return route_components_pb2.HeaderMatcher(name=_LENGTH, range_match=range_pb2.Int64Range(start=first, end=beyond))


def _time(held: Held, program: Message) -> None:
    request, idle, stream = (held.bound(each) for each in (Bound.REQUEST, Bound.IDLE, Bound.STREAM))
    if request is not None:
        program.timeout.CopyFrom(messages.seconds(request[0]))
    if idle is not None:
        program.idle_timeout.CopyFrom(messages.seconds(idle[0]))
    if stream is not None:
        program.max_stream_duration.max_stream_duration.CopyFrom(messages.seconds(stream[0]))


def change_headers(held: Held, found: Message) -> None:
    """Have a RouteConfiguration change headers, after everybody has looked at them."""
    found.request_headers_to_remove.extend(held.to_program.remove)
    found.request_headers_to_add.extend(_header(*each) for each in held.to_program.set)
    found.response_headers_to_remove.extend(held.to_caller.remove)
    found.response_headers_to_add.extend(_header(*each) for each in held.to_caller.set)
