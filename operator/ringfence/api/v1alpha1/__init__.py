"""Version v1alpha1 of the group ringfence.dev: what its kinds look like, as data."""

from typing import Any, Final

from ringfence.api import openapi
from ringfence.api.schema import Resource
from ringfence.api.v1alpha1.cluster_security_policy import CLUSTER_SECURITY_POLICY
from ringfence.api.v1alpha1.image_verdict import IMAGE_VERDICT
from ringfence.api.v1alpha1.security_policy import SECURITY_POLICY
from ringfence.api.v1alpha1.service_identity import SERVICE_IDENTITY

#: Every kind that people write, in the order in which a person meets them.
RESOURCES: Final[tuple[Resource, ...]] = (SERVICE_IDENTITY, SECURITY_POLICY, CLUSTER_SECURITY_POLICY)

#: Kinds that Ringfence alone writes: people read them, no file holds them.
WRITTEN: Final[tuple[Resource, ...]] = (IMAGE_VERDICT,)


def crds() -> tuple[dict[str, Any], ...]:
    """The CustomResourceDefinitions, as objects for the API server: of RESOURCES, then of WRITTEN."""
    return tuple(openapi.crd(resource) for resource in (*RESOURCES, *WRITTEN))
