"""The heart of the controller: workers that take keys and reconcile them, until told to stop.

It needs nothing from Kopf: whatever wakes it, it looks at the caches and makes the cluster what it shall be.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple, Protocol

from ringfence import metrics, wiring
from ringfence.controller.alarms import Alarms
from ringfence.controller.queue import WorkQueue
from ringfence.controller.triggers import CA, CLUSTER, Triggers
from ringfence.controller.verifying import Verifying
from ringfence.model.errors import RingfenceError

_log = logging.getLogger(__name__)

#: Namespaces that are reconciled at the same time; more only queue up in the API server.
WORKERS = 8
#: Seconds between two looks at everything, drawn between this and 1.5 times this.
RESYNC_SECONDS = 300.0
#: A cache that has not heard of the API server for so many seconds makes the controller not ready.
STALE_SECONDS = 120.0
#: Seconds that a cache may be behind another watch before it is read again.
WITNESS_SECONDS = 10.0


class Sighting(NamedTuple):
    """An object as another watch has seen it; ``cache`` is the name of the cache that must know it."""

    cache: str
    namespace: str
    name: str
    uid: str
    version: str
    deleted: bool


class Elector(Protocol):
    """Decides when this process is the one that works."""

    async def run(self, work: Callable[[], Awaitable[None]], fit: Callable[[], bool]) -> None:
        """Run ``work`` whenever it is this process's turn; ``fit`` says whether it could."""
        ...


