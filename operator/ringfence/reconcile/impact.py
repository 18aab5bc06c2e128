"""Which namespaces must be computed again when something changes in another one.

A policy names identities, namespaces and zones beyond its own namespace; whether these exist decides what its rules
match. An index of who names whom keeps one change from costing the whole cluster.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from ringfence.model.resources import (
    ClusterSecurityPolicy,
    IdentityPeer,
    NamespacePeer,
    Peer,
    SecurityPolicy,
    SpiffePeer,
    ZonePeer,
)
from ringfence.model.sources import SourceAttribute
from ringfence.model.spiffe import SpiffeId
from ringfence.policy import narrowing

#: Stands for every namespace, in policies that name a zone: any Namespace may be in it.
_ANY = "*"
#: Stands for every ServiceIdentity, in policies that ask for labels: any may have them.
_LABELS = "*labels"


class Impact:
    """Who names whom, as of each namespace's last reconcile."""

    def __init__(self) -> None:
        self._named_by: dict[str, set[str]] = defaultdict(set)
        self._names: dict[str, frozenset[str]] = {}

    def note(self, namespace: str, policies: Iterable[SecurityPolicy | ClusterSecurityPolicy]) -> None:
        """The policies that govern ``namespace`` now."""
        names = frozenset(name for policy in policies for name in named(policy) if name != namespace)
        before = self._names.get(namespace, frozenset())
        for gone in before - names:
            self._named_by[gone].discard(namespace)
            if not self._named_by[gone]:
                del self._named_by[gone]
        for new in names - before:
            self._named_by[new].add(namespace)
        if names:
            self._names[namespace] = names
        else:
            self._names.pop(namespace, None)

    def forget(self, namespace: str) -> None:
        """The namespace is gone."""
        self.note(namespace, ())

    def of_identity(self, namespace: str) -> frozenset[str]:
        """Namespaces, beside its own, to compute again when a ServiceIdentity of ``namespace`` has changed."""
        return frozenset(self._named_by.get(namespace, ())) | frozenset(self._named_by.get(_LABELS, ()))

    def of_namespace(self, namespace: str) -> frozenset[str]:
        """The same when the Namespace itself has changed: it may have come, gone or changed its zone."""
        return frozenset(self._named_by.get(namespace, ())) | frozenset(self._named_by.get(_ANY, ()))


def named(policy: SecurityPolicy | ClusterSecurityPolicy) -> Iterator[str]:
    """The namespaces that a policy's rules name."""
    for rule in (*(policy.spec.ingress or ()), *(policy.spec.egress or ())):
        for peer in rule.peers or ():
            yield from _of_peer(peer)
        for condition in rule.source:
            yield from condition.values if condition.attribute is SourceAttribute.NAMESPACE else ()
            yield from (_ANY,) if condition.attribute is SourceAttribute.ZONE else ()
        if wanted := narrowing.asked(rule):
            yield from wanted.namespaces
            yield from (_LABELS,) if wanted.zones or wanted.everywhere else ()


def _of_peer(peer: Peer) -> Iterator[str]:
    match peer:
        case IdentityPeer(namespace=namespace) | NamespacePeer(name=namespace):
            yield namespace
        case ZonePeer():
            yield _ANY
        case SpiffePeer(spiffe_id=text):
            owner = SpiffeId.parse(text).service_account()
            if owner is not None:
                yield owner[0]
        case _:
            return
