"""The owner's side of the child that enters network namespaces (``entrant``), which is started again if it dies."""

import array
import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any, Final

from ringfence.model import proxy
from ringfence.model.errors import RingfenceError
from ringfence.node import entrant, rules

#: The longest that a job may take, in seconds: nft's own limit several times over.
JOB_SECONDS: Final = 45.0
#: User and group in the rules that are told once for all pods.
_EITHER: Final = re.compile(f"{proxy.FIRST_UID}|{proxy.LAST_UID}")
#: Jobs done at once; nft's transactions of different namespaces do not wait for each other.
_AT_ONCE: Final = 4


class NotEntered(RingfenceError):
    """The rules could not be put into a namespace; the message says why."""


@dataclass(frozen=True)
class Holding:
    """What a namespace was found and left with: ``loaded`` when it had to be written.

    ``generation`` is nftables' number of what was verified; ``changes`` tells of later ones (kernel.generations). While
    ``changes`` is open the namespace stays, so its owner closes it when the pod has gone. ``ipv6`` says whether the pod
    has IPv6 at all.
    """

    loaded: bool
    generation: int
    ipv6: bool
    changes: socket.socket = field(repr=False)


class Entrant:
    """Puts rules into network namespaces. For one event loop; ``close`` ends the child."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._references: dict[bool, str] = {}
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def hold(self, namespace: int, uid: int, gid: int = 0, *, strict: bool) -> Holding:
        """Have the rules for a proxy's user and group in force in the namespace of an open descriptor.

        ``gid`` as ``rules.ruleset`` takes it. Raises NotEntered.
        """
        listing = await self.listing(uid, gid, strict=strict)
        job = {"do": "hold", "rules": rules.ruleset(uid, gid, strict=strict), "listing": listing}
        answer, descriptors = await self._ask(job, namespace)
        if len(descriptors) != 1:
            raise NotEntered("the child that enters namespaces has answered without a descriptor")
        changes = socket.socket(fileno=descriptors[0])
        changes.setblocking(False)
        return Holding(answer["did"] == "loaded", answer["generation"], answer["ipv6"], changes)

    async def listing(self, uid: int, gid: int = 0, *, strict: bool) -> str:
        """How nft tells the rules once they are loaded, found out once by loading them into an empty namespace.

        Raises NotEntered, so it is also the test whether this kernel and this nft can do it at all.
        """
        if strict not in self._references:
            job = {"do": "reference", "rules": rules.ruleset(proxy.FIRST_UID, proxy.LAST_UID, strict=strict)}
            answer, _ = await self._ask(job)
            self._references[strict] = answer["listing"]
        told = {str(proxy.FIRST_UID): str(uid), str(proxy.LAST_UID): str(gid or uid)}
        return _EITHER.sub(lambda found: told[found[0]], self._references[strict])

    def close(self) -> None:
        """End the child; jobs under way are finished by themselves."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _replace(self) -> None:
        """Have the next job done by another child: this one hangs."""
        if self._process is not None:
            self._process.kill()
        self.close()

    async def _ask(self, job: dict[str, Any], *descriptors: int) -> tuple[dict[str, Any], list[int]]:
        async with self._gate:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with ours:
                ours.setblocking(False)
                with theirs:
                    self._send(json.dumps(job).encode(), [theirs.fileno(), *descriptors])
                reply = await self._answer(ours)
        if reply is None:
            self._replace()
            raise NotEntered(f"no answer from the namespace within {JOB_SECONDS:g} s")
        message, received = reply
        answer: dict[str, Any] = json.loads(message) if message else {"error": "the job ended without an answer"}
        if "error" in answer:
            for each in received:
                os.close(each)
            raise NotEntered(answer["error"])
        return answer, received

    def _send(self, message: bytes, descriptors: list[int]) -> None:
        """Hand over a job; a child that has died is replaced once."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        for attempt in (1, 2):
            try:
                self._child().sendmsg([message], rights)
            except OSError as error:
                self.close()
                if attempt == 2 or isinstance(error, BlockingIOError):
                    raise NotEntered(f"the child that enters namespaces does not listen: {error}") from error
            else:
                return

    def _child(self) -> socket.socket:
        if self._control is None or self._process is None or self._process.poll() is not None:
            self.close()
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.setblocking(False)
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "ringfence.node.entrant"], stdin=theirs.fileno()
                )
            self._control = ours
        return self._control

    @staticmethod
    async def _answer(ours: socket.socket) -> tuple[bytes, list[int]] | None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(ours, readable.set)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(readable.wait(), JOB_SECONDS)
        finally:
            loop.remove_reader(ours)
        try:
            message, received, _, _ = socket.recv_fds(ours, entrant.MESSAGE_BYTES, 1)
        except BlockingIOError:
            return None
        return message, list(received)
