"""Free ports for servers that tests start, stop and start again on the same port."""

import contextlib
import secrets
import socket
from pathlib import Path
from typing import Final

_FIRST: Final = 18_000
_TAKEN: Final[list[socket.socket]] = []
_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free(count: int = 1) -> tuple[int, ...]:
    """``count`` different TCP ports of 127.0.0.1 on which nobody listens now.

    Nobody else is given them while this process runs: no other test gets that of a server that is away for a moment.
    They lie below those that the kernel gives to outgoing connections. Otherwise a client that tries again and again to
    reach a server that is away can be given the server's own port, and the server cannot come back.
    """
    last = min(int(_RANGE.read_text().split()[0]), 32_768)
    found: list[int] = []
    while len(found) < count:
        port = _FIRST + secrets.randbelow(last - _FIRST)
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
            _take(port)
            found.append(port)
    return tuple(found)


def _take(port: int) -> None:
    """Keep the port from everybody else who asks here. Raises OSError where it has been given already."""
    # An abstract socket goes with its process, however that ends, and leaves nothing behind.
    mark = socket.socket(socket.AF_UNIX)
    try:
        mark.bind(f"\0ringfence-port-{port}")
    except OSError:
        mark.close()
        raise
    _TAKEN.append(mark)
