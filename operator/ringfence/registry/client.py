"""Reads from registries (OCI distribution), with a bound for everything: bytes, seconds, redirects, hosts."""

import asyncio
import hashlib
import json
import ssl
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from ringfence import __version__
from ringfence.model.image_reference import DEFAULT_REGISTRY, ImageReference
from ringfence.registry import challenge
from ringfence.registry.addresses import GuardedResolver, Reach, literal
from ringfence.registry.credentials import Credentials
from ringfence.registry.errors import Forbidden, Garbage, RegistryError

_HUB: Final = "registry-1.docker.io"
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_TOKEN: Final = 64 * 1024
_CHUNK: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one request: seconds from connecting to the last byte, redirects. Of all together: connections."""

    seconds: float = 15.0
    connect: float = 5.0
    redirects: int = 3
    connections: int = 16
    per_host: int = 4


@dataclass(frozen=True, slots=True)
class Got:
    """An answer: its content, and the rest that somebody looks at."""

    content: bytes
    media_type: str
    link: str = ""


class Client:
    """A pool of connections to registries. Every method raises subclasses of RegistryError and nothing else."""

    def __init__(
        self, reach: Reach, limits: Limits = Limits(), ca: str = "", resolver: AbstractResolver | None = None
    ) -> None:
        """``ca`` are certificates (PEM) to trust beside the system's. Needs a running event loop."""
        self.reach = reach
        self.limits = limits
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if ca:
            context.load_verify_locations(cadata=ca)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=GuardedResolver(reach, resolver),
                limit=limits.connections,
                limit_per_host=limits.per_host,
                ssl=context,
            ),
            timeout=aiohttp.ClientTimeout(total=limits.seconds, sock_connect=limits.connect),
            headers={"User-Agent": f"ringfence-controller/{__version__}", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            # Neither proxies nor credentials from the environment; content stays as it is, so that nothing unfolds.
            trust_env=False,
            auto_decompress=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def get(self, url: URL, headers: dict[str, str], most: int) -> tuple[int, Got, str]:
        """One GET without redirects: status, content (at most ``most`` bytes; of refusals less), and what it asks for.

        The last is Location, or WWW-Authenticate for 401.
        """
        self._check(url)
        try:
            async with self._session.get(url, headers=headers, allow_redirects=False) as answer:
                wanted = answer.headers.get("WWW-Authenticate" if answer.status == 401 else "Location", "")
                content = await _bounded(answer, most if answer.status == 200 else 0, url)
                media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
                retry_after = _seconds(answer.headers)
                status, link = answer.status, answer.headers.get("Link", "")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            what = "did not answer in time" if isinstance(error, TimeoutError) else f"cannot be reached: {error}"
            raise RegistryError(f"{url.host} {what}") from error
        if status == 429 or status >= 500:
            raise RegistryError(f"{url.host} answers {status}", retry_after)
        return status, Got(content, media_type, link), wanted

    def _check(self, url: URL) -> None:
        """A host that is written as an address never meets the resolver."""
        host = url.host or ""
        if (address := literal(host)) is not None:
            self.reach.check(host, address)


async def _bounded(answer: aiohttp.ClientResponse, most: int, url: URL) -> bytes:
    if not most:
        return b""
    if (answer.content_length or 0) > most:
        raise Garbage(f"{url.host} answers with {answer.content_length} bytes where {most} are enough")
    content = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK):
        content += chunk
        if len(content) > most:
            raise Garbage(f"{url.host} answers with more than {most} bytes")
    return bytes(content)


def _seconds(headers: Any) -> float:
    value = headers.get("Retry-After", "")
    return min(float(value), 3600.0) if value.isdigit() else 0.0


