"""Delta xDS on the wire: what is sent again and again is serialized once.

A response is put together from bytes: a message in protobuf's encoding is the concatenation of its fields, so the
resources of a class of proxies, each serialized once, are joined with the few fields that differ from stream to stream.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from envoy.service.discovery.v3 import discovery_pb2

from ringfence.model.proxy import ProxyConfig, Resource

METHOD: Final = "DeltaAggregatedResources"
SERVICE: Final = "envoy.service.discovery.v3.AggregatedDiscoveryService"

Request = discovery_pb2.DeltaDiscoveryRequest

_TYPES: Final = "type.googleapis.com/envoy."
#: Field 2 of DeltaDiscoveryResponse (resources) and of discovery.v3.Resource (resource), both length-delimited.
_FIELD_2: Final = b"\x12"


class Kind(Enum):
    """The types of resources, in the order in which changes are sent: each needs only what stands before it."""

    # Enum's own hash is a call of Python code for every look-up.
    __hash__ = object.__hash__

    SECRETS = _TYPES + "extensions.transport_sockets.tls.v3.Secret"
    CLUSTERS = _TYPES + "config.cluster.v3.Cluster"
    ENDPOINTS = _TYPES + "config.endpoint.v3.ClusterLoadAssignment"
    LISTENERS = _TYPES + "config.listener.v3.Listener"
    ROUTES = _TYPES + "config.route.v3.RouteConfiguration"


@dataclass(frozen=True, slots=True)
class Item:
    """A resource ready to be sent: ``field`` is one element of DeltaDiscoveryResponse.resources, tag and length."""

    name: str
    version: str
    field: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Offer:
    """What the proxies of a class shall have, secrets aside; ``revision`` and ``owners`` as ProxyConfig has them.

    ``versions`` is that of each item by its name. Proxies that have all of it hold this very mapping.
    """

    revision: str
    owners: tuple[str, ...]
    items: Mapping[Kind, Mapping[str, Item]] = field(repr=False)
    versions: Mapping[Kind, Mapping[str, str]] = field(repr=False)


def item(resource: Resource) -> Item:
    """The resource as it is sent."""
    head = discovery_pb2.Resource(name=resource.name, version=resource.version).SerializeToString(deterministic=True)
    body = head + _FIELD_2 + _length(len(resource.body)) + resource.body
    return Item(resource.name, resource.version, _FIELD_2 + _length(len(body)) + body)


def offer(config: ProxyConfig, before: Offer | None = None) -> Offer:
    """A class' configuration as it is sent; what is the same in ``before`` is not made again."""
    parts = {
        Kind.CLUSTERS: config.clusters,
        Kind.ENDPOINTS: config.endpoints,
        Kind.LISTENERS: config.listeners,
        Kind.ROUTES: config.routes,
    }
    items = {kind: _items(each, before.items[kind] if before else {}) for kind, each in parts.items()}
    return Offer(config.revision, config.owners, items, {kind: _versions(kind, items, before) for kind in items})


def response(kind: Kind, nonce: str, items: Iterable[Item], removed: Iterable[str] = ()) -> bytes:
    """A DeltaDiscoveryResponse."""
    head = discovery_pb2.DeltaDiscoveryResponse(type_url=kind.value, nonce=nonce, removed_resources=removed)
    return bytes(head.SerializeToString()) + b"".join(each.field for each in items)


def _items(resources: Iterable[Resource], before: Mapping[str, Item]) -> Mapping[str, Item]:
    """By name; the very mapping ``before`` when it says the same."""
    made: dict[str, Item] = {}
    same = True
    for each in resources:
        held = before.get(each.name)
        if held is not None and held.version == each.version:
            made[each.name] = held
        else:
            made[each.name] = item(each)
            same = False
    return before if same and len(made) == len(before) else made


def _versions(kind: Kind, items: Mapping[Kind, Mapping[str, Item]], before: Offer | None) -> Mapping[str, str]:
    if before is not None and before.items[kind] is items[kind]:
        return before.versions[kind]
    return {name: each.version for name, each in items[kind].items()}


def _length(number: int) -> bytes:
    """A number as protobuf writes lengths (base 128 varint)."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
