"""How often Python looks for cycles of garbage, and when what is free goes back to the system.

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


def give_back() -> None:
    """Give pages back of which nothing is used (``malloc_trim`` of the GNU C library; nothing where there is none).

    The library does that by itself only at the end of what it has, and what lives long is often at the end.
    """
    import ctypes  # noqa: PLC0415 (few processes ask for it)

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
