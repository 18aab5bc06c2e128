"""Why a registry could not be asked. None of them says anything about a signature: the question stays open."""

from ringfence.model.errors import RingfenceError


class RegistryError(RingfenceError):
    """The registry did not answer as it must; the message says what happened and, where somebody can, how to mend it.

    ``retry_after`` is in seconds, 0 when the registry named none.
    """

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class Forbidden(RegistryError):
    """A host or an address that must not be reached; nothing was sent there."""


class Garbage(RegistryError):
    """An answer that is not what its registry says it is: too large, not readable, of another digest."""
