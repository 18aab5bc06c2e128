"""What the configuration of a class rests on: where that is equal in two snapshots, so is the configuration.

To compare it costs a fraction of what the configuration costs. So of all classes only those that a change touches are
made anew. It must hold everything that ``configure`` reads, and tests/property/test_footings.py holds it to that.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from ringfence.model.effective import (
    AddressPeers,
    Direction,
    EffectivePeer,
    EffectivePolicy,
    EffectiveRule,
    Everyone,
    PodPeers,
)
from ringfence.model.mesh import Mesh, ServiceValue
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.resources import MTLS, Action
from ringfence.policy import issuers, reach, traffic
from ringfence.policy.peers import names_identities
from ringfence.policy.reach import Reach, Target
from ringfence.policy.transport import transport_of
from ringfence.translate.envoy.behind import Behind, behind
from ringfence.translate.envoy.subject import Subject

_KEY: Final = "footings"


def of_class(subject: Subject, mesh: Mesh) -> tuple[object, ...]:
    """All that shapes the configuration of a class, to be compared with what it was; policies' names aside."""
    labels = dict(subject.labels)
    policy = mesh.effective(subject.namespace)
    inbound = reach.narrowed(policy, Direction.INGRESS, labels).rules
    outbound = reach.narrowed(policy, Direction.EGRESS, labels).rules
    source = subject.workload()
    answers, services = reach.of(mesh), behind(mesh)
    return (
        mesh.world.installation,
        _namespaces(mesh),
        (policy.enrolment, policy.closed, policy.egress_listed, policy.egress_listed_audit),
        transport_of(policy, labels),
        traffic.of(policy, labels),
        issuers.of_pods(policy.issuers, labels),
        inbound,
        outbound,
        _everything(mesh) if _looks_at_pods(policy, labels, inbound) else None,
        mesh.services if any(isinstance(peer, AddressPeers) for peer in _peers(outbound)) else None,
        services.api_server,
        tuple(
            (service, mesh.effective(service.namespace).enrolment, _members(services, service))
            for service in services.on_nodes
        ),
        tuple(_target(target, answers, services, mesh) for target in answers.candidates(source)),
    )


def _namespaces(mesh: Mesh) -> object:
    """Labels choose namespaces everywhere, and whoever is enrolled has an identity."""
    return _once(mesh, "namespaces", lambda: {name: each.labels for name, each in mesh.world.namespaces.items()})


def _everything(mesh: Mesh) -> object:
    """All pods, and all identities."""
    return _once(mesh, "everything", lambda: (dict(mesh.world.workloads), dict(mesh.world.identities)))


def _looks_at_pods(policy: EffectivePolicy, labels: Mapping[str, str], inbound: Iterable[EffectiveRule]) -> bool:
    """Whether who may call is told by the pods that there are, and not by identities and namespaces alone."""
    if not policy.closed or transport_of(policy, labels) is not MTLS.STRICT:
        return True
    return any(rule.action is Action.DENY for rule in inbound) or not all(map(_by_name, _peers(inbound)))


def _peers(rules: Iterable[EffectiveRule]) -> Iterable[EffectivePeer]:
    return (peer for rule in rules for peer in rule.peers)


def _by_name(peer: EffectivePeer) -> bool:
    if isinstance(peer, Everyone):
        return True
    if not isinstance(peer, PodPeers) or not names_identities(peer):
        return False
    values = peer.pods.get(LABEL_IDENTITY)
    others = any(key != LABEL_IDENTITY for key, _ in peer.pods.conditions)
    return not others and not (values.complement and values.values)


def _target(target: Target, answers: Reach, services: Behind, mesh: Mesh) -> object:
    """All of a target that whoever may call it looks at."""

    def told() -> object:
        return (
            target,
            mesh.effective(target.namespace).enrolment,
            answers.guards(target),
            tuple(pod.ips for pod in answers.targets[target]),
            tuple((each, _members(services, each)) for each in services.by_target.get(target, ())),
        )

    return _once(mesh, target, told)


def _members(services: Behind, service: ServiceValue) -> object:
    return tuple((each.address, each.ready, each.target, each.pod.ports) for each in services.members[service])


def _once(mesh: Mesh, key: object, make: Callable[[], object]) -> object:
    """What is the same for all classes, made for the first."""
    known: dict[object, object] = mesh.kept.setdefault(_KEY, {})
    if key not in known:
        known[key] = make()
    return known[key]
