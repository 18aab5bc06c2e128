"""Policies in networks' own kinds, read where the cluster has such kinds: asked, not assumed.

Which network a cluster has nobody says here, and it may come later. So it is asked for again now and then, by one
request where there is none of these kinds. What is found is only told, so nobody waits for a kind that cannot be read:
an aggregated API may be away, or give nobody the right.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ringfence.kube import client, errors, trim, watch
from ringfence.kube.following import Following
from ringfence.kube.resources import Resource
from ringfence.model.foreign_policies import FOREIGN, ForeignPolicy

_log: Final = logging.getLogger(__name__)

#: Seconds between two questions which kinds there are.
ASK_SECONDS: Final = 60.0
#: Seconds that ``settled`` waits at the most.
SETTLE_SECONDS: Final = 5.0


class ForeignPolicies:
    """Lives in one event loop; ``run`` it as a task."""

    def __init__(
        self, api: client.Client, *, timing: watch.Timing | None = None, ask_seconds: float = ASK_SECONDS
    ) -> None:
        self._api = api
        self._timing = timing or watch.Timing(longest_retry=300.0)
        self._ask_seconds = ask_seconds
        self._followed: dict[ForeignPolicy, Following] = {}
        self._asked = asyncio.Event()
        #: Called with (namespace, name) of every object that is new, different or gone.
        self.callback: watch.Callback = lambda *_: None

    def named(self, namespace: str) -> tuple[str, ...]:
        """The policies of a namespace as people name them (``CiliumNetworkPolicy.cilium.io allow-all``), sorted.

        What Calico shows by two APIs is named once.
        """
        found: dict[tuple[str, str, str], str] = {}
        for kind, followed in self._followed.items():
            for obj in followed.cache.list(namespace):
                name = obj["metadata"]["name"]
                key = kind.group.removeprefix("crd."), kind.plural, name.removeprefix("default.")
                found.setdefault(key, f"{kind.kind}.{kind.group} {name}")
        return tuple(sorted(found.values()))

    async def settled(self, seconds: float = SETTLE_SECONDS) -> None:
        """Return once what there is has been read, or after so many seconds; for whoever tells of it from the start."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._asked.wait()
                for each in list(self._followed.values()):
                    await each.cache.wait_synced()

    async def run(self) -> None:
        """Follow the kinds that there are until cancelled."""
        try:
            while True:
                await self._ask()
                self._asked.set()
                await asyncio.sleep(self._ask_seconds)
        finally:
            self._asked.clear()
            await self._end(list(self._followed))

    async def _ask(self) -> None:
        """Begin with kinds that are new, end with those that are gone; what cannot be told stays as it is."""
        try:
            listed = await self._api.request("GET", "/apis")
        except errors.KubeError as error:
            _log.warning("which networks have kinds of their own here cannot be told: %s", error)
            return
        groups = {each.get("name"): each for each in listed.get("groups") or ()}
        for group in sorted({each.group for each in FOREIGN}):
            try:
                served = await self._served(group, groups.get(group) or {})
            except errors.KubeError as error:
                _log.warning("the kinds of %s cannot be told: %s", group, error)
                continue
            await self._follow(group, served)

    async def _served(self, group: str, listed: Mapping[str, Any]) -> dict[ForeignPolicy, Resource]:
        """Where each kind of a group is served: in the first version, by the API server's preference, that has it."""
        found: dict[ForeignPolicy, Resource] = {}
        for version in listed.get("versions") or ():
            try:
                page = await self._api.request("GET", f"/apis/{version['groupVersion']}")
            except errors.NotFound:
                continue
            plurals = {each.get("name") for each in page.get("resources") or ()}
            for kind in FOREIGN:
                if kind.group == group and kind.plural in plurals:
                    found.setdefault(kind, Resource(version["groupVersion"], kind.kind, kind.plural))
        return found

    async def _follow(self, group: str, served: Mapping[ForeignPolicy, Resource]) -> None:
        held = {kind: each for kind, each in self._followed.items() if kind.group == group}
        await self._end(kind for kind, each in held.items() if served.get(kind) != each.cache.resource)
        for kind, resource in served.items():
            if kind not in self._followed:
                cache = watch.Reflector(self._api, resource, trim=trim.metadata, timing=self._timing)
                cache.subscribe(self._tell)
                self._followed[kind] = Following(cache, f"{kind.plural}.{kind.group}")

    async def _end(self, kinds: Iterable[ForeignPolicy]) -> None:
        for kind in list(kinds):
            followed = self._followed.pop(kind)
            await followed.ended()
            for obj in followed.cache.list():
                self._tell(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])

    def _tell(self, namespace: str, name: str) -> None:
        self.callback(namespace, name)
