"""The pods that there may be, as few as rules can tell apart.

A proof must hold for pods that do not run yet, and nobody proves again when one starts. So its pods are not those of
today: they are every pod that admission could let in. A pod of an enrolled namespace has the label of its own
ServiceAccount and any others; those that no policy there asks for make no difference. What is left are the combinations
that some policy tells from the others, each with one pod that stands for it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ringfence.model.effective import EffectivePolicy
from ringfence.model.errors import CannotTell
from ringfence.model.labels import LabelBox, ValueSet, missing, one_of
from ringfence.model.names import LABEL_IDENTITY, MAX_LABEL_VALUE
from ringfence.model.world import Enrolment, Namespace, Workload, World
from ringfence.policy import builtins
from ringfence.policy.decide import Effective

#: Combinations of labels that the policies of a namespace may make of one identity; with more nothing is proven.
MAX_CLASSES: Final = 64
#: Stands for the ServiceAccounts that have no ServiceIdentity yet.
ANOTHER: Final = "another-identity"


@dataclass(frozen=True, slots=True)
class Party:
    """Pods that no rule tells apart: ``pod`` is one of them, without addresses and ports.

    ``identity`` is the name of its ServiceIdentity, "" where it has none (yet). ``platform`` pods serve what is always
    open (DNS): nothing goes through them. ``known`` pods are as they are described, with the names of their ports.
    """

    pod: Workload
    identity: str = ""
    platform: bool = False
    known: bool = False

    @property
    def shown(self) -> str:
        """The party as people know it: the identity, or the namespace with what sets these pods apart."""
        if self.identity:
            return f"{self.pod.namespace}/{self.identity}"
        return f"{self.pod.namespace}/*"


def possible(world: World, effective: Effective) -> tuple[Party, ...]:
    """Every party of the world, by namespace; raises CannotTell when labels are told apart in too many ways."""
    return tuple(party for name in sorted(world.namespaces) for party in of_namespace(world, effective(name)))


def of_namespace(world: World, policy: EffectivePolicy) -> Iterator[Party]:
    """The parties of one namespace."""
    name = policy.namespace
    serving = [builtins.pod_box(each) for each in world.installation.open_services if each.namespace == name]
    # By the label, as peers go by it too: one that is exempt and labelled all the same may have pods that they match.
    if world.namespaces[name].enrolment is Enrolment.NONE:
        yield from _parties(name, "", LabelBox(), serving, serving)
        return
    boxes = dict.fromkeys((*serving, *(_asked(policy) if policy.closed else ())))
    for account, identity in (*policy.service_accounts, (unused(policy), "")):
        if len(account) <= MAX_LABEL_VALUE:
            start = LabelBox.of({LABEL_IDENTITY: one_of(account)})
            yield from _parties(name, account, start, boxes, serving, identity)
    if not policy.closed:
        # Pods from before the enrolment may still run.
        yield from _parties(name, "", LabelBox.of({LABEL_IDENTITY: missing()}), boxes, serving)


def _asked(policy: EffectivePolicy) -> Iterator[LabelBox]:
    yield from (rule.subject for rule in policy.rules)
    yield from policy.egress_listed


def unused(policy: EffectivePolicy) -> str:
    """A ServiceAccount that nothing names: it stands for all that may get a ServiceIdentity later."""
    taken = {account for account, _ in policy.service_accounts}
    for box in _asked(policy):
        taken |= box.get(LABEL_IDENTITY).values
    return _fresh(ANOTHER, taken)


def _fresh(stem: str, taken: Iterable[str]) -> str:
    held = frozenset(taken)
    return next(name for name in (stem, *(f"{stem}-{i}" for i in range(1, len(held) + 2))) if name not in held)


def _parties(
    namespace: str,
    account: str,
    start: LabelBox,
    boxes: Iterable[LabelBox],
    serving: Iterable[LabelBox],
    identity: str = "",
) -> Iterator[Party]:
    for labels in classes(start, boxes, f"{namespace}/{identity or account or '*'}"):
        pod = Workload(namespace, identity or account or "any", account or "default", labels)
        yield Party(pod, identity, any(box.matches(labels) for box in serving))


def classes(start: LabelBox, boxes: Iterable[LabelBox], what: str = "pods") -> tuple[Mapping[str, str], ...]:
    """The labels of one object for each way in which ``boxes`` tell the objects of ``start`` apart.

    Raises CannotTell beyond MAX_CLASSES.
    """
    pieces = [start]
    for box in boxes:
        cut: list[LabelBox] = []
        for piece in pieces:
            if piece.disjoint(box) or piece.within(box):
                cut.append(piece)
            else:
                cut += [piece & box, *piece.minus(box)]
        if len(cut) > MAX_CLASSES:
            raise CannotTell(
                f"the policies tell pods of {what} apart by their labels in more than {MAX_CLASSES} ways; "
                "select them by identity"
            )
        pieces = cut
    # Those with the fewest labels first: counterexamples show them.
    return tuple(sorted(map(_one_of, pieces), key=lambda labels: (len(labels), sorted(labels.items()))))


def _one_of(box: LabelBox) -> dict[str, str]:
    """The labels of a member of a box that is not empty, as few as can be."""
    return {key: _value(values) for key, values in box.conditions if not values.absent}


def _value(values: ValueSet) -> str:
    return _fresh("other", values.values) if values.complement else min(values.values)


def described(world: World) -> tuple[Party, ...]:
    """The pods that are known, alike ones once; where none of an identity is, one without further labels."""
    found: dict[tuple[object, ...], Party] = {}
    serving = [(each.namespace, builtins.pod_box(each)) for each in world.installation.open_services]
    for name in sorted(world.namespaces):
        for party in _known(world, world.namespaces[name]):
            pod = party.pod
            platform = any(place == name and box.matches(pod.labels) for place, box in serving)
            key = (name, pod.service_account, tuple(sorted(pod.labels.items())), pod.ports, pod.ips)
            found.setdefault(key, Party(pod, party.identity, platform, party.known))
    return tuple(found.values())


def _known(world: World, namespace: Namespace) -> Iterator[Party]:
    identities = {each.service_account: name for name, each in sorted(world.identities.get(namespace.name, {}).items())}
    enrolled = namespace.enrolment is not Enrolment.NONE
    seen = set()
    for pod in world.workloads.get(namespace.name, ()):
        if not pod.finished and not pod.host_network:
            seen.add(pod.service_account)
            yield Party(pod, identities.get(pod.service_account, "") if enrolled else "", known=True)
    for account, identity in sorted(identities.items()) if enrolled else ():
        if account not in seen:
            yield Party(Workload(namespace.name, identity, account, {LABEL_IDENTITY: account}), identity)
    if not enrolled and not seen:
        yield Party(Workload(namespace.name, "any", "default"))
