"""The configuration of the proxies: from what holds in a namespace to Envoy's own resources. Pure.

``subject`` says to which class a pod's proxy belongs, ``configure`` what all of that class get, ``footing`` what that
rests on. The same input gives the same bytes.
"""

from collections.abc import Iterable
from typing import Final

from ringfence.model.mesh import Mesh
from ringfence.model.proxy import ProxyConfig, Resource
from ringfence.model.resources import Certificate, Kind, SecurityPolicy
from ringfence.policy import reach
from ringfence.policy.notes import Notes
from ringfence.policy.rules import Policy, kind_of
from ringfence.policy.subjects import subject_of
from ringfence.translate.envoy import footings, messages, names, remote_keys, shared
from ringfence.translate.envoy.filters import Bounds
from ringfence.translate.envoy.inbound import Inbound
from ringfence.translate.envoy.outbound import Outbound
from ringfence.translate.envoy.subject import Port, Subject, subject
from ringfence.translate.envoy.tracing import Tracer

__all__ = ["Port", "Subject", "configure", "footing", "subject"]

#: The share of a certificate's life that a connection may last: it outlives the certificate by at most that.
AGE_SHARE: Final = 0.25


def configure(subject: Subject, mesh: Mesh) -> ProxyConfig:
    """All that the proxies of a class get, secrets aside."""
    policy = mesh.effective(subject.namespace)
    told = mesh.world.installation.tracing
    tracer = Tracer(told, subject.namespace, subject.service_account) if told is not None else None
    bounds = Bounds(age=_life(subject, mesh) * AGE_SHARE, tracer=tracer)
    inbound = Inbound(subject, policy, reach.of(mesh).callers, mesh.world.installation.trust_domain, bounds)
    outbound = Outbound(subject, policy, mesh, bounds, subject.workload())
    let_in, routes = inbound.listener()
    let_out = outbound.listeners()
    status_listener, *probed = shared.of_status(subject.probes, v4=subject.v4, v6=subject.v6)
    own = shared.own_clusters(bounds.age, v6=subject.v6, tracing=told)
    fetched, ways = remote_keys.resources(
        inbound.issuers.values(), outbound.egress.rules, mesh.world.installation, subject, bounds.age
    )
    listeners = (messages.resource(each.name, each) for each in (let_in, *let_out, *ways))
    of_keys = (messages.resource(each.name, each) for each in fetched)
    groups = (
        _sorted((*own, *probed, *of_keys, *outbound.clusters.values())),
        _sorted(outbound.endpoints.values()),
        _sorted((*listeners, status_listener)),
        _sorted({**routes, **outbound.made.routes}.values()),
    )
    return ProxyConfig(*groups, owners=_owners(subject, mesh), revision=messages.revision(groups))


def footing(subject: Subject, mesh: Mesh) -> object:
    """What the configuration of a class rests on: where that is equal in two snapshots, so is the configuration."""
    return _life(subject, mesh), _owners(subject, mesh), footings.of_class(subject, mesh)


def _sorted(found: Iterable[Resource]) -> tuple[Resource, ...]:
    """By name; of several with one name the last."""
    by_name = {each.name: each for each in found}
    return tuple(by_name[name] for name in sorted(by_name))


def _life(subject: Subject, mesh: Mesh) -> int:
    """Seconds that the certificate of the identity lasts; the shortest where two identities rest on one account."""
    identities = mesh.world.identities.get(subject.namespace, {})
    own = [each.certificate.ttl for each in identities.values() if each.service_account == subject.service_account]
    return min(own, default=Certificate().ttl)


def _owners(subject: Subject, mesh: Mesh) -> tuple[str, ...]:
    """The policies that shape the configuration, as ``RuleRef.owner`` writes them."""
    labels = dict(subject.labels)
    found = set()
    for policy in _governing(subject, mesh):
        spec = policy.spec
        box = subject_of(policy, mesh.world, Notes()) if isinstance(policy, SecurityPolicy) else None
        sections = (spec.ingress, spec.egress, spec.transport, spec.traffic or None)
        told = any(section is not None for section in sections)
        if told and (box is None or box.matches(labels)):
            place = f"{policy.meta.namespace}/" if kind_of(policy) is Kind.SECURITY_POLICY else ""
            found.add(f"{kind_of(policy)} {place}{policy.meta.name}")
    return tuple(sorted(found))


def _governing(subject: Subject, mesh: Mesh) -> Iterable[Policy]:
    known = mesh.world.namespaces.get(subject.namespace)
    yield from mesh.world.policies.get(subject.namespace, ())
    for floor in mesh.world.cluster_policies:
        if known is not None and floor.namespace_selector.matches(known.labels):
            yield floor


#: The names that whoever reads logs and statistics needs.
LISTENERS: Final = (names.INBOUND, names.OUTBOUND, names.STATUS)
