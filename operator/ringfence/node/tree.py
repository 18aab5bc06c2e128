"""Tells at once when a pod or a container of it comes to be, by the directories that are made for their cgroups.

A hint and no more: who listens looks for himself, and looks again without a hint.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ringfence.node import cgroups, kernel

_log: Final = logging.getLogger(__name__)


class Tree:
    """Watches where pods' cgroups are made; ``tell`` gets a pod's UID, "" when any may be meant. In one event loop."""

    def __init__(self, mount: Path, tell: Callable[[str], None]) -> None:
        self._mount = mount
        self._tell = tell
        self._watches: dict[int, Path] = {}
        self._descriptor = -1
        self._full = False

    def open(self) -> None:
        """Begin; ``cover`` says where. Raises OSError when the kernel gives no watch."""
        self._descriptor = kernel.inotify()
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    def close(self) -> None:
        """End."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            self._watches.clear()

    def cover(self, root: Path) -> None:
        """Watch a ``kubepods`` and what is below it, but for the containers; what is watched already stays so."""
        if root in self._watches.values():
            return
        self._watch(root)

    def _watch(self, directory: Path) -> None:
        try:
            self._watches[kernel.watch_directory(self._descriptor, str(directory))] = directory
        except FileNotFoundError:
            return
        except OSError as error:
            if not self._full:
                self._full = True
                _log.warning("not told of new pods' cgroups (%s): they are looked for every moment instead", error)
            return
        if uid := self._pod(directory):
            self._tell(uid)
            return
        # Made before the watch was there.
        for each in cgroups.subdirectories(directory):
            self._watch(each)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, 1 << 16)
        except BlockingIOError:
            return
        for watch, mask, name in kernel.inotify_events(data):
            if mask & kernel.IN_OVERFLOW:
                self._again()
            elif mask & kernel.IN_IGNORED:
                self._watches.pop(watch, None)
            elif directory := self._watches.get(watch):
                self._made(directory / name)

    def _made(self, directory: Path) -> None:
        uid = self._pod(directory)
        if uid is None or cgroups.pod_of(directory.name) is not None:
            self._watch(directory)
        else:
            self._tell(uid)

    def _again(self) -> None:
        """Events were lost: watch all anew, which adds nothing where a watch is, and have everybody look."""
        for each in set(self._watches.values()):
            self._watch(each)
        self._tell("")

    def _pod(self, directory: Path) -> str | None:
        return cgroups.pod_of(str(directory.relative_to(self._mount)))
