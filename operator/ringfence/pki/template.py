"""What a leaf certificate shall say. It says nothing of who signs it, nor whether the result is right."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from ringfence.model.certificates import KeyAlgorithm, LeafTemplate
from ringfence.model.errors import FieldError, RingfenceError
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import dns, encoding, root

#: Lives that may be asked for, in seconds.
MIN_TTL: Final = 600
MAX_TTL: Final = 24 * 3600
#: How long before its making a leaf is valid, in seconds: for peers whose clocks are behind. Not part of its ttl.
BACKDATE: Final = int(encoding.BACKDATE.total_seconds())
#: A CA whose end is nearer than this, in seconds, signs nothing any more.
MIN_LIFE_LEFT: Final = 60


class InvalidTemplate(RingfenceError):
    """Wishes that no certificate can fulfil; ``errors`` holds every FieldError, sorted, never empty."""

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = tuple(sorted(errors))
        super().__init__("; ".join(str(error) for error in self.errors))


def leaf(
    spiffe_id: SpiffeId,
    dns_names: Iterable[str],
    *,
    ttl: int,
    now: float,
    serial: int,
    issuer_ends: int,
    key_algorithm: KeyAlgorithm = KeyAlgorithm.ECDSA_P256,
) -> LeafTemplate:
    """The template of a certificate made ``now`` for ``ttl`` seconds, or until ``issuer_ends`` when that comes first.

    ``now`` and ``issuer_ends`` are seconds since the epoch. Raises InvalidTemplate with everything that is wrong.
    """
    names = tuple(sorted(set(dns_names)))
    errors = [*_names(names), *_lives(ttl, now, issuer_ends), *_serial(serial), *_identity(spiffe_id)]
    if errors:
        raise InvalidTemplate(errors)
    return LeafTemplate(
        spiffe_id=spiffe_id,
        dns_names=names,
        not_before=int(now) - BACKDATE,
        not_after=min(int(now) + ttl, issuer_ends),
        serial=serial,
        key_algorithm=key_algorithm,
    )


def _names(names: tuple[str, ...]) -> Iterable[FieldError]:
    if len(names) > dns.MAX_NAMES:
        message = f"has {len(names)} names, at most {dns.MAX_NAMES} fit"
        yield FieldError("dnsNames", message, "select the pods with fewer Services or ask for fewer names")
    for name in names[: dns.MAX_NAMES]:
        wrong = dns.problem(name)
        if wrong:
            yield FieldError("dnsNames", f"{name!r} {wrong}", "leave it out")


def _lives(ttl: int, now: float, issuer_ends: int) -> Iterable[FieldError]:
    if not MIN_TTL <= ttl <= MAX_TTL:
        yield FieldError("ttl", f"{ttl} seconds", f"from {MIN_TTL} to {MAX_TTL} seconds")
    if issuer_ends - now < MIN_LIFE_LEFT:
        yield FieldError("issuer", "the CA's certificate has ended or is about to", "run ringfence ca rotate")


def _serial(serial: int) -> Iterable[FieldError]:
    if not 0 < serial < 2**root.MAX_SERIAL_BITS:
        yield FieldError("serial", "is out of range", f"positive, at most {root.MAX_SERIAL_BITS} bits")


@lru_cache(maxsize=4096)
def _identity(spiffe_id: SpiffeId) -> tuple[FieldError, ...]:
    """Kept, since many pods have one identity."""
    # The value can be built without its parser; what is signed has been through it.
    try:
        same = SpiffeId.parse(str(spiffe_id)) == spiffe_id
    except ValueError as error:
        return (FieldError("spiffeID", str(error), "use the identity of a ServiceAccount"),)
    if not same:
        return (FieldError("spiffeID", "is not what its text says", "use the identity of a ServiceAccount"),)
    return ()
