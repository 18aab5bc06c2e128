"""What a decision may look at, and how it says that something is not known yet.

Decisions do no I/O. One that needs something that the cache does not hold raises Unknown; the server then asks the
API server itself, once and with a short deadline, and has the decision made again over what it learned.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ringfence.controls.pod import Pod
from ringfence.inject.injection import Injection
from ringfence.model.effective import EffectivePolicy
from ringfence.model.errors import RingfenceError
from ringfence.model.resources import ServiceIdentity
from ringfence.model.signatures import Verdicts
from ringfence.model.world import Enrolment, Namespace


@dataclass(frozen=True, slots=True)
class Missing:
    """An object that a decision needs: ``kind`` is Namespace, NetworkPolicy or Pod."""

    kind: str
    namespace: str
    name: str


class Unknown(RingfenceError):
    """A decision that cannot be made without objects that are not in the cache."""

    def __init__(self, *missing: Missing) -> None:
        self.missing = missing
        super().__init__(", ".join(f"{each.kind} {each.name}" for each in missing))


@dataclass(frozen=True, slots=True)
class Rules:
    """What is set for the whole installation.

    ``controller`` is the user that alone writes NetworkPolicies, ``exempt`` the namespaces that are never enrolled,
    ``default_enrolment`` what a new namespace gets, ``proxy`` how pods get a proxy (None: they get none),
    ``jwks_hosts`` the hosts (patterns of model.hosts) from which proxies may fetch keys of issuers.
    """

    controller: str
    exempt: frozenset[str]
    default_enrolment: Enrolment = Enrolment.NONE
    proxy: Injection | None = None
    jwks_hosts: tuple[str, ...] = ()


class View(Protocol):
    """The cluster as the webhook knows it."""

    def namespace(self, name: str) -> Namespace | None:
        """The Namespace, None when the cache does not hold it."""
        ...

    def policy(self, namespace: Namespace) -> EffectivePolicy:
        """What holds in it, compiled from the newest resources that could be; raises NoPolicy when none ever could."""
        ...

    def network(self, namespace: str) -> bool | None:
        """Whether pods may come as far as its network is concerned; None when the cache does not say so."""
        ...

    def identities(self, namespace: str) -> tuple[ServiceIdentity, ...]:
        """Its ServiceIdentities, by name."""
        ...

    def pod(self, namespace: str, name: str) -> Pod | None:
        """A pod that runs, None when it is not known or does not exist (``asked`` tells which)."""
        ...

    def verdicts(self, namespace: str) -> Verdicts:
        """What is known of the signatures of its images."""
        ...

    def asked(self, missing: Missing) -> bool:
        """Whether the API server was asked for this just now, so that asking again would tell nothing new."""
        ...


class NoPolicy(RingfenceError):
    """The policy of a namespace could not be compiled and there is no former one: nothing may be let in."""


@dataclass(frozen=True, slots=True)
class Learned:
    """A View over another one and over objects that were read from the API server just now.

    ``namespaces`` and ``networks`` win over the cache; a Namespace or Pod that is None does not exist.
    """

    below: View
    namespaces: Mapping[str, Namespace | None] = field(default_factory=dict)
    networks: Mapping[str, bool] = field(default_factory=dict)
    pods: Mapping[tuple[str, str], Pod | None] = field(default_factory=dict)

    def namespace(self, name: str) -> Namespace | None:
        """What was read, else what the cache holds."""
        return self.namespaces[name] if name in self.namespaces else self.below.namespace(name)

    def policy(self, namespace: Namespace) -> EffectivePolicy:
        """Of the Namespace as it was read."""
        return self.below.policy(namespace)

    def network(self, namespace: str) -> bool | None:
        """What was read, else what the cache holds."""
        return self.networks.get(namespace) if namespace in self.networks else self.below.network(namespace)

    def identities(self, namespace: str) -> tuple[ServiceIdentity, ...]:
        """As the cache has them."""
        return self.below.identities(namespace)

    def pod(self, namespace: str, name: str) -> Pod | None:
        """As it was read; no cache holds pods."""
        return self.pods.get((namespace, name))

    def verdicts(self, namespace: str) -> Verdicts:
        """As the cache has them."""
        return self.below.verdicts(namespace)

    def asked(self, missing: Missing) -> bool:
        """Whether this was read already, so that asking again would tell nothing new."""
        match missing.kind:
            case "NetworkPolicy":
                return missing.namespace in self.networks
            case "Pod":
                return (missing.namespace, missing.name) in self.pods
            case _:
                return missing.name in self.namespaces
