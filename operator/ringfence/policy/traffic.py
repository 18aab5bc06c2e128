"""What holds for the requests to a port: the ``traffic`` of every policy that governs a pod, together."""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ringfence.model import resources
from ringfence.model.effective import EffectivePolicy, EffectiveTraffic, RuleRef
from ringfence.model.labels import LabelBox
from ringfence.model.net import PortSet
from ringfence.model.resources import Mode, Protocol
from ringfence.model.tokens import name_of
from ringfence.model.traffic import UNCHANGED, Asks, Bound, By, HeaderChanges, Limit, NamedRate
from ringfence.model.world import World
from ringfence.policy.closing import listing
from ringfence.policy.held import Holding
from ringfence.policy.notes import Notes
from ringfence.policy.reasons import FindingReason
from ringfence.policy.rules import Policy, kind_of

#: The order in which a request is asked by its limits: what the first refuses does not count in those that follow. So a
#: caller beyond its own limit takes nothing from the bucket of all.
_ORDER: Final = (By.CALLER, By.CLAIM, By.HEADER, By.ALL)

Asked = tuple[RuleRef, Limit]


@dataclass(frozen=True, slots=True)
class Held:
    """What holds on a port. ``limits`` and ``audited`` (what would hold besides) are in the order of asking.

    ``bounds`` has for each Bound the smallest value and who asks for it; ``would`` the smaller ones of mode Audit.
    """

    limits: tuple[Asked, ...] = ()
    audited: tuple[Asked, ...] = ()
    bounds: tuple[tuple[Bound, int, RuleRef], ...] = ()
    would: tuple[tuple[Bound, int, RuleRef], ...] = ()
    to_program: HeaderChanges = UNCHANGED
    to_caller: HeaderChanges = UNCHANGED

    @property
    def issuers(self) -> frozenset[str]:
        """The keys of the issuers whose tokens limits look at."""
        return frozenset(limit.issuer for _, limit in (*self.limits, *self.audited) if limit.by is By.CLAIM)

    def bound(self, which: Bound) -> tuple[int, RuleRef] | None:
        """The smallest value that is asked for, and by whom."""
        return next(((value, ref) for bound, value, ref in self.bounds if bound is which), None)

    def would_bound(self, which: Bound) -> tuple[int, RuleRef] | None:
        """The same of the policies in mode Audit, where they ask for less than what is enforced."""
        return next(((value, ref) for bound, value, ref in self.would if bound is which), None)

    def of_bytes(self) -> "Held":
        """What of it holds where bytes are carried in which nobody sees a request."""
        return Held(bounds=tuple(each for each in self.bounds if each[0] is Bound.CONNECTIONS))


NOTHING: Final = Held()


def on_port(policy: EffectivePolicy, labels: Mapping[str, str], port: int, names: Iterable[str] = ()) -> Held:
    """What holds on a TCP port of the pods with these labels; ``names`` are those that the pod gives to it."""
    given = tuple(names)
    entries = [e for e in of(policy, labels) if e.ports.contains(Protocol.TCP, port, given)]
    enforced = [e for e in entries if policy.closed and e.mode is Mode.ENFORCE]
    audited = [e for e in entries if e not in enforced]
    bounds = dict(_smallest(enforced))
    would = {b: found for b, found in _smallest(audited) if b not in bounds or found[0] < bounds[b][0]}
    return Held(
        limits=_ordered(enforced),
        audited=_ordered(audited),
        bounds=tuple((b, *bounds[b]) for b in sorted(bounds)),
        would=tuple((b, *would[b]) for b in sorted(would)),
        to_program=changes(entry.asks.to_program for entry in enforced),
        to_caller=changes(entry.asks.to_caller for entry in enforced),
    )


def of(policy: EffectivePolicy, labels: Mapping[str, str]) -> tuple[EffectiveTraffic, ...]:
    """The entries that govern the pods with these labels."""
    return tuple(entry for entry in policy.traffic if entry.subject.matches(labels))


def _ordered(entries: Iterable[EffectiveTraffic]) -> tuple[Asked, ...]:
    found = [(entry.ref, limit) for entry in entries for limit in entry.asks.limits]
    return tuple(sorted(found, key=lambda each: _ORDER.index(each[1].by)))


