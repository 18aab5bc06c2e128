"""A registry that a test makes do what it likes, on loopback: answers by path, and a record of what was asked."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from aiohttp import web
from ringfence.model import image_reference
from ringfence.model.image_reference import ImageReference
from ringfence.registry.addresses import Named, Reach
from ringfence.registry.client import Client, Limits
from ringfence.registry.credentials import Credentials
from ringfence.registry.finder import Gathered, gather

from tests.unit.signatures.authority import DIGEST

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
_PATIENT = Limits(seconds=2.0)
INDEX = "application/vnd.oci.image.index.v1+json"


class Registry:
    """Answers what ``answers`` holds for a path below /v2/app/, else 404; ``before`` sees every request first."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[bytes, str, dict[str, str]]] = {}
        self.handlers: dict[str, Answer] = {}
        self.before: Answer | None = None
        self.asked: list[str] = []
        self.authorizations: list[str] = []
        self.port = 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def put(self, path: str, content: bytes, media_type: str = "application/octet-stream", **headers: str) -> None:
        self.answers[f"/v2/app/{path}"] = content, media_type, headers

    def blob(self, content: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.put(f"blobs/{digest}", content)
        return digest

    def manifest(self, document: dict[str, Any], media_type: str = "application/vnd.oci.image.manifest.v1+json") -> str:
        content = json.dumps(document).encode()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.put(f"manifests/{digest}", content, media_type)
        return digest

    def index(self, path: str, descriptors: list[dict[str, Any]], **headers: str) -> None:
        self.put(path, json.dumps({"schemaVersion": 2, "manifests": descriptors}).encode(), INDEX, **headers)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        self.authorizations.append(request.headers.get("Authorization", ""))
        if request.path in self.handlers:
            return await self.handlers[request.path](request)
        if self.before is not None and (early := await self.before(request)).status != 204:
            return early
        if request.path not in self.answers:
            return web.Response(status=404)
        content, media_type, headers = self.answers[request.path]
        return web.Response(body=content, content_type=media_type, headers=headers)


@asynccontextmanager
async def serving(registry: Registry) -> AsyncIterator[Registry]:
    """The registry on a free port of 127.0.0.1 while the block runs."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return await registry(cast("web.Request", request))

    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    registry.port = runner.addresses[0][1]
    try:
        yield registry
    finally:
        await runner.cleanup()


def reach(registry: Registry) -> Reach:
    """What the tests' registry is named as in settings."""
    return Reach({registry.host: Named(private=True, plain_http=True)})


def image(registry: Registry, digest: str = DIGEST) -> ImageReference:
    return image_reference.parse(f"{registry.host}/app@{digest}")


def gathered(
    registry: Registry,
    credentials: Credentials | None = None,
    limits: Limits = _PATIENT,
    of: Callable[[Registry], Reach] = reach,
) -> Gathered:
    """What the finder gathers from it."""

    async def run() -> Gathered:
        async with serving(registry), Client(of(registry), limits) as client:
            return await gather(client, image(registry), credentials)

    return asyncio.run(run())
