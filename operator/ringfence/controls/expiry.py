"""Which exceptions free a pod of which controls. An exception that cannot be read, or has ended, frees nobody."""

from datetime import UTC, datetime
from functools import lru_cache

from ringfence.model.effective import EffectivePolicy
from ringfence.model.resources import PodSecurityException


def excepted(policy: EffectivePolicy, identity: str, now: float) -> frozenset[str]:
    """Control ids that a pod of this ServiceIdentity is freed of; ``now`` in seconds since the epoch (UTC).

    Each exception counts as it was written: the namespace of one and the controls of another never combine.
    """
    if not policy.exceptions or not identity:
        return frozenset()
    granted: set[str] = set()
    for exception in policy.exceptions:
        if exception.namespace == policy.namespace and identity in exception.identities and in_force(exception, now):
            granted.update(exception.controls)
    return frozenset(granted)


def in_force(exception: PodSecurityException, now: float) -> bool:
    """Whether its end is still to come."""
    return now < ends(exception.until)


@lru_cache(maxsize=4096)
def ends(until: str) -> float:
    """Seconds since the epoch of an RFC 3339 time; 0, long ago, for what is none or has no offset."""
    try:
        moment = datetime.fromisoformat(until)
    except ValueError:
        return 0.0
    return moment.astimezone(UTC).timestamp() if moment.tzinfo is not None else 0.0
