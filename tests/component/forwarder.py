"""A way to the API server that can be held up: everything stays connected, and nothing more comes through."""

import contextlib
import select
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml


class Forwarder:
    """Carries bytes between its own port on 127.0.0.1 and another one while it is a context."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = threading.Event()
        self._open.set()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def kubeconfig(self, original: Path, written: Path) -> Path:
        """The same access by way of this port."""
        content = yaml.safe_load(original.read_text())
        for each in content["clusters"]:
            each["cluster"]["server"] = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        written.write_text(yaml.safe_dump(content))
        return written

    def hold(self) -> None:
        """Nothing comes through any more, in either direction."""
        self._open.clear()

    def release(self) -> None:
        """What was held up comes through now, and all that follows."""
        self._open.set()

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._open.set()
        self._listener.close()
        for each in self._threads:
            each.join(5)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ended.is_set():
            if not select.select([self._listener], [], [], 0.1)[0]:
                continue
            with contextlib.suppress(OSError):
                one, _ = self._listener.accept()
                other = socket.create_connection(("127.0.0.1", self._target))
                self._start(self._carry, one, other)

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        to = {one: other, other: one}
        with one, other, contextlib.suppress(OSError):
            while not self._ended.is_set():
                self._open.wait()
                for each in select.select([one, other], [], [], 0.1)[0]:
                    data = each.recv(65536)
                    # Held up while it waited for this: what came in is kept until it may go on.
                    self._open.wait()
                    if not data:
                        return
                    to[each].sendall(data)
