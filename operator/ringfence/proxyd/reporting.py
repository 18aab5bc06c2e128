"""What this replica says of its proxies, for rotation, statuses and people: one ConfigMap, written seldom.

Proxies that have left stay in it until their certificates have ended: whoever waits for all of them must know that they
were there. So a replica that starts reads what was last said under its name.
"""

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from ringfence.model.acknowledgements import (
    LIVE_SECONDS,
    MAX_REFUSAL,
    MAX_REFUSALS,
    PolicyState,
    ProxyState,
    Report,
)
from ringfence.model.errors import RingfenceError
from ringfence.model.ports import Clock, Object
from ringfence.proxyd.conversation import Nack
from ringfence.proxyd.fleet import Fleet, Member
from ringfence.proxyd.wire import Kind
from ringfence.reconcile import proxy_reports

_log = logging.getLogger(__name__)

#: Seconds between two writes at least, and at most, so that the report is taken to be alive.
LEAST_SECONDS: Final = 2.0
MOST_SECONDS: Final = LIVE_SECONDS / 3
#: Most proxies that have left and are remembered.
MAX_GONE: Final = 10_000

#: What is said of proxies whose class has a defect.
NOT_COMPUTED: Final = "their configuration cannot be computed: the log of proxyd says why"

#: Writes the ConfigMap; reads the one that is there, None for none. Both raise RingfenceError.
Write = Callable[[Object], Awaitable[None]]
Read = Callable[[], Awaitable[Object | None]]


class Reporter:
    """``run`` it as a task."""

    def __init__(
        self,
        fleet: Fleet,
        clock: Clock,
        replica: str,
        namespace: str,
        *,
        write: Write,
        read: Read,
        generations: Callable[[], Mapping[str, int]],
    ) -> None:
        """``clock`` is the API server's.

        ``generations`` says by owner (as RuleRef.owner) which generation of a policy has been compiled.
        """
        self._fleet = fleet
        self._clock = clock
        self._replica = replica
        self._namespace = namespace
        self._write = write
        self._read = read
        self._generations = generations
        self._gone: dict[str, ProxyState] = {}
        self._changed = asyncio.Event()
        fleet.changed = self._changed.set
        fleet.gone = self._left

    async def run(self) -> None:
        """Report until cancelled."""
        await self._recall()
        while True:
            written = time.monotonic()
            await self._tell()
            try:
                async with asyncio.timeout(MOST_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(max(0.0, written + LEAST_SECONDS - time.monotonic()))

    async def _tell(self) -> None:
        self._changed.clear()
        try:
            obj = await asyncio.to_thread(proxy_reports.encode, self.report(), self._namespace)
            await self._write(obj)
        except RingfenceError as error:
            _log.warning("what the proxies have acknowledged cannot be told: %s", error)
            self._changed.set()

    async def _recall(self) -> None:
        """What a process before this one, under the same name, knew of proxies that may not have come back."""
        try:
            held = await self._read()
            before = proxy_reports.decode(held) if held is not None else None
        except (RingfenceError, proxy_reports.Unreadable) as error:
            _log.warning("what was last reported cannot be read: %s", error)
            return
        for each in before.proxies if before is not None else ():
            self._gone.setdefault(each.uid, replace(each, connected=False))

    def report(self) -> Report:
        """As things are."""
        now = self._clock.now()
        members: dict[str, Member] = {}
        for each in self._fleet:
            held = members.get(each.caller.uid)
            if held is None or each.since >= held.since:
                members[each.caller.uid] = each
        self._gone = {uid: each for uid, each in self._gone.items() if each.not_after > now and uid not in members}
        proxies = [_state(each, connected=True) for each in members.values()]
        return Report(
            self._replica,
            now,
            tuple(sorted((*proxies, *self._gone.values()), key=lambda each: (each.namespace, each.pod, each.uid))),
            self._policies(members),
        )

    def _policies(self, members: Mapping[str, Member]) -> dict[str, PolicyState]:
        ready: Counter[str] = Counter()
        total: Counter[str] = Counter()
        refused: Counter[str] = Counter()
        refusals: defaultdict[str, set[str]] = defaultdict(set)
        failed = self._fleet.classes.failed if self._fleet.classes is not None else frozenset()
        for each in members.values():
            owners = each.talk.offer.owners if each.talk.offer is not None else ()
            total.update(owners)
            why = _refusals(each, failed)
            if why:
                refused.update(owners)
                for owner in owners:
                    refusals[owner].update(why)
            elif each.acknowledged:
                ready.update(owners)
        generations = self._generations()
        return {
            owner: PolicyState(
                generations.get(owner, 0), ready[owner], count, refused[owner], _few(refusals.get(owner, ()))
            )
            for owner, count in total.items()
        }

    def _left(self, member: Member) -> None:
        state = _state(member, connected=False)
        if state.not_after > self._clock.now():
            self._gone[state.uid] = state
            while len(self._gone) > MAX_GONE:
                self._gone.pop(next(iter(self._gone)))


def _refusals(member: Member, failed: frozenset[Hashable]) -> tuple[str, ...]:
    """Why a proxy does not enforce what it shall; certificates, which no policy makes, aside."""
    if member.subject in failed:
        return (NOT_COMPUTED,)
    return tuple(_words(each) for each in member.talk.refused if each.kind is not Kind.SECRETS)


def _words(nack: Nack) -> str:
    return f"{nack.kind.name.lower()} {nack.name}: {nack.error}"[:MAX_REFUSAL]


def _few(refusals: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(refusals)[:MAX_REFUSALS])


def _state(member: Member, *, connected: bool) -> ProxyState:
    caller, svid, nack = member.caller, member.svid, member.last_nack
    refused = member.talk.refused
    shown = refused[0] if refused else nack
    return ProxyState(
        namespace=caller.namespace,
        pod=caller.pod,
        uid=caller.uid,
        service_account=caller.service_account,
        node=caller.node,
        connected=connected,
        since=int(member.since),
        serial=svid.serial if svid else "",
        root=svid.root if svid else "",
        not_after=svid.not_after if svid else 0,
        bundle=member.bundle,
        revision=member.acknowledged,
        nack=_words(shown) if shown else "",
    )
