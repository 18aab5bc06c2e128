"""HTTP: which requests are read at all, how much of them, for how long, and with what they are answered.

It refuses early (too many at once, too many bytes in memory), since an API server that hears ``429`` asks again, and
it never reads more than an update of the largest object can have.
"""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol
from urllib.parse import parse_qs

from ringfence.webhook import wire
from ringfence.webhook.metrics import Metrics
from ringfence.webhook.review import Purpose
from ringfence.webhook.wire import Answer, BadReview

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON: Final = b"application/json"
#: Seconds. What the API server takes when a configuration says nothing, and at most.
DEFAULT_TIMEOUT: Final = 10.0
LONGEST_TIMEOUT: Final = 30.0

_PURPOSES: Final = {purpose.value: purpose for purpose in Purpose}
_DURATION: Final = re.compile(r"(?:(\d{1,3})m)?(?:(\d{1,4}(?:\.\d{1,9})?)s)?|(\d{1,6})ms")
#: The API server writes the uid first.
_UID: Final = re.compile(rb'"uid"\s*:\s*"([0-9A-Za-z-]{1,64})"')
_HEAD: Final = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one process. Bytes, numbers of requests, seconds.

    ``body``: an update carries an object of 3 MiB twice. ``drained``: what is read and thrown away of a larger one,
    so that the refusal arrives instead of a broken connection. ``buffered``: all bodies beyond ``small`` that are in
    memory together. ``reading_requests``: how many bodies may be on their way; beyond that whoever has a fair share of
    them already is turned away, and a body that comes in one piece is never among them. ``reading``: how long a body
    may take to arrive; the API server sends it in one go.
    """

    body: int = 7 * 1024 * 1024
    drained: int = 32 * 1024 * 1024
    buffered: int = 64 * 1024 * 1024
    small: int = 64 * 1024
    reading_requests: int = 512
    reading: float = 2.0


class Answers(Protocol):
    """Fulfilled by answering.Answering."""

    async def answer(self, purpose: Purpose, body: bytes, deadline: float) -> bytes:
        """The answer to a review; raises BadReview."""
        ...


class _TooLarge(Exception):
    """The body is larger than it may be; ``head`` is its beginning."""

    def __init__(self, head: bytes) -> None:
        self.head = head
        super().__init__()


class _Busy(Exception):
    """More bytes are in memory than may be."""


class App:
    """An ASGI application for the webhook's three paths."""

    def __init__(self, answers: Answers, metrics: Metrics, limits: Limits = Limits()) -> None:
        self._answers = answers
        self._metrics = metrics
        self._limits = limits
        self._reading: dict[str, int] = {}
        self._count = 0
        self._buffered = 0
        #: Set when the process is about to end: every answer then closes its connection.
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        purpose = _PURPOSES.get(scope["path"])
        refusal = self._refusal(scope, purpose)
        if refusal is not None or purpose is None:
            status, message = refusal or (404, "")
            self._metrics.turned_away("protocol")
            await self._plain(send, status, message, close=True)
            return
        self._metrics.in_flight.inc()
        try:
            await self._judge(purpose, scope, receive, send)
        finally:
            self._metrics.in_flight.dec()

    @contextlib.contextmanager
    def _arriving(self, scope: Scope) -> Iterator[None]:
        """Count a body that is on its way; raises _Busy when there are too many and its sender has its share."""
        address = (scope.get("client") or ("",))[0]
        held = self._reading.get(address, 0)
        if self._count >= self._limits.reading_requests and held * len(self._reading) >= self._limits.reading_requests:
            raise _Busy
        self._reading[address] = held + 1
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
            self._reading[address] -= 1
            if not self._reading[address]:
                del self._reading[address]

    def _refusal(self, scope: Scope, purpose: Purpose | None) -> tuple[int, str] | None:
        if purpose is None:
            return 404, f"no such path; there are {', '.join(sorted(_PURPOSES))}"
        if scope["method"] != "POST":
            return 405, "an AdmissionReview comes by POST"
        media = _header(scope, b"content-type").partition(b";")[0].strip().lower()
        if media != JSON:
            return 415, f"the body must be application/json, not {media.decode('latin-1') or 'nothing'}"
        return None

    async def _judge(self, purpose: Purpose, scope: Scope, receive: Receive, send: Send) -> None:
        seconds = timeout(scope.get("query_string", b""))
        deadline = time.monotonic() + seconds
        try:
            async with asyncio.timeout(min(seconds, self._limits.reading)) as limit:
                body = await self._body(scope, receive)
                if body is None:
                    return
                try:
                    limit.reschedule(asyncio.get_running_loop().time() + deadline - time.monotonic())
                    answer = await self._answers.answer(purpose, body, deadline)
                finally:
                    self._buffered -= self._large(len(body))
        except TimeoutError:
            self._metrics.turned_away("late")
            await self._plain(send, 504, "the deadline has passed", close=True)
        except _TooLarge as error:
            await self._too_large(send, error.head)
        except _Busy:
            await self._busy(send)
        except BadReview as error:
            await self._plain(send, 400, str(error), close=False)
        else:
            await self._send(send, 200, answer, close=False)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body, counted into what is buffered; None when the client went away."""
        declared = _header(scope, b"content-length")
        if declared.isdigit() and int(declared) > self._limits.body:
            raise _TooLarge(await self._drain(receive, b""))
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            body = bytes(message.get("body", b""))
            if len(body) > self._limits.body:
                raise _TooLarge(body[:_HEAD])
            self._keep(0, len(body))
            return body
        with self._arriving(scope):
            return await self._pieces(message, receive)

    async def _pieces(self, message: MutableMapping[str, Any], receive: Receive) -> bytes | None:
        pieces = bytearray()
        try:
            while True:
                if message["type"] != "http.request":
                    self._buffered -= self._large(len(pieces))
                    return None
                piece = message.get("body", b"")
                if len(pieces) + len(piece) > self._limits.body:
                    raise _TooLarge(await self._drain(receive, bytes(pieces[:_HEAD])))  # noqa: TRY301
                self._keep(len(pieces), len(pieces) + len(piece))
                pieces += piece
                if not message.get("more_body"):
                    return bytes(pieces)
                message = await receive()
        except BaseException:
            self._buffered -= self._large(len(pieces))
            raise

    def _keep(self, before: int, after: int) -> None:
        """Count a body that has grown."""
        more = self._large(after) - self._large(before)
        if self._buffered + more > self._limits.buffered:
            raise _Busy
        self._buffered += more

    def _large(self, size: int) -> int:
        """What of a body counts: small ones are always read, so that nobody's large ones keep them out."""
        return max(0, size - self._limits.small)

    async def _drain(self, receive: Receive, head: bytes) -> bytes:
        """Read on without keeping anything but the beginning, up to a bound."""
        seen = 0
        while seen <= self._limits.drained:
            message = await receive()
            if message["type"] != "http.request":
                break
            piece = message.get("body", b"")
            seen += len(piece)
            if len(head) < _HEAD:
                head = (head + piece)[:_HEAD]
            if not message.get("more_body"):
                break
        return head

    async def _too_large(self, send: Send, head: bytes) -> None:
        self._metrics.turned_away("too_large")
        message = f"Ringfence reads reviews of at most {self._limits.body // 1024 // 1024} MiB; this one is larger"
        uid = _UID.search(head)
        if uid is None:
            await self._plain(send, 413, message, close=True)
            return
        answer = Answer(False, f"{message}: make the object smaller", 413, "RequestEntityTooLarge")
        await self._send(send, 200, wire.encode(uid.group(1).decode(), answer), close=True)

    async def _busy(self, send: Send) -> None:
        """The API server's client asks again after a 429 with Retry-After, for as long as its deadline allows."""
        self._metrics.turned_away("busy")
        await self._plain(send, 429, "too many reviews at once", close=True, headers=[(b"retry-after", b"1")])

    async def _plain(
        self, send: Send, status: int, message: str, *, close: bool, headers: list[tuple[bytes, bytes]] | None = None
    ) -> None:
        body = json.dumps({"error": message}).encode()
        await self._send(send, status, body, close=close, headers=headers)

    async def _send(
        self, send: Send, status: int, body: bytes, *, close: bool, headers: list[tuple[bytes, bytes]] | None = None
    ) -> None:
        lines = [(b"content-type", JSON), (b"content-length", str(len(body)).encode()), *(headers or ())]
        if close or self.draining:
            lines.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": body})


@lru_cache(maxsize=64)
def timeout(query: bytes) -> float:
    """Seconds that the API server waits, from ``timeout=2s`` in its query; the default when it says nothing legible."""
    if not query:
        return DEFAULT_TIMEOUT
    values = parse_qs(query.decode("latin-1")).get("timeout", [""])
    match = _DURATION.fullmatch(values[0])
    if match is None or not any(match.groups()):
        return DEFAULT_TIMEOUT
    minutes, seconds, milliseconds = match.groups()
    total = int(minutes or 0) * 60 + float(seconds or 0) + int(milliseconds or 0) / 1000
    return min(total, LONGEST_TIMEOUT)


def _header(scope: Scope, name: bytes) -> bytes:
    """The value of a header (names come in lower case), b"" when it is absent."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""
