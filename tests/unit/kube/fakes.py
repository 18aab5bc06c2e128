"""An API server of a few lines: answers are scripted, requests remembered."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from ringfence.kube import client, errors

Answer = Any


@dataclass
class Request:
    """What was asked."""

    method: str
    path: str
    query: dict[str, str]
    body: Any = None
    content_type: str = client.JSON


@dataclass
class FakeApi(client.Client):
    """``answers`` are taken in order: an exception is raised, anything else is the decoded body.

    ``watches`` are scripts for one watch each: tuples of (type, object), an exception to raise, or a callable to call.
    After the last script a watch stays silent.
    """

    answers: list[Answer] = field(default_factory=list)
    watches: list[list[Any]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    async def request_bytes(self, method: str, path: str, **rest: Any) -> bytes:
        query, body = rest.get("query") or {}, rest.get("body")
        self.requests.append(Request(method, path, dict(query), body, rest.get("content_type", client.JSON)))
        await asyncio.sleep(0)
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, BaseException):
            raise answer
        return json.dumps(answer).encode()

    async def watch(
        self, path: str, query: Mapping[str, str], *, silence: float, opened: Callable[[], None]
    ) -> AsyncGenerator[tuple[str, msgspec.Raw], None]:
        self.requests.append(Request("WATCH", path, dict(query)))
        opened()
        script = self.watches.pop(0) if self.watches else None
        if script is None:
            await asyncio.sleep(3600)
        for step in script or ():
            await asyncio.sleep(0)
            if isinstance(step, BaseException):
                raise step
            if callable(step):
                step()
                continue
            type_, obj = step
            yield type_, msgspec.Raw(json.dumps(obj).encode())


@dataclass
class FakeClock:
    """Stands still unless moved."""

    seconds: float = 1000.0

    def now(self) -> float:
        return self.seconds + 1_700_000_000

    def monotonic(self) -> float:
        return self.seconds


def listing(*items: dict[str, Any], version: str = "10", following: str = "") -> dict[str, Any]:
    """A page of a list."""
    metadata = {"resourceVersion": version, **({"continue": following} if following else {})}
    return {"kind": "List", "metadata": metadata, "items": list(items)}


def obj(name: str, version: str = "1", namespace: str = "shop", **fields: Any) -> dict[str, Any]:
    """An object as the API server lists it: without kind."""
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": version}, **fields}


def expired() -> errors.KubeError:
    """410."""
    return errors.of_status("WATCH", 410, {"reason": "Expired", "message": "too old resource version"})
