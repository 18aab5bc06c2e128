"""JSON in, JSON out: requests to the API server over the official client's asyncio transport.

The transport brings what is tedious to get right (kubeconfig, exec plugins, rotating ServiceAccount tokens, TLS). Its
typed models are left aside: a cache of plain dicts takes a third of their memory and a tenth of their time.
"""

import asyncio
import contextlib
import os
import time
from asyncio import sslproto
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
import yaml
from kubernetes.aio import config as kube_config
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from ringfence import __version__
from ringfence.kube import errors
from ringfence.model.ports import Object

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"

#: Seconds for a request from start to end; a watch has limits of its own.
REQUEST_SECONDS = 30.0
_CONNECT_SECONDS = 5.0
#: Bytes that asyncio reads at once over TLS; each connection has a buffer of that many for as long as it lives. By
#: itself it has 256 KiB, sixteen of TLS's records: with a watch for each namespace most of what a process holds.
READ_BYTES = 32 * 1024

# The library carries no annotations here.
load_incluster: Callable[..., None] = kube_config.load_incluster_config
load_kubeconfig: Callable[..., Awaitable[Any]] = kube_config.load_kube_config

#: Called before each request that writes, and again just before its first byte leaves; it raises what shall stop it.
Guard = Callable[[], None]

#: Called after each request with method, HTTP status (0: no answer) and seconds.
Observer = Callable[[str, int, float], None]


def _why(kubeconfig: Path | None, error: Exception) -> str:
    """What is wrong with the kubeconfig, of which the library says at best which key it misses."""
    named = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG") or "~/.kube/config"
    there = [path for each in named.split(os.pathsep) if each and (path := Path(each).expanduser()).exists()]
    if not there:
        return f"there is no kubeconfig at {named}"
    if not any(path.is_dir() or path.stat().st_size for path in there):
        return f"the kubeconfig {named} is empty"
    if isinstance(error, UnicodeDecodeError):
        return f"kubeconfig {named}: is not UTF-8"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"kubeconfig {named}: {' '.join(reason.split())}"


class _WatchLine(msgspec.Struct):
    """One line of a watch; the object stays bytes until somebody wants it."""

    type: str
    object: msgspec.Raw


