"""What the core drives, as fakes that remember what was asked of them."""

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ringfence.reconcile.impact import Impact


class FakeReconciler:
    """Remembers what it was asked for; fails as often as told."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.failures: list[Exception] = []
        self.shares: dict[str, Any] = {}
        self.impact = Impact()
        self.again_in = 0.0
        #: Namespaces in which something else is asked of pods than was written.
        self.changed: set[str] = set()

    def differs(self, namespace: str) -> bool:
        return namespace in self.changed

    async def reconcile(self, key: Any) -> float:
        self.seen.append(key)
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        return self.again_in


class FakeClusterReconciler(FakeReconciler):
    def __init__(self) -> None:
        super().__init__()
        self.serving = SimpleNamespace(changed=lambda: None)


class FakeCa:
    """A CA with nothing to do for an hour."""

    options = SimpleNamespace(namespace="ringfence-system")

    def __init__(self) -> None:
        self.looked = 0
        self.changed: Callable[[], None] = lambda: None

    async def reconcile(self) -> float:
        self.looked += 1
        return time.time() + 3600


class FakeScanner:
    """Remembers what was marked, and runs until it is stopped."""

    def __init__(self) -> None:
        self.marked: list[str] = []
        self.running = False

    def mark(self, namespace: str) -> None:
        self.marked.append(namespace)

    async def run(self) -> None:
        self.running = True
        try:
            await asyncio.Event().wait()
        finally:
            self.running = False


class FakeForeign:
    """A network without kinds of its own; remembers whether it is asked."""

    def __init__(self) -> None:
        self.running = False
        self.callback: Callable[[str, str], None] = lambda *_: None

    async def settled(self) -> None:
        await asyncio.sleep(0)

    async def run(self) -> None:
        self.running = True
        try:
            await asyncio.sleep(3600)
        finally:
            self.running = False
