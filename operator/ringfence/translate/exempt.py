"""Namespaces that Ringfence never touches: a mistake there would lock out the cluster, or Ringfence itself."""

from typing import Final

from ringfence.model.world import Installation

ALWAYS: Final = frozenset({"kube-node-lease", "kube-public", "kube-system"})


def exempt_namespaces(installation: Installation) -> tuple[str, ...]:
    """Those of Kubernetes, of Ringfence and of the installation's own choice, sorted."""
    return tuple(sorted({*ALWAYS, installation.namespace, *installation.exempt_namespaces}))
