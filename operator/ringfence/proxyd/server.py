"""The gRPC end: one handler that carries bytes, with bounds on who may stay and for how long."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Protocol

import grpc
import grpc.aio

from ringfence.model.proxy_settings import OLDEST_ENVOY
from ringfence.proxyd import wire
from ringfence.proxyd.authentication import Caller, Refused, Why, address
from ringfence.proxyd.conversation import Conversation, Malformed

_log = logging.getLogger(__name__)

#: Seconds: for a stream's first request, for a proxy to take one message, and a stream's longest life (moved by up to
#: a tenth, so that those that came together do not all leave together).
#: The first is long: while thousands come back at once it is this process that is late.
FIRST_REQUEST_SECONDS: Final = 30.0
WRITE_SECONDS: Final = 30.0
STREAM_SECONDS: Final = 1800.0
#: Most bytes of a request: the versions of everything that a proxy has, when it comes back.
MAX_REQUEST_BYTES: Final = 4 << 20
#: Requests of one stream that are taken at once, and a second afterwards.
BURST: Final = 5000.0
REQUESTS_PER_SECOND: Final = 200.0

#: Without the first two Envoy's pings end the stream after 43 s, without the next two many that connect at once are
#: turned away; the fifth lets a second process fail that takes the port.
OPTIONS: Final = (
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 100_000),
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_concurrent_streams", 4),
    ("grpc.max_metadata_size", 32 << 10),
    # A buffer of this many bytes belongs to every connection, and another is filled that far; usual are 16 KiB.
    ("grpc.tsi.max_frame_size", 2048),
    # What each connection would hold for nothing: nobody asks gRPC what connections it has, nothing is sent without
    # being copied, and headers that are seen again need a second call on the connection (0248).
    ("grpc.enable_channelz", 0),
    ("grpc.experimental.tcp_tx_zerocopy_max_simultaneous_sends", 0),
    ("grpc.http2.hpack_table_size.decoder", 0),
    ("grpc.http2.hpack_table_size.encoder", 0),
    ("grpc.max_connection_age_ms", 40 * 60 * 1000),
    ("grpc.max_connection_age_grace_ms", 60 * 1000),
)

_CODES: Final = {
    Why.CANNOT_TELL: grpc.StatusCode.UNAVAILABLE,
    Why.NO_POD: grpc.StatusCode.UNAVAILABLE,
    Why.BUSY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Why.NOT_ENROLLED: grpc.StatusCode.PERMISSION_DENIED,
    Why.NOT_INJECTED: grpc.StatusCode.PERMISSION_DENIED,
    Why.OTHER_NAME: grpc.StatusCode.PERMISSION_DENIED,
    Why.OTHER_ADDRESS: grpc.StatusCode.PERMISSION_DENIED,
    Why.OLD_PROXY: grpc.StatusCode.FAILED_PRECONDITION,
}


class Ended(Exception):
    """The stream is to end; the message tells the proxy why. It comes back with a fresh token."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and numbers that tests make small."""

    first_request: float = FIRST_REQUEST_SECONDS
    write: float = WRITE_SECONDS
    stream: float = STREAM_SECONDS
    burst: float = BURST
    per_second: float = REQUESTS_PER_SECOND


USUAL: Final = Limits()


