"""The cache of one ClusterTrustBundle, where the API server has such objects: asked, not assumed.

The kind is young: which version is served, and whether any, differs between clusters and changes with their upgrades.
So it is asked for again now and then, and whenever the watch is in trouble.
"""

import time
from collections.abc import Iterator
from typing import Final

from ringfence.kube import client, errors, resources, watch
from ringfence.kube.following import Following
from ringfence.kube.resources import Resource
from ringfence.model.ports import Clock

#: Seconds for which an answer is believed.
ASK_SECONDS: Final = 300.0


class TrustBundleWatch:
    """Fulfils reconcile.live.ClusterBundles. Lives in one event loop; end it with ``aclose``."""

    def __init__(self, api: client.Client, *, timing: watch.Timing | None = None, clock: Clock | None = None) -> None:
        self._api = api
        self._timing = timing or watch.Timing(first_retry=0.05)
        self._clock = clock
        self._asked: float | None = None
        self._resource: Resource | None = None
        self._followed: Following | None = None
        #: Called with ("", name) when the object is new, different or gone.
        self.callback: watch.Callback = lambda *_: None

    async def open(self, name: str) -> tuple[str, watch.Reflector] | None:
        """The apiVersion and a complete cache of the one object of this name; None where there is no such kind.

        Raises KubeError when that cannot be told, or the object cannot be read.
        """
        if self._due():
            await self._ask()
        if self._resource is None:
            return None
        if self._followed is None:
            cache = watch.Reflector(
                self._api,
                self._resource,
                watch.Selection(fields=f"metadata.name={name}"),
                timing=self._timing,
                clock=self._clock,
            )
            cache.subscribe(self._tell)
            self._followed = Following(cache, f"the ClusterTrustBundle {name}")
        return self._resource.api_version, await self._followed.complete()

    def reflectors(self) -> Iterator[watch.Reflector]:
        """For whoever tells caches of own writes."""
        if self._followed is not None:
            yield self._followed.cache

    async def aclose(self) -> None:
        """End the watch."""
        if self._followed is not None:
            await self._followed.ended()
            self._followed = None

    def _tell(self, namespace: str, name: str) -> None:
        self.callback(namespace, name)

    def _due(self) -> bool:
        if self._asked is None or (self._followed is not None and self._followed.cache.trouble):
            return True
        return self._now() - self._asked >= ASK_SECONDS

    async def _ask(self) -> None:
        found = await self._served()
        if found != self._resource:
            await self.aclose()
        self._resource, self._asked = found, self._now()

    async def _served(self) -> Resource | None:
        """The newest version that the API server has of the kind."""
        for resource in resources.CLUSTER_TRUST_BUNDLES:
            try:
                listed = await self._api.request("GET", f"/apis/{resource.api_version}")
            except errors.NotFound:
                continue
            if any(each.get("name") == resource.plural for each in listed.get("resources") or ()):
                return resource
        return None

    def _now(self) -> float:
        return self._clock.monotonic() if self._clock else time.monotonic()
