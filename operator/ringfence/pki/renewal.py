"""When: renewal of leaves, the spreading of many at once, the age at which a root is replaced, clocks that step.

Everything is a function of what is stored, so that a controller that starts anew comes to the same moments.
"""

import hashlib
from typing import Final

#: Renewal starts within this share of the share asked for, either way.
JITTER: Final = 0.10
#: A root is replaced when this share of its life is over.
ROTATE_AT: Final = 2 / 3
#: Seconds between two clocks beyond which the wall clock was set, not read late.
STEP_TOLERANCE: Final = 30.0


def jitter_of(serial: int) -> float:
    """A number in [-1, 1) that follows from a serial number: random once, the same after every start."""
    return _fraction(serial.to_bytes((serial.bit_length() + 7) // 8 or 1, "big")) * 2 - 1


def renew_at(issued: float, not_after: float, share: float, jitter: float) -> float:
    """When renewal starts: ``share`` (0, 1) of the life from ``issued`` to ``not_after``, moved by ``jitter`` x 10 %.

    Times are seconds since the epoch, ``jitter`` is in [-1, 1]. Always strictly between the two ends. Raises
    ValueError for a share, a jitter or a life that is none.
    """
    if not 0 < share < 1 or not -1 <= jitter <= 1:
        raise ValueError(f"share {share} must be within (0, 1) and jitter {jitter} within [-1, 1]")
    if not_after <= issued:
        raise ValueError("the certificate ends before it begins")
    # A share near 1 may not be moved past the end: half of what is left remains for trying again.
    moved = min(share * (1 + JITTER * jitter), (1 + share) / 2)
    return issued + (not_after - issued) * moved


def should_renew(now: float, renewal_time: float) -> bool:
    """Whether renewal is due."""
    return now >= renewal_time


def spread(since: float, within: float, name: str) -> float:
    """A moment in [since, since + within) that follows from ``name``: many names fill the time evenly."""
    return since + within * _fraction(name.encode())


def rotate_at(not_before: float, not_after: float) -> float:
    """When a root is old enough to be replaced."""
    return not_before + (not_after - not_before) * ROTATE_AT


def clock_step(earlier: tuple[float, float], later: tuple[float, float]) -> float:
    """By how many seconds the wall clock was set between two readings of (wall, monotonic); 0.0 for mere drift."""
    step = (later[0] - earlier[0]) - (later[1] - earlier[1])
    return step if abs(step) > STEP_TOLERANCE else 0.0


def _fraction(seed: bytes) -> float:
    """A number in [0, 1) spread evenly over the seeds."""
    return int.from_bytes(hashlib.sha256(seed).digest()[:6], "big") / 2**48
