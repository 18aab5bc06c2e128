"""Until when an exception counts. One whose end cannot be read has ended."""

from datetime import UTC, datetime
from functools import lru_cache

from ringfence.model.resources import PodSecurityException


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
