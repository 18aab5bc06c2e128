"""What the rules of one policy see of the world: the answers to its look-ups, and nothing else.

Equal policies that see the same mean the same, whatever else has changed. So the meaning of a policy can be kept by the
policy and its Sight (policy.rules), and no look-up can be forgotten in that key: who resolves rules has a Sight only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ringfence.model import resources
from ringfence.model.requests import Requests
from ringfence.model.resources import PolicySpec, ServiceIdentity
from ringfence.model.sources import SourceAttribute
from ringfence.model.spiffe import SpiffeId
from ringfence.model.world import Enrolment, World
from ringfence.policy import narrowing
from ringfence.policy.kept import Kept
from ringfence.policy.narrowing import Account, Labelled

#: Rules, peers and ports of the policies whose names are kept.
MAX_KEPT: Final = 200_000

#: (namespace, name) of a ServiceIdentity or a ServiceAccount.
Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Sight:
    """As far as the rules of a policy name them: what there is.

    ``namespaces`` are those that exist, with whether they are enrolled; ``identities`` those that exist, with the
    ServiceAccounts that they rest on; ``accounts`` the ServiceAccounts that some ServiceIdentity rests on; ``zones``
    those that some namespace is in; ``labelled`` the ServiceAccounts that satisfy conditions on labels, for each set of
    them. The rest is the installation's.
    """

    trust_domain: str
    pod_cidrs: tuple[str, ...]
    cidr_covers_pods: bool
    api_server: tuple[tuple[str, int], ...]
    host_open: tuple[str, ...] = ()
    host_closed: tuple[str, ...] = ()
    namespaces: tuple[tuple[str, bool], ...] = ()
    identities: tuple[tuple[Name, str], ...] = ()
    accounts: tuple[Name, ...] = ()
    zones: tuple[str, ...] = ()
    labelled: tuple[tuple[Labelled, tuple[Account, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class _Names:
    """What the rules of a policy name, each once: namespaces (of identities too), identities, accounts, zones, labels.

    ``labels`` are the conditions on labels of each rule that has some.
    """

    namespaces: tuple[str, ...]
    identities: tuple[Name, ...]
    accounts: tuple[Name, ...]
    zones: tuple[str, ...]
    labels: tuple[Labelled, ...]


@dataclass(slots=True)
class Lookups:
    """Looks at the world for the policies of one compilation; each thing once, since the world may be a view."""

    world: World
    _namespaces: dict[str, tuple[str, bool] | None] = field(default_factory=dict, init=False)
    _identities: dict[str, Mapping[str, ServiceIdentity]] = field(default_factory=dict, init=False)
    _zones: frozenset[str] | None = field(default=None, init=False)
    _labelled: dict[Labelled, tuple[Account, ...]] = field(default_factory=dict, init=False)

    def sight(self, spec: PolicySpec) -> Sight:
        """What the rules of ``spec`` see."""
        names, installation = _NAMES(spec), self.world.installation
        return Sight(
            trust_domain=installation.trust_domain,
            pod_cidrs=installation.pod_cidrs,
            cidr_covers_pods=installation.cidr_covers_pods,
            api_server=installation.api_server,
            host_open=installation.host_open,
            host_closed=installation.host_closed,
            namespaces=tuple(filter(None, map(self._namespace, names.namespaces))),
            identities=tuple(self._known(names.identities)),
            accounts=tuple(name for name in names.accounts if self._rested_on(*name)),
            zones=tuple(zone for zone in names.zones if zone in self._all_zones()),
            labelled=tuple((wanted, self._satisfying(wanted)) for wanted in names.labels),
        )

    def _satisfying(self, wanted: Labelled) -> tuple[Account, ...]:
        if wanted not in self._labelled:
            self._labelled[wanted] = narrowing.labelled(wanted, self.world)
        return self._labelled[wanted]

    def _namespace(self, name: str) -> tuple[str, bool] | None:
        if name not in self._namespaces:
            known = self.world.namespaces.get(name)
            found = None if known is None else (name, known.enrolment is not Enrolment.NONE)
            self._namespaces[name] = found
        return self._namespaces[name]

    def _identities_of(self, namespace: str) -> Mapping[str, ServiceIdentity]:
        if namespace not in self._identities:
            self._identities[namespace] = self.world.identities.get(namespace, {})
        return self._identities[namespace]

    def _known(self, names: tuple[Name, ...]) -> Iterator[tuple[Name, str]]:
        for name in names:
            identity = self._identities_of(name[0]).get(name[1])
            if identity is not None:
                yield name, identity.service_account

    def _rested_on(self, namespace: str, account: str) -> bool:
        return any(each.service_account == account for each in self._identities_of(namespace).values())

    def _all_zones(self) -> frozenset[str]:
        if self._zones is None:
            self._zones = frozenset(each.zone for each in self.world.namespaces.values() if each.zone)
        return self._zones


def _names(spec: PolicySpec) -> _Names:
    namespaces: dict[str, None] = {}
    identities: dict[Name, None] = {}
    accounts: dict[Name, None] = {}
    zones: dict[str, None] = {}
    labels: dict[Labelled, None] = {}
    for rule in (*(spec.ingress or ()), *(spec.egress or ())):
        for peer in rule.peers or ():
            match peer:
                case resources.IdentityPeer(namespace, name):
                    namespaces[namespace] = identities[namespace, name] = None
                case resources.NamespacePeer(namespace):
                    namespaces[namespace] = None
                case resources.ZonePeer(zone):
                    zones[zone] = None
                case resources.SpiffePeer(spiffe_id):
                    account = SpiffeId.parse(spiffe_id).service_account()
                    if account is not None:
                        namespaces[account[0]] = accounts[account] = None
                case _:
                    pass
        for condition in rule.source:
            if condition.attribute is not SourceAttribute.LABEL:
                named = namespaces if condition.attribute is SourceAttribute.NAMESPACE else zones
                named.update(dict.fromkeys(condition.values))
        if wanted := narrowing.asked(rule):
            labels[wanted] = None
    return _Names(tuple(namespaces), tuple(identities), tuple(accounts), tuple(zones), tuple(labels))


def weight(spec: PolicySpec) -> int:
    """How long a policy is: its rules, their peers and their ports."""
    rules = (*(spec.ingress or ()), *(spec.egress or ()))
    return 1 + sum(
        1 + len(rule.peers or ()) + len(rule.ports or ()) + _spoken(rule.requests) + _asked(rule) for rule in rules
    )


def _asked(rule: resources.Rule) -> int:
    return sum(1 + len(each.values) for each in rule.source)


def _spoken(requests: Requests | None) -> int:
    if requests is None:
        return 0
    http = sum(1 + len(each.methods) + len(each.paths) + len(each.hosts) for each in requests.http)
    values = [len(each.values) for each in requests.when] + [len(each.values) for each in requests.query]
    token = sum(1 + len(each) for _, each in requests.token.claims) if requests.token is not None else 0
    return http + token + len(values) + sum(values) + sum(1 + len(each.windows) for each in requests.times)


_NAMES: Final = Kept(_names, weigh=lambda spec, _: weight(spec), most=MAX_KEPT)
