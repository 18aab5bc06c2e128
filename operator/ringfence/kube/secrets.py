"""Caches of the identities' Secrets: one watch for each namespace where the controller may read them, never one of all.

They come and go with the enrolment of namespaces, so they are tasks of their own; whoever made them ends them.
"""

from collections.abc import Iterator, Mapping

from ringfence.kube import client, resources, watch
from ringfence.kube.following import Following
from ringfence.model.ports import Clock


class SecretWatches:
    """Fulfils reconcile.live.SecretCaches. Lives in one event loop; end it with ``aclose``."""

    def __init__(
        self,
        api: client.Client,
        labels: str,
        *,
        timing: watch.Timing | None = None,
        clock: Clock | None = None,
    ) -> None:
        """``labels`` is the selector (``key=value``) of the Secrets that are looked at."""
        self._api = api
        self._labels = labels
        self._timing = timing or watch.Timing(first_retry=0.05)
        self._clock = clock
        self._followed: dict[str, Following] = {}
        #: Called with (namespace, name) of every Secret that is new, different or gone.
        self.callback: watch.Callback = lambda *_: None

    async def open(self, namespace: str) -> watch.Reflector:
        """The cache of a namespace, complete; raises following.NotRead."""
        followed = self._followed.get(namespace)
        if followed is None:
            cache = watch.Reflector(
                self._api,
                resources.SECRETS,
                watch.Selection(namespace, labels=self._labels),
                timing=self._timing,
                clock=self._clock,
            )
            cache.subscribe(self._tell)
            followed = self._followed[namespace] = Following(cache, f"the Secrets of namespace {namespace}")
        return await followed.complete()

    def close(self, namespace: str) -> None:
        """Stop watching a namespace and forget its Secrets."""
        followed = self._followed.pop(namespace, None)
        if followed is not None:
            followed.end()

    def all(self) -> Mapping[str, watch.Reflector]:
        """The caches by namespace."""
        return {namespace: followed.cache for namespace, followed in self._followed.items()}

    def reflectors(self, namespace: str) -> Iterator[watch.Reflector]:
        """Those that may hold a Secret of a namespace; for whoever tells caches of own writes."""
        followed = self._followed.get(namespace)
        if followed is not None:
            yield followed.cache

    def _tell(self, namespace: str, name: str) -> None:
        self.callback(namespace, name)

    async def aclose(self) -> None:
        """End every watch."""
        for namespace in list(self._followed):
            await self._followed.pop(namespace).ended()
