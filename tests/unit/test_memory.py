"""How often Python looks for garbage, and what is free goes back to the system."""

import ctypes
import gc
import subprocess
import sys

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


# Blocks too small to be mapped by themselves, of which every other one stays: nothing can shrink from the end.
_SCATTERED = """
import ctypes
from pathlib import Path
from ringfence import memory
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
made = [libc.malloc(64 * 1024) for _ in range(1000)]
for each in made:
    ctypes.memset(ctypes.c_void_p(each), 1, 64 * 1024)
for each in made[::2]:
    libc.free(each)
before = resident()
memory.give_back()
print(before - resident())
"""


def test_what_is_free_between_what_is_not_goes_back() -> None:
    assert hasattr(ctypes.CDLL(None), "malloc_trim"), "these tests are for the GNU C library"
    # In a process of its own, whose memory is in no state that other tests have left.
    freed = subprocess.run([sys.executable, "-c", _SCATTERED], check=True, capture_output=True, text=True).stdout
    assert int(freed) > 25 * 2**20