class Repository:
    """One repository of one registry, with the token that it has given out."""

    def __init__(self, client: Client, image: ImageReference, credentials: Credentials | None) -> None:
        self._client = client
        self._repository = image.repository
        self._credentials = credentials
        self._authorization = ""
        plain = client.reach.of(image.registry).plain_http
        host = _HUB if image.registry == DEFAULT_REGISTRY else image.registry
        self._root = URL(f"{'http' if plain else 'https'}://{host}/v2/{image.repository}/", encoded=True)

    async def read(self, path: str, accept: str, most: int) -> Got | None:
        """What is at ``path`` below the repository, None when there is nothing; raises RegistryError."""
        return await self._follow(self._root.join(URL(path)), accept, most)

    async def read_page(self, link: str, accept: str, most: int) -> Got | None:
        """The next page that a Link header names, on the same host only; None without one."""
        target, _, rest = link.partition(">")
        if not target.startswith("<") or 'rel="next"' not in rest.replace("rel=next", 'rel="next"'):
            return None
        url = self._root.join(URL(target[1:]))
        if url.origin() != self._root.origin() or not url.path.startswith(self._root.path):
            raise Forbidden("the registry names a next page elsewhere")
        return await self._follow(url, accept, most)

    async def content(self, kind: str, digest: str, accept: str, most: int) -> bytes | None:
        """The manifest or the blob (``kind``: manifests, blobs) of this digest (sha256); raises Garbage for another."""
        got = await self.read(f"{kind}/{digest}", accept, most)
        if got is None:
            return None
        if f"sha256:{hashlib.sha256(got.content).hexdigest()}" != digest:
            raise Garbage(f"the registry answers with something else than {digest}")
        return got.content

    async def _follow(self, url: URL, accept: str, most: int) -> Got | None:
        asked = False
        hops = 0
        while True:
            headers = {"Accept": accept}
            if self._authorization and url.origin() == self._root.origin():
                headers["Authorization"] = self._authorization
            status, got, wanted = await self._client.get(url, headers, most)
            if status == 200:
                return got
            if status in {400, 404, 405, 501}:
                return None
            if status == 401 and not asked and url.origin() == self._root.origin():
                asked = True
                await self._authorize(wanted)
            elif status in _REDIRECTS and hops < self._client.limits.redirects:
                hops += 1
                url = self._redirected(url, wanted)
            else:
                raise _refused(url, status)

    def _redirected(self, url: URL, location: str) -> URL:
        try:
            target = url.join(URL(location))
        except ValueError as error:
            raise Garbage(f"{url.host} redirects to what is no URL") from error
        if not target.host or target.user is not None or target.scheme not in {"https", url.scheme}:
            raise Forbidden(f"{url.host} redirects to {target.scheme}://{target.host}")
        if target.scheme == "http" and not self._client.reach.of(challenge.authority(target)).plain_http:
            raise Forbidden(f"{url.host} redirects to {target.host} without TLS")
        return target

    async def _authorize(self, header: str) -> None:
        """Get what the registry asks for: a token of its service, or a user and a password."""
        wanted = challenge.parse(header)
        if wanted.scheme == "basic":
            if self._credentials is None:
                raise _refused(self._root, 401)
            self._authorization = self._credentials.basic
            return
        url = challenge.token_url(wanted, self._root, self._repository, self._client.reach)
        headers = {"Authorization": self._credentials.basic} if self._credentials else {}
        status, got, _ = await self._client.get(url, headers, _MAX_TOKEN)
        if status != 200:
            raise _refused(url, status)
        self._authorization = f"Bearer {_token(got.content)}"


def _token(content: bytes) -> str:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Garbage("the token service's answer is no JSON") from error
    token = (document.get("token") or document.get("access_token")) if isinstance(document, dict) else None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise Garbage("the token service's answer holds no token")
    return token


def _refused(url: URL, status: int) -> RegistryError:
    if status in {401, 403}:
        return RegistryError(
            f"{url.host} refuses access ({status}): the workload's imagePullSecrets must name credentials for it"
        )
    return RegistryError(f"{url.host} answers {status}")


async def within(seconds: float, asking: Awaitable[None], what: str) -> None:
    """Wait for ``asking``; RegistryError after ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            await asking
    except TimeoutError as error:
        raise RegistryError(f"{what} took more than {seconds:.0f} s") from error
