"""The ends of all calls in finitely many kinds: pods, or addresses, that no rule of the worlds compared can tell apart.

Whoever could be there counts, not only what runs: each identity has a kind although none of its pods is known, and so
do an identity that nobody has made yet, and the pods of a namespace that nobody has named.
"""

import ipaddress
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple

from ringfence.model.effective import EffectivePolicy
from ringfence.model.errors import CannotTell
from ringfence.model.labels import LabelBox, ValueSet
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.spans import Span
from ringfence.model.world import Enrolment, Workload, World
from ringfence.policy.algebra.ports import NO_NAMES, Names, names_in
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

    ``account`` is OTHER for any that nothing names; ``alike`` are the other identities that no rule tells from it.
    ``region`` are the labels that policies ask about, ``names`` the ports' names. ``pod`` is one of them, of
    ``account``, with or without its identity label. For addresses it is None; ``span`` are all of them, ``address`` one
    that is no pod's ("": all are).
    """

    namespace: str = ""
    account: str | None = None
    alike: tuple[str, ...] = ()
    region: LabelBox = EVERY_POD
    names: Names = NO_NAMES
    pod: Workload | None = None
    span: Span | None = None
    address: str = ""
    #: Whether such pods were found, not only thought of.
    known: bool = False

    @property
    def accounts(self) -> tuple[str | None, ...]:
        """All identities of such pods."""
        return (self.account, *self.alike)

    def end(self, enrolled: bool) -> End:
        """One of them as a call shows it; ``enrolled`` says whether its namespace is."""
        if self.pod is None:
            return Address(self.address)
        wanted = self.account if enrolled else None
        if self.pod.labels.get(LABEL_IDENTITY) == wanted:
            return self.pod
        labels = {key: value for key, value in self.pod.labels.items() if key != LABEL_IDENTITY}
        return replace(self.pod, labels=labels if wanted is None else {**labels, LABEL_IDENTITY: wanted})


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
    #: Whether these are all ends that there can be, not only pods of some namespaces.
    whole: bool = True
    #: Whether ``nowhere`` has all that any rule names, not only rules that matter for a question.
    all_named: bool = True


@dataclass(frozen=True, slots=True)
class Focus:
    """What a question is about, where ends need not be told apart beyond it.

    ``among``: only pods of these namespaces are sorted, and policies are asked for no others; None: all. Each identity
    of ``apart`` (namespace, ServiceAccount) has kinds of its own. ``ports`` are names of ports that matter beside those
    of rules. Pods of which ``also`` says different things are of different kinds.
    """

    among: frozenset[str] | None = None
    apart: frozenset[tuple[str, str]] = frozenset()
    ports: tuple[str, ...] = ()
    also: Callable[[Workload], Hashable] | None = None


#: Every end is told apart that any rule tells apart.
WHOLE: Final = Focus()


def of(worlds: Sequence[World], policies: Sequence[Mapping[str, EffectivePolicy]], focus: Focus = WHOLE) -> Kinds:
    """The kinds of ends of ``worlds``; ``policies`` are those of every namespace in each of them.

    Raises CannotTell where they would be too many.
    """
    known = [policy for each in policies for policy in each.values()]
    of_traffic = names_in(entry.ports for policy in known for entry in policy.traffic)
    named = Named.of((rule for policy in known for rule in policy.rules), (*focus.ports, *of_traffic))
    pod_cidrs = [cidr for world in worlds for cidr in world.installation.pod_cidrs]
    addresses = Addresses.of(named.address_peers, _pod_addresses(worlds), pod_cidrs)
    found: list[Kind] = []
    by_namespace: dict[str, tuple[int, ...]] = {}
    somewhere = {name for world in worlds for name in world.namespaces}
    wanted = {OTHER, *named.namespaces, *somewhere} if focus.among is None else focus.among
    for namespace in sorted(wanted):
        start = len(found)
        there = [each[namespace] for each in policies if namespace in each]
        found += _Sorting(namespace, worlds, there, named, addresses, focus).kinds()
        by_namespace[namespace] = tuple(range(start, len(found)))
        if len(found) > MAX_KINDS:
            raise CannotTell(
                f"there are more than {MAX_KINDS} kinds of pods; where `cidr` rules may name pods, say what addresses "
                "pods have (--pod-cidr)"
            )
    start = len(found)
    found += (Kind(span=span, address=free) for span, free in zip(addresses.cuts, addresses.free, strict=True))
    nowhere = frozenset(wanted - somewhere)
    return Kinds(tuple(found), named, addresses, by_namespace, start, nowhere, focus.among is None, focus is WHOLE)


def _pod_addresses(worlds: Iterable[World]) -> frozenset[str]:
    pods = (pod for world in worlds for some in world.workloads.values() for pod in some)
    found = {ip for pod in pods if not (pod.finished or pod.host_network) for ip in pod.ips}
    later = {ip for ip in found if ":" in ip}  # of IPv4 there is one way to write an address
    return frozenset(found - later | {str(ipaddress.ip_address(ip)) for ip in later})


class _Form(NamedTuple):
    """How pods of one identity are told apart: by the place of their region, and whether they are known."""

    place: int
    known: bool
    names: Names
    signature: frozenset[int]
    also: Hashable = None


@dataclass(frozen=True)
class _Sorting:
    """Sorts the pods of one namespace: identities that nothing tells apart together."""

    namespace: str
    worlds: Sequence[World]
    policies: Sequence[EffectivePolicy]
    named: Named
    addresses: Addresses
    focus: Focus

    def kinds(self) -> Iterator[Kind]:
        """Every kind of pods, by the first of their identities."""
        pods = self._pods()
        told_apart, identities, by_names = self._told_apart, self._identities, self._by_names
        alone = {None, OTHER, *(account for namespace, account in self.focus.apart if namespace == self.namespace)}
        groups: dict[object, list[str | None]] = defaultdict(list)
        for account in sorted(self._accounts(pods), key=lambda each: each or ""):
            told, own = told_apart.get(account, ()), pods.get(account, ())
            shape: Hashable
            if not by_names:
                shape = self._shape(account, own, told)
            elif len(own) == 1:
                # As most often: only their ports' names tell pods apart, if they have any.
                shape = own[0].ports and names_of(own[0]).known
            else:
                shape = frozenset(map(names_of, own))
            groups[account if account in alone else "", told, identities.get(account), shape].append(account)
        for first, *others in groups.values():
            alike = tuple([each for each in others if each is not None]) if others else ()
            if by_names:
                yield from self._named_only(first, alike, pods.get(first, ()))
            else:
                yield from self._of_forms(first, alike, pods.get(first, ()))

    @cached_property
    def _by_names(self) -> bool:
        """Whether pods of one identity are told apart by the names of their ports alone."""
        return not (self._by_labels or self.addresses.covering or self.focus.also is not None)

    def _named_only(self, account: str | None, alike: tuple[str, ...], pods: Iterable[Workload]) -> Iterator[Kind]:
        found: dict[Names, Workload] = {}
        for pod in pods:
            found.setdefault(names_of(pod), pod)
        if not found:
            names = Names(unknown=self.named.ports)
            yield Kind(self.namespace, account, alike, EVERY_POD, names, self._thought(account, EVERY_POD))
        for names in sorted(found, key=lambda each: each.known) if len(found) > 1 else found:
            yield Kind(self.namespace, account, alike, EVERY_POD, names, found[names], known=True)

    def _of_forms(self, account: str | None, alike: tuple[str, ...], pods: Iterable[Workload]) -> Iterator[Kind]:
        regions = self._regions_of(account, self._told_apart.get(account, ()))
        for form, pod in sorted(self._forms(account, pods, regions).items(), key=lambda item: _order(item[0])):
            yield Kind(self.namespace, account, alike, regions[form.place], form.names, pod, known=form.known)

    def _thought(self, account: str | None, region: LabelBox) -> Workload:
        """A pod of a region that there could be."""
        return Workload(self.namespace, account or "pod", account or "default", _labels(region))

    def _shape(self, account: str | None, pods: Sequence[Workload], told: tuple[int, ...]) -> Hashable:
        """What tells the pods of one identity apart, equal for two identities only where their forms are."""
        return frozenset(self._forms(account, pods, self._regions_of(account, told)))

    def _pods(self) -> Mapping[str | None, list[Workload]]:
        found: dict[str | None, list[Workload]] = defaultdict(list)
        for world in self.worlds:
            without = _may_be_without(world, self.namespace)
            for pod in world.workloads.get(self.namespace, ()):
                if not (pod.finished or pod.host_network):
                    found[_account(pod, without)].append(pod)
        return found

    @cached_property
    def _boxes(self) -> tuple[LabelBox, ...]:
        own = dict.fromkeys(box for policy in self.policies for box in _boxes(policy))
        return (*own, *self.named.pods_of(self.namespace))

    def _accounts(self, pods: Iterable[str | None]) -> Collection[str | None]:
        accounts = set(pods)
        if any(policy.enrolment is not Enrolment.NONE for policy in self.policies):
            accounts |= {OTHER, *self._told_apart, *self._identities}
        return accounts or {None}

    @cached_property
    def _told_apart(self) -> Mapping[str | None, tuple[int, ...]]:
        """Which conditions on identities name an identity: those named by the same ones are in the same boxes."""
        found: dict[str | None, tuple[int, ...]] = {}
        for place, values in enumerate(dict.fromkeys(box.get(LABEL_IDENTITY).values for box in self._boxes)):
            for account in values:
                found[account] = (*found.get(account, ()), place)
        return found

    @cached_property
    def _identities(self) -> Mapping[str | None, tuple[int, ...]]:
        """The identities on which a ServiceIdentity rests, with the worlds in which one does."""
        found: dict[str | None, tuple[int, ...]] = {}
        for place, policy in enumerate(self.policies):
            for account, _ in policy.service_accounts:
                found[account] = (*found.get(account, ()), place)
        return found

    @cached_property
    def _by_labels(self) -> list[tuple[ValueSet, LabelBox]]:
        return _by_labels(self._boxes)

    def _regions_of(self, account: str | None, told: tuple[int, ...]) -> list[LabelBox]:
        """The regions of an identity, which are those of all that the same conditions name."""
        key = (account is None, told)
        if key not in self._regions:
            self._regions[key] = _regions(self.namespace, account, self._by_labels)
        return self._regions[key]

    @cached_property
    def _regions(self) -> dict[tuple[bool, tuple[int, ...]], list[LabelBox]]:
        return {}

    def _forms(
        self, account: str | None, pods: Iterable[Workload], regions: Sequence[LabelBox]
    ) -> dict[_Form, Workload]:
        """One pod of each form: one that is known, or one that could be where none is."""
        found: dict[_Form, Workload] = {}
        for pod in pods:
            place = next(place for place, region in enumerate(regions) if region.matches(pod.labels))
            self._add(found, place, names_of(pod), pod, known=True)
        known = {form.place for form in found}
        for place, region in enumerate(regions):
            if place not in known:
                names = Names(unknown=self.named.ports)
                self._add(found, place, names, self._thought(account, region), known=False)
        return found

    def _add(self, found: dict[_Form, Workload], place: int, names: Names, pod: Workload, *, known: bool) -> None:
        also = self.focus.also(pod) if self.focus.also is not None else None
        for signature, ips in self.addresses.of_pod(pod.ips):
            form = _Form(place, known, names, signature, also)
            found.setdefault(form, pod if pod.ips == ips else replace(pod, ips=ips))


def _order(form: _Form) -> tuple[object, ...]:
    return form.place, form.names.known, sorted(form.signature), repr(form.also)


def _may_be_without(world: World, namespace: str) -> bool:
    """Whether pods there may go without an identity: what makes none of its own pods is no pod yet."""
    known = world.namespaces.get(namespace)
    return known is not None and known.enrolment is not Enrolment.NONE


def _account(pod: Workload, without: bool) -> str | None:
    """The identity that a pod has, or would have where its namespace is enrolled; None for a pod that goes ``without``
    where it may."""
    if LABEL_IDENTITY in pod.labels:
        return pod.labels[LABEL_IDENTITY]
    return None if without and pod.kind == "Pod" else pod.service_account


def _boxes(policy: EffectivePolicy) -> Iterator[LabelBox]:
    """All that the policies of a namespace ask of its own pods."""
    yield from (rule.subject for rule in policy.rules)
    yield from (box for box, _ in policy.transport)
    yield from (entry.subject for entry in policy.traffic)
    yield from policy.egress_listed
    yield from policy.egress_listed_audit


def _by_labels(boxes: Iterable[LabelBox]) -> list[tuple[ValueSet, LabelBox]]:
    """Of boxes that ask for more than an identity: the identities that they mean, and what they ask for."""
    return [
        (box.get(LABEL_IDENTITY), LabelBox.of({key: each for key, each in box.conditions if key != LABEL_IDENTITY}))
        for box in boxes
        if len(box.conditions) > 1 or (box.conditions and box.conditions[0][0] != LABEL_IDENTITY)
    ]


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
    account = _account(end, _may_be_without(world, end.namespace))
    names = names_of(end)
    signature = kinds.addresses.signature(end.ips)
    for number in kinds.by_namespace.get(end.namespace, ()):
        kind = kinds.all[number]
        same = account in kind.accounts and kind.names == names and kind.region.matches(end.labels)
        if same and kind.pod is not None and kinds.addresses.signature(kind.pod.ips) == signature:
            return number
    raise CannotTell(f"{end.namespace}/{end.name} is not among the pods that were compared")


def names_of(pod: Workload) -> Names:
    """The names that a pod gives to its ports."""
    if not pod.ports:
        return NO_NAMES
    return Names(tuple(sorted({(p.protocol, p.name, p.port) for p in pod.ports if p.name})))
