"""Suggested policies as YAML that people review: each rule with what was seen of it."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from ringfence.flows import times
from ringfence.flows.replay import Seen
from ringfence.flows.suggesting import SuggestedPolicy, SuggestedRule
from ringfence.flows.wanted import Peer
from ringfence.model.names import GROUP
from ringfence.model.requests import HttpMatch
from ringfence.model.resources import (
    AnonymousPeer,
    ApiServerPeer,
    CidrPeer,
    HostPeer,
    IdentityPeer,
    NamespacePeer,
    Protocol,
)

#: Peers of a rule of which a comment tells.
_MANY: Final = 12

Lines = Iterable[str]


def policy(found: SuggestedPolicy) -> dict[str, Any]:
    """The object that is suggested."""
    spec: dict[str, Any] = {"appliesTo": {"identities": [found.identity.name]}}
    if found.plaintext:
        spec["transport"] = {"mtls": "Permissive"}
    if found.ingress:
        spec["ingress"] = [rule(each, "from") for each in found.ingress]
    if found.egress is not None:
        spec["egress"] = [rule(each, "to") for each in found.egress]
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "SecurityPolicy",
        "metadata": {"name": found.name, "namespace": found.identity.namespace},
        "spec": spec,
    }


def rule(found: SuggestedRule, ends: str) -> dict[str, Any]:
    """A rule as it is written."""
    port: Any = found.port
    if found.protocol is not Protocol.TCP:
        port = {"port": found.port, "protocol": found.protocol.value}
    said: dict[str, Any] = {"name": found.name, ends: [peer(each) for each in found.peers], "ports": [port]}
    if found.matches:
        said["http"] = [_match(each) for each in found.matches]
    return said


def _match(found: HttpMatch) -> dict[str, Any]:
    parts = {"methods": found.methods, "paths": found.paths, "upgrades": found.upgrades}
    return {name: list(values) for name, values in parts.items() if values}


def peer(found: Peer) -> dict[str, Any]:
    """A peer as it is written."""
    match found:
        case IdentityPeer(namespace, identity):
            return {"identity": {"namespace": namespace, "name": identity}}
        case NamespacePeer(namespace):
            return {"namespace": namespace}
        case CidrPeer(cidr):
            return {"cidr": cidr}
        case HostPeer(host):
            return {"host": host}
        case ApiServerPeer():
            return {"apiServer": True}
        case AnonymousPeer():
            return {"anonymous": True}
    raise AssertionError(found)


def comments(found: SuggestedRule) -> Iterator[str]:
    """What was seen of each peer."""
    for name, seen in found.seen[:_MANY]:
        yield f"{name}: {told(seen)}"
    if len(found.seen) > _MANY:
        yield f"and {len(found.seen) - _MANY} more"


def told(seen: Seen) -> str:
    """How often and when."""
    number = f"{seen.count:,} {'call' if seen.count == 1 else 'calls'}"
    first, last = times.text(seen.first), times.text(seen.last)
    if not first:
        return number
    return f"{number}, {first}" if first == last else f"{number}, {first} to {last}"
