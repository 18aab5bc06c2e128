"""Envoy's messages as bytes that are the same whenever they say the same."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from envoy.config.core.v3 import address_pb2, config_source_pb2
from google.protobuf import any_pb2, duration_pb2, struct_pb2, wrappers_pb2

from ringfence.model.proxy import Resource

#: A protobuf message; the generated classes carry no types.
Message = Any

_PREFIX: Final = "type.googleapis.com/"
#: Characters of a version: 96 bits, so that two contents never share one.
_DIGITS: Final = 24


def packed(message: Message) -> Message:
    """The message in an Any."""
    return any_pb2.Any(
        type_url=_PREFIX + message.DESCRIPTOR.full_name, value=message.SerializeToString(deterministic=True)
    )


def resource(name: str, message: Message) -> Resource:
    """The message as a resource whose version is the hash of its content."""
    body = packed(message).SerializeToString(deterministic=True)
    return Resource(name, digest(body), body)


def unpacked(found: Resource, kind: type[Message]) -> Message:
    """The message of a resource that is of this kind."""
    wrapped = any_pb2.Any.FromString(found.body)
    return kind.FromString(wrapped.value)


def digest(*parts: bytes | str) -> str:
    """A hash over the parts, in their order."""
    hashed = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        hashed.update(len(data).to_bytes(8, "big"))
        hashed.update(data)
    return hashed.hexdigest()[:_DIGITS]


def extension(field: type[Message], name: str, config: Message) -> Message:
    """One of the messages that are a name with a ``typed_config``: filters, sockets, matchers."""
    return field(name=name, typed_config=packed(config))


def seconds(value: float) -> Message:
    """A Duration."""
    whole = int(value)
    return duration_pb2.Duration(seconds=whole, nanos=round((value - whole) * 1e9))


def number(value: int) -> Message:
    """A UInt32Value, which unlike a bare number can be 0 and be there."""
    return wrappers_pb2.UInt32Value(value=value)


def true() -> Message:
    """A BoolValue."""
    return wrappers_pb2.BoolValue(value=True)


def false() -> Message:
    """A BoolValue."""
    return wrappers_pb2.BoolValue(value=False)


def struct(values: Mapping[str, Any]) -> Message:
    """A Struct of these values."""
    found = struct_pb2.Struct()
    found.update(dict(values))
    return found


def address(host: str, port: int, *, both: bool = False) -> Message:
    """A TCP address; ``both`` lets one that is IPv6 take IPv4 too."""
    return address_pb2.Address(
        socket_address=address_pb2.SocketAddress(address=host, port_value=port, ipv4_compat=both)
    )


def ads() -> Message:
    """Where everything that is not in the resource itself comes from: the same stream."""
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(), resource_api_version=config_source_pb2.ApiVersion.V3
    )


def revision(groups: Iterable[Iterable[Resource]]) -> str:
    """A hash over all resources."""
    return digest(*(part for group in groups for each in group for part in (each.name, each.version)))
