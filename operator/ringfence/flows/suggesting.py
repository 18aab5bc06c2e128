"""The least policies that allow what was seen: one for each identity that is called, or that calls what is outside.

``wanted`` has put in general what docs/flows.md says is put in general; here nothing is.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ringfence.flows.replay import Seen
from ringfence.flows.wanted import Between, Peer, Want, name
from ringfence.model.names import is_dns_label
from ringfence.model.requests import CONNECT, HttpMatch
from ringfence.model.resources import (
    AnonymousPeer,
    ApiServerPeer,
    CidrPeer,
    HostPeer,
    IdentityPeer,
    NamespacePeer,
    Protocol,
)

#: What a list in a policy holds at most (docs/api.md).
_PEERS: Final = 64
_PATHS: Final = 32
_METHODS: Final = 16
_MATCHES: Final = 16
_RULES: Final = 100


@dataclass(frozen=True, slots=True)
class SuggestedRule:
    """An Allow. ``matches`` are empty for whatever is sent; ``seen`` says what each peer was seen to do."""

    name: str
    peers: tuple[Peer, ...]
    protocol: Protocol
    port: int
    matches: tuple[HttpMatch, ...]
    seen: tuple[tuple[str, Seen], ...]


@dataclass(frozen=True, slots=True)
class SuggestedPolicy:
    """A policy for the pods of an identity; ``egress`` None for no such section.

    ``plaintext`` is how many calls came from identities without mutual TLS: it then takes these too.
    """

    identity: IdentityPeer
    name: str
    ingress: tuple[SuggestedRule, ...]
    egress: tuple[SuggestedRule, ...] | None
    plaintext: int = 0


def suggest(wants: Mapping[Between, Want], listed: Callable[[IdentityPeer], bool]) -> list[SuggestedPolicy]:
    """The policies, sorted. ``listed`` tells of which identities some other policy lists the egress."""
    ingress: dict[IdentityPeer, list[tuple[Between, Want]]] = defaultdict(list)
    egress: dict[IdentityPeer, list[tuple[Between, Want]]] = defaultdict(list)
    for between, want in wants.items():
        if isinstance(between.target, IdentityPeer):
            ingress[between.target].append((between, want))
        if isinstance(between.source, IdentityPeer):
            egress[between.source].append((between, want))
    found: list[SuggestedPolicy] = []
    for identity in sorted({*ingress, *egress}, key=lambda each: (each.namespace, each.name)):
        outside = any(isinstance(each.target, CidrPeer | HostPeer | ApiServerPeer) for each, _ in egress[identity])
        coming = list(_rules(ingress[identity], ingress=True))
        going = list(_rules(egress[identity], ingress=False)) if outside or listed(identity) else None
        if coming or going:
            found += _policies(identity, coming, going, _plain(ingress[identity]))
    return found


def _plain(calls: Iterable[tuple[Between, Want]]) -> int:
    return sum(want.plaintext for between, want in calls if isinstance(between.source, IdentityPeer))


def _policies(
    identity: IdentityPeer, ingress: list[SuggestedRule], egress: list[SuggestedRule] | None, plaintext: int
) -> Iterator[SuggestedPolicy]:
    """One, or as many as rules need."""
    parts = max(1, -(-len(ingress) // _RULES), -(-len(egress or ()) // _RULES))
    for part in range(parts):
        span = slice(part * _RULES, (part + 1) * _RULES)
        going = tuple(egress[span]) if egress else None
        called = identity.name if part == 0 else f"{identity.name}-{part + 1}"
        yield SuggestedPolicy(identity, called, tuple(ingress[span]), going or None, plaintext)


def _rules(calls: Iterable[tuple[Between, Want]], *, ingress: bool) -> Iterator[SuggestedRule]:
    """A rule for all peers that do the same on a port."""
    alike: dict[tuple[Protocol, int, tuple[HttpMatch, ...], bool], list[tuple[Peer, Seen]]] = defaultdict(list)
    for between, want in calls:
        matches = _matches(want) if ingress else ()
        peer = between.source if ingress else between.target
        # Hosts stand apart from addresses: proxies hold the ones, the network the others.
        alike[between.protocol, between.port, matches, isinstance(peer, HostPeer)].append((peer, want.seen))
    taken: set[str] = set()
    groups = [(*key[:2], sorted(peers, key=_name), key[2]) for key, peers in alike.items()]
    for protocol, port, ordered, matches in sorted(groups, key=lambda each: (*each[:2], list(map(_name, each[2])))):
        for start in range(0, len(ordered), _PEERS):
            some = ordered[start : start + _PEERS]
            seen = tuple((name(peer), found) for peer, found in some)
            for place in range(0, max(1, len(matches)), _MATCHES):
                called = _called(some[0][0], len(some), port, taken)
                peers_ = tuple(peer for peer, _ in some)
                yield SuggestedRule(called, peers_, protocol, port, matches[place : place + _MATCHES], seen)


def _name(peer: tuple[Peer, Seen]) -> str:
    return name(peer[0])


def _matches(want: Want) -> tuple[HttpMatch, ...]:
    """The requests: each path with exactly the methods that were seen on it."""
    methods: dict[tuple[str, str | None], set[str]] = defaultdict(set)
    tunnels = [HttpMatch((CONNECT,))] if (CONNECT, "") in want.requests else []
    for (method, upgrade), paths in want.requests.items():
        for path in (paths.patterns() or (None,)) if method != CONNECT else ():
            methods[upgrade, path].add(method)
    paths_of: dict[tuple[str, tuple[str, ...]], list[str | None]] = defaultdict(list)
    for (upgrade, path), some in methods.items():
        for first in range(0, len(some), _METHODS):
            paths_of[upgrade, tuple(sorted(some)[first : first + _METHODS])].append(path)
    entries = (each for key, paths in paths_of.items() for each in _entries(*key, paths))
    return tuple(sorted((*entries, *tunnels)))


def _entries(upgrade: str, methods: tuple[str, ...], paths: list[str | None]) -> Iterator[HttpMatch]:
    bare = HttpMatch(methods, upgrades=(upgrade,) if upgrade else ())
    if None in paths:
        yield bare
    named = sorted(path for path in paths if path is not None)
    for start in range(0, len(named), _PATHS):
        yield replace(bare, paths=tuple(named[start : start + _PATHS]))


def _called(peer: Peer, count: int, port: int, taken: set[str]) -> str:
    """A name that no other rule has."""
    match peer:
        case IdentityPeer(_, identity) if count == 1 and is_dns_label(identity):
            word = identity
        case NamespacePeer(namespace) if count == 1:
            word = namespace
        case ApiServerPeer() if count == 1:
            word = "api-server"
        case AnonymousPeer():
            word = "anyone"
        case HostPeer(host):
            word = host.replace(".", "-") if count == 1 else "hosts"
        case CidrPeer():
            word = "addresses"
        case _:
            word = "several"
    found, number = f"{word[:50]}-{port}", 2
    while found in taken:
        found, number = f"{word[:50]}-{port}-{number}", number + 1
    taken.add(found)
    return found
