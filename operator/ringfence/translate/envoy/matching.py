"""Which chain of a listener takes a connection, as a tree apart from the chains.

Addresses of pods stand in the tree, not in the chains: a chain that has not changed keeps its connections when the
listener is replaced, so pods may come and go without ending what others have open.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from envoy.extensions.matching.common_inputs.network.v3 import network_inputs_pb2 as inputs
from google.protobuf import wrappers_pb2
from xds.core.v3 import cidr_pb2, extension_pb2
from xds.type.matcher.v3 import ip_pb2, matcher_pb2, string_pb2

from ringfence.model import proxy
from ringfence.model.spans import Spans
from ringfence.translate.envoy import messages, names
from ringfence.translate.envoy.messages import Message

_Matcher = matcher_pb2.Matcher
_IP: Final = "ip"


def to_chain(name: str) -> Message:
    """The chain of that name takes it."""
    return _Matcher.OnMatch(action=_typed("chain", wrappers_pb2.StringValue(value=name)))


def to_matcher(matcher: Message) -> Message:
    """Another matcher decides."""
    return _Matcher.OnMatch(matcher=matcher)


def by_port(ports: Mapping[int, Message], otherwise: Message) -> Message:
    """By the port that the connection was made to."""
    if not ports:
        return always(otherwise)
    tree = _Matcher.MatcherTree(input=_typed("port", inputs.DestinationPortInput()))
    for port, on_match in ports.items():
        tree.exact_match_map.map[str(port)].CopyFrom(on_match)
    return _Matcher(matcher_tree=tree, on_no_match=otherwise)


def by_source(places: Iterable[tuple[Spans, Message]]) -> Message:
    """By the address that the connection comes from; nothing takes those from anywhere else."""
    return _by_address(
        inputs.DirectSourceIPInput(), [(spans.networks(), on_match) for spans, on_match in places], nothing()
    )


def by_destination(places: Iterable[tuple[Iterable[str], Message]], otherwise: Message) -> Message:
    """By the address that the connection was made to: the smallest of these networks that holds it decides alone."""
    return _by_address(inputs.DestinationIPInput(), list(places), otherwise)


def _by_address(kind: Message, places: Iterable[tuple[Iterable[str], Message]], otherwise: Message) -> Message:
    ranges = [
        ip_pb2.IPMatcher.IPRangeMatcher(
            ranges=[_cidr(network) for network in networks], on_match=on_match, exclusive=True
        )
        for networks, on_match in places
        if networks
    ]
    if not ranges:
        return always(otherwise)
    tree = _Matcher.MatcherTree(
        input=_typed("address", kind), custom_match=_typed(_IP, ip_pb2.IPMatcher(range_matchers=ranges))
    )
    return _Matcher(matcher_tree=tree, on_no_match=otherwise)


def by_transport(mesh: Message | None, tls: Message | None, plain: Message | None) -> Message:
    """By the first bytes: TLS that offers the mesh's protocol, a program's own TLS, anything else."""
    is_tls = _single(inputs.TransportProtocolInput(), string_pb2.StringMatcher(exact="tls"))
    # The input is the list of what is offered, each in single quotes. Whoever tricks it still has to show an SVID.
    is_ours = _single(inputs.ApplicationProtocolInput(), string_pb2.StringMatcher(contains=f"'{proxy.ALPN}'"))
    kinds = _Matcher.MatcherList
    both = kinds.Predicate(and_matcher=kinds.Predicate.PredicateList(predicate=[is_tls, is_ours]))
    steps = [(both, mesh or nothing()), (is_tls, tls or nothing())]
    matchers = [kinds.FieldMatcher(predicate=predicate, on_match=on_match) for predicate, on_match in steps]
    return _Matcher(matcher_list=kinds(matchers=matchers), on_no_match=plain or nothing())


def by_tls(tls: Message, plain: Message) -> Message:
    """By the first bytes: TLS, anything else."""
    is_tls = _single(inputs.TransportProtocolInput(), string_pb2.StringMatcher(exact="tls"))
    kinds = _Matcher.MatcherList
    matchers = [kinds.FieldMatcher(predicate=is_tls, on_match=tls)]
    return _Matcher(matcher_list=kinds(matchers=matchers), on_no_match=plain)


def always(on_match: Message) -> Message:
    """A matcher that does not look."""
    return _Matcher(on_no_match=on_match)


def nothing() -> Message:
    """The chain that closes whatever it gets: a matcher cannot say "no match" in its middle."""
    return to_chain(names.REFUSED)


def _single(kind: Message, matcher: Message) -> Message:
    predicates = _Matcher.MatcherList.Predicate
    return predicates(single_predicate=predicates.SinglePredicate(input=_typed("input", kind), value_match=matcher))


def _typed(name: str, config: Message) -> Message:
    return extension_pb2.TypedExtensionConfig(name=name, typed_config=messages.packed(config))


@lru_cache(maxsize=65536)
def _cidr(network: str) -> Message:
    parsed = ipaddress.ip_network(network)
    return cidr_pb2.CidrRange(address_prefix=str(parsed.network_address), prefix_len=messages.number(parsed.prefixlen))
