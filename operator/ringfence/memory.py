"""How often Python looks for cycles of garbage.

Nearly all that Ringfence holds are frozen values: trees, without cycles. By default Python walks through all of them
whenever their number has grown by a quarter: a third of the time of a compilation, and pauses of 0.3 s.
"""

import gc
from typing import Final

#: Objects made until a young generation is looked at, and how many of such until the next older one is.
THRESHOLDS: Final = (100_000, 20, 50)


def collect_seldom() -> None:
    """Look for cycles seldom; what has none is freed at once by its reference count in any case."""
    gc.set_threshold(*THRESHOLDS)
