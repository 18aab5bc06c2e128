"""All proxies that are connected to this replica: who they are, what each has, and what each shall get next."""

import asyncio
import logging
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Final

from ringfence.kube.token_reviews import Token
from ringfence.model.errors import RingfenceError
from ringfence.model.ports import Clock, Lister
from ringfence.model.proxy import SDS_BUNDLE, SDS_IDENTITY
from ringfence.model.resources import Certificate
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import renewal
from ringfence.proxyd import metrics, wire
from ringfence.proxyd.authentication import Authenticator, Caller, Refused, Why, is_foreign
from ringfence.proxyd.classes import Classes
from ringfence.proxyd.conversation import Nack
from ringfence.proxyd.crowds import Crowds
from ringfence.proxyd.identities import Authority, Issuer, Svid
from ringfence.proxyd.server import Ended, Stream
from ringfence.proxyd.wire import Kind, Offer

_log = logging.getLogger(__name__)

#: Streams at once, and of one pod: a proxy that comes back may be here before its old stream is known to be dead.
MAX_STREAMS: Final = 5000
MAX_STREAMS_OF_POD: Final = 2
#: Certificates made without a pause: each takes some 300 microseconds.
_AT_ONCE: Final = 20
#: Seconds after which signing is tried again when it failed.
_RETRY_SECONDS: Final = 5.0
#: Seconds between two certificates of a proxy whose ServiceIdentity somebody changes again and again.
_ANEW_SECONDS: Final = 5.0
#: Seconds without news from the API server after which streams may grow older than usual.
_AWAY_SECONDS: Final = 30.0
#: Refusals of one stream that are logged in a minute.
_LOGGED_NACKS: Final = 10


class Member(Stream):
    """A proxy that is served."""

    __slots__ = (
        "acknowledged",
        "last_nack",
        "made_at",
        "nacks",
        "offered_at",
        "outdated",
        "retry_at",
        "since",
        "subject",
        "svid",
        "wished",
    )

    def __init__(self, caller: Caller) -> None:
        super().__init__(caller)
        self.subject: Hashable = None
        self.svid: Svid | None = None
        #: What was asked for when it was made: life in seconds, and the share of it after which it is renewed.
        self.wished: tuple[int, float] | None = None
        #: Whether something else is asked for since.
        self.outdated = False
        #: When it was made (monotonic).
        self.made_at = 0.0
        #: When signing may be tried again (monotonic).
        self.retry_at = 0.0
        self.since = time.time()
        #: When the present offer was made (monotonic), None once it was acknowledged.
        self.offered_at: float | None = None
        #: The revision that it uses in full, "" while it does not.
        self.acknowledged = ""
        self.last_nack: Nack | None = None
        self.nacks = 0

    @property
    def bundle(self) -> str:
        """Digest of the trust bundle that it has said to use."""
        return self.talk.confirmed(Kind.SECRETS, SDS_BUNDLE)

    @property
    def certified(self) -> bool:
        """Whether it has said to use the certificate that it was sent last."""
        return self.svid is not None and self.talk.confirmed(Kind.SECRETS, SDS_IDENTITY) == self.svid.serial


@dataclass(frozen=True, slots=True)
class Sources:
    """What the fleet asks of the cluster.

    ``wishes`` says how the certificates of (namespace, ServiceAccount) shall be, ``stale`` for how many seconds the API
    server has not been heard of, ``hurry`` whether a root was compromised, so that nobody waits.
    """

    pods: Lister
    wishes: Callable[[str, str], Certificate]
    stale: Callable[[], float]
    hurry: Callable[[], bool]
    trust_domain: str
    reissue_within: float


