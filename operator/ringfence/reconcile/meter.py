"""What is counted of certificates, as a Protocol: ``metrics`` fulfils it, tests may look at it."""

from collections.abc import Mapping
from typing import Protocol

from ringfence.model.ca import CaState
from ringfence.model.certificates import CertificateSummary


class Meter(Protocol):
    """Hears of everything that is issued, fails, or will end."""

    def issued(self, reason: str) -> None:
        """A certificate was stored; ``reason`` is why the one before would not do (pki.identity_secret.Reason)."""
        ...

    def failed(self, reason: str) -> None:
        """A certificate could not be issued or stored."""
        ...

    def holds(self, namespace: str, certificates: Mapping[str, CertificateSummary]) -> None:
        """The certificates of a namespace by identity; empty forgets the namespace."""
        ...

    def ca(self, state: CaState | None, problem: str) -> None:
        """The CA as it is now; ``problem`` is the reason why there is none, "" when all is well."""
        ...

    def rotation(self, waiting_for: int) -> None:
        """How many objects a rotation of the CA waits for; 0 while none is under way or it waits for time alone."""
        ...

    def bundle_failed(self, kind: str) -> None:
        """A trust bundle of that kind of object could not be written."""
        ...
