"""One proxy's side of the conversation: what it asked for, what it has, what it refused, and what to send next.

No I/O and no tasks: requests go in, messages come out, whenever the owner of the stream can send one. A proxy that
reads slowly is told nothing more, and then gets the newest state, not each state in between: of each type one response
at most is unanswered. Order is make-before-break: secrets, clusters, endpoints, listeners, routes; what goes goes last.

A refusal (NACK) of several resources says not which is bad, nor that the others were not taken. So the same is sent
again in halves, down to the one that is bad: it stays out until it changes, the others are in force, and its name is
known.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ringfence.model.proxy import SDS_BUNDLE, SDS_IDENTITY
from ringfence.proxyd import wire
from ringfence.proxyd.shared import NOTHING, first_same, nothing, outdated, same, without
from ringfence.proxyd.wire import Item, Kind, Offer

#: Most names that a proxy may subscribe to of one type, and the most bytes of a name.
MAX_NAMES: Final = 20_000
MAX_NAME_BYTES: Final = 1024
#: Most characters of a refusal that are kept.
MAX_ERROR: Final = 500
#: Seconds for which listeners and routes wait until new clusters are in place, and after which an unanswered response
#: keeps nothing up any more. A changed cluster is acknowledged only once it is warm.
GATE_SECONDS: Final = 1.0
UNANSWERED_SECONDS: Final = 15.0
#: Bytes of resources in one response, roughly: a big configuration is sent in several.
CHUNK_BYTES: Final = 2 << 20

_WILDCARD: Final = "*"
_SECRETS: Final[Mapping[str, object]] = {SDS_IDENTITY: None, SDS_BUNDLE: None}
_LAST: Final = (Kind.ROUTES, Kind.CLUSTERS, Kind.ENDPOINTS)


class Malformed(Exception):
    """A request that no proxy of ours makes; the stream is to be ended."""


@dataclass(frozen=True, slots=True)
class Nack:
    """A refusal of one resource: which, in which version, why (cut to MAX_ERROR), when (the conversation's clock)."""

    kind: Kind
    name: str
    version: str
    error: str
    at: float


@dataclass(slots=True)
class _Sent:
    """An unanswered response."""

    versions: dict[str, str]
    removed: tuple[str, ...]
    at: float


@dataclass(slots=True)
class _Topic:
    """One type of resource. ``sent`` is what the proxy has or was sent, ``confirmed`` what it has said to use.

    No mapping here is ever changed, only replaced: thousands of proxies have the same, and then hold one for all.
    """

    asked: bool = False
    answered: bool = False
    wildcard: bool = False
    names: Mapping[str, object] = field(default_factory=nothing)
    unknown: Mapping[str, object] = field(default_factory=nothing)
    sent: Mapping[str, str] = field(default_factory=nothing)
    confirmed: Mapping[str, str] = field(default_factory=nothing)
    refused: Mapping[str, Nack] = field(default_factory=nothing)
    unanswered: Mapping[str, _Sent] = field(default_factory=nothing)
    halves: tuple[tuple[str, ...], ...] = ()
    #: False: nothing is to be sent, and nothing to be removed, until something happens.
    stale: bool = True
    leftover: bool = True

    def stir(self) -> None:
        """Something has happened: look again."""
        self.stale = self.leftover = True

    @property
    def owes_answer(self) -> bool:
        """Without an answer to its first request a proxy does not start, even if there is nothing to say."""
        return self.wildcard and not self.answered

    @property
    def idle(self) -> bool:
        """Whether there is certainly nothing to send."""
        return not (self.stale or self.leftover or self.halves or self.owes_answer or not self.asked)

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.names

    def busy(self, now: float) -> bool:
        """Whether a response is unanswered that still may be answered."""
        for each in self.unanswered.values():  # noqa: SIM110 (asked for every message; twice as fast as any())
            if now - each.at < UNANSWERED_SECONDS:
                return True
        return False


class Conversation:
    """The state of one stream. ``now`` reads a clock that never steps, in seconds."""

    __slots__ = ("_gate_since", "_nonce", "_now", "_offer", "_secrets", "_topics", "last_nack")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._topics = {kind: _Topic() for kind in Kind}
        self._secrets: dict[str, Item] = {}
        self._offer: Offer | None = None
        self._gate_since: float | None = None
        self._nonce = 0
        #: The refusal that came last, None when there was none on this stream.
        self.last_nack: Nack | None = None

    # --- what it shall have -------------------------------------------------------------------------------------

    @property
    def offer(self) -> Offer | None:
        """What it shall have now, None while that is not known."""
        return self._offer

    def give(self, offer: Offer) -> None:
        """From now on it shall have this."""
        before, self._offer = self._offer, offer
        for kind, items in offer.items.items():
            if before is None or before.items[kind] is not items:
                self._topics[kind].stir()

    def give_secret(self, item: Item) -> None:
        """From now on it shall have this secret, beside the others."""
        self._secrets[item.name] = item
        self._topics[Kind.SECRETS].stir()

    # --- what it has --------------------------------------------------------------------------------------------

    def confirmed(self, kind: Kind, name: str) -> str:
        """The version of a resource that the proxy has said to use; "" for none."""
        return self._topics[kind].confirmed.get(name, "")

    @property
    def acknowledged(self) -> bool:
        """Whether it has said to use everything of the present offer, and nothing more."""
        if self._offer is None or any(self._topics[kind].unanswered for kind in self._offer.items):
            return False
        return all(same(self._topics[kind].confirmed, each) for kind, each in self._offer.versions.items())

    @property
    def refused(self) -> tuple[Nack, ...]:
        """What it refuses of what it shall have now, in the order of types and names."""
        found = []
        for kind, topic in self._topics.items():
            if topic.refused:
                items = self._items(kind)
                found += [
                    nack
                    for name, nack in sorted(topic.refused.items(), key=lambda each: each[0])
                    if name in items and items[name].version == nack.version
                ]
        return tuple(found)

    # --- requests -----------------------------------------------------------------------------------------------

    def hear(self, request: wire.Request) -> Nack | None:
        """Take a request; what it refuses, if it does. Raises Malformed."""
        try:
            kind = Kind(request.type_url)
        except ValueError:
            raise Malformed(f"the type {request.type_url[:100]!r} is not served here") from None
        topic = self._topics[kind]
        if not request.response_nonce or request.resource_names_subscribe or request.HasField("error_detail"):
            topic.stir()
        nack = self._answered(kind, topic, request) if request.response_nonce else None
        first, topic.asked = not topic.asked, True
        if first:
            # Thousands of proxies know the same: one string for all of them.
            told = request.initial_resource_versions.items()
            known = {sys.intern(name): sys.intern(version) for name, version in told}
            _bound(known)
            topic.sent = self._shared(kind, {**topic.sent, **known})
            topic.confirmed = self._shared(kind, {**topic.confirmed, **known})
            topic.wildcard = not request.resource_names_subscribe and not request.response_nonce
        if request.resource_names_subscribe:
            self._subscribe(kind, topic, [sys.intern(name) for name in request.resource_names_subscribe], first)
        if request.resource_names_unsubscribe:
            self._unsubscribe(kind, topic, frozenset(request.resource_names_unsubscribe))
        return nack

    def _subscribe(self, kind: Kind, topic: _Topic, names: list[str], first: bool) -> None:
        if _WILDCARD in names:
            topic.wildcard, topic.answered = True, False
        added = {name: None for name in names if name != _WILDCARD}
        if added:
            topic.names = self._shared_names(kind, {**topic.names, **added})
            topic.unknown = {**topic.unknown, **added}
            if not first:
                topic.sent = without(topic.sent, added)
        _bound(topic.names)

    def _unsubscribe(self, kind: Kind, topic: _Topic, names: frozenset[str]) -> None:
        if _WILDCARD in names:
            topic.wildcard = False
        topic.names = self._shared_names(kind, without(topic.names, names))
        topic.unknown = without(topic.unknown, names)
        if not topic.wildcard:
            topic.sent = self._shared(kind, without(topic.sent, names))
            topic.confirmed = self._shared(kind, without(topic.confirmed, names))
            topic.refused = without(topic.refused, names)

    def _answered(self, kind: Kind, topic: _Topic, request: wire.Request) -> Nack | None:
        sent = topic.unanswered.get(request.response_nonce)
        if sent is None:
            return None
        topic.unanswered = without(topic.unanswered, (request.response_nonce,))
        if not request.HasField("error_detail"):
            used = {name: version for name, version in sent.versions.items() if topic.wants(name)}
            topic.refused = without(topic.refused, used)
            topic.confirmed = self._shared(kind, without({**topic.confirmed, **used}, sent.removed))
            if SDS_BUNDLE in sent.versions:
                # A certificate may have waited for it.
                topic.stir()
            return None
        error = _words(kind, request.error_detail.message)
        # Whether what was to go with it is gone is not said: it is told again, until it is told alone.
        topic.sent = {**dict.fromkeys(sent.removed if sent.versions else (), ""), **topic.sent}
        names = tuple(sent.versions)
        if len(names) > 1:
            topic.sent = outdated(topic.sent, [each for each in names if topic.sent.get(each) == sent.versions[each]])
            middle = len(names) // 2
            topic.halves = (names[:middle], names[middle:], *topic.halves)
        name = names[0] if len(names) == 1 else ""
        nack = Nack(kind, name, sent.versions.get(name, ""), error, self._now())
        if name:
            topic.refused = {**topic.refused, name: nack}
        self.last_nack = nack
        return nack

    # --- responses ----------------------------------------------------------------------------------------------

    def next(self) -> bytes | None:
        """The message to send now, taken as sent; None while there is none."""
        now = self._now()
        for kind, topic in self._topics.items():
            if topic.idle or topic.busy(now) or (kind is not Kind.SECRETS and self._offer is None):
                continue
            changed = self._changed(kind)
            if changed and kind in {Kind.LISTENERS, Kind.ROUTES} and self._gated(now):
                return None
            removed = self._removed(kind) if kind is Kind.LISTENERS else ()
            if changed or removed or topic.owes_answer:
                return self._send(kind, changed, removed, now)
        self._gate_since = None
        return self._remove_last(now)

    def again_in(self) -> float | None:
        """Seconds after which to ask ``next`` again though nothing has happened; None: not by time alone."""
        now = self._now()
        ends = [
            each.at + UNANSWERED_SECONDS
            for topic in self._topics.values()
            for each in topic.unanswered.values()
            if now - each.at < UNANSWERED_SECONDS
        ]
        if self._gate_since is not None and now - self._gate_since < GATE_SECONDS:
            ends.append(self._gate_since + GATE_SECONDS)
        return max(0.001, min(ends) - now) if ends else None

    def _items(self, kind: Kind) -> Mapping[str, Item]:
        if kind is Kind.SECRETS:
            return self._secrets
        return self._offer.items[kind] if self._offer is not None else {}

    def _changed(self, kind: Kind) -> list[Item]:
        """What of a type is to be sent next; all of it, or one half of what was refused together."""
        items, topic = self._items(kind), self._topics[kind]
        while topic.halves:
            found = [items[name] for name in topic.halves[0] if name in items and self._due(kind, items[name])]
            if found:
                return found
            topic.halves = topic.halves[1:]
        if not topic.stale or self._has_all(kind):
            topic.stale = False
            return []
        found = list(_chunk(each for each in items.values() if self._due(kind, each)))
        topic.stale = bool(found)
        return found

    def _due(self, kind: Kind, item: Item) -> bool:
        topic = self._topics[kind]
        if not topic.wants(item.name) or topic.sent.get(item.name) == item.version:
            return False
        return kind is not Kind.SECRETS or item.name != SDS_IDENTITY or not self._bundle_first(topic)

    def _bundle_first(self, topic: _Topic) -> bool:
        """Whether a new certificate waits: no proxy signs on with a root before it trusts that root itself."""
        bundle = self._secrets.get(SDS_BUNDLE)
        if bundle is None or SDS_IDENTITY not in topic.sent or SDS_BUNDLE not in topic.names:
            return False
        return topic.confirmed.get(SDS_BUNDLE) != bundle.version and SDS_BUNDLE not in topic.refused

    def _removed(self, kind: Kind) -> tuple[str, ...]:
        items, topic = self._items(kind), self._topics[kind]
        if not topic.leftover or (not topic.unknown and self._has_all(kind)):
            topic.leftover = False
            return ()
        gone = {name for name in topic.sent if name not in items}
        gone.update(name for name in topic.unknown if name not in items)
        topic.leftover = bool(gone)
        return tuple(sorted(gone))

    def _has_all(self, kind: Kind) -> bool:
        """Whether it certainly has, or was sent, all of a type as it is now, and nothing else."""
        return self._offer is not None and self._topics[kind].sent is self._offer.versions.get(kind)

    def _shared(self, kind: Kind, versions: Mapping[str, str]) -> Mapping[str, str]:
        """The same, as it is held already: by the offer, for all that have it, or as what was sent."""
        return first_same(versions, (self._offered(kind), self._topics[kind].sent))

    def _shared_names(self, kind: Kind, names: Mapping[str, object]) -> Mapping[str, object]:
        """As ``_shared``: of names it is asked only whether they are there."""
        known = _SECRETS if kind is Kind.SECRETS else self._offered(kind)
        return known if names.keys() == known.keys() else names

    def _offered(self, kind: Kind) -> Mapping[str, str]:
        return self._offer.versions.get(kind, NOTHING) if self._offer is not None else NOTHING

    def _gated(self, now: float) -> bool:
        """Whether what names clusters waits until they are there; never for long, since it carries the policy."""
        ahead = (Kind.CLUSTERS, Kind.ENDPOINTS)
        if not any(
            self._topics[kind].unanswered or (self._topics[kind].asked and self._changed(kind)) for kind in ahead
        ):
            self._gate_since = None
            return False
        if self._gate_since is None:
            self._gate_since = now
        return now - self._gate_since < GATE_SECONDS

    def _remove_last(self, now: float) -> bytes | None:
        """What nobody needs any more, once everything that may have needed it has been replaced."""
        if self._offer is None or not any(self._topics[kind].leftover for kind in _LAST):
            return None
        if any(topic.busy(now) for topic in self._topics.values()):
            return None
        for kind in _LAST:
            removed = self._removed(kind) if self._topics[kind].asked else ()
            if removed:
                return self._send(kind, [], removed, now)
        return None

    def _send(self, kind: Kind, items: list[Item], removed: tuple[str, ...], now: float) -> bytes:
        topic = self._topics[kind]
        self._nonce += 1
        nonce = str(self._nonce)
        versions = {each.name: each.version for each in items}
        topic.unanswered = {**topic.unanswered, nonce: _Sent(versions, removed, now)}
        topic.sent = self._shared(kind, without({**topic.sent, **versions}, removed))
        topic.unknown = without(topic.unknown, (*versions, *removed))
        if self._has_all(kind) and not topic.unknown:
            topic.stale = topic.leftover = False
        topic.answered = True
        topic.halves = topic.halves[1:] if items else topic.halves
        if kind is Kind.CLUSTERS:
            # A cluster that changes waits for endpoints, and does not ask for those that it has had.
            endpoints = self._topics[Kind.ENDPOINTS]
            endpoints.sent = outdated(endpoints.sent, versions)
            endpoints.stir()
        return wire.response(kind, nonce, items, removed)


def _words(kind: Kind, message: str) -> str:
    """A proxy's words as they may be shown: one line, printable, and never of a secret, which Envoy may quote."""
    if kind is Kind.SECRETS:
        return "a secret is not taken (the proxy's own words are left out, they may hold the key)"
    return "".join(each if each.isprintable() else "?" for each in " ".join(message.split())[:MAX_ERROR])


def _bound(names: Mapping[str, object]) -> None:
    if len(names) > MAX_NAMES:
        raise Malformed(f"more than {MAX_NAMES} names of one type")
    if any(len(name) > MAX_NAME_BYTES for name in names):
        raise Malformed(f"a name of more than {MAX_NAME_BYTES} characters")


def _chunk(items: Iterable[Item]) -> Iterator[Item]:
    """The first of them, as many as go into one response, at least one."""
    size = 0
    for each in items:
        if size and size + len(each.field) > CHUNK_BYTES:
            return
        size += len(each.field)
        yield each
