"""Configuration of the proxies, computed once for each class of them and each state of the cluster.

The first change is computed at once; while changes keep coming each pass waits a little longer, so that a storm costs
passes by the clock, not by the event. What cannot be computed for one class keeps its last good configuration there and
stops no other. Of all classes only those are computed whose footing is another than the last time.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Final, Protocol

from ringfence.model.ports import Object
from ringfence.model.proxy import ProxyConfig
from ringfence.proxyd import wire
from ringfence.proxyd.wire import Offer

_log = logging.getLogger(__name__)

#: Seconds between two passes while changes keep coming, the first and the longest, and the quiet after which the first
#: counts again.
FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 0.1
QUIET_SECONDS: Final = 1.0


class Translator(Protocol):
    """What turns the cluster into configuration. ``Mesh`` is opaque here."""

    def subject(self, pod: Object) -> Hashable:
        """All of a pod that shapes its configuration."""
        ...

    def snapshot(self) -> object:
        """The cluster now, as a value that may be read from another thread."""
        ...

    def footing(self, subject: Hashable, mesh: object) -> object:
        """What the configuration of a class rests on: where it is equal, so is the configuration. None: who knows."""
        ...

    def configure(self, subject: Hashable, mesh: object) -> ProxyConfig:
        """What the proxies of a class shall have."""
        ...


class Observer(Protocol):
    """Who is told what came of it."""

    def computed(self, classes: int, seconds: float) -> None:
        """A pass over so many classes has taken so long."""
        ...

    def failed(self) -> None:
        """A configuration could not be computed."""
        ...


#: Classes that are compared with what they were before the first of them that has changed is computed.
_AT_ONCE: Final = 50

#: Called with a class and its new configuration.
Deliver = Callable[[Hashable, Offer], None]


class Classes:
    """``run`` it as a task; everything else is called from the same event loop."""

    def __init__(
        self, translator: Translator, deliver: Deliver, observer: Observer, regroup: Callable[[frozenset[str]], None]
    ) -> None:
        """``regroup`` is called with namespaces ("" for all) in which pods may belong to other classes by now."""
        self._translator = translator
        self._deliver = deliver
        self._regroup = regroup
        self._observer = observer
        self._members: dict[Hashable, int] = {}
        self._offers: dict[Hashable, Offer] = {}
        self._footings: dict[Hashable, object] = {}
        self._wanted: dict[Hashable, None] = {}
        self._first: set[str] = set()
        self._mesh: object | None = None
        self._dirty = False
        self._wake = asyncio.Event()
        self._failed: set[Hashable] = set()
        #: Called after each pass with the cluster that it was computed from.
        self.passed: Callable[[object], None] = lambda _: None
        #: Whether a pass has ever been completed.
        self.ready = False

    def subject(self, pod: Object) -> Hashable:
        """The class of a pod."""
        return self._translator.subject(pod)

    def join(self, subject: Hashable) -> Offer | None:
        """One proxy more of this class; its configuration, None when it comes later, by ``deliver``."""
        self._members[subject] = self._members.get(subject, 0) + 1
        found = self._offers.get(subject)
        if found is None:
            self._wanted[subject] = None
            self._wake.set()
        return found

    def leave(self, subject: Hashable) -> None:
        """One proxy less."""
        left = self._members.get(subject, 0) - 1
        if left > 0:
            self._members[subject] = left
            return
        self._members.pop(subject, None)
        self._offers.pop(subject, None)
        self._footings.pop(subject, None)
        self._wanted.pop(subject, None)
        self._failed.discard(subject)

    @property
    def failed(self) -> frozenset[Hashable]:
        """Classes whose present configuration cannot be computed: they have the last good one."""
        return frozenset(self._failed)

    def changed(self, namespace: str) -> None:
        """Something of a namespace ("" for the whole cluster) is different: its own proxies are seen to first."""
        self._dirty = True
        self._first.add(namespace)
        self._wake.set()

    def __len__(self) -> int:
        return len(self._members)

    async def run(self) -> None:
        """Compute what is wanted, until cancelled."""
        pause, last = FIRST_PAUSE, float("-inf")
        while True:
            await self._wake.wait()
            pause = FIRST_PAUSE if time.monotonic() - last > QUIET_SECONDS else min(pause * 2, LONGEST_PAUSE)
            await asyncio.sleep(max(0.0, last + pause - time.monotonic()))
            self._wake.clear()
            try:
                await self._pass()
            except Exception:  # noqa: BLE001 (what tenants write is read here: a defect must not end all streams)
                _log.exception("the configurations cannot be computed; the last good ones stay")
                self._observer.failed()
                self._dirty = True
                self._first.add("")
                asyncio.get_running_loop().call_later(QUIET_SECONDS, self._wake.set)
            last = time.monotonic()

    async def _pass(self) -> None:
        started, count = time.monotonic(), 0
        if self._dirty or self._mesh is None:
            self._dirty = False
            first, self._first = self._first, set()
            self._mesh = self._translator.snapshot()
            self._regroup(frozenset(first))
            subjects = sorted(self._members, key=lambda each: getattr(each, "namespace", "") not in first)
        else:
            subjects = list(self._wanted)
        self._wanted.clear()
        for place in range(0, len(subjects), _AT_ONCE):
            some = {each: self._footings.get(each) for each in subjects[place : place + _AT_ONCE]}
            for subject, (footing, same) in (await asyncio.to_thread(self._compared, some, self._mesh)).items():
                if same and subject in self._footings:
                    # Equal, but of this snapshot: no older one is kept for it.
                    self._footings[subject] = footing
                elif not same and subject in self._members:
                    await self._compute(subject, footing, self._mesh)
                    count += 1
        # A class that came in the meantime was computed from this very snapshot, or is still wanted.
        self.ready = True
        self._observer.computed(count, time.monotonic() - started)
        self.passed(self._mesh)

    def _compared(self, known: Mapping[Hashable, object], mesh: object) -> dict[Hashable, tuple[object, bool]]:
        """What each class rests on now, and whether that is what is known of it."""
        found: dict[Hashable, tuple[object, bool]] = {}
        for subject, before in known.items():
            try:
                footing = self._translator.footing(subject, mesh)
                found[subject] = footing, footing is not None and footing == before
            except Exception:  # noqa: BLE001 (what is wrong with a class is said when it is computed)
                found[subject] = None, False
        return found

    async def _compute(self, subject: Hashable, footing: object, mesh: object) -> None:
        try:
            config = await asyncio.to_thread(self._translator.configure, subject, mesh)
        except Exception:  # noqa: BLE001 (a defect in one class must not stop the others)
            _log.exception("a configuration cannot be computed; the last good one stays")
            self._observer.failed()
            if subject in self._members:
                self._failed.add(subject)
            return
        self._failed.discard(subject)
        before = self._offers.get(subject)
        if subject not in self._members:
            return
        self._footings[subject] = footing
        if before is not None and before.revision == config.revision:
            return
        self._offers[subject] = offer = wire.offer(config, before)
        self._deliver(subject, offer)

    def offers(self) -> Iterator[tuple[Hashable, Offer]]:
        """Every class with its configuration."""
        return iter(self._offers.items())
