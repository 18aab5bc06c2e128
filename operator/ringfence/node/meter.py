"""Figures of the process ``node``."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

PODS: Final = Gauge(
    "ringfence_node_pods",
    "Pods of this node with a proxy: held (redirected), waiting (nothing of them runs), failed (see the log), refused.",
    ["state"],
)
LOADS: Final = Counter(
    "ringfence_node_loads",
    "Rules in pods' network namespaces: new, kept (found as wanted), changed (another mode), repaired.",
    ["outcome"],
)
FAILURES: Final = Counter("ringfence_node_failures", "Attempts to put rules into a pod's network that failed.")
SECONDS: Final = Histogram(
    "ringfence_node_redirect_seconds",
    "From the start of a pod's first process to its redirect.",
    buckets=(0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0),
)
