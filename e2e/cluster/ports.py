"""Free ports for servers that tests start, stop and start again on the same port."""

import contextlib
import secrets
import socket
from pathlib import Path
from typing import Final

_FIRST: Final = 18_000
_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free(count: int = 1) -> tuple[int, ...]:
    """``count`` different TCP ports of 127.0.0.1 on which nobody listens now.

    They lie below those that the kernel gives to outgoing connections. Otherwise a client that tries again and again to
    reach a server that is away can be given the server's own port, and the server cannot come back.
    """
    last = min(int(_RANGE.read_text().split()[0]), 32_768)
    with contextlib.ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            port = _FIRST + secrets.randbelow(last - _FIRST)
            with contextlib.suppress(OSError):
                sock = held.enter_context(socket.socket())
                sock.bind(("127.0.0.1", port))
                found.append(port)
        return tuple(found)
