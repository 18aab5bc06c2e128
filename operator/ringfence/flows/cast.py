"""Who the ends of recorded calls are: pods of a world, or addresses in as few classes as its rules tell apart."""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from ringfence.flows.flow import Flow, Party, View
from ringfence.model import hosts
from ringfence.model.effective import AddressPeers
from ringfence.model.world import Workload, World
from ringfence.policy import ends
from ringfence.policy.decide import Effective
from ringfence.policy.ends import Address, Called, Host
from ringfence.policy.reasoning.addresses import Addresses

#: What controllers put behind the name of what they make pods of.
_SUFFIXES: Final = (
    re.compile(r"-[a-z0-9]{1,10}-[a-z0-9]{5}"),  # Deployment: ReplicaSet, pod
    re.compile(r"-[a-z0-9]{5}"),  # ReplicaSet, DaemonSet, Job
    re.compile(r"-[0-9]{1,6}"),  # StatefulSet
    re.compile(r"-[0-9]{6,12}-[a-z0-9]{5}"),  # CronJob: Job, pod
)


@dataclass(frozen=True, slots=True)
class Role:
    """One end of calls: the pods that it may be, of which policies tell each from the others, or what is outside.

    ``name`` is ``namespace/identity``, or "" for an address or a host; ``namespace`` and ``account`` are "" then too.
    ``key`` tells it from other roles. ``host`` is the name by which an address outside was called, "" for none.
    """

    name: str
    members: tuple[Called, ...]
    key: tuple[object, ...]
    namespace: str = ""
    account: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class Nobody:
    """An end that is not known: which, and why."""

    name: str
    why: str


@dataclass(slots=True)
class Learned:
    """Whose address is whose, by what proxies have seen in certificates: what no world of manifests can say.

    Trust domain, namespace and ServiceAccount by address; None where there was more than one.
    """

    accounts: dict[str, tuple[str, str, str] | None] = field(default_factory=dict)

    def add(self, flow: Flow) -> None:
        """Learn from one record of a proxy."""
        end = flow.source if flow.view is View.TARGET else flow.target
        if end.account and end.ip and not flow.plaintext:
            found = (end.domain, end.namespace, end.account)
            # An address that two had one after the other tells nothing.
            if self.accounts.setdefault(end.ip, found) != found:
                self.accounts[end.ip] = None


