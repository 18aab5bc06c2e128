"""Probes that go to the proxy instead of the program: all that is known of the original is in their path.

``<PROBE_PREFIX>/<http|https|tcp|grpc>/<port>/<rest>``; ``rest`` is the path and query of an HTTP probe without its
leading slash, the service of a gRPC one (percent-encoded, "" for the server as a whole), and absent for TCP. The
kubelet asks for it by GET on STATUS_PORT, whatever the original was.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import quote, unquote

from ringfence.model.proxy import PROBE_PREFIX


class ProbeKind(StrEnum):
    """How the program is asked."""

    HTTP = "http"
    HTTPS = "https"
    TCP = "tcp"
    GRPC = "grpc"


@dataclass(frozen=True, slots=True, order=True)
class Probe:
    """What the program is asked. ``port`` is 1..65535; ``rest`` is the path with its leading slash and its query
    (HTTP, HTTPS), the service (gRPC) or "" (TCP)."""

    kind: ProbeKind
    port: int
    rest: str = ""

    @property
    def path(self) -> str:
        """What the kubelet asks for."""
        head = f"{PROBE_PREFIX}/{self.kind}/{self.port}"
        match self.kind:
            case ProbeKind.TCP:
                return head
            case ProbeKind.GRPC:
                return f"{head}/{quote(self.rest, safe='')}"
            case _:
                return head + (self.rest if self.rest.startswith("/") else f"/{self.rest}")


_PATH: Final = re.compile(rf"{re.escape(PROBE_PREFIX)}/(http|https|tcp|grpc)/([1-9][0-9]{{0,4}})(/.*)?", re.DOTALL)


def parse(path: str) -> Probe | None:
    """The probe that a path says, None when it says none; ``parse(probe.path) == probe``."""
    match = _PATH.fullmatch(path)
    if match is None or not 1 <= int(match[2]) <= 65535:
        return None
    kind, port, rest = ProbeKind(match[1]), int(match[2]), match[3]
    if kind is ProbeKind.TCP:
        return Probe(kind, port) if rest is None else None
    if rest is None:
        return None
    return Probe(kind, port, unquote(rest[1:]) if kind is ProbeKind.GRPC else rest)
