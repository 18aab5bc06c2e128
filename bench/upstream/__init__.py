"""Kubernetes' own Pod Security webhook, in Go: the fast reference beside which Ringfence's is measured.

It comes from the Go module of the version that the test cluster runs, and judges less: Pod Security only, by the label
of the namespace, with no policies to look up, no registries and no patch.
"""

from pathlib import Path
from typing import Final

from e2e.goprogram.build import Module

MODULE: Final = Module("podsecurity-webhook", Path(__file__).resolve().parent)
#: The label of a namespace by which it knows the level.
LABEL: Final = "pod-security.kubernetes.io/enforce"


def webhook() -> Path:
    """Return the program. Raises BuildError or ClusterError."""
    return MODULE.build("webhook")


def version() -> str:
    """Return the version of its module (``v1.2.3``). Raises BuildError."""
    return MODULE.version_of("k8s.io/pod-security-admission")
