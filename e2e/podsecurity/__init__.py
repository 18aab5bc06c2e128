"""An independent opinion on Pod Security Standards: Kubernetes' own policies, fixtures and live runner, as programs.

All of it comes from the Go module ``k8s.io/pod-security-admission``, fetched when it is needed. ``client.Judge`` asks
the policies, ``fixtures.load`` reads the pods that Kubernetes tests them with, ``live`` is its runner against a real
API server. README.md tells them apart.
"""

from pathlib import Path

from e2e.goprogram.build import Module

MODULE = Module("podsecurity", Path(__file__).resolve().parent)
UPSTREAM = "k8s.io/pod-security-admission"


def judge() -> Path:
    """Return the program that ``client.Judge`` talks to. Raises BuildError or ClusterError."""
    return MODULE.build("judge")


def live() -> Path:
    """Return the runner that asks an API server, a Go test binary. Raises BuildError or ClusterError."""
    return MODULE.build("live", "test", "-c")