class Core:
    """Reconciles while ``run`` runs, with an ``elector`` only while elected; its caches are kept warm all the time."""

    def __init__(self, operator: wiring.Operator, elector: Elector | None = None) -> None:
        self.operator = operator
        self._elector = elector
        self.queue = WorkQueue()
        self.triggers = Triggers(operator, self.queue.add)
        self.alarms = Alarms(operator.clock, self.queue.add)
        self.verifying = None if operator.verdicts is None else Verifying(operator.caches, operator.verdicts)
        operator.certificates.due = self.alarms.set
        self.alarms.stepped = self.triggers.everything
        self._shares: object = None
        self._started = False

    @property
    def ready(self) -> bool:
        """Whether all caches are complete and fresh: so is a standby's."""
        return self._started and not self.why_not_ready()

    def why_not_ready(self) -> str:
        """What is missing, for a person; "" when ready."""
        caches = self.operator.caches
        waiting = [name for name, each in caches.reflectors.items() if not each.synced]
        if waiting:
            return f"first lists are not complete: {', '.join(waiting)} {caches.troubles() or ''}".strip()
        stale = caches.stale_for(time.monotonic())
        if stale > STALE_SECONDS:
            return f"nothing heard of the API server for {stale:.0f} s: {caches.troubles()}"
        return "" if self._started else "starting"

    def witness(self, sighting: Sighting) -> None:
        """Somebody else has seen an object: the cache must know it at least as new, now or very soon."""
        if self._started and self._behind(sighting):
            asyncio.get_running_loop().call_later(WITNESS_SECONDS, self._confront, sighting)

    def _confront(self, sighting: Sighting) -> None:
        if not self._behind(sighting):
            return
        _log.warning("the cache of %s has missed %s/%s: reading it again", *sighting[:3])
        metrics.CACHE_MISSES.labels(sighting.cache).inc()
        self.operator.caches[sighting.cache].refresh()

    def _behind(self, sighting: Sighting) -> bool:
        held = self.operator.caches[sighting.cache].get(sighting.namespace, sighting.name)
        if sighting.deleted:
            return held is not None and held["metadata"].get("uid") == sighting.uid
        if held is None:
            return True
        own = held["metadata"].get("resourceVersion", "")
        return own.isdigit() and sighting.version.isdigit() and int(own) < int(sighting.version)

    async def run(self) -> None:
        """Work until cancelled. Raises only for a defect."""
        async with self.operator.caches.running() as caches:
            await caches.wait_synced()
            self.triggers.connect()
            if self.verifying is not None:
                self.verifying.connect()
            self._started = True
            _log.info("caches are complete: %s", {name: len(each) for name, each in caches.reflectors.items()})
            if self._elector is None:
                await self._lead()
            else:
                await self._elector.run(self._lead, lambda: self.ready)

    async def _lead(self) -> None:
        """Reconcile, beginning with everything: what others wrote meanwhile may be anything."""
        self.triggers.everything()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.operator.foreign.run(), name="foreign policies")
                await self.operator.foreign.settled()
                for number in range(WORKERS):
                    group.create_task(self._work(), name=f"worker {number}")
                group.create_task(self._resync(), name="resync")
                group.create_task(self.alarms.run(), name="alarms")
                if self.operator.scanner is not None:
                    group.create_task(self.operator.scanner.run(), name="scanner")
                if self.verifying is not None:
                    group.create_task(self.verifying.run(), name="verifying")
        finally:
            self.operator.meter.clear()

    async def _work(self) -> None:
        while True:
            key = await self.queue.take()
            metrics.QUEUE_DEPTH.set(len(self.queue))
            started = time.monotonic()
            try:
                outcome = await self._reconcile(key)
            except asyncio.CancelledError:
                # Not done, but whoever works next begins with everything.
                self.queue.done(key)
                raise
            metrics.RECONCILE_SECONDS.labels(_kind(key)).observe(time.monotonic() - started)
            metrics.RECONCILES.labels(_kind(key), outcome).inc()

    async def _reconcile(self, key: str) -> str:
        try:
            if key == CLUSTER:
                await self._cluster()
            elif key == CA:
                self.alarms.set(CA, await self.operator.ca.reconcile())
            else:
                await self._namespace(key)
        except RingfenceError as error:
            wait = self.queue.failed(key, getattr(error, "retry_after", 0.0))
            _log.warning("%s is not as it shall be, trying again in %.1f s: %s", _name(key), wait, error)
            return "failed"
        except Exception:  # noqa: BLE001 (a defect in one namespace must not stop the others)
            wait = self.queue.failed(key)
            _log.exception("%s cannot be reconciled, trying again in %.1f s", _name(key), wait)
            return "defect"
        self.queue.done(key)
        return "done"

    async def _namespace(self, name: str) -> None:
        shares = self.operator.namespaces.shares
        before = shares.get(name)
        try:
            again_in = await self.operator.namespaces.reconcile(name)
        finally:
            if shares.get(name) != before or self.operator.cluster.differs(name):
                self.queue.add(CLUSTER)
            if self.operator.scanner is not None:
                self.operator.scanner.mark(name)
        if again_in:
            self.queue.add_later(name, again_in)

    async def _cluster(self) -> None:
        again_in = await self.operator.cluster.reconcile(self.operator.namespaces.shares)
        if again_in:
            self.queue.add_later(CLUSTER, again_in)

    async def _resync(self) -> None:
        """Look at everything now and then: what no event tells (certificates that grow old) is seen so."""
        while True:
            await asyncio.sleep(RESYNC_SECONDS * (1 + 0.5 * random.random()))  # noqa: S311 (spreads load)
            self.triggers.everything()


async def settled(core: Core, *, quiet: float = 0.2) -> None:
    """Return once the core is ready and has had nothing to do for ``quiet`` seconds (tests and benchmarks)."""
    since: float | None = None
    while since is None or time.monotonic() - since < quiet:
        await asyncio.sleep(0.01)
        if not (core.ready and core.queue.idle):
            since = None
        elif since is None:
            since = time.monotonic()


def _kind(key: str) -> str:
    return {CLUSTER: "cluster", CA: "ca"}.get(key, "namespace")


def _name(key: str) -> str:
    return {CLUSTER: "the cluster", CA: "the CA of the identities"}.get(key, f"namespace {key}")


@contextlib.asynccontextmanager
async def running(core: Core) -> AsyncIterator[Core]:
    """Run the core as a task while the block runs; a defect in it ends the block."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(core.run(), name="core")
        try:
            yield core
        finally:
            task.cancel()
