"""What the platform team sets of the proxies: how a sidecar is made, and whether there are any."""

from dataclasses import dataclass
from typing import Final

#: Envoy's oldest version that has none of the known ways around its authorization.
OLDEST_ENVOY: Final = (1, 40, 0)

#: Quantities by the name of the resource, sorted by name.
Quantities = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Tracing:
    """Where proxies send spans, by OTLP over gRPC (OpenTelemetry Protocol 1.x): ``host`` is the name of a Service
    (``name.namespace.svc``) or an IP address, ``port`` its port.

    ``pod_labels`` are of the pods behind a Service, ``pod_port`` theirs: the way to these is open to all enrolled pods.
    ``sampling`` is the share of traces begun at proxies, in per cent, 0 to 100.
    """

    host: str
    port: int
    pod_labels: tuple[tuple[str, str], ...] = ()
    pod_port: int = 4317
    sampling: float = 1.0


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Of all proxies. With ``enabled`` False nothing is injected and nothing of the proxy is asked of a pod.

    ``image`` is a reference with a tag or a digest. ``concurrency`` is the number of Envoy's threads that serve, 1 to
    64; ``drain_seconds`` how long connections may go on under a configuration that is no longer in force, 1 to 600.
    ``requests`` and ``limits`` are the container's; a limit of memory is also what Envoy turns work away by.
    ``own_address_only``: a proxy is served only when it calls from an address of its pod. With ``tracing`` None there
    are no spans.
    """

    enabled: bool = False
    image: str = "docker.io/envoyproxy/envoy:distroless-v1.40.0"
    pull_policy: str = "IfNotPresent"
    requests: Quantities = (("cpu", "20m"), ("memory", "40Mi"))
    limits: Quantities = (("cpu", "2"), ("memory", "256Mi"))
    concurrency: int = 1
    drain_seconds: int = 5
    log_level: str = "warning"
    own_address_only: bool = False
    tracing: Tracing | None = None