class Stream:
    """One proxy that is connected: who it is, its conversation, and what wakes its writer."""

    __slots__ = ("__weakref__", "_awake", "_end", "_waiter", "caller", "source", "talk")

    def __init__(self, caller: Caller, now: Callable[[], float] = time.monotonic) -> None:
        self.caller = caller
        #: The address that it calls from, "" where that is none of a network.
        self.source = ""
        self.talk = Conversation(now)
        self._awake = False
        # Not an Event with a timeout around it: there are thousands of these, each woken at every change.
        self._waiter: asyncio.Future[None] | None = None
        self._end: Exception | None = None

    def wake(self) -> None:
        """There may be something to send."""
        self._awake = True
        self._rouse()

    def end(self, error: Exception) -> None:
        """End the stream as soon as its writer has its turn."""
        if self._end is None:
            self._end = error
        self.wake()

    async def woken(self, seconds: float) -> None:
        """Wait to be woken, at most so long. Raises what the stream ends with."""
        if not self._awake:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(seconds, self._rouse)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        self._awake = False
        if self._end is not None:
            raise self._end

    def _rouse(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class House(Protocol):
    """Who is served, and with what."""

    async def admit(self, metadata: dict[str, str]) -> Stream:
        """A stream for who sends these headers; raises Refused."""
        ...

    def opened(self, stream: Stream) -> None:
        """It is served from now on; raises Refused."""
        ...

    def heard(self, stream: Stream, request: wire.Request) -> None:
        """The proxy has said something; raises Malformed."""
        ...

    def closed(self, stream: Stream) -> None:
        """It is served no more."""
        ...

    def turned_away(self, error: Refused, peer: str) -> None:
        """Somebody was not served."""
        ...

    def sent(self, size: int) -> None:
        """A message of so many bytes has been taken."""
        ...

    def may_linger(self, stream: Stream) -> bool:
        """Whether a stream may stay beyond the usual life, because it could not come back now."""
        ...


class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Serves DeltaAggregatedResources, and nothing else."""

    def __init__(self, house: House, limits: Limits, wall: Callable[[], float] = time.time) -> None:
        self._house = house
        self._limits = limits
        self._wall = wall
        self._method = grpc.stream_stream_rpc_method_handler(
            self._serve, request_deserializer=wire.Request.FromString, response_serializer=None
        )

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a method, None for what is not served."""
        return self._method if handler_call_details.method == f"/{wire.SERVICE}/{wire.METHOD}" else None

    async def _serve(self, requests: Any, context: Any) -> None:
        del requests
        try:
            stream, reader = await self._welcome(context)
        except Refused as error:
            self._house.turned_away(error, context.peer())
            await context.abort(_CODES.get(error.why, grpc.StatusCode.UNAUTHENTICATED), str(error))
            return
        try:
            code, why = await self._write(stream, context)
        finally:
            reader.cancel()
            self._house.closed(stream)
        # To a proxy that does not read even this does not get through: its connection ends by age.
        await context.abort(code, why)

    async def _welcome(self, context: Any) -> tuple[Stream, asyncio.Task[None]]:
        """A stream that is served, and the task that reads it. Token and first request are kept no longer than this:
        together they are some of the biggest that a stream brings. Raises Refused.
        """
        headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        stream = await self._house.admit(headers)
        stream.source = address(context.peer())
        first = await self._first(context)
        _compare(first, stream.caller)
        self._house.opened(stream)
        return stream, asyncio.create_task(self._read(stream, context, first))

    async def _first(self, context: Any) -> wire.Request:
        try:
            async with asyncio.timeout(self._limits.first_request):
                request = await context.read()
        except TimeoutError:
            raise Refused(Why.BUSY, "no request came in time") from None
        if request is grpc.aio.EOF:
            raise Refused(Why.OTHER_NAME, "the stream ended before its first request")
        return request

    async def _read(self, stream: Stream, context: Any, request: Any) -> None:
        """Take requests until the proxy hangs up; one that never stops asking is slowed down."""
        left, then = self._limits.burst, time.monotonic()
        try:
            while request is not grpc.aio.EOF:
                self._house.heard(stream, request)
                request = None  # let go before the next is waited for, which may not come for hours
                stream.wake()
                now = time.monotonic()
                left = min(self._limits.burst, left + (now - then) * self._limits.per_second) - 1
                then = now
                if left < 0:
                    await asyncio.sleep(-left / self._limits.per_second)
                request = await context.read()
        except Malformed as error:
            stream.end(error)
        except Exception as error:  # noqa: BLE001 (whatever ends the reading ends the stream)
            stream.end(Ended(f"cannot read on: {type(error).__name__}"))
        else:
            stream.end(Ended("the proxy has hung up"))

    async def _write(self, stream: Stream, context: Any) -> tuple[Any, str]:
        """Send until there is a reason to end; the code and the words for it."""
        try:
            await self._keep_sending(stream, context)
        except Refused as error:
            return _CODES.get(error.why, grpc.StatusCode.UNAUTHENTICATED), str(error)
        except Malformed as error:
            return grpc.StatusCode.INVALID_ARGUMENT, str(error)
        except Ended as error:
            return grpc.StatusCode.UNAVAILABLE, str(error)

    async def _keep_sending(self, stream: Stream, context: Any) -> NoReturn:
        opened = time.monotonic()
        longest = self._limits.stream * random.uniform(0.9, 1.1)  # noqa: S311 (spreads load)
        while True:
            while (message := stream.talk.next()) is not None:
                await self._send(context, message)
            expires = stream.caller.expires - self._wall()
            if expires <= 0:
                raise Ended("the token has ended")
            left = opened + longest - time.monotonic()
            if left <= 0:
                if not self._house.may_linger(stream):
                    raise Ended("the stream is old, come again")
                left = 60.0
            await stream.woken(min(left, expires, stream.talk.again_in() or left))

    async def _send(self, context: Any, message: bytes) -> None:
        try:
            async with asyncio.timeout(self._limits.write):
                await context.write(message)
        except TimeoutError:
            raise Ended("the proxy does not read") from None
        self._house.sent(len(message))


def _compare(first: wire.Request, caller: Caller) -> None:
    """Whatever a proxy says of itself opens nothing; when it contradicts its token, something is wrong with it."""
    if first.node.id != caller.node_id:
        name = first.node.id[:100]
        raise Refused(Why.OTHER_NAME, f"the proxy says that it is {name!r}, its token {caller.node_id}")
    # Admission can tell an Envoy's version by its image's tag only; an image that is named by digest shows it here. One
    # that lies is no proxy: its pod's network sends everything to what admission let in.
    told = first.node.user_agent_build_version.version
    version = (told.major_number, told.minor_number, told.patch)
    if version < OLDEST_ENVOY:
        said, oldest = (".".join(map(str, each)) for each in (version, OLDEST_ENVOY))
        raise Refused(
            Why.OLD_PROXY,
            f"the proxy of {caller.node_id} is Envoy {said}, whose authorization can be passed by; {oldest} or later "
            "is served: restart the pod with the image of the present settings",
        )


@contextlib.asynccontextmanager
async def serving(
    house: House,
    address: str,
    credentials: grpc.ServerCredentials,
    *,
    limits: Limits = USUAL,
    grace: float = 1.0,
    stopping: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[int]:
    """Serve while the block runs; the port. Raises OSError when the address cannot be had."""
    server = grpc.aio.server(handlers=(Handler(house, limits),), options=OPTIONS)
    try:
        port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}: {error}") from error
    await server.start()
    try:
        yield port
    finally:
        if stopping is not None:
            await stopping()
        await server.stop(grace)
