"""How often Python looks for garbage."""

import gc

from ringfence import memory


def test_cycles_are_looked_for_seldom_but_are() -> None:
    before = gc.get_threshold()
    try:
        memory.collect_seldom()
        assert gc.isenabled()
        assert gc.get_threshold() == memory.THRESHOLDS
        assert memory.THRESHOLDS[0] > before[0]
    finally:
        gc.set_threshold(*before)
