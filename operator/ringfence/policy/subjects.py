"""Which pods of its namespace a policy governs."""

from functools import lru_cache
from typing import Final

from ringfence.model.labels import LabelBox, one_of
from ringfence.model.names import LABEL_IDENTITY, MAX_LABEL_VALUE
from ringfence.model.resources import AppliesTo, Kind, SecurityPolicy
from ringfence.model.world import World
from ringfence.policy.notes import Notes
from ringfence.policy.reasons import FindingReason

EVERY_POD: Final = LabelBox()


def subject_of(policy: SecurityPolicy, world: World, notes: Notes) -> LabelBox:
    """The pods that ``appliesTo`` names; an empty box (that matches nothing) when none can carry its label."""
    applies_to = policy.applies_to
    if applies_to.pod_selector is not None:
        return applies_to.pod_selector
    if applies_to.identities is not None:
        return _identities(applies_to, policy, world, notes)
    return EVERY_POD


def _identities(applies_to: AppliesTo, policy: SecurityPolicy, world: World, notes: Notes) -> LabelBox:
    namespace = policy.meta.namespace
    known = world.identities.get(namespace, {})
    accounts = []
    for name in applies_to.identities or ():
        identity = known.get(name)
        if identity is None:
            notes.add(
                (Kind.SECURITY_POLICY.value, namespace, policy.meta.name),
                FindingReason.UNKNOWN_IDENTITY,
                f"appliesTo names identity {name}, which does not exist in namespace {namespace}: the policy governs "
                f"the pods of ServiceAccount {name} meanwhile; create ServiceIdentity {name} or correct the name",
            )
        # Without its ServiceIdentity a pod that still runs must not slip out of the policies that govern it.
        account = identity.service_account if identity is not None else name
        if len(account) <= MAX_LABEL_VALUE:
            accounts.append(account)
    return _labelled(tuple(accounts))


@lru_cache(maxsize=4096)
def _labelled(accounts: tuple[str, ...]) -> LabelBox:
    return LabelBox.of({LABEL_IDENTITY: one_of(*accounts)})
