"""What stays open without a rule: DNS and the like, and calls inside for pods whose egress nobody has listed."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ringfence.model.effective import (
    AddressPeers,
    Direction,
    EffectivePeer,
    EffectiveRule,
    Everyone,
    PodPeers,
    RuleRef,
)
from ringfence.model.labels import LabelBox, one_of
from ringfence.model.names import LABEL_NAMESPACE_NAME
from ringfence.model.net import IpSet, PortRange, PortSet, merge
from ringfence.model.resources import Action, Mode
from ringfence.model.world import Installation, OpenService
from ringfence.policy.peers import ANY_POD
from ringfence.policy.regions import less_box
from ringfence.policy.subjects import EVERY_POD

BUILTIN: Final = "Builtin"
INSIDE: Final = "inside"
OPEN: Final = "open"

#: Selectors into which the pods without listed egress may fall; beyond this calls inside stay closed.
MAX_INSIDE: Final = 64


def inside_ref(number: int) -> RuleRef:
    """The default that lets pods call others inside; numbered because a selector has no "or"."""
    return RuleRef(BUILTIN, "", INSIDE, str(number))


def is_inside(ref: RuleRef) -> bool:
    """Whether a rule is the default for calls inside."""
    return ref.kind == BUILTIN and ref.policy == INSIDE


def open_rules(installation: Installation, namespace: str) -> Iterator[EffectiveRule]:
    """Egress to every open service and, in the namespace that one runs in, ingress from everyone.

    Everyone, because enrolling the namespace that serves DNS must not cut off those that are not enrolled.
    """
    for service in sorted(installation.open_services, key=lambda s: s.name):
        ports = PortSet(ranges=merge(PortRange(protocol, port, port) for protocol, port in service.ports))
        yield _open(service, Direction.EGRESS, EVERY_POD, served_by(service), ports)
        if service.namespace == namespace:
            yield _open(service, Direction.INGRESS, pod_box(service), (Everyone(),), ports)


def _open(
    service: OpenService, direction: Direction, subject: LabelBox, peers: tuple[EffectivePeer, ...], ports: PortSet
) -> EffectiveRule:
    ref = RuleRef(BUILTIN, "", OPEN, service.name)
    return EffectiveRule(ref, direction, Action.ALLOW, Mode.ENFORCE, subject, peers, ports, builtin=True)


def pod_box(service: OpenService) -> LabelBox:
    """The labels of the pods that serve."""
    return LabelBox.of({key: one_of(value) for key, value in service.pod_labels.items()})


def served_by(service: OpenService) -> tuple[EffectivePeer, ...]:
    """The pods and the addresses of an open service; one in no namespace has addresses alone."""
    pods = PodPeers(LabelBox.of({LABEL_NAMESPACE_NAME: one_of(service.namespace)}), pod_box(service))
    addresses = IpSet()
    for cidr in service.addresses:
        addresses |= IpSet.of(cidr)
    if not service.namespace:
        return (AddressPeers(addresses),)
    return (pods,) if addresses.empty else (pods, AddressPeers(addresses))


def inside_rules(listed: Iterable[LabelBox]) -> Sequence[EffectiveRule] | None:
    """The default for pods that are in no box of ``listed``; None when they fall into more than MAX_INSIDE boxes."""
    boxes = [EVERY_POD]
    for box in listed:
        boxes = less_box(boxes, box)
        if len(boxes) > MAX_INSIDE:
            return None
    return [
        EffectiveRule(
            ref=inside_ref(number),
            direction=Direction.EGRESS,
            action=Action.ALLOW,
            mode=Mode.ENFORCE,
            subject=box,
            peers=(ANY_POD,),
            ports=PortSet(everything=True),
        )
        for number, box in enumerate(boxes, start=1)
    ]