class Fleet:
    """Implements server.House. Lives in one event loop; ``run`` it as a task."""

    def __init__(
        self, authenticator: Authenticator, authority: Authority, issuer: Issuer, sources: Sources, clock: Clock
    ) -> None:
        self._authenticator = authenticator
        self._authority = authority
        self._issuer = issuer
        self._sources = sources
        self._clock = clock
        self._members: dict[tuple[str, str], list[Member]] = {}
        self._classes: dict[Hashable, dict[Member, None]] = {}
        self._count = 0
        #: How many have come and gone so far.
        self._moves = 0
        self._crowds = Crowds()
        self._root = ""
        self._root_since = 0.0
        #: Namespaces of which ServiceIdentities have changed since the last look.
        self._asked_anew: set[str] = set()
        self.classes: Classes | None = None
        #: Called when something that others are told of has changed.
        self.changed: Callable[[], None] = lambda: None
        #: Called with a proxy that is served no more.
        self.gone: Callable[[Member], None] = lambda _: None

    def __iter__(self) -> Iterator[Member]:
        return (each for members in self._members.values() for each in members)

    def __len__(self) -> int:
        return self._count

    # --- server.House -------------------------------------------------------------------------------------------

    async def admit(self, metadata: dict[str, str]) -> Stream:
        """As the port says."""
        if self._count >= MAX_STREAMS:
            raise Refused(Why.BUSY, f"{MAX_STREAMS} proxies are connected here")
        return Member(await self._authenticator.caller(metadata))

    def opened(self, stream: Stream) -> None:
        """As the port says."""
        member = _member(stream)
        caller = member.caller
        if self._count >= MAX_STREAMS:
            raise Refused(Why.BUSY, f"{MAX_STREAMS} proxies are connected here")
        # The first request may have come long after the token was looked at.
        self._authenticator.check(_reviewed(caller), member.source)
        pod = self._sources.pods.get(caller.namespace, caller.pod)
        if pod is None or self.classes is None:
            raise Refused(Why.NO_POD, f"there is no pod {caller.namespace}/{caller.pod}")
        try:
            subject = self.classes.subject(pod)
        except Exception as error:
            _log.exception("the class of pod %s/%s cannot be told", caller.namespace, caller.pod)
            raise Refused(Why.CANNOT_TELL, "which configuration is for this pod cannot be told") from error
        if is_foreign(pod, member.source):
            metrics.FOREIGN.inc()
            _log.warning("%s calls from %s, which is no address of its pod", caller.node_id, member.source)
        place = (caller.namespace, caller.pod)
        others = self._members.setdefault(place, [])
        for surplus in others[: len(others) + 1 - MAX_STREAMS_OF_POD]:
            surplus.end(Ended("the same pod has opened newer streams"))
        others.append(member)
        self._count += 1
        self._moves += 1
        metrics.STREAMS.set(self._count)
        self._enter(member, subject)
        self._certify(member)
        self.changed()
        _log.info("proxy connected", extra={"pod": f"{caller.namespace}/{caller.pod}", "node": caller.node})

    def heard(self, stream: Stream, request: wire.Request) -> None:
        """As the port says."""
        member = _member(stream)
        nack = member.talk.hear(request)
        if nack is not None:
            self._refused(member, nack)
        if member.offered_at is not None and member.talk.acknowledged and member.talk.offer is not None:
            metrics.ACKNOWLEDGE_SECONDS.observe(time.monotonic() - member.offered_at)
            member.offered_at = None
            member.acknowledged = member.talk.offer.revision
            self.changed()
        elif request.response_nonce:
            self.changed()

    def closed(self, stream: Stream) -> None:
        """As the port says."""
        member = _member(stream)
        place = (member.caller.namespace, member.caller.pod)
        members = self._members.get(place, [])
        if member not in members:
            return
        members.remove(member)
        if not members:
            del self._members[place]
        self._count -= 1
        self._moves += 1
        metrics.STREAMS.set(self._count)
        self._exit(member)
        self.gone(member)
        self.changed()
        _log.info("proxy disconnected", extra={"pod": f"{place[0]}/{place[1]}"})

    def turned_away(self, error: Refused, peer: str) -> None:
        """As the port says."""
        metrics.REFUSED.labels(error.why.value).inc()
        _log.warning("a stream was refused: %s", error, extra={"peer": peer})

    def sent(self, size: int) -> None:
        """As the port says."""
        metrics.PUSHES.inc()
        metrics.PUSHED_BYTES.inc(size)

    def may_linger(self, stream: Stream) -> bool:
        """Good streams stay while the API server is away: nobody could judge their tokens anew."""
        del stream
        return self._sources.stale() > _AWAY_SECONDS

    # --- what changes -------------------------------------------------------------------------------------------

    def deliver(self, subject: Hashable, offer: Offer) -> None:
        """The class has another configuration: a Classes' ``deliver``."""
        for member in self._classes.get(subject, ()):
            _give(member, offer)
        self.changed()

    def pod_changed(self, namespace: str, name: str) -> None:
        """A pod is different or gone."""
        for member in list(self._members.get((namespace, name), ())):
            try:
                self._authenticator.check(_reviewed(member.caller), member.source)
            except Refused as error:
                member.end(error)

    def namespace_changed(self, name: str) -> None:
        """A namespace is different or gone: whoever is not enrolled any more is not served."""
        for place in [each for each in self._members if each[0] == name]:
            self.pod_changed(*place)

    def identities_changed(self, namespace: str) -> None:
        """ServiceIdentities of a namespace are different: certificates that they ask for otherwise are made anew."""
        self._asked_anew.add(namespace)

    def regroup(self, namespaces: frozenset[str]) -> None:
        """The cluster is another: pods of these namespaces ("" for all) may belong to other classes."""
        for (namespace, name), members in list(self._members.items()):
            pod = self._sources.pods.get(namespace, name)
            if pod is None or self.classes is None or not ("" in namespaces or namespace in namespaces):
                continue
            try:
                subject = self.classes.subject(pod)
            except Exception:  # noqa: BLE001 (a defect with one pod must not hold up the others)
                _log.exception("the class of pod %s/%s cannot be told; it stays in its own", namespace, name)
                continue
            for member in members:
                if subject != member.subject:
                    self._exit(member)
                    self._enter(member, subject)

    def authority_changed(self) -> None:
        """The CA is different: everybody gets its bundle at once, and certificates of a new root bit by bit."""
        bundle = self._authority.bundle
        if self._authority.root and self._authority.root != self._root:
            self._root, self._root_since = self._authority.root, self._clock.now()
        for member in self:
            if bundle is not None:
                member.talk.give_secret(bundle)
            if member.svid is None:
                member.retry_at = 0.0
            member.wake()

    async def run(self) -> None:
        """Renew certificates when they are due, and give memory back, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            await self.renew()
            self._crowds.look(self._moves)

    async def renew(self) -> None:
        """Give a new certificate to everybody whose is due, or would be another one now."""
        made = 0
        namespaces, self._asked_anew = self._asked_anew, set()
        for member in list(self):
            if member.caller.namespace in namespaces:
                member.outdated = member.svid is not None and _wished(self._wishes(member)) != member.wished
            if self._due(member):
                self._certify(member)
                made += 1
                if made % _AT_ONCE == 0:
                    await asyncio.sleep(0)

    # --- inside -------------------------------------------------------------------------------------------------

    def _due(self, member: Member) -> bool:
        elapsed = time.monotonic()
        if elapsed < member.retry_at:
            return False
        now, svid = self._clock.now(), member.svid
        if member.outdated and elapsed >= member.made_at + _ANEW_SECONDS:
            return True
        if svid is None or renewal.should_renew(now, svid.renewal_time):
            return True
        if svid.root == self._authority.root or not self._authority.root:
            return False
        spread = 0.0 if self._sources.hurry() else self._sources.reissue_within
        return now >= renewal.spread(self._root_since, spread, member.caller.uid)

    def _certify(self, member: Member) -> None:
        caller = member.caller
        if self._authority.bundle is not None:
            member.talk.give_secret(self._authority.bundle)
        try:
            identity = SpiffeId.of_service_account(self._sources.trust_domain, caller.namespace, caller.service_account)
            wishes = self._wishes(member)
            svid = self._issuer.issue(identity, wishes)
        except (RingfenceError, ValueError) as error:
            metrics.SVIDS_FAILED.inc()
            member.retry_at = time.monotonic() + _RETRY_SECONDS
            _log.warning("no certificate for %s: %s", caller.node_id, error)
            return
        metrics.SVIDS.inc()
        member.svid, member.wished, member.outdated = svid, _wished(wishes), False
        member.made_at = time.monotonic()
        member.talk.give_secret(svid.item)
        member.wake()
        self.changed()

    def _wishes(self, member: Member) -> Certificate:
        return self._sources.wishes(member.caller.namespace, member.caller.service_account)

    def _enter(self, member: Member, subject: Hashable) -> None:
        if self.classes is None:
            return
        member.subject = subject
        self._classes.setdefault(subject, {})[member] = None
        offer = self.classes.join(subject)
        if offer is not None:
            _give(member, offer)

    def _exit(self, member: Member) -> None:
        members = self._classes.get(member.subject, {})
        members.pop(member, None)
        if not members:
            self._classes.pop(member.subject, None)
        if self.classes is not None:
            self.classes.leave(member.subject)

    def _refused(self, member: Member, nack: Nack) -> None:
        member.last_nack = nack
        member.nacks += 1
        metrics.NACKS.labels(nack.kind.name.lower()).inc()
        if member.nacks <= _LOGGED_NACKS:
            _log.warning(
                "a proxy refuses its configuration: %s",
                nack.error,
                extra={"pod": member.caller.node_id, "type": nack.kind.name.lower(), "resource": nack.name},
            )


def _give(member: Member, offer: Offer) -> None:
    member.talk.give(offer)
    if member.acknowledged != offer.revision:
        member.acknowledged = ""
        member.offered_at = time.monotonic()
    member.wake()


def _member(stream: Stream) -> Member:
    if not isinstance(stream, Member):
        raise TypeError("a stream of another house")
    return stream


def _wished(wishes: Certificate) -> tuple[int, float]:
    """All of it that shapes a proxy's certificate: the rest is about Secrets."""
    return wishes.ttl, wishes.renew_at


def _reviewed(caller: Caller) -> Token:
    return Token(caller.namespace, caller.service_account, caller.pod, caller.uid, caller.node, caller.expires)