@dataclass(frozen=True)
class Cast:
    """The roles of a world. Ask it about one party again and again: answers are kept."""

    world: World
    effective: Effective
    learned: Mapping[str, tuple[str, str, str] | None]
    _kept: dict[Party, Role | Nobody] = field(default_factory=dict, repr=False)

    def role(self, party: Party) -> Role | Nobody:
        """Who a party is."""
        found = self._kept.get(party)
        if found is None:
            if len(self._kept) > _MANY:
                self._kept.clear()
            found = self._kept[party] = self._role(party)
        return found

    def _role(self, party: Party) -> Role | Nobody:
        if party.account:
            return self._account(party.domain, party.namespace, party.account, party.ip, named=party.named)
        if party.pod:
            return self._pod(party)
        if party.ip:
            return self._address(party.ip, local=party.local, host=party.host)
        if party.host:
            return Role("", (Host(party.host),), ("host", self._patterns(party.host)), host=party.host)
        return Nobody("a pod", "its proxy's log does not say whose it is; --flows NAMESPACE/IDENTITY=FILE does")

    def _account(self, domain: str, namespace: str, account: str, ip: str, *, named: bool = False) -> Role | Nobody:
        if domain not in {"", self.world.installation.trust_domain}:
            return Nobody(f"spiffe://{domain}/ns/{namespace}/sa/{account}", "it is of another trust domain")
        identities = self.world.identities.get(namespace, {})
        if named and account in identities:
            account = identities[account].service_account
        pod = self._by_ip.get(ip)
        if pod is not None and (pod.namespace, pod.service_account) == (namespace, account):
            return self._of([pod])
        pods = [pod for pod in self.world.workloads.get(namespace, ()) if self._is_of(pod, account)]
        if pods:
            return self._of(pods)
        identity = self.identity(namespace, account)
        if identity:
            return self._of(ends.bearers(self.world, namespace, identity))
        return Nobody(f"{namespace}/{account}", "there is neither a ServiceIdentity nor a pod of that name")

    @staticmethod
    def _is_of(pod: Workload, account: str) -> bool:
        return pod.service_account == account and not pod.finished and not pod.host_network

    def _pod(self, party: Party) -> Role | Nobody:
        pods = self.world.workloads.get(party.namespace, ())
        found = [pod for pod in pods if pod.name == party.pod and pod.kind == "Pod"] or [
            pod for pod in pods if pod.kind != "Pod" and _made_by(party.pod, pod.name)
        ]
        if found and not any(pod.host_network for pod in found):
            return self._of(found)
        if party.ip:
            return self._address(party.ip, local=not found, host=party.host)
        return Nobody(f"pod {party.namespace}/{party.pod}", "there is no such pod, and no workload that would make it")

    def _address(self, ip: str, *, local: bool, host: str = "") -> Role | Nobody:
        if account := self.learned.get(ip):
            return self._account(*account, ip)
        if pod := self._by_ip.get(ip):
            return self._of([pod])
        if local or self._of_pods(ip):
            why = "several pods had it" if ip in self.learned else "no pod has it"
            return Nobody(f"address {ip}", f"it is a pod's, and {why}")
        place = self._addresses.place_of(ip)
        key = ("address", place, self._patterns(host)) if host else ("address", place)
        return Role("", (Address(ip),), key, host=host)

    def _patterns(self, host: str) -> tuple[str, ...]:
        """What rules name a host by: hosts that are named alike are one to them."""
        return tuple(pattern for pattern in self._hosts if hosts.matches(pattern, host))

    def _of_pods(self, ip: str) -> bool:
        address = ipaddress.ip_address(ip)
        return any(address.version == each.version and address in each for each in self._ranges)

    def _of(self, pods: Iterable[Workload]) -> Role:
        """The role of pods of one ServiceAccount, one of those that no rule tells apart."""
        told: dict[object, Workload] = {}
        for pod in sorted(pods, key=lambda pod: (pod.kind, pod.name)):
            told.setdefault(self._told(pod), pod)
        first = next(iter(told.values()))
        name = f"{first.namespace}/{self.identity(first.namespace, first.service_account) or first.service_account}"
        return Role(name, tuple(told.values()), (name, frozenset(told)), first.namespace, first.service_account)

    def _told(self, pod: Workload) -> object:
        """What rules can tell of a pod."""
        ips = self._addresses.signature(pod.ips) if self._addresses.covering else frozenset()
        ports = tuple(sorted((port.name, port.port, port.protocol) for port in pod.ports))
        unknown = bool(self._addresses.covering) and not pod.ips
        return tuple(sorted(pod.labels.items())), ports, pod.proxied, ips, unknown

    def identity(self, namespace: str, account: str) -> str:
        """The ServiceIdentity of a ServiceAccount, "" for none."""
        return self._names.get((namespace, account), "")

    @cached_property
    def _names(self) -> dict[tuple[str, str], str]:
        """The first ServiceIdentity of each ServiceAccount."""
        found: dict[tuple[str, str], str] = {}
        for namespace, identities in self.world.identities.items():
            for name in sorted(identities):
                found.setdefault((namespace, identities[name].service_account), name)
        return found

    @cached_property
    def _by_ip(self) -> dict[str, Workload]:
        return {
            str(ipaddress.ip_address(ip)): replace(pod, ips=(ip,))
            for pods in self.world.workloads.values()
            for pod in pods
            if not pod.finished and not pod.host_network
            for ip in pod.ips
        }

    @cached_property
    def _ranges(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        return tuple(map(ipaddress.ip_network, self.world.installation.pod_cidrs))

    @cached_property
    def _addresses(self) -> Addresses:
        """The spans of addresses that any rule tells apart."""
        return Addresses.of(dict.fromkeys(self._outside), frozenset(), self.world.installation.pod_cidrs)

    @cached_property
    def _hosts(self) -> tuple[str, ...]:
        """What any rule names hosts by."""
        return tuple(sorted({pattern for peer in self._outside for pattern in peer.hosts}))

    @cached_property
    def _outside(self) -> tuple[AddressPeers, ...]:
        return tuple(
            peer
            for namespace in self.world.namespaces
            for rule in self.effective(namespace).rules
            for peer in rule.peers
            if isinstance(peer, AddressPeers)
        )


#: Parties whose roles are kept.
_MANY: Final = 200_000


def _made_by(pod: str, workload: str) -> bool:
    return pod.startswith(workload) and any(each.fullmatch(pod[len(workload) :]) for each in _SUFFIXES)
