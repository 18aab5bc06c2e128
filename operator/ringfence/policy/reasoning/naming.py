"""Sets of ends in the words of people: zones and namespaces where all of one is meant, else each end by its name."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from ringfence.model.labels import LabelBox, ValueSet
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.spans import ALL, Spans
from ringfence.model.world import Enrolment, Workload
from ringfence.policy import peers
from ringfence.policy.algebra.values import Members
from ringfence.policy.reasoning.kinds import OTHER, Kind
from ringfence.policy.reasoning.side import Side, union_of

#: "Every identity but shop/web": so many may be excepted.
_FEW: Final = 3


@dataclass(frozen=True, slots=True)
class _Group:
    """Ends that have a name together; ``whole`` says that what is missing can be named as an exception."""

    text: str
    bits: int
    whole: bool = False


@dataclass(frozen=True)
class Naming:
    """Names for ends as one side knows them. Each set is named exactly: no name says more than is meant."""

    side: Side
    _accounts: dict[str, Mapping[str, str]] = field(default_factory=dict, init=False, compare=False)
    _counts: dict[int, int] = field(default_factory=dict, init=False, compare=False)

    def names(self, members: Members) -> tuple[str, ...]:
        """The names that together mean ``members`` and nobody else that there can be."""
        return tuple(self._names(members.bits & self.side.there, excepting=True))

    def _names(self, bits: int, *, excepting: bool) -> Iterator[str]:
        exact = next((group.text for group in self._groups if group.bits == bits), None)
        if exact is not None:
            yield exact
            return
        left = bits
        for group in self._groups:
            missing = group.bits & ~bits
            if not group.bits & left or (missing and not (group.whole and excepting)):
                continue
            if not missing:
                yield group.text
                left &= ~group.bits
            elif self._many(missing) * 4 < self._many(group.bits):
                excepted = tuple(self._names(missing, excepting=False))
                if len(excepted) <= _FEW:
                    yield f"{group.text} but {' and '.join(excepted)}"
                    left &= ~group.bits
        yield from self._singles(left)

    @property
    def _elsewhere(self) -> str:
        """Namespaces that are not there: of rules that were left out nobody knows what they name."""
        return "namespaces that nothing names" if self.side.kinds.all_named else "any other namespace"

    def _many(self, bits: int) -> int:
        """How many identities and others they are: of those that are alike each counts."""
        known = self._counts.get(bits)
        if known is None:
            more = (count * (bits & kinds).bit_count() for count, kinds in self._more)
            known = self._counts[bits] = bits.bit_count() + sum(more)
        return known

    @cached_property
    def _more(self) -> tuple[tuple[int, int], ...]:
        """The kinds that several identities share: how many beside the first, and the bits of the kinds."""
        found: dict[int, int] = defaultdict(int)
        for number, kind in enumerate(self.side.kinds.all):
            if kind.alike:
                found[len(kind.alike)] |= 1 << number
        return tuple(found.items())

    # --- groups ------------------------------------------------------------------------------------------------------

    @cached_property
    def _groups(self) -> tuple[_Group, ...]:
        """The widest first."""
        there = self.side.there
        pods = Members.of(n for n, end in enumerate(self.side.ends) if isinstance(end, Workload)).bits
        wide = (
            (self.side.kinds.whole, _Group("everyone", there, whole=True)),
            (self.side.kinds.whole, _Group("every pod", pods, whole=True)),
            (self._complete(self.side.world.namespaces), _Group("every identity", self._identified, whole=True)),
            (True, _Group("every address that is no pod's", there & ~pods)),
        )
        found = (*(group for all_, group in wide if all_), *self._zones(), *self._namespaces())
        return tuple(group for group in found if group.bits)

    def _complete(self, namespaces: Iterable[str]) -> bool:
        """Whether all identities of these namespaces are among the kinds."""
        known, there = self.side.world.namespaces, self.side.kinds.by_namespace
        return all(name in there or known[name].enrolment is Enrolment.NONE for name in namespaces)

    @cached_property
    def _identified(self) -> int:
        found = (
            n for n, end in enumerate(self.side.ends) if isinstance(end, Workload) and LABEL_IDENTITY in end.labels
        )
        return Members.of(found).bits

    def _zones(self) -> Iterator[_Group]:
        by_zone: dict[str, list[str]] = defaultdict(list)
        for name, namespace in self.side.world.namespaces.items():
            if namespace.zone:
                by_zone[namespace.zone].append(name)
        for zone, names in sorted(by_zone.items()):
            if self._complete(names):
                bits = union_of(self._of_namespace(name) & self._identified for name in names)
                yield _Group(f"zone {zone}", bits, whole=True)

    def _namespaces(self) -> Iterator[_Group]:
        for name in self.side.kinds.by_namespace:
            everyone = self._of_namespace(name)
            identified = everyone & self._identified
            if name == OTHER:
                yield _Group(self._elsewhere, everyone)
            elif everyone != identified:
                yield _Group(f"every pod of namespace {name}", everyone)
            yield _Group(f"every identity of namespace {name}", identified)

    def _of_namespace(self, name: str) -> int:
        return self._bits.get(name, 0)

    @cached_property
    def _bits(self) -> dict[str, int]:
        """The ends of each namespace."""
        there = self.side.there
        return {name: Members.of(found).bits & there for name, found in self.side.kinds.by_namespace.items()}

    # --- one by one --------------------------------------------------------------------------------------------------

    def _singles(self, bits: int) -> Iterator[str]:
        """Each identity by itself, then the addresses."""
        found: dict[tuple[str, str | None], list[int]] = defaultdict(list)
        spans = []
        for number in Members(bits):
            kind = self.side.kinds.all[number]
            if kind.span is not None:
                spans.append(kind.span)
            else:
                found[kind.namespace, kind.account].append(number)
        whole: list[tuple[str, str | None]] = []
        partly: list[int] = []
        for key, numbers in found.items():
            if len(numbers) == len(self._alike[key]):
                whole += [(key[0], account) for account in self.side.kinds.all[numbers[0]].accounts]
            else:
                partly += numbers
        for namespace, account in sorted(whole, key=_last_others):
            yield self._identity(namespace, account)
        yield from self._parts(partly)
        yield from addresses(Spans.of(spans), self.side)

    def _parts(self, numbers: Iterable[int]) -> Iterator[str]:
        """Kinds that are not all of their identity; those of one address in a whole namespace together."""
        left = Members.of(numbers)
        # Where no rule tells pods apart by their addresses there is nothing to say of these.
        asked = not left.empty and bool(self.side.kinds.addresses.covering)
        for ips, there in self._by_address.items() if asked else ():
            whole = {name: Members(there & self._of_namespace(name)) for name in self.side.kinds.by_namespace}
            found = [name for name, pods in whole.items() if ips and not pods.empty and (pods - left).empty]
            if found:
                where = self._everywhere(found, [name for name, pods in whole.items() if not pods.empty])
                yield f"every pod{where} {self.side.kinds.addresses.told(ips)}"
                left -= Members(union_of(whole[name].bits for name in found))
        for number in left:
            kind = self.side.kinds.all[number]
            apart = self._apart(number)
            for account in kind.accounts:
                yield f"{self._identity(kind.namespace, account)} ({apart})"

    def _everywhere(self, found: list[str], there: list[str]) -> str:
        """The namespaces of some pods; nothing to say if they are all that there are."""
        if found == there:
            return ""
        known = sorted(name for name in found if name != OTHER)
        words = [f"namespace {name}" for name in known] + [self._elsewhere] * (OTHER in found)
        return f" of {' and '.join(words)}"

    @cached_property
    def _by_address(self) -> dict[tuple[str, ...], int]:
        """The kinds of pods by their addresses, where these matter."""
        found: dict[tuple[str, ...], int] = defaultdict(int)
        for number in Members(self.side.there):
            pod = self.side.kinds.all[number].pod
            if pod is not None:
                found[pod.ips] |= 1 << number
        return found

    @cached_property
    def _alike(self) -> dict[tuple[str, str | None], list[int]]:
        """The kinds of identities that there can be, by the first of those that are alike."""
        found: dict[tuple[str, str | None], list[int]] = defaultdict(list)
        for number in Members(self.side.there):
            kind = self.side.kinds.all[number]
            if kind.span is None:
                found[kind.namespace, kind.account].append(number)
        return found

    def _identity(self, namespace: str, account: str | None) -> str:
        if namespace == OTHER:
            return self._elsewhere
        if account == OTHER:
            return f"any other identity of namespace {namespace}"
        if account is None:
            return f"pods of namespace {namespace} without identity"
        named = self._identities(namespace).get(account)
        if named is not None:
            return f"{namespace}/{named}"
        return f"{namespace}/{account} (no ServiceIdentity)"

    def _identities(self, namespace: str) -> Mapping[str, str]:
        """The ServiceIdentities of a namespace, by their ServiceAccounts."""
        if namespace not in self._accounts:
            self._accounts[namespace] = dict(self.side.effective(namespace).service_accounts)
        return self._accounts[namespace]

    def _apart(self, number: int) -> str:
        """What tells a kind from the others of its identity."""
        kind = self.side.kinds.all[number]
        others = [self.side.kinds.all[each] for each in self._alike[kind.namespace, kind.account] if each != number]
        address = self.side.kinds.addresses.told(kind.pod.ips) if kind.pod is not None else ""
        return ", ".join(_differences(kind, others, address)) or "some"


def _last_others(identity: tuple[str, str | None]) -> tuple[bool, str, bool, str]:
    namespace, account = identity
    return namespace == OTHER, namespace, account == OTHER, account or ""


def addresses(spans: Spans, side: Side) -> Iterator[str]:
    """Networks, or all but some of them where that is shorter."""
    if spans.empty:
        return
    networks, rest = spans.networks(), (ALL - spans).networks()
    outside = Spans.of_set(peers.outside(side.world.installation))
    if min(len(networks), len(rest)) > _FEW and (spans - outside).empty and len((outside - spans).networks()) <= _FEW:
        but = " and ".join((outside - spans).networks())
        yield f"every address outside but {but}" if but else "every address outside"
        return
    if len(rest) < len(networks):
        yield f"every address but {' and '.join(rest)}" if rest else "every address"
        return
    server = Spans.of_addresses(address for address, _ in side.world.installation.api_server)
    if not server.empty and (server - spans).empty:
        yield "the API server"
        networks = (spans - server).networks()
    yield from networks


def _differences(kind: Kind, others: Iterable[Kind], told_address: str) -> Iterator[str]:
    listed = list(others)
    if any(each.region != kind.region for each in listed):
        yield told_labels(kind.region)
    if any(each.names != kind.names for each in listed):
        known = (f"{name} is {number}" for _, name, number in kind.names.known)
        yield "port " + ", ".join(known) if kind.names.known else "no named ports"
    ips = kind.pod.ips if kind.pod is not None else ()
    if ips and any(each.pod is not None and each.pod.ips != ips for each in listed):
        yield told_address


def told_labels(box: LabelBox) -> str:
    """Conditions on labels as people say them."""
    return " and ".join(_told(key, values) for key, values in box.conditions) or "any labels"


def _told(key: str, values: ValueSet) -> str:
    named = " or ".join(sorted(values.values))
    if not values.complement:
        texts = [f"{key}={named}"] if named else []
        return " or ".join([*texts, f"no label {key}"] if values.absent else texts)
    if not named:
        return f"a label {key}"
    return f"{key} other than {named}" + ("" if values.absent else " but there")