def _smallest(entries: Iterable[EffectiveTraffic]) -> Iterator[tuple[Bound, tuple[int, RuleRef]]]:
    found: dict[Bound, tuple[int, RuleRef]] = {}
    for entry in entries:
        for bound, value in entry.asks.bounds:
            if bound not in found or value < found[bound][0]:
                found[bound] = value, entry.ref
    return iter(found.items())


def changes(several: Iterable[HeaderChanges]) -> HeaderChanges:
    """Changes of ``several`` together: who comes first (ClusterSecurityPolicies do, then names) decides of a header."""
    removed: dict[str, None] = {}
    given: dict[str, str] = {}
    for each in several:
        spoken = removed.keys() | given.keys()
        removed |= dict.fromkeys(name for name in each.remove if name not in spoken)
        given |= {name: value for name, value in each.set if name not in spoken}
    return HeaderChanges(tuple(sorted(removed)), tuple(sorted(given.items())))


# --- from what is written ---------------------------------------------------------------------------------------------


def effective(
    governed: Iterable[tuple[Policy, LabelBox]], world: World, issuers: Container[str], notes: Notes, *, told: bool
) -> tuple[EffectiveTraffic, ...]:
    """The entries of all policies, in the order of ``governed``; ``told``: notes are taken of what is missing.

    ``issuers`` are the keys of those that somebody declares.
    """
    found = []
    noted = notes if told else Notes()
    for policy, subject in governed:
        for entry in policy.spec.traffic:
            ref = RuleRef(kind_of(policy).value, policy.meta.namespace, policy.meta.name, entry.name)
            asks = _with_accounts(entry.asks, ref, world, noted)
            _note_issuers(asks, ref, issuers, noted)
            found.append(EffectiveTraffic(ref, policy.spec.mode, subject, PortSet.of(entry.ports), asks))
    return tuple(found)


def note(policy: EffectivePolicy, holding: Holding, notes: Notes) -> None:
    """Say of policies that ask for something where no proxy stands that nobody counts there."""
    for entry in policy.traffic:
        why = "pods get no proxies here; set proxy.enabled in the chart, or leave it out"
        if holding.proxies:
            without = tuple(pod.name for pod in holding.without if entry.subject.matches(pod.labels))
            if not without:
                continue
            why = f"pods that the policy governs have no proxy: {listing(without)}; restart them"
        subject = entry.ref.kind, entry.ref.namespace, entry.ref.policy
        notes.add(subject, FindingReason.NO_PROXIES, f"traffic has no effect: {why}")


def _with_accounts(asks: Asks, ref: RuleRef, world: World, notes: Notes) -> Asks:
    """The named callers by their ServiceAccounts; those that do not exist call nobody, and are left out."""
    limits = []
    for limit in asks.limits:
        # Two ServiceIdentities may rest on one account; then the lower rate is its own.
        named: dict[tuple[str, str], NamedRate] = {}
        for each in sorted(limit.named, key=lambda one: one.rate.requests / one.rate.period, reverse=True):
            identity = world.identities.get(each.namespace, {}).get(each.name)
            if identity is None:
                notes.rule(ref, FindingReason.UNKNOWN_IDENTITY, _unknown(each))
            else:
                account = each.namespace, identity.service_account
                named[account] = NamedRate(*account, each.rate)
        limits.append(replace(limit, named=tuple(sorted(named.values()))))
    return replace(asks, limits=tuple(limits))


def _note_issuers(asks: Asks, ref: RuleRef, known: Container[str], notes: Notes) -> None:
    unknown = {limit.issuer for limit in asks.limits if limit.by is By.CLAIM and limit.issuer not in known}
    for name in sorted(map(name_of, unknown)):
        told = f"counts all requests together: no policy that holds here declares the issuer {name}"
        notes.rule(ref, FindingReason.UNKNOWN_ISSUER, told)


def _unknown(caller: NamedRate) -> str:
    return (
        f"gives a rate to ServiceIdentity {caller.namespace}/{caller.name}, which does not exist: create it, or "
        "correct the name"
    )


def in_words(traffic: resources.Traffic) -> str:
    """Which ports an entry is about."""
    if traffic.ports is None:
        return "every port"
    return ", ".join(str(p.port) if p.end_port is None else f"{p.port}-{p.end_port}" for p in traffic.ports)
