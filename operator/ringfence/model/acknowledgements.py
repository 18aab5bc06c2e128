"""What a replica of proxyd says of its proxies: who is connected and what each uses.

The controller, `ringfence proxy list` and rotation read it; only proxyd writes it. A replica that says nothing for
LIVE_SECONDS is taken to be gone, and then what its proxies have acknowledged is not known any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

#: Label ``ringfence.dev/purpose`` of the ConfigMaps that hold reports, and how their names begin.
PURPOSE: Final = "proxies"
NAME_PREFIX: Final = "ringfence-proxyd-"
#: Seconds after which a report counts no more.
LIVE_SECONDS: Final = 60.0
#: Seconds without news of the CA's Secret after which proxyd signs nothing: by then the root may have been replaced,
#: and a certificate of the old one would outlast what the rotation waits for.
STALE_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class ProxyState:
    """One proxy.

    ``serial`` (hex), ``root`` (fingerprint of its issuer) and ``not_after`` are of the certificate that it was given
    last, ``bundle`` the digest of the roots that it has said to trust, ``revision`` of the configuration that it has
    said to use ("" when not all of the present one). Times in seconds since the epoch. ``connected`` False: it was
    here, and its certificate may still be in use. ``nack`` is the last refusal, led by the resource's type and name,
    at most MAX_REFUSAL characters.
    """

    namespace: str
    pod: str
    uid: str
    service_account: str = ""
    node: str = ""
    connected: bool = True
    since: int = 0
    serial: str = ""
    root: str = ""
    not_after: int = 0
    bundle: str = ""
    revision: str = ""
    nack: str = ""


#: Most refusals that are told of a policy, and the most characters of one.
MAX_REFUSALS: Final = 3
MAX_REFUSAL: Final = 300


@dataclass(frozen=True, slots=True)
class PolicyState:
    """How many of a replica's proxies a policy shapes, and how many of them use it, in ``generation``.

    ``refused`` of them refuse a part of their configuration, and go on with the last good one of that part;
    ``refusals`` says which and why, each once, sorted, at most MAX_REFUSALS.
    """

    generation: int
    ready: int
    total: int
    refused: int = 0
    refusals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """All of one replica. ``replica`` is its pod's name, ``written`` when (seconds since the epoch by the API server's
    clock, which writer and readers share), ``policies`` by owner as ProxyConfig names it.
    ``dropped``: proxies that did not fit in.
    """

    replica: str
    written: float
    proxies: tuple[ProxyState, ...] = ()
    policies: Mapping[str, PolicyState] = field(default_factory=dict)
    dropped: int = 0

    def is_live(self, now: float) -> bool:
        """Whether the replica is there, by what it has last said."""
        return now - self.written < LIVE_SECONDS
