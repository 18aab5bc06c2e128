"""A proxy's half of delta xDS for tests: requests, and what a response says."""

from collections.abc import Iterable, Mapping

from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2, wrappers_pb2
from ringfence.model.proxy import ProxyConfig, Resource
from ringfence.model.proxy_settings import OLDEST_ENVOY
from ringfence.proxyd.wire import Kind


def resource(name: str, version: str = "1", text: str = "") -> Resource:
    """A resource whose content nobody looks at."""
    body = any_pb2.Any()
    body.Pack(wrappers_pb2.StringValue(value=text or f"{name}@{version}"))
    return Resource(name, version, body.SerializeToString())


def config(
    revision: str = "r1",
    *,
    clusters: Iterable[str] = (),
    endpoints: Iterable[str] = (),
    listeners: Iterable[str] = (),
    routes: Iterable[str] = (),
    owners: tuple[str, ...] = (),
) -> ProxyConfig:
    """Resources written as name or name@version."""

    def made(names: Iterable[str]) -> tuple[Resource, ...]:
        split = [each.partition("@") for each in names]
        return tuple(resource(name, version or "1") for name, _, version in split)

    return ProxyConfig(made(clusters), made(endpoints), made(listeners), made(routes), owners, revision)


def ask(
    kind: Kind,
    *names: str,
    drop: Iterable[str] = (),
    known: Mapping[str, str] | None = None,
    node: str = "",
    version: tuple[int, int, int] = OLDEST_ENVOY,
) -> discovery_pb2.DeltaDiscoveryRequest:
    """A request that asks for resources; none named is all of the type, in a first request.

    ``node`` and ``version`` are what the proxy says of itself.
    """
    request = discovery_pb2.DeltaDiscoveryRequest(
        type_url=kind.value,
        resource_names_subscribe=names,
        resource_names_unsubscribe=drop,
        initial_resource_versions=known or {},
    )
    request.node.id = node
    told = request.node.user_agent_build_version.version
    told.major_number, told.minor_number, told.patch = version
    return request


def answer(response: "Response", error: str = "") -> discovery_pb2.DeltaDiscoveryRequest:
    """The acknowledgement of a response, or its refusal."""
    request = discovery_pb2.DeltaDiscoveryRequest(type_url=response.kind.value, response_nonce=response.nonce)
    if error:
        request.error_detail.message = error
        request.error_detail.code = 13
    return request


class Response:
    """A message of the server's, read by the generated classes."""

    def __init__(self, data: bytes) -> None:
        message = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
        self.kind = Kind(message.type_url)
        self.nonce = message.nonce
        self.versions = {each.name: each.version for each in message.resources}
        self.bodies = {each.name: each.resource for each in message.resources}
        self.removed = list(message.removed_resources)

    def __repr__(self) -> str:
        return f"{self.kind.name} {self.versions} -{self.removed}"
