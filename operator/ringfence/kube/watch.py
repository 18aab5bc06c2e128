"""A cache of one kind, kept true by list and watch.

The state after any sequence of disconnections equals what a fresh list would give: when the server can no longer say
what happened in between (410), everything is listed again and replaced, and what vanished meanwhile is reported.
Whoever decides something from a cache must be able to ask how old it may be; that is measured by a clock that never
steps.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from ringfence.kube import errors, trim
from ringfence.kube.backoff import Backoff
from ringfence.kube.client import Client
from ringfence.kube.clock import SystemClock
from ringfence.kube.resources import Resource
from ringfence.kube.store import Key, Obj, Objs, Store, key_of, version_of
from ringfence.model.ports import Clock

_log = logging.getLogger(__name__)

#: Called with (namespace, name) of an object that is new, different or gone. Must be quick and must not raise.
Callback = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of the kind: of one namespace (empty: of all), and by the API server's selectors."""

    namespace: str = ""
    labels: str = ""
    fields: str = ""

    def query(self) -> dict[str, str]:
        """As query parameters of list and watch."""
        pairs = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {key: value for key, value in pairs.items() if value}


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient a Reflector is. Seconds.

    ``watch``: after how long the server ends a watch (drawn between this and 1.5 times this); short, because on a kind
    that never changes the API server sends no bookmark, and only a new watch proves that it is still there.
    ``silence``: how long a watch may say nothing before its connection counts as dead; more than 1.5 times ``watch``.
    """

    watch: float = 60.0
    silence: float = 100.0
    page: int = 500
    first_retry: float = 0.25
    longest_retry: float = 15.0


class _Page(msgspec.Struct):
    """A page of a list whose items stay bytes until each is trimmed: that halves the peak of memory."""

    metadata: dict[str, Any]
    items: list[msgspec.Raw] | None = None


_page = msgspec.json.Decoder(_Page)


class Reflector:
    """Fulfils ports.Lister. ``run`` it as a task; readers and callbacks live in the same event loop."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        selection: Selection = Selection(),
        *,
        trim: trim.Trim = trim.without_noise,
        timing: Timing = Timing(),
        clock: Clock | None = None,
    ) -> None:
        self.resource = resource
        self._client = client
        self._selection = selection
        self._trim = trim
        self._timing = timing
        self._clock = clock or SystemClock()
        self._store = Store()
        self._callbacks: list[Callback] = []
        self._synced = asyncio.Event()
        self._version = ""
        self._heard = self._clock.monotonic()
        self._open = False
        # Own writes under way, and the versions that the watch has told of meanwhile, by object.
        self._expected: dict[Key, int] = {}
        self._held: dict[Key, set[str]] = {}
        self._limit: asyncio.Timeout | None = None
        #: How many times everything was listed, for metrics and tests.
        self.relists = 0
        #: The last error, "" while all is well: what a probe tells a person.
        self.trouble = ""

    # --- ports.Lister -------------------------------------------------------------------------------------------

    @property
    def synced(self) -> bool:
        """Whether the first list is complete."""
        return self._synced.is_set()

    def stale_for(self, monotonic: float) -> float:
        """Seconds since the API server was last heard of; 0 while the watch stands and is not silent for too long."""
        silent = max(0.0, monotonic - self._heard)
        return 0.0 if self._open and silent < self._timing.silence else silent

    def get(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The object of that name (namespace "" for cluster-scoped kinds), None when there is none."""
        return self._store.get(namespace, name)

    def list(self, namespace: str | None = None) -> Objs:
        """The objects of a namespace, or all, sorted by (namespace, name)."""
        return self._store.list(namespace)

    # --- for owners ---------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._store)

    def subscribe(self, callback: Callback) -> None:
        """Have ``callback`` called for every change from now on, the first list included."""
        self._callbacks.append(callback)

    async def wait_synced(self) -> None:
        """Return once the first list is complete."""
        await self._synced.wait()

    def selects(self, obj: Obj) -> bool:
        """Whether an object of this kind belongs here by its namespace and, for the forms used here, its selectors.

        Knows ``key=value`` of labels and ``metadata.name=value`` of fields; anything else selects nothing.
        """
        metadata, chosen = obj["metadata"], self._selection
        if chosen.namespace and metadata.get("namespace") != chosen.namespace:
            return False
        key, equal, value = chosen.labels.partition("=")
        if chosen.labels and not (equal and (metadata.get("labels") or {}).get(key) == value):
            return False
        return not chosen.fields or chosen.fields == f"metadata.name={metadata['name']}"

    def expect(self, obj: Obj) -> None:
        """A write of this object is under way: what the watch tells of it is held back until ``learn``.

        Otherwise every own write would look like somebody's change, since the watch is often quicker than the answer.
        """
        key = key_of(obj)
        self._expected[key] = self._expected.get(key, 0) + 1

    def learn(self, obj: Obj, answer: Obj | None) -> None:
        """The write that was expected is over; ``answer`` is what the server holds then, None when it failed.

        The answer goes into the cache at once, so that nobody decides on the state before it. Callbacks are called if
        the watch has told of anything but this very write.
        """
        key = key_of(obj)
        self._expected[key] = self._expected.get(key, 1) - 1
        if self._expected[key] <= 0:
            del self._expected[key]
        if answer is not None:
            self._learn(answer)
        held = self._held.get(key, set())
        if answer is not None:
            held.discard(version_of(answer))
        if key not in self._expected:
            self._held.pop(key, None)
            if held:
                self._tell(key)

    def _learn(self, answer: Obj) -> None:
        """Take it, unless the watch has come as far: then it has told, or will tell, whatever came after."""
        mine, seen = version_of(answer), self._version
        if not self.synced or not mine.isdigit() or not seen.isdigit() or int(mine) <= int(seen):
            return
        held = self.get(*key_of(answer))
        if held is None or not version_of(held).isdigit() or int(version_of(held)) < int(mine):
            self._store.put(self._trim(answer))

    def refresh(self) -> None:
        """Somebody knows better than this cache: end the present watch and list everything again."""
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """List, watch, and start again as needed, until cancelled. Never raises for what the API server does."""
        backoff = Backoff(self._timing.first_retry, self._timing.longest_retry)
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                self.trouble = ""
                backoff.reset()
            except errors.Expired as error:
                _log.info("the watch of %s has expired, listing again: %s", self.resource.plural, error)
                self._version = ""
                await asyncio.sleep(backoff.next())
            except errors.KubeError as error:
                if not self.trouble:
                    _log.warning("cannot watch %s, trying again: %s", self.resource.plural, error)
                self.trouble = str(error)
                await asyncio.sleep(backoff.next(error.retry_after))
            finally:
                self._open = False

    # --- inside -------------------------------------------------------------------------------------------------

    async def _list(self) -> None:
        """Read everything and replace what is held. The first list may come from the server's cache (version 0)."""
        query = {**self._selection.query(), "limit": str(self._timing.page)}
        if not self.synced:
            query["resourceVersion"] = "0"
        objects: Objs = []
        while True:
            page = await self._read_page(query)
            objects.extend(self._decode(raw) for raw in page.items or ())
            self._heard = self._clock.monotonic()
            following = page.metadata.get("continue")
            if not following:
                break
            query = {**self._selection.query(), "limit": str(self._timing.page), "continue": following}
        self.relists += 1
        changed = self._store.replace(objects)
        self._version = str(page.metadata.get("resourceVersion", ""))
        self._synced.set()
        for key in changed:
            self._tell(key)

    async def _read_page(self, query: dict[str, str]) -> _Page:
        data = await self._client.request_bytes("GET", self._path(), query=query)
        try:
            return _page.decode(data)
        except msgspec.DecodeError as error:
            raise errors.ServerError(f"{self._path()}: a list that cannot be read: {error}") from error

    async def _watch(self) -> None:
        """Follow the changes until the server ends the watch in good order; raises KubeError otherwise."""
        seconds = int(self._timing.watch * (1 + 0.5 * random.random()))  # noqa: S311 (spreads load)
        query = {
            **self._selection.query(),
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(max(1, seconds)),
        }
        lines = self._client.watch(self._path(), query, silence=self._timing.silence, opened=self._opened)
        try:
            async with asyncio.timeout(None) as self._limit, contextlib.aclosing(lines):
                async for type_, raw in lines:
                    self._heard = self._clock.monotonic()
                    self._apply(type_, raw)
        except TimeoutError:
            self._version = ""
        finally:
            self._limit = None

    def _opened(self) -> None:
        self._heard = self._clock.monotonic()
        self._open = True
        self.trouble = ""

    def _apply(self, type_: str, raw: msgspec.Raw) -> None:
        if type_ == "ERROR":
            status = msgspec.json.decode(raw)
            raise errors.of_status(f"WATCH {self._path()}", int(status.get("code", 500)), status)
        if type_ not in {"ADDED", "MODIFIED", "DELETED", "BOOKMARK"}:
            _log.warning("a watch of %s says %r, which is unknown: ignored", self.resource.plural, type_)
            return
        if type_ == "BOOKMARK":
            self._version = version_of(msgspec.json.decode(raw)) or self._version
            return
        obj = self._decode(raw)
        self._version = version_of(obj) or self._version
        changed = self._store.remove(key_of(obj)) if type_ == "DELETED" else self._store.put(obj)
        if changed:
            self._tell_unless_expected(key_of(obj), version_of(obj))

    def _tell_unless_expected(self, key: Key, version: str) -> None:
        if key in self._expected:
            self._held.setdefault(key, set()).add(version)
        else:
            self._tell(key)

    def _decode(self, raw: msgspec.Raw) -> dict[str, Any]:
        try:
            obj: dict[str, Any] = msgspec.json.decode(raw)
            # The items of a list carry neither.
            obj.setdefault("apiVersion", self.resource.api_version)
            obj.setdefault("kind", self.resource.kind)
            return self._trim(obj)
        except (msgspec.DecodeError, AttributeError, TypeError) as error:
            raise errors.ServerError(f"{self._path()}: an object that cannot be read: {error}") from error

    def _tell(self, key: Key) -> None:
        for callback in self._callbacks:
            callback(*key)

    def _path(self) -> str:
        return self.resource.path(self._selection.namespace)
