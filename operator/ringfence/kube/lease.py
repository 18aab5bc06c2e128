"""Leader election on a coordination.k8s.io/v1 Lease, and the guard that every write of the leader passes.

The rules are in model/leadership; here they meet the API server. The requests of the election go over a connection of
their own, which the guard does not stop and other traffic cannot hold up.
"""

import asyncio
import datetime
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ringfence.kube import client, errors, resources
from ringfence.model.leadership import Do, Election, Seen, Step, Timing
from ringfence.model.ports import Clock, Object

_log = logging.getLogger(__name__)

#: The Lease of the controller, in Ringfence's namespace. The chart brings it, held by nobody.
NAME = "ringfence-controller"
#: Seconds for handing the Lease back on a graceful stop; whoever waits takes over without it, only later.
_RELEASE_SECONDS = 2.0


class LeadClock:
    """Fulfils ports.Clock; its monotonic seconds go on while the machine sleeps, so a long sleep ends a leadership."""

    def now(self) -> float:
        """Seconds since the epoch (UTC); only written down for people."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since the machine started, its sleep included where the system can tell."""
        which = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        return time.clock_gettime(which)


class Elector:
    """Stands for election while ``run`` runs."""

    def __init__(
        self,
        api: client.Client,
        namespace: str,
        identity: str,
        *,
        timing: Timing | None = None,
        clock: Clock | None = None,
        told: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """``identity`` names this very process; ``told`` is called with True and False as it comes to lead or not."""
        self._api = api
        self._namespace = namespace
        self._clock = clock or LeadClock()
        self._election = Election(identity, timing)
        self._told = told
        self._lease: dict[str, Any] = {}
        self._stamp = 0
        self._work: asyncio.Task[None] | None = None
        told(False)

    @property
    def leads(self) -> bool:
        """Whether this process may write now."""
        return self._election.leads(self._clock.monotonic())

    def guard(self) -> None:
        """Called before each write; raises errors.LeadershipLost when this process may not write (any more)."""
        if not self.leads:
            raise errors.LeadershipLost("this process does not lead (any more): nothing was written")

    async def run(self, work: Callable[[], Awaitable[None]], fit: Callable[[], bool] = lambda: True) -> None:
        """Run ``work`` whenever this process leads, until cancelled; the Lease is handed back at the end.

        ``work`` is cancelled, and waited for, when the leadership is lost, and started anew when it is won again; what
        it raises is raised here. ``fit`` says whether this process could do the work if it were elected now.
        """
        try:
            while True:
                now = self._clock.monotonic()
                await self._follow(work, now)
                step = self._election.step(now, fit=fit())
                await self._wait(step.at)
                if self._clock.monotonic() >= step.at and (self.leads or self._work is None):
                    await self._take(step)
        finally:
            try:
                await self._end_work()
            finally:
                await self._release()

    async def _follow(self, work: Callable[[], Awaitable[None]], now: float) -> None:
        """Start or end the work as the election says."""
        if self._election.leads(now) and self._work is None:
            _log.info("%s leads", self._election.identity)
            self._told(True)
            self._work = asyncio.create_task(_awaited(work), name="leader's work")
        elif self._work is not None and not self._election.leads(now):
            _log.warning("%s does not lead any more", self._election.identity)
            await self._end_work()

    async def _wait(self, at: float) -> None:
        """Sleep until ``at``, until the leadership ends, or until the work has; raises what ended the work."""
        ends = [at]
        if self._work is not None:
            ends.append(self._election.until if self._election.until is not None else at)
        seconds = max(0.0, min(ends) - self._clock.monotonic())
        if self._work is None:
            await asyncio.sleep(seconds)
            return
        done, _ = await asyncio.wait({self._work}, timeout=seconds)
        for task in done:
            task.result()
            raise RuntimeError("the leader's work ended by itself")

    async def _end_work(self) -> None:
        self._told(False)
        task, self._work = self._work, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.result()

    async def _take(self, step: Step) -> None:
        """Make one request and tell the election what came of it."""
        sent = self._clock.monotonic()
        limit = self._election.timing.attempt
        if self._election.leads(sent) and self._election.until is not None:
            limit = min(limit, self._election.until - sent)
        try:
            async with asyncio.timeout(limit):
                if step.do is Do.LOOK:
                    seen = await self._read()
                    self._election.looked(seen, self._clock.monotonic())
                else:
                    seen = await self._write(claim=step.do is Do.CLAIM)
                    self._election.held(seen, sent, self._clock.monotonic())
        except (errors.Conflict, errors.AlreadyExists, errors.NotFound):
            self._election.refused(self._clock.monotonic())
        except (errors.KubeError, TimeoutError) as error:
            _log.warning("the Lease %s/%s: %s: %s", self._namespace, NAME, step.do, str(error) or "no answer in time")
            self._election.failed(self._clock.monotonic())

    async def _read(self) -> Seen:
        try:
            self._lease = await self._api.request("GET", self._path(NAME))
        except errors.NotFound:
            self._lease = {}
            return Seen("", "")
        return _seen(self._lease)

    async def _write(self, *, claim: bool) -> Seen:
        spec = dict(self._lease.get("spec") or {})
        stamp = self._next_stamp()
        if claim and spec.get("holderIdentity") != self._election.identity:
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
            spec["acquireTime"] = stamp
        spec["holderIdentity"] = self._election.identity
        spec["leaseDurationSeconds"] = round(self._election.timing.duration)
        spec["renewTime"] = stamp
        self._lease = await self._put(spec)
        return _seen(self._lease)

    async def _release(self) -> None:
        """Hand the Lease back, so that whoever waits need not wait longer."""
        if not self._election.resign():
            return
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                try:
                    await self._hand_back()
                except errors.Conflict:
                    # A renewal was cut off whose answer never came: the Lease may still be ours, only newer.
                    if (await self._read()).holder == self._election.identity:
                        await self._hand_back()
        except (errors.KubeError, TimeoutError) as error:
            _log.warning("the Lease could not be handed back, it runs out: %s", str(error) or "no answer in time")

    async def _hand_back(self) -> None:
        spec = {**(self._lease.get("spec") or {}), "holderIdentity": "", "renewTime": self._next_stamp()}
        await self._put({**spec, "leaseDurationSeconds": 1})

    async def _put(self, spec: Object) -> dict[str, Any]:
        """Write the Lease on condition that it is the one that was read (or that there is none)."""
        metadata = {"name": NAME, "namespace": self._namespace, **self._lease.get("metadata", {})}
        metadata.pop("managedFields", None)
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        method, path = ("PUT", self._path(NAME)) if metadata.get("resourceVersion") else ("POST", self._path())
        answer: dict[str, Any] = await self._api.request(method, path, body=body)
        return answer

    def _path(self, name: str = "") -> str:
        return resources.LEASES.path(self._namespace, name)

    def _next_stamp(self) -> str:
        """RFC 3339 with microseconds, never the same twice: an unchanged Lease would look like a dead holder."""
        stamp = int(self._clock.now() * 1e6)
        self._stamp = stamp + 1 if stamp == self._stamp else stamp
        moment = datetime.datetime.fromtimestamp(self._stamp / 1e6, datetime.UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _seen(lease: Object) -> Seen:
    spec = lease.get("spec") or {}
    return Seen(
        version=lease["metadata"]["resourceVersion"],
        holder=spec.get("holderIdentity") or "",
        duration=float(spec.get("leaseDurationSeconds") or 0),
        uid=lease["metadata"]["uid"],
    )


async def _awaited(work: Callable[[], Awaitable[None]]) -> None:
    await work()
