"""Holds every pod of the node that has a proxy to its redirect: one task a pod, which looks, mends, and waits for a
reason to look again.

Reasons are a change of the Pod or of its namespace's enrolment, a new cgroup of the pod, a change of nftables in its
network, and time. None of them says what to do: each look finds the pod's network, compares and mends.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import Final

from ringfence.kube.backoff import Backoff
from ringfence.model.ports import Lister
from ringfence.node import kernel, meter, pods
from ringfence.node.entering import Entrant, Holding, NotEntered
from ringfence.node.pods import Refused, Target
from ringfence.node.processes import Finder

_log: Final = logging.getLogger(__name__)

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Timing:
    """How often a pod is looked at without a reason; seconds.

    ``first`` and ``longest``: between looks for a pod that does not run yet or could not be entered, growing; ``look``:
    whether its network is still the same; ``read``: whether its rules are (a change of them is told at once).
    ``calm``: between repairs of the same pod.
    """

    first: float = 0.02
    longest: float = 2.0
    look: float = 30.0
    read: float = 300.0
    calm: float = 0.5


@dataclass(eq=False)
class _Followed:
    """What is known of one pod; ``looked`` is set for a reason to look again."""

    target: Target
    backoff: Backoff
    looked: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    holding: Holding | None = None
    network: tuple[int, int] = (0, 0)
    strict: bool = False
    changed: bool = False
    loaded_at: float = float("-inf")
    read_at: float = float("-inf")
    trouble: str = ""

    def look(self) -> None:
        """There is a reason."""
        self.backoff.reset()
        self.looked.set()


class Keeper:
    """Follows the caches of Pods and Namespaces. Lives in one event loop; ``close`` leaves all rules in force."""

    def __init__(
        self, entrant: Entrant, finder: Finder, found: Lister, namespaces: Lister, timing: Timing = Timing()
    ) -> None:
        self._entrant = entrant
        self._finder = finder
        self._pods = found
        self._namespaces = namespaces
        self._timing = timing
        self._followed: dict[Key, _Followed] = {}
        self._refused: dict[Key, Refused] = {}

    # --- reasons to look --------------------------------------------------------------------------------------------

    def pod_changed(self, namespace: str, name: str) -> None:
        """A callback for the cache of pods."""
        key = (namespace, name)
        pod = self._pods.get(namespace, name)
        wanted = None if pod is None else pods.target(pod)
        known = self._followed.get(key)
        if known is not None and known.target != wanted:
            self._leave(key)
            known = None
        self._refuse(key, wanted)
        if isinstance(wanted, Target):
            if known is None:
                known = _Followed(wanted, Backoff(self._timing.first, self._timing.longest))
                known.task = asyncio.create_task(self._follow(known), name=f"pod {namespace}/{name}")
                self._followed[key] = known
            known.look()
        self._count()

    def namespace_changed(self, _: str, name: str) -> None:
        """A callback for the cache of namespaces."""
        for followed in self._followed.values():
            if followed.target.namespace == name:
                followed.look()

    def cgroup_made(self, uid: str) -> None:
        """A callback for ``Tree``: something of this pod comes to be; "" means any."""
        for followed in self._followed.values():
            if uid in {"", followed.target.uid}:
                followed.look()

    # --- what others may know ---------------------------------------------------------------------------------------

    def states(self) -> dict[str, str]:
        """Each pod with a proxy (namespace/name) with its state: held, waiting, failed, refused."""
        found = {"/".join(key): "refused" for key in self._refused}
        return found | {"/".join(key): _state(each) for key, each in self._followed.items()}

    async def close(self) -> None:
        """Stop looking. What is in force stays: pods that run need it, and it ends with them."""
        tasks = [each.task for each in self._followed.values() if each.task is not None]
        for key in list(self._followed):
            self._leave(key)
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _refuse(self, key: Key, wanted: Target | Refused | None) -> None:
        if not isinstance(wanted, Refused):
            self._refused.pop(key, None)
        elif self._refused.get(key) != wanted:
            self._refused[key] = wanted
            _log.error("pod %s/%s gets no redirect, so it does not start: %s", *key, wanted.why)

    def _leave(self, key: Key) -> None:
        followed = self._followed.pop(key)
        if followed.task is not None:
            followed.task.cancel()
        self._let_go(followed)

    def _let_go(self, followed: _Followed) -> None:
        if followed.holding is not None:
            asyncio.get_running_loop().remove_reader(followed.holding.changes)
            followed.holding.changes.close()
            followed.holding = None

    async def _follow(self, followed: _Followed) -> None:
        while True:
            followed.looked.clear()
            try:
                pause = await self._attend(followed)
            except Exception:  # noqa: BLE001 (a defect must not leave the pod, nor take the others along)
                _log.exception("pod %s: cannot be looked at", _name(followed))
                followed.trouble, pause = "a defect", self._timing.longest
            self._count()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await followed.looked.wait()

    async def _attend(self, followed: _Followed) -> float:
        """Look once and mend; seconds until the next look without a reason."""
        if not self._namespaces.synced:
            return self._timing.longest  # its first list is a reason for everybody
        now = asyncio.get_running_loop().time()
        strict = pods.is_strict(self._namespaces.get("", followed.target.namespace))
        network = self._finder.find(followed.target.uid)
        if network is None:
            self._let_go(followed)
            followed.trouble = ""
            return followed.backoff.next()
        with network:
            same = followed.holding is not None and followed.network == network.identity
            if same and followed.strict == strict:
                if not followed.changed and now < followed.read_at + self._timing.read:
                    return self._timing.look
                if (early := followed.loaded_at + self._timing.calm - now) > 0 and followed.changed:
                    return early
            followed.changed = False
            try:
                to = followed.target
                holding = await self._entrant.hold(network.descriptor, to.proxy_uid, to.proxy_gid, strict=strict)
            except NotEntered as error:
                self._failed(followed, str(error))
                return followed.backoff.next()
            self._take(followed, holding)
            self._tell(followed, holding, same=same, strict=strict, age=network.age)
            followed.network, followed.strict, followed.trouble = network.identity, strict, ""
        followed.read_at = asyncio.get_running_loop().time()
        if holding.loaded:
            followed.loaded_at = followed.read_at
        followed.backoff.reset()
        return self._timing.look

    def _take(self, followed: _Followed, holding: Holding) -> None:
        self._let_go(followed)
        followed.holding = holding
        asyncio.get_running_loop().add_reader(holding.changes, self._told, followed)

    def _told(self, followed: _Followed) -> None:
        """nftables has changed in a pod's network, by another hand or ours."""
        holding = followed.holding
        if holding is None:
            return
        try:
            while True:
                for found in kernel.generations(holding.changes.recv(1 << 16)):
                    # Ours are told too; numbers wrap around.
                    if 0 < (found - holding.generation) & 0xFFFFFFFF < 1 << 31:
                        followed.changed = True
        except BlockingIOError:
            pass
        except OSError:  # some were lost
            followed.changed = True
        if followed.changed:
            followed.look()

    def _failed(self, followed: _Followed, why: str) -> None:
        meter.FAILURES.inc()
        if followed.trouble != why:
            followed.trouble = why
            _log.warning("pod %s: no redirect yet, trying again: %s", _name(followed), why)

    def _tell(self, followed: _Followed, holding: Holding, *, same: bool, strict: bool, age: float) -> None:
        if not holding.loaded:
            # As wanted: another process of ours has been here, or what changed there was none of ours.
            if not same:
                meter.LOADS.labels("kept").inc()
            return
        outcome = "new" if not same else "changed" if followed.strict != strict else "repaired"
        meter.LOADS.labels(outcome).inc()
        if outcome == "new":
            meter.SECONDS.observe(age)
        level = logging.WARNING if outcome == "repaired" else logging.INFO
        said = {"new": "redirected", "changed": "redirected for another mode", "repaired": "redirect repaired"}[outcome]
        facts = {"user": followed.target.proxy_uid, "strict": strict, "ipv6": holding.ipv6, "age": round(age, 3)}
        _log.log(level, "pod %s: %s", _name(followed), said, extra=facts)

    def _count(self) -> None:
        states = list(self.states().values())
        for state in ("held", "waiting", "failed", "refused"):
            meter.PODS.labels(state).set(states.count(state))


def _state(followed: _Followed) -> str:
    return "held" if followed.holding is not None else "failed" if followed.trouble else "waiting"


def _name(followed: _Followed) -> str:
    return f"{followed.target.namespace}/{followed.target.name}"
