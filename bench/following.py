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
    waiting: set[tuple[str, str]] = set()
    query = {"resourceVersion": since, "timeoutSeconds": str(int(within) + 60)}
    lines = api.watch(resource.path(), query, silence=within + 60, opened=lambda: None)
    done: set[tuple[str, str]] = set()
    try:
        async with asyncio.timeout(within), contextlib.aclosing(lines):
            async for _, raw in lines:
                obj = _object.decode(raw)
                key = (obj.metadata.namespace, obj.metadata.name)
                if obj.status is not None and there(obj.status):
                    done.add(key)
                    if len(done) == count:
                        return time.monotonic()
                else:
                    waiting.add(key)
    except TimeoutError:
        pass
    missing = sorted(waiting - done)[:3]
    raise RuntimeError(f"only {len(done)} of {count} {resource.plural} after {within:.0f} s; missing are {missing} ...")