_watch_line = msgspec.json.Decoder(_WatchLine)


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to reach the API server, for a library that opens connections of its own. Never logged."""

    server: str
    ca_path: str | None
    certificate_path: str | None
    private_key_path: str | None
    token: str | None
    insecure: bool

    def __repr__(self) -> str:
        return f"Credentials(server={self.server!r})"


class Client:
    """A connection pool to one API server. Every method raises subclasses of errors.KubeError and nothing else."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        user_agent: str,
        observer: Observer | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._configuration = configuration
        self._guard = guard
        # A setting of the whole process: there is none for one connection.
        sslproto.SSLProtocol.max_size = READ_BYTES
        # Every enrolled namespace has a watch that holds a connection: of a bounded pool none would be left for writes.
        configuration.connection_pool_maxsize = 0
        # Looked up here once; by itself the transport asks two threads before each request, which doubles its cost, one
        # of them for a .netrc, whose passwords are none of the API server's business.
        configuration.client_session_kwargs = {"trust_env": False}
        configuration.proxy = configuration.proxy or _proxy_for(configuration.host)
        if guard is not None:
            # Between the first check and the first byte may lie a new connection, and a pause of the whole process.
            setattr(configuration, "trace_configs", [_tracing(guard)])  # noqa: B010 (the library declares no such field)
        self._transport = RESTClientObject(configuration)
        self._headers = {"User-Agent": user_agent, "Accept": JSON}
        self._observer = observer
        #: Seconds that the API server's clock is ahead of this machine's, to the second; 0 until it has answered.
        self.ahead = 0.0

    @classmethod
    async def connect(
        cls,
        kubeconfig: Path | None = None,
        *,
        context: str | None = None,
        component: str = "controller",
        instance: str = "",
        observer: Observer | None = None,
        guard: Guard | None = None,
    ) -> Self:
        """A client for ``kubeconfig``, else for the pod's ServiceAccount, else for what kubectl would use.

        ``context`` is one of the kubeconfig, None its current one. ``component`` and ``instance`` (a pod's name) go
        into the user agent, which audit logs record. Opens no connection yet. Raises errors.Unreachable when none of
        them can be read.
        """
        configuration = Configuration(retries=0)
        try:
            if kubeconfig is None and context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
                load_incluster(client_configuration=configuration)
            else:
                path = str(kubeconfig) if kubeconfig else None
                await load_kubeconfig(path, context=context, client_configuration=configuration, persist_config=False)
        except (kube_config.ConfigException, yaml.YAMLError, OSError, ValueError, LookupError, TypeError) as error:
            raise errors.Unreachable(f"no way to the API server: {_why(kubeconfig, error)}") from error
        agent = f"ringfence-{component}/{__version__}" + (f" ({instance})" if instance else "")
        return cls(configuration, user_agent=agent, observer=observer, guard=guard)

    async def credentials(self) -> Credentials:
        """What the connections of this client rest on, as files and a token that is valid now."""
        configuration = self._configuration
        authorization = await self._authorization()
        return Credentials(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            token=authorization.partition(" ")[2] if authorization else None,
            insecure=not configuration.verify_ssl,
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = JSON,
        timeout: float = REQUEST_SECONDS,  # noqa: ASYNC109 (the transport's own limit; covers connecting and reading)
    ) -> Any:
        """Make one request and decode its answer. No retries here: whoever asks knows whether that is safe."""
        data = await self.request_bytes(
            method, path, query=query, body=body, content_type=content_type, timeout=timeout
        )
        try:
            return msgspec.json.decode(data)
        except msgspec.DecodeError as error:
            raise errors.ServerError(f"{method} {path}: the answer is not JSON: {error}") from error

    async def request_bytes(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = JSON,
        timeout: float = REQUEST_SECONDS,  # noqa: ASYNC109
    ) -> bytes:
        """Make one request; its answer as the server wrote it (for lists, which are decoded item by item)."""
        what = f"{method} {path}"
        limits = aiohttp.ClientTimeout(total=timeout, sock_connect=_CONNECT_SECONDS)
        started = time.monotonic()
        status = 0
        try:
            answer = await self._send(method, path, query, body, content_type, limits)
            status = answer.status
            data = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise errors.Unreachable(f"{what}: {_describe(error)}") from error
        finally:
            if self._observer is not None:
                self._observer(method, status, time.monotonic() - started)
        if status >= 300:
            raise errors.of_status(what, status, _status_body(data), answer.headers.get("Retry-After"))
        return data

    async def watch(
        self, path: str, query: Mapping[str, str], *, silence: float, opened: Callable[[], None]
    ) -> AsyncGenerator[tuple[str, msgspec.Raw], None]:
        """The lines of a watch as (type, object still encoded), until the server ends it.

        ``silence`` is the longest time in seconds without a single byte before the connection counts as dead.
        ``opened`` is called once the server has accepted.
        """
        lines = self.lines(path, {**query, "watch": "true"}, silence=silence, opened=opened)
        async with contextlib.aclosing(lines):
            async for line in lines:
                try:
                    parsed = _watch_line.decode(line)
                except msgspec.DecodeError as error:
                    raise errors.Unreachable(f"WATCH {path}: {_describe(error)}") from error
                yield parsed.type, parsed.object

    async def lines(
        self, path: str, query: Mapping[str, str], *, silence: float | None, opened: Callable[[], None]
    ) -> AsyncGenerator[bytes, None]:
        """The lines of an answer as they come, until the server ends it; ``silence`` and ``opened`` as for a watch."""
        what = f"WATCH {path}"
        limits = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=silence)
        try:
            answer = await self._send("GET", path, query, None, JSON, limits)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise errors.Unreachable(f"{what}: {_describe(error)}") from error
        try:
            if answer.status != 200:
                data = await answer.read()
                raise errors.of_status(what, answer.status, _status_body(data), answer.headers.get("Retry-After"))
            opened()
            async for line in _lines(answer.content):
                yield line
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise errors.Unreachable(f"{what}: {_describe(error)}") from error
        finally:
            answer.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()
        # aiohttp's TLS transports finish closing in the next turns of the loop.
        await asyncio.sleep(0)

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Object | None,
        content_type: str,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        if self._guard is not None and method != "GET":
            self._guard()
        url = self._configuration.host + quote(path)
        if query:
            url += "?" + urlencode(query)
        headers = {**self._headers, "Content-Type": content_type}
        if authorization := await self._authorization():
            headers["Authorization"] = authorization
        send: Callable[..., Awaitable[Any]] = self._transport.request
        answer: aiohttp.ClientResponse = (
            await send(method, url, headers=headers, body=body, _request_timeout=limits)
        ).response
        self.ahead = _ahead(answer.headers.get("Date", ""), self.ahead)
        return answer

    async def _authorization(self) -> str | None:
        """The bearer token, read again from its file when it is due."""
        token: str | None = await self._configuration.get_api_key_with_prefix("BearerToken")
        return token


def _proxy_for(server: str) -> str | None:
    """The proxy that the environment names for a server (HTTPS_PROXY, NO_PROXY and their like), None for none."""
    parts = urlsplit(server)
    if parts.hostname is None or proxy_bypass(parts.netloc):
        return None
    return getproxies().get(parts.scheme)


def _tracing(guard: Guard) -> aiohttp.TraceConfig:
    """Have the guard asked again when a connection is there and the request is about to be written to it."""

    async def about_to_send(_session: object, _context: object, sent: aiohttp.TraceRequestHeadersSentParams) -> None:
        if sent.method != "GET":
            guard()

    tracing = aiohttp.TraceConfig()
    tracing.on_request_headers_sent.append(about_to_send)
    return tracing


def _ahead(date: str, before: float) -> float:
    """By how many seconds a Date header (RFC 9110 §6.6.1, whole seconds) is ahead; less than two count as none."""
    try:
        found = parsedate_to_datetime(date).timestamp() + 0.5 - time.time()
    except ValueError:
        return before
    return found if abs(found) >= 2.0 else 0.0


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a stream. By hand, because readline() refuses lines longer than its buffer."""
    pending = bytearray()
    async for chunk in stream.iter_any():
        pending += chunk
        if b"\n" not in chunk:
            continue
        *complete, rest = bytes(pending).split(b"\n")
        pending = bytearray(rest)
        for line in complete:
            if line:
                yield line


def _status_body(data: bytes) -> dict[str, Any] | None:
    """The Status object of a refusal, None when the answer was something else (a proxy's page)."""
    try:
        body = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return None
    return body if isinstance(body, dict) else None


def _describe(error: BaseException) -> str:
    return str(error) or type(error).__name__
