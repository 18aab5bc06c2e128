"""The ends of all calls in finitely many kinds: pods, or addresses, that no rule of the worlds compared can tell apart.

Whoever could be there counts, not only what runs: each identity has a kind although none of its pods is known, and so
do an identity that nobody has made yet, and the pods of a namespace that nobody has named.
"""

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ringfence.model.effective import EffectivePolicy
from ringfence.model.errors import CannotTell
from ringfence.model.labels import LabelBox, ValueSet
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.spans import Span
from ringfence.model.world import Enrolment, Workload, World
from ringfence.policy.algebra.ports import NO_NAMES, Names
from ringfence.policy.ends import Address, End
from ringfence.policy.reasoning.addresses import Addresses
from ringfence.policy.reasoning.named import Named
from ringfence.policy.subjects import EVERY_POD

#: No name of a namespace or a ServiceAccount: stands for those that nothing names.
OTHER: Final = "*"
#: Kinds of pods of one identity that policies tell apart by labels. Beyond this nothing is said.
MAX_REGIONS: Final = 256
#: Kinds in all.
MAX_KINDS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Kind:
    """Ends that are alike: pods of ``namespace`` (those with the identity of ``account``, or with none), or addresses.

    ``account`` is OTHER for any that nothing names. ``region`` are the labels that policies ask about, ``names`` the
    ports' names. ``pod`` is one of them, its identity label left out. For addresses it is None; ``span`` are all of
    them, ``address`` one that is no pod's ("": all are).
    """

    namespace: str = ""
    account: str | None = None
    region: LabelBox = EVERY_POD
    names: Names = NO_NAMES
    pod: Workload | None = None
    span: Span | None = None
    address: str = ""
    #: Whether such pods were found, not only thought of.
    known: bool = False

    def end(self, enrolled: bool) -> End:
        """One of them as a call shows it; ``enrolled`` says whether its namespace is."""
        if self.pod is None:
            return Address(self.address)
        if self.account is None or not enrolled:
            return self.pod
        return replace(self.pod, labels={**self.pod.labels, LABEL_IDENTITY: self.account})


@dataclass(frozen=True)
class Kinds:
    """All kinds of ends, each by its number, over the worlds that are compared."""

    all: tuple[Kind, ...]
    named: Named
    addresses: Addresses
    #: The numbers of the kinds of pods, by namespace.
    by_namespace: Mapping[str, tuple[int, ...]]
    #: The number of the first kind of addresses.
    first_address: int
    #: Namespaces that are in none of the worlds, but named.
    nowhere: frozenset[str]


def of(worlds: Sequence[World], policies: Sequence[Mapping[str, EffectivePolicy]]) -> Kinds:
    """The kinds of ends of ``worlds``; ``policies`` are those of every namespace in each of them.

    Raises CannotTell where they would be too many.
    """
    named = Named.of(rule for each in policies for policy in each.values() for rule in policy.rules)
    pod_cidrs = [cidr for world in worlds for cidr in world.installation.pod_cidrs]
    addresses = Addresses.of(named.address_peers, _pod_addresses(worlds), pod_cidrs)
    found: list[Kind] = []
    by_namespace: dict[str, tuple[int, ...]] = {}
    somewhere = {name for world in worlds for name in world.namespaces}
    nowhere = frozenset({OTHER, *named.namespaces} - somewhere)
    for namespace in sorted(nowhere | somewhere):
        start = len(found)
        found += _of_namespace(
            namespace, worlds, [each[namespace] for each in policies if namespace in each], named, addresses
        )
        by_namespace[namespace] = tuple(range(start, len(found)))
        if len(found) > MAX_KINDS:
            raise CannotTell(
                f"there are more than {MAX_KINDS} kinds of pods; where `cidr` rules may name pods, say what addresses "
                "pods have (--pod-cidr)"
            )
    start = len(found)
    found += (Kind(span=span, address=free) for span, free in zip(addresses.cuts, addresses.free, strict=True))
    return Kinds(tuple(found), named, addresses, by_namespace, start, nowhere)


def _pod_addresses(worlds: Iterable[World]) -> frozenset[str]:
    pods = (pod for world in worlds for some in world.workloads.values() for pod in some)
    return frozenset(str(ipaddress.ip_address(ip)) for pod in pods if _on_network(pod) for ip in pod.ips)


def _on_network(pod: Workload) -> bool:
    return not pod.finished and not pod.host_network


