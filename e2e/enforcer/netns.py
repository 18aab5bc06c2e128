"""Network namespaces: make one, enter one. Python learnt setns in 3.12; this works in 3.11."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_OWN = "/proc/thread-self/ns/net"


class Namespace:
    """A network namespace held by a file descriptor: it lives as long as that, so a killed process leaves none."""

    def __init__(self, descriptor: int) -> None:
        """Take over ``descriptor``, an open file of a network namespace."""
        self._descriptor = descriptor

    @classmethod
    def at(cls, path: Path | str) -> Self:
        """Open one by path, such as ``/run/netns/NAME`` or ``/proc/PID/ns/net``. Raises OSError."""
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    @classmethod
    def current(cls) -> Self:
        """Open the calling thread's."""
        return cls.at(_OWN)

    @classmethod
    def new(cls) -> Self:
        """Make one, with nothing but a loopback interface that is down. Needs root."""
        before = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_LIBC.unshare(_CLONE_NEWNET), "unshare")
            try:
                return cls.current()
            finally:
                _check(_LIBC.setns(before, _CLONE_NEWNET), "setns")
        finally:
            os.close(before)

    @property
    def path(self) -> str:
        """A path by which other programs can name it while this process runs."""
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Put the calling thread into it. Sockets and child processes made inside belong to it and stay there."""
        before = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_LIBC.setns(self._descriptor, _CLONE_NEWNET), "setns")
            try:
                yield
            finally:
                _check(_LIBC.setns(before, _CLONE_NEWNET), "setns")
        finally:
            os.close(before)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)


def _check(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)} (network namespaces need root)")
