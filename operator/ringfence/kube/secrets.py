"""Caches of the identities' Secrets: one watch for each namespace where the controller may read them, never one of all.

They come and go with the enrolment of namespaces, so they are tasks of their own; whoever made them ends them.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Final

from ringfence.kube import client, errors, resources, watch
from ringfence.model.ports import Clock

#: Seconds that a first list may take; the right to it may be a moment old and unknown to the API server yet.
OPEN_SECONDS: Final = 10.0


class NotRead(errors.KubeError):
    """The Secrets of a namespace could not be read in time."""

    retriable = True


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
        self._caches: dict[str, watch.Reflector] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        #: Called with (namespace, name) of every Secret that is new, different or gone.
        self.callback: watch.Callback = lambda *_: None

    async def open(self, namespace: str) -> watch.Reflector:
        """The cache of a namespace, complete; raises NotRead."""
        cache = self._caches.get(namespace)
        if cache is None:
            cache = watch.Reflector(
                self._api,
                resources.SECRETS,
                watch.Selection(namespace, labels=self._labels),
                timing=self._timing,
                clock=self._clock,
            )
            cache.subscribe(self._tell)
            self._caches[namespace] = cache
            self._tasks[namespace] = asyncio.create_task(cache.run(), name=f"watch secrets of {namespace}")
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await cache.wait_synced()
        except TimeoutError as error:
            raise NotRead(
                f"the Secrets of namespace {namespace} cannot be read: {cache.trouble or 'too slow'}"
            ) from error
        return cache

    def close(self, namespace: str) -> None:
        """Stop watching a namespace and forget its Secrets."""
        self._caches.pop(namespace, None)
        task = self._tasks.pop(namespace, None)
        if task is not None:
            task.cancel()

    def all(self) -> Mapping[str, watch.Reflector]:
        """The caches by namespace."""
        return self._caches

    def reflectors(self) -> Iterator[watch.Reflector]:
        """For whoever tells caches of own writes."""
        return iter(tuple(self._caches.values()))

    def _tell(self, namespace: str, name: str) -> None:
        self.callback(namespace, name)

    async def aclose(self) -> None:
        """End every watch."""
        tasks = list(self._tasks.values())
        for namespace in list(self._caches):
            self.close(namespace)
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