def _of_namespace(
    namespace: str, worlds: Sequence[World], policies: Sequence[EffectivePolicy], named: Named, addresses: Addresses
) -> Iterator[Kind]:
    boxes = (*dict.fromkeys(box for policy in policies for box in _boxes(policy)), *named.pods_of(namespace))
    pods: dict[str | None, list[Workload]] = defaultdict(list)
    for world in worlds:
        for pod in world.workloads.get(namespace, ()):
            if _on_network(pod):
                pods[_account(pod, world)].append(pod)
    enrolled = any(policy.enrolment is not Enrolment.NONE for policy in policies)
    accounts: set[str | None] = set(pods)
    if enrolled:
        accounts |= {OTHER, *(name for policy in policies for name, _ in policy.service_accounts)}
        accounts |= {name for box in boxes for name in box.get(LABEL_IDENTITY).values}
    if not accounts:
        accounts = {None}
    told_apart = _by_labels(boxes)
    for account in sorted(accounts, key=lambda each: each or ""):
        for region in _regions(namespace, account, told_apart):
            yield from _of_region(namespace, account, region, pods[account], named, addresses)


def _account(pod: Workload, world: World) -> str | None:
    """The identity that a pod has or would have where its namespace is enrolled; None for a pod that goes without."""
    if LABEL_IDENTITY in pod.labels:
        return pod.labels[LABEL_IDENTITY]
    namespace = world.namespaces.get(pod.namespace)
    without = pod.kind == "Pod" and namespace is not None and namespace.enrolment is not Enrolment.NONE
    return None if without else pod.service_account


def _boxes(policy: EffectivePolicy) -> Iterator[LabelBox]:
    """All that the policies of a namespace ask of its own pods."""
    yield from (rule.subject for rule in policy.rules)
    yield from (box for box, _ in policy.transport)
    yield from policy.egress_listed
    yield from policy.egress_listed_audit


def _by_labels(boxes: Iterable[LabelBox]) -> list[tuple[ValueSet, LabelBox]]:
    """Of boxes that ask for more than an identity: the identities that they mean, and what they ask for."""
    found = (
        (box.get(LABEL_IDENTITY), LabelBox.of({key: each for key, each in box.conditions if key != LABEL_IDENTITY}))
        for box in boxes
        if any(key != LABEL_IDENTITY for key, _ in box.conditions)
    )
    return list(found)


def _regions(namespace: str, account: str | None, boxes: Iterable[tuple[ValueSet, LabelBox]]) -> list[LabelBox]:
    """The pods of one identity in parts that no box tells apart."""
    found = [LabelBox()]
    for accounts, own in boxes:
        if account not in accounts:
            continue
        found = [part for region in found for part in (region & own, *region.minus(own)) if not part.empty]
        if len(found) > MAX_REGIONS:
            raise CannotTell(
                f"the policies of namespace {namespace} select pods by labels in more than {MAX_REGIONS} ways; "
                "name identities in appliesTo instead"
            )
    return found


def _of_region(
    namespace: str,
    account: str | None,
    region: LabelBox,
    pods: Iterable[Workload],
    named: Named,
    addresses: Addresses,
) -> Iterator[Kind]:
    found: dict[tuple[Names, frozenset[int]], Workload] = {}
    for pod in pods:
        if region.matches(pod.labels):
            names = names_of(pod)
            for signature, ips in addresses.of_pod(pod.ips):
                found.setdefault((names, signature), pod if pod.ips == ips else replace(pod, ips=ips))
    known = bool(found)
    if not known:
        thought = Workload(namespace, account or "pod", account or "default", _labels(region))
        for signature, ips in addresses.of_pod(()):
            found[Names(unknown=named.ports), signature] = replace(thought, ips=ips)
    for (names, _), pod in sorted(found.items(), key=lambda item: (item[0][0].known, sorted(item[0][1]))):
        labels = {key: value for key, value in pod.labels.items() if key != LABEL_IDENTITY}
        yield Kind(namespace, account, region, names, replace(pod, labels=labels), known=known)


def _labels(region: LabelBox) -> dict[str, str]:
    """Labels of an object of a region."""
    chosen = ((key, _value(values)) for key, values in region.conditions)
    return {key: value for key, value in chosen if value is not None}


def _value(values: ValueSet) -> str | None:
    if values.absent:
        return None
    if not values.complement:
        return min(values.values)
    number = 0
    while (value := f"x{number or ''}") in values.values:
        number += 1
    return value


def number_of(kinds: Kinds, end: End, world: World) -> int:
    """The kind that an end of one of the worlds compared is of. Raises CannotTell for a pod that was not among them."""
    if isinstance(end, Address) or end.host_network:
        address = end.ip if isinstance(end, Address) else end.ips[0]
        return kinds.first_address + kinds.addresses.place_of(address)
    account = _account(end, world)
    names = names_of(end)
    signature = kinds.addresses.signature(end.ips)
    for number in kinds.by_namespace.get(end.namespace, ()):
        kind = kinds.all[number]
        same = kind.account == account and kind.names == names and kind.region.matches(end.labels)
        if same and kind.pod is not None and kinds.addresses.signature(kind.pod.ips) == signature:
            return number
    raise CannotTell(f"{end.namespace}/{end.name} is not among the pods that were compared")


def names_of(pod: Workload) -> Names:
    """The names that a pod gives to its ports."""
    return Names(tuple(sorted({(p.protocol, p.name, p.port) for p in pod.ports if p.name})))
