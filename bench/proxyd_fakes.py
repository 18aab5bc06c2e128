"""Proxies that apply nothing: they ask in the order in which Envoy asks, take what comes and say yes.

Each has a connection of its own. One that is cut off comes back as the bootstrap of injected pods says, and tells then
what it has, as Envoy does.
"""

import asyncio
import contextlib
import random
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import ringfence.proxyd  # noqa: F401 (before grpc)
from envoy.service.discovery.v3 import discovery_pb2
from grpc import ChannelConnectivity, RpcError, aio, ssl_channel_credentials
from ringfence.inject.bootstrap import BACK_OFF_SECONDS
from ringfence.model import proxy
from ringfence.model.proxy_settings import OLDEST_ENVOY
from ringfence.proxyd import wire
from ringfence.proxyd.wire import Kind

from bench.proxyd_cluster import HOST, PORT, Bench

_Request: Final = discovery_pb2.DeltaDiscoveryRequest
_Response: Final = discovery_pb2.DeltaDiscoveryResponse
_SECRETS: Final = (proxy.SDS_IDENTITY, proxy.SDS_BUNDLE)
_INBOUND: Final = f"in|{PORT}|mesh"
#: What is asked for at once when it is had already.
_AGAIN: Final = (Kind.ENDPOINTS, Kind.LISTENERS, Kind.ROUTES, Kind.SECRETS)


@dataclass(slots=True)
class Fake:
    """The proxy of a pod.

    ``policies`` counts the times that it got routes, in which the policy travels, ``at`` is when it has said yes to the
    last ones (monotonic); ``tries`` counts its attempts to connect to a proxyd that listened, ``late`` those of them
    that took too long.
    """

    bench: Bench
    pod: str
    longest_wait: float = BACK_OFF_SECONDS[1]
    #: Seconds that a connection may take, None for any number.
    patience: float | None = None
    at: float = 0.0
    policies: int = 0
    tries: int = 0
    late: int = 0
    secrets: int = 0
    _known: dict[Kind, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    _asked: set[Kind] = field(default_factory=set)
    _wait: float = BACK_OFF_SECONDS[0]

    async def run(self, listens: asyncio.Event) -> None:
        """Stay connected while this is not cancelled; ``listens`` says whether proxyd does, as a Service would."""
        while True:
            if listens.is_set():
                with contextlib.suppress(RpcError, ConnectionError, TimeoutError, asyncio.InvalidStateError):
                    await self._connect()
            # As Envoy draws it: anything up to a bound that doubles.
            await asyncio.sleep(max(BACK_OFF_SECONDS[0], random.uniform(0, self._wait)))  # noqa: S311 (spreads load)
            self._wait = min(2 * self._wait, self.longest_wait)

    async def _connect(self) -> None:
        """Connect, and talk until the connection ends; raises what it ends with."""
        self.tries += 1
        options = [("grpc.ssl_target_name_override", HOST), ("grpc.use_local_subchannel_pool", 1)]
        credentials = ssl_channel_credentials(self.bench.roots)
        async with aio.secure_channel(self.bench.address, credentials, options) as channel:
            try:
                async with asyncio.timeout(self.patience):
                    await _ready(channel)
            except TimeoutError:
                self.late += 1
                raise
            call = channel.stream_stream(
                f"/{wire.SERVICE}/{wire.METHOD}",
                request_serializer=_Request.SerializeToString,
                response_deserializer=_Response.FromString,
            )
            stream = call(metadata=[("authorization", f"Bearer {self.bench.token(self.pod)}")])
            await self._talk(stream)

    async def _talk(self, stream: Any) -> None:
        self._asked.clear()
        await self._ask(stream, Kind.CLUSTERS)
        for kind in _AGAIN:
            if self._known[kind]:
                await self._ask(stream, kind, self._known[kind])
        while True:
            response = await stream.read()
            if not isinstance(response, _Response):
                return
            self._wait = BACK_OFF_SECONDS[0]
            kind = Kind(response.type_url)
            await stream.write(_Request(type_url=response.type_url, response_nonce=response.nonce))
            self._known[kind].update({each.name: each.version for each in response.resources})
            for name in response.removed_resources:
                self._known[kind].pop(name, None)
            await self._go_on(stream, kind)

    async def _go_on(self, stream: Any, kind: Kind) -> None:
        """What follows from what has come: a new cluster's endpoints are asked for, and so on."""
        services = [name for name in self._known[Kind.CLUSTERS] if name.startswith("out|")]
        if kind is Kind.CLUSTERS and (new := set(services) - self._known[Kind.ENDPOINTS].keys()):
            await self._ask(stream, Kind.ENDPOINTS, sorted(new))
        elif kind in {Kind.CLUSTERS, Kind.ENDPOINTS} and Kind.LISTENERS not in self._asked:
            await self._ask(stream, Kind.LISTENERS)
        elif kind is Kind.LISTENERS and (new := {_INBOUND, *services} - self._known[Kind.ROUTES].keys()):
            await self._ask(stream, Kind.ROUTES, sorted(new))
            if Kind.SECRETS not in self._asked:
                await self._ask(stream, Kind.SECRETS, _SECRETS)
        elif kind is Kind.SECRETS:
            self.secrets += 1
        elif kind is Kind.ROUTES:
            self.policies += 1
            self.at = time.monotonic()

    async def _ask(self, stream: Any, kind: Kind, names: Iterable[str] = ()) -> None:
        wanted = ["*"] if kind in {Kind.CLUSTERS, Kind.LISTENERS} else list(names)
        request = _Request(type_url=kind.value, resource_names_subscribe=wanted)
        if not self._asked:
            request.node.id = self.bench.node_id(self.pod)
            told = request.node.user_agent_build_version.version
            told.major_number, told.minor_number, told.patch = OLDEST_ENVOY
        if kind not in self._asked:
            request.initial_resource_versions.update(self._known[kind])
        self._asked.add(kind)
        await stream.write(request)


async def _ready(channel: Any) -> None:
    """Connect once; raises ConnectionError when that fails."""
    state = channel.get_state(try_to_connect=True)
    while state is not ChannelConnectivity.READY:
        if state in {ChannelConnectivity.TRANSIENT_FAILURE, ChannelConnectivity.SHUTDOWN}:
            raise ConnectionError("no connection")
        await channel.wait_for_state_change(state)
        state = channel.get_state(try_to_connect=True)
