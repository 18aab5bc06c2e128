"""Scans namespaces in the background: each soon after something there has changed, none too often, one at a time.

Reports are for people and dashboards; nothing waits for them. So a scan takes at most a twentieth of the time, and each
report is written at most every ``LEAST_SECONDS`` and only if it says something else.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from ringfence.controls.evaluate import Context
from ringfence.model.errors import RingfenceError
from ringfence.model.ports import Object
from ringfence.reconcile import scan
from ringfence.reconcile.means import Means
from ringfence.reconcile.scan import Tally

_log = logging.getLogger(__name__)

#: Seconds between two scans, and so between two writes, of one namespace.
LEAST_SECONDS: Final = 10.0
#: A scan that took so long is not repeated before this many times its duration.
_SHARE: Final = 20.0
#: Seconds until a scan that failed is tried again, and until the API server is asked anew whether it serves reports.
RETRY_SECONDS: Final = 60.0
#: Unchanged reports are written again now and then: somebody may have edited them.
REPAIR_SECONDS: Final = 1800.0
#: Pods that are judged before others get a turn.
_AT_ONCE: Final = 50

#: (apiVersion, kind) of what reports are written as.
Kind = tuple[str, str]


class Pods(Protocol):
    """Where whole pods come from: too large to keep all of them."""

    def pages(self, namespace: str) -> AsyncIterator[Sequence[msgspec.Raw]]:
        """The pods of the namespace, encoded, by name. Raises RingfenceError."""
        ...


class Reports(Protocol):
    """What is known of reports in the cluster."""

    async def served(self) -> Kind | None:
        """The kind that the API server serves, None when nobody has installed one."""
        ...

    async def held(self, kind: Kind) -> Sequence[str]:
        """Namespaces with a report of Ringfence's."""
        ...


@dataclass(slots=True)
class _Last:
    """The last report of a namespace: its form, when it was written (monotonic), and what was counted."""

    form: Object
    at: float
    tally: Tally


class Scanner:
    """``mark`` what has changed; ``run`` does the rest."""

    def __init__(
        self,
        pods: Pods,
        reports: Reports,
        means: Means,
        context: Callable[[str], Context | None],
        *,
        counted: Callable[[int, int, int], None] = lambda *_: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``context`` gives what the pods of a namespace are judged by, None where nothing is reported.

        ``counted`` is told after each scan how many pods of all namespaces pass, fail and are warned of.
        """
        self._pods = pods
        self._reports = reports
        self._means = means
        self._context = context
        self._counted = counted
        self._sleep = sleep
        self._kind: Kind | None = None
        self._due: dict[str, float] = {}
        self._earliest: dict[str, float] = {}
        self._last: dict[str, _Last] = {}
        self._held: set[str] = set()
        self._changed = asyncio.Event()

    @property
    def idle(self) -> bool:
        """Whether nothing is marked."""
        return not self._due

    def mark(self, namespace: str) -> None:
        """Something that matters has changed there."""
        self._due.setdefault(namespace, max(self._means.clock.monotonic(), self._earliest.get(namespace, 0.0)))
        self._changed.set()

    async def run(self) -> None:
        """Scan until cancelled. What fails is tried again; a defect in one namespace does not stop the others."""
        self._last.clear()
        while True:
            try:
                await self._find_kind()
                while await self._next():
                    pass
            except RingfenceError as error:
                _log.warning("reports cannot be written, trying again in %.0f s: %s", RETRY_SECONDS, error)
                await self._sleep(RETRY_SECONDS)

    async def _find_kind(self) -> None:
        """Return once the API server serves a kind of report; until then nothing is kept."""
        told = False
        while True:
            self._kind = await self._reports.served()
            if self._kind is not None:
                self._held = set(await self._reports.held(self._kind))
                return
            if not told:
                _log.info("no kind of policy report is installed in this cluster: none are written")
                told = True
            await self._sleep(RETRY_SECONDS * 5)

    async def _next(self) -> bool:
        """Scan what is due first, when it is due; False when that failed, and perhaps reports are gone altogether."""
        self._changed.clear()
        now = self._means.clock.monotonic()
        namespace = min(self._due, key=lambda each: (self._due[each], each), default=None)
        if namespace is None or self._due[namespace] > now:
            wait = None if namespace is None else self._due[namespace] - now
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            return True
        del self._due[namespace]
        try:
            await self._scan(namespace)
        except RingfenceError as error:
            _log.warning("namespace %s cannot be scanned, trying again in %.0f s: %s", namespace, RETRY_SECONDS, error)
        except Exception:  # noqa: BLE001 (reports are not worth ending a controller for)
            _log.exception("namespace %s cannot be scanned, trying again in %.0f s", namespace, RETRY_SECONDS)
        else:
            took = self._means.clock.monotonic() - now
            self._earliest[namespace] = now + max(LEAST_SECONDS, took * _SHARE)
            if namespace in self._due:
                self._due[namespace] = max(self._due[namespace], self._earliest[namespace])
            return True
        self._due[namespace] = self._means.clock.monotonic() + RETRY_SECONDS
        return False

    async def _scan(self, namespace: str) -> None:
        assert self._kind is not None  # noqa: S101 (run finds it first)
        if self._context(namespace) is None:
            await self._forget(namespace, self._kind)
            return
        tally = Tally()
        async for page in self._pods.pages(namespace):
            # Policies may change while pages come; each is judged by what holds when it is.
            context = self._context(namespace)
            if context is None:
                break
            for start in range(0, len(page), _AT_ONCE):
                for each in page[start : start + _AT_ONCE]:
                    tally.add(each, context)
                await asyncio.sleep(0)
        await self._write(namespace, tally, self._kind)

    async def _write(self, namespace: str, tally: Tally, kind: Kind) -> None:
        form, now = tally.report(namespace, *kind), self._means.clock.monotonic()
        last = self._last.get(namespace)
        if last is None or last.form != form or now - last.at > REPAIR_SECONDS:
            await self._means.applier.apply(form)
            self._held.add(namespace)
            self._last[namespace] = _Last(form, now, tally)
        self._count()

    async def _forget(self, namespace: str, kind: Kind) -> None:
        self._last.pop(namespace, None)
        self._earliest.pop(namespace, None)
        if namespace in self._held:
            await self._means.applier.delete(*kind, namespace, scan.NAME)
            self._held.discard(namespace)
        self._count()

    def _count(self) -> None:
        tallies = [each.tally for each in self._last.values()]
        passed, failed, warned = ([getattr(each, what) for each in tallies] for what in ("passed", "failed", "warned"))
        self._counted(sum(passed), sum(failed), sum(warned))
