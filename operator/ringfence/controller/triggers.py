"""From "something has changed" to the keys that are to be reconciled. Knows who depends on what, and nothing else.

A key is the name of a namespace, or CLUSTER for what belongs to no namespace.
"""

from collections.abc import Callable, Iterator
from typing import Final

from ringfence import wiring
from ringfence.model.acknowledgements import PolicyState
from ringfence.model.names import LABEL_ENROLL

#: No namespace can have this name.
CLUSTER: Final = "*cluster*"
#: The CA of the identities.
CA: Final = "*ca*"

#: Objects of these caches concern their own namespace alone.
_OWN_NAMESPACE: Final = ("pods", "network_policies", "policies", "services", "bundles", "bindings")
#: Objects of these caches concern every namespace that is enrolled.
_EVERY_ENROLLED: Final = ("cluster_policies", "endpoint_slices")
#: What is in them is in the trust bundles of namespaces with proxies.
_TRUSTED_BY_PROXIES: Final = ("serving_ca", "serving")
_CLUSTER: Final = (
    "cluster_policies",
    "mutating_webhooks",
    "validating_webhooks",
    "admission_policies",
    "admission_policy_bindings",
    "serving_ca",
    "serving",
)


class Triggers:
    """Adds keys to a queue (``add``) for every change in the caches of ``operator``."""

    def __init__(self, operator: wiring.Operator, add: Callable[[str], None]) -> None:
        self._operator = operator
        self._add = add
        self._told: dict[str, PolicyState] = {}

    def connect(self) -> None:
        """Have the caches call from now on."""
        caches = self._operator.caches
        for name in _OWN_NAMESPACE:
            caches[name].subscribe(self._own)
        self._operator.secrets.callback = self._own
        self._operator.foreign.callback = self._own
        for name in ("ca", "bundles"):
            caches[name].subscribe(lambda namespace, _: self._ca(namespace))
        self._operator.trust.callback = lambda *_: self._add(CA)
        self._operator.ca.changed = self.every_enrolled
        self._operator.cluster.serving.changed = self.every_enrolled
        for name in _EVERY_ENROLLED:
            caches[name].subscribe(lambda *_: self.every_enrolled())
        for name in _TRUSTED_BY_PROXIES:
            caches[name].subscribe(lambda *_: self.every_enrolled())
        for name in _CLUSTER:
            caches[name].subscribe(lambda *_: self._add(CLUSTER))
        if "proxyd_serving" in caches.reflectors:
            caches["proxyd_serving"].subscribe(lambda *_: self._add(CLUSTER))
            caches["reports"].subscribe(lambda *_: self._programmed())
        caches["identities"].subscribe(lambda namespace, _: self.identity(namespace))
        caches["namespaces"].subscribe(lambda _, name: self.namespace(name))

    def everything(self) -> None:
        """What a resync looks at: all namespaces, whatever is known of them."""
        self._add(CA)
        for name in self._namespaces():
            self._add(name)
        self._add(CLUSTER)

    def every_enrolled(self) -> None:
        """Each namespace that policies can have an effect in."""
        for name in self._namespaces():
            if self.concerns(name):
                self._add(name)

    def identity(self, namespace: str) -> None:
        """A ServiceIdentity of ``namespace`` has changed."""
        self._add(namespace)
        for dependent in sorted(self._operator.namespaces.impact.of_identity(namespace)):
            self._add(dependent)

    def namespace(self, name: str) -> None:
        """The Namespace has changed."""
        self._add(name)
        for dependent in sorted(self._operator.namespaces.impact.of_namespace(name)):
            self._add(dependent)

    def concerns(self, namespace: str) -> bool:
        """Whether anything of Ringfence is in a namespace: the label, resources, or what is left of them."""
        caches = self._operator.caches
        obj = caches["namespaces"].get("", namespace)
        if obj is not None and LABEL_ENROLL in (obj["metadata"].get("labels") or {}):
            return True
        return any(caches[name].list(namespace) for name in ("policies", "identities", "network_policies"))

    def _programmed(self) -> None:
        """Policies have come further at the proxies, or back: their statuses tell it."""
        before, self._told = self._told, dict(self._operator.namespaces.programmed())
        owners = {owner for owner, each in self._told.items() if before.get(owner) != each} | before.keys() - self._told
        for owner in owners:
            namespace, slash, _ = owner.partition(" ")[2].partition("/")
            self._add(namespace if slash else CLUSTER)

    def _ca(self, namespace: str) -> None:
        if namespace == self._operator.ca.options.namespace:
            self._add(CA)

    def _own(self, namespace: str, _: str) -> None:
        if self.concerns(namespace):
            self._add(namespace)

    def _namespaces(self) -> Iterator[str]:
        return (obj["metadata"]["name"] for obj in self._operator.caches["namespaces"].list())
