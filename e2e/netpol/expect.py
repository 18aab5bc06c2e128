"""What should get through: what the judge says, and what holds whatever the policies say."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from e2e.judge import client
from e2e.judge.client import Judge
from e2e.netpol import state
from e2e.netpol.prober import Attempt
from e2e.netpol.state import State


class Kind(StrEnum):
    """What a place is."""

    POD = "pod"
    NODE = "node"
    OUTSIDE = "outside"
    STRANGER = "stranger"
    """Has a pod's address but is no pod that the enforcer knows: what every pod is at first."""


@dataclass(frozen=True, slots=True)
class Place:
    """An end of probes. ``node`` is the node that a pod or stranger is on, its own name for a node, else empty."""

    name: str
    kind: Kind
    address: str
    node: str = ""


def attempts(places: Iterable[Place]) -> list[Attempt]:
    """Return every attempt between two places of which at least one is a pod or a stranger."""
    listed = list(places)
    inside = (Kind.POD, Kind.STRANGER)
    return [
        Attempt(source.name, destination.name, port, protocol)
        for source in listed
        for destination in listed
        if source.kind in inside or destination.kind in inside
        if not _pointless(source, destination)
        for port in state.PORTS
        for protocol in state.PROTOCOLS
    ]


def expected(judge: Judge, now: State, places: Mapping[str, Place], tried: Iterable[Attempt]) -> set[Attempt]:
    """Return those of ``tried`` that should get through."""
    allowed, asked = set(), []
    for attempt in tried:
        certain = _whatever_policies_say(places[attempt.source], places[attempt.destination])
        if certain is None:
            asked.append(attempt)
        elif certain:
            allowed.add(attempt)
    pods = [_judged(place, now) for place in places.values() if place.kind is Kind.POD]
    questions = [
        client.Traffic(_end(places[each.source]), _end(places[each.destination]), each.port, _protocol(each))
        for each in asked
    ]
    verdicts = judge.verdicts(now.namespaces, pods, now.policies.values(), questions)
    return allowed | {each for each, verdict in zip(asked, verdicts, strict=True) if verdict.allowed}


def _whatever_policies_say(source: Place, destination: Place) -> bool | None:
    """Return what holds without a look at the policies; None when they decide.

    A pod reaches itself without leaving itself; a node always reaches its own pods, or the kubelet's probes would fail;
    an address that should be a pod and is not known gets nothing through.
    """
    if source.name == destination.name:
        return True
    if Kind.STRANGER in (source.kind, destination.kind):
        return False
    if source.kind is Kind.NODE and source.node == destination.node:
        return True
    return None


def _pointless(source: Place, destination: Place) -> bool:
    """A node reaches what is on it whatever it is: nothing to learn about strangers."""
    return source.kind is Kind.NODE and destination.kind is Kind.STRANGER


def _end(place: Place) -> str:
    return place.name if place.kind is Kind.POD else place.address


def _protocol(attempt: Attempt) -> client.Protocol:
    return client.Protocol(attempt.protocol)


def _judged(place: Place, now: State) -> client.Pod:
    namespace, _, name = place.name.partition("/")
    ports = tuple(
        client.Port(port, client.Protocol(protocol), state.port_name(port, protocol))
        for port in state.PORTS
        for protocol in state.PROTOCOLS
    )
    return client.Pod(namespace, name, now.pods[place.name], place.address, ports)
