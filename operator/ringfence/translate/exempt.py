"""Namespaces that Ringfence never touches: a mistake there would lock out the cluster, or Ringfence itself."""

from ringfence.model.world import Installation
from ringfence.policy.closing import SYSTEM_NAMESPACES


def exempt_namespaces(installation: Installation) -> tuple[str, ...]:
    """Those of Kubernetes, of Ringfence and of the installation's own choice, sorted."""
    return tuple(sorted({*SYSTEM_NAMESPACES, installation.namespace, *installation.exempt_namespaces}))
