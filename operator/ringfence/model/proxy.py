"""The proxy of a pod: the names and numbers that injection, configuration, redirect and admission agree on.

Ports are TCP ports inside the pod. Admission keeps pods from using the names, ports and user ids for anything else.
"""

from dataclasses import dataclass, field
from typing import Final

from ringfence.model.names import GROUP

CONTAINER: Final = "ringfence-proxy"
VOLUME: Final = "ringfence-proxy"
#: Where the volume is mounted: ``token``, ``ca.crt`` (of proxyd's serving CA), ``sds-token.json``, ``sds-ca.json``.
MOUNT: Final = "/var/run/ringfence"
#: Audience of the projected ServiceAccount token with which a proxy identifies its pod to proxyd.
AUDIENCE: Final = f"proxyd.{GROUP}"
TOKEN_SECONDS: Final = 3600

#: An empty directory in memory for the proxy alone: the socket of Envoy's admin interface, which no port leads to.
RUN_VOLUME: Final = "ringfence-proxy-run"
RUN_MOUNT: Final = "/run/ringfence-proxy"
ADMIN_SOCKET: Final = f"{RUN_MOUNT}/admin"
#: Where TLS to hosts that rules name becomes requests: a socket for the proxy's own connections.
NAMES_SOCKET: Final = f"{RUN_MOUNT}/names"
#: Begins those through which keys of issuers are fetched.
KEYS_SOCKETS: Final = f"{RUN_MOUNT}/keys-"
RESERVED_VOLUMES: Final = frozenset({VOLUME, RUN_VOLUME})
#: Clusters that are in every bootstrap: Envoy's own admin interface (HTTP/1.1), and proxyd.
ADMIN_CLUSTER: Final = "ringfence-admin"
ADS_CLUSTER: Final = "ringfence-proxyd"
#: Keys of the namespace's trust bundle (a ConfigMap) that are for proxies; what they are called in MOUNT.
BUNDLE_FILES: Final = (
    ("proxyd-ca.crt", "ca.crt"),
    ("sds-ca.json", "sds-ca.json"),
    ("sds-token.json", "sds-token.json"),
)

PROXYD_SERVICE: Final = "ringfence-proxyd"
PROXYD_PORT: Final = 15012

OUTBOUND_PORT: Final = 15001
INBOUND_PORT: Final = 15006
#: Readiness (``/ready``), metrics (``/metrics``) and the rewritten probes (below PROBE_PREFIX): plain HTTP.
STATUS_PORT: Final = 15021
#: Nothing listens here; the redirect leads it to STATUS_PORT. The startup probe asks here, so it passes only once the
#: redirect is in place, and Envoy has its listeners.
GATE_PORT: Final = 15020
RESERVED_PORTS: Final = frozenset({OUTBOUND_PORT, INBOUND_PORT, STATUS_PORT, GATE_PORT})

#: Probes that the kubelet sends to STATUS_PORT, not the program: PROBE_PREFIX/<http|https|tcp|grpc>/<port>/<rest>.
#: What the path says is all that there is to know of the original, so it follows from the pod's spec alone.
PROBE_PREFIX: Final = "/ringfence/probe"

#: The proxy's user id and its group id are drawn from these at injection (inclusive), each at random for each pod: what
#: has both goes past the redirect.
FIRST_UID: Final = 2_000_000_000
LAST_UID: Final = 2_147_000_000
#: The same in pods with users of their own (``hostUsers: false``), where Kubernetes has no ids beyond 65535.
FIRST_UID_OF_OWN_USERS: Final = 40_000
LAST_UID_OF_OWN_USERS: Final = 65_533


def users(*, own: bool) -> tuple[int, int]:
    """The first and last user id that a proxy may have; ``own`` says that the pod has users of its own."""
    return (FIRST_UID_OF_OWN_USERS, LAST_UID_OF_OWN_USERS) if own else (FIRST_UID, LAST_UID)


#: The only protocol that proxies offer to each other by ALPN: tells mesh TLS from a program's own.
ALPN: Final = "ringfence"
#: With this header a proxy tells the calling proxy that a request has not reached the program: it may be sent again,
#: whatever its method. Programs never see it.
UNDELIVERED: Final = "x-ringfence-undelivered"
#: Names of the secrets that a proxy gets over SDS: its certificate with key, and the bundle of roots.
SDS_IDENTITY: Final = "identity"
SDS_BUNDLE: Final = "bundle"
#: Source addresses of what the proxy sends on to its own pod's program, so that the redirect tells it from calls of
#: the pod to itself. ``node`` gives the IPv6 one to the loopback interface; all of 127.0.0.0/8 is there already.
INBOUND_SOURCE_V4: Final = "127.0.0.6"
INBOUND_SOURCE_V6: Final = "::6"


def node_id(namespace: str, name: str, uid: str) -> str:
    """What a proxy calls itself towards proxyd, which refuses any other name than that of the token's pod."""
    return f"{namespace}/{name}/{uid}"


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of Envoy's: its name, the hash of its content, and the content as a serialized
    ``google.protobuf.Any``."""

    name: str
    version: str
    body: bytes


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """All that the proxies of one class get, secrets aside; each tuple sorted by name, equal meaning is equal value.

    ``owners`` are the policies that shape it, as ``RuleRef.owner`` writes them: whoever asks how far a policy has come
    counts the proxies whose configuration names it. ``revision`` is a hash over all resources.
    """

    clusters: tuple[Resource, ...]
    endpoints: tuple[Resource, ...]
    listeners: tuple[Resource, ...]
    routes: tuple[Resource, ...]
    owners: tuple[str, ...] = ()
    revision: str = field(default="")
