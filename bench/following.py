"""Sees by a watch when each of many resources has come to the state that is waited for."""

import asyncio
import contextlib
import time
from collections.abc import Callable

import msgspec
from ringfence.kube import client, resources


class Condition(msgspec.Struct):
    """One of a status."""

    type: str
    status: str


class Status(msgspec.Struct):
    """What is read of a status; ``certificate`` is Ringfence's, and None elsewhere."""

    conditions: list[Condition] = []
    certificate: dict[str, str] | None = None

    @property
    def ready(self) -> bool:
        """Whether the condition Ready is True."""
        return any(each.type == "Ready" and each.status == "True" for each in self.conditions)


class _Metadata(msgspec.Struct):
    name: str
    resourceVersion: str  # noqa: N815 (the API's name)
    namespace: str = ""


class _Object(msgspec.Struct):
    metadata: _Metadata
    status: Status | None = None


_object = msgspec.json.Decoder(_Object)


async def version(api: client.Client, resource: resources.Resource) -> str:
    """Where a watch of the kind has to begin in order to see what happens from now on."""
    found = await api.request("GET", resource.path(), query={"limit": "1"})
    return str(found["metadata"]["resourceVersion"])


async def until(
    api: client.Client,
    resource: resources.Resource,
    since: str,
    count: int,
    there: Callable[[Status], bool],
    within: float,
) -> float:
    """When (monotonic) so many of the kind were ``there``; raises RuntimeError if they are not ``within`` seconds."""
    seen = _Seen(count, there)
    try:
        async with asyncio.timeout(within):
            while True:
                # The API server may end a watch at any time, above all one that is slow to read.
                lines = api.watch(resource.path(), {"resourceVersion": since}, silence=within + 60, opened=lambda: None)
                async with contextlib.aclosing(lines):
                    async for kind, raw in lines:
                        if kind == "ERROR":
                            raise RuntimeError(f"the watch of {resource.plural} ended: {bytes(raw).decode()}")
                        since = seen.take(_object.decode(raw))
                        if seen.complete:
                            return time.monotonic()
    except TimeoutError:
        some = sorted(seen.waiting - seen.done)[:3]
        raise RuntimeError(
            f"only {len(seen.done)} of {count} {resource.plural} after {within:.0f} s; some of the others: {some}"
        ) from None


class _Seen:
    """Which objects were seen, and in which state."""

    def __init__(self, count: int, there: Callable[[Status], bool]) -> None:
        self._count = count
        self._there = there
        self.waiting: set[tuple[str, str]] = set()
        self.done: set[tuple[str, str]] = set()

    @property
    def complete(self) -> bool:
        return len(self.done) >= self._count

    def take(self, obj: _Object) -> str:
        """Remember it; the version up to which everything has been seen."""
        key = (obj.metadata.namespace, obj.metadata.name)
        there = obj.status is not None and self._there(obj.status)
        (self.done if there else self.waiting).add(key)
        return obj.metadata.resourceVersion
