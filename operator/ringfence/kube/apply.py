"""Writes: server-side apply, whole replacement, conditional creation and deletion.

Apply and delete say what the result shall be, so they are repeated when the answer got lost. What depends on the state
that was read (``create``, ``replace``) is conditional and never repeated blindly.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from ringfence.kube import client, errors, resources
from ringfence.kube.backoff import Backoff
from ringfence.model.names import FIELD_MANAGER
from ringfence.model.ports import Object

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

#: Attempts in one go; after that the caller's own, longer backoff takes over.
ATTEMPTS = 4


class Ear(Protocol):
    """Hears how a write went."""

    def done(self, answer: dict[str, Any] | None) -> None:
        """It is over; ``answer`` is what the server holds then, None when it failed."""
        ...


class Ignored:
    """An Ear that does not listen."""

    def done(self, answer: dict[str, Any] | None) -> None:
        """Nothing."""


#: Called with an object before it is written.
Written = Callable[[Object], Ear]

_MANAGER = {"fieldManager": FIELD_MANAGER}


class KubeApplier:
    """Fulfils ports.Applier against an API server. Raises subclasses of errors.KubeError."""

    def __init__(
        self,
        api: client.Client,
        *,
        written: Written | None = None,
        counted: Callable[[str, str], None] | None = None,
        backoff: Callable[[], Backoff] = lambda: Backoff(0.1, 2.0),
    ) -> None:
        """``written`` wraps every write of an object; ``counted`` is told the verb and the kind of each success."""
        self._api = api
        self._written = written or (lambda _: Ignored())
        self._counted = counted
        self._backoff = backoff

    async def apply(self, obj: Object, *, subresource: str = "") -> Object:
        """Server-side apply with field manager ``ringfence`` and force; returns what the server holds then."""
        resource, namespace, name = _locate(obj)
        path = resource.path(namespace, name, subresource)
        query = {**_MANAGER, "force": "true"}

        async def once() -> dict[str, Any]:
            answer: dict[str, Any] = await self._api.request(
                "PATCH", path, query=query, body=obj, content_type=client.APPLY
            )
            return answer

        # A conflict here is the server's own optimistic lock, lost to a write at the same moment: try again.
        return await self._heard("apply", obj, self._retried(once, errors.Conflict))

    async def create(self, obj: Object) -> Object:
        """Create; raises AlreadyExists when somebody was quicker. Not repeated when the answer is lost."""
        resource, namespace, _ = _locate(obj)
        return await self._heard(
            "create", obj, self._api.request("POST", resource.path(namespace), query=_MANAGER, body=obj)
        )

    async def replace(self, obj: Object) -> Object:
        """Write the object whole, fields of others included; raises Conflict when it is no longer the version read.

        ``metadata.resourceVersion`` must be set.
        """
        resource, namespace, name = _locate(obj)
        if not obj["metadata"].get("resourceVersion"):
            raise ValueError(f"replacing {resource.kind} {name} without resourceVersion would overwrite blindly")
        path = resource.path(namespace, name)
        return await self._heard("replace", obj, self._api.request("PUT", path, query=_MANAGER, body=obj))

    async def delete(self, api_version: str, kind: str, namespace: str, name: str, *, uid: str = "") -> None:
        """Delete; absent already is success. With ``uid`` only that very object: another of its name stays."""
        resource = resources.of(api_version, kind)
        path = resource.path(namespace, name)
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            body["preconditions"] = {"uid": uid}

        async def once() -> None:
            try:
                await self._api.request("DELETE", path, body=body)
            except errors.NotFound:
                pass
            except errors.Conflict as error:
                if not uid:
                    raise
                _log.info("%s is another object by now and stays: %s", path, error)

        await self._retried(once)
        self._count("delete", resource)

    async def _retried(self, once: Callable[[], Awaitable[_T]], *also: type[errors.KubeError]) -> _T:
        backoff = self._backoff()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await once()
            except errors.KubeError as error:
                if attempt == ATTEMPTS or not (error.retriable or isinstance(error, also)):
                    raise
                await asyncio.sleep(backoff.next(error.retry_after))
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _heard(self, verb: str, obj: Object, write: Awaitable[dict[str, Any]]) -> Object:
        """Make the write and tell whoever listens how it went."""
        ear = self._written(obj)
        answer: dict[str, Any] | None = None
        try:
            answer = await write
        finally:
            ear.done(answer)
        self._count(verb, resources.of(obj["apiVersion"], obj["kind"]))
        return answer

    def _count(self, verb: str, resource: resources.Resource) -> None:
        if self._counted is not None:
            self._counted(verb, resource.kind)


def _locate(obj: Object) -> tuple[resources.Resource, str, str]:
    metadata = obj["metadata"]
    return resources.of(obj["apiVersion"], obj["kind"]), metadata.get("namespace", ""), metadata["name"]
