"""What a policy may ask of pods beyond the Pod Security Standards: the names of the controls, and their settings."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class ControlId(StrEnum):
    """The controls that a policy switches on. Stable: exceptions, metrics and reports name them."""

    IMAGE_REGISTRIES = "image-registries"
    IMAGE_DIGEST = "image-digest"
    IMAGE_LATEST = "image-latest"
    CREDENTIALS_ENVIRONMENT = "credentials-environment"
    CREDENTIALS_ARGUMENTS = "credentials-arguments"
    SECRET_VARIABLES = "secret-variables"  # noqa: S105 (the name of a control)
    AUTOMOUNTED_TOKEN = "automounted-token"  # noqa: S105 (the name of a control)
    DEFAULT_SERVICE_ACCOUNT = "default-service-account"
    RESOURCE_LIMITS = "resource-limits"
    RESOURCE_REQUESTS = "resource-requests"
    READ_ONLY_ROOT = "read-only-root"
    HOST_ALIASES = "host-aliases"
    PRIVILEGED_PORTS = "privileged-ports"
    EPHEMERAL_CONTAINERS = "ephemeral-containers"
    EXEC = "exec"
    ATTACH = "attach"
    PORT_FORWARD = "port-forward"


#: The controls of what people open into running pods.
SESSION_CONTROLS: Final = frozenset({ControlId.EXEC, ControlId.ATTACH, ControlId.PORT_FORWARD})


@dataclass(frozen=True, slots=True)
class Setting:
    """A control that a policy switches on, and what it tells the control (registries, resources, names), sorted."""

    control: ControlId
    values: tuple[str, ...] = ()
    _hash: int = field(default=0, init=False, repr=False, compare=False, hash=False)

    def __hash__(self) -> int:
        # Kept: settings are the keys by which prepared checks are found again, on every review.
        if not self._hash:
            object.__setattr__(self, "_hash", hash((self.control, self.values)) or 1)
        return self._hash
