"""From a leaf to a trusted root, link by link. Reads certificates only; shares nothing with the code that makes them.

``cryptography``'s own path builder refuses roots with URI name constraints, and those are what keeps another trust
domain's identities out of this CA's reach; so the links are checked here by RFC 5280 §6.1, without policies and CRLs.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtensionOID

from ringfence.model.errors import RingfenceError

#: Leaf and intermediates of a chain, and bytes of its text: what is longer is not read.
MAX_CHAIN: Final = 4
MAX_ROOTS: Final = 16
MAX_CHAIN_BYTES: Final = 64 * 1024
#: Texts and signatures whose reading is remembered: as many as are worked on at the same time, and some.
_KEPT: Final = 64

_BLOCK = rb"-----BEGIN CERTIFICATE-----\r?\n[A-Za-z0-9+/=\r\n]+-----END CERTIFICATE-----"
_CHAIN: Final = re.compile(rb"\s*" + _BLOCK + rb"(\s*" + _BLOCK + rb")*\s*")


#: What the parser raises for certificates that it cannot make sense of.
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

#: The extensions of a CA that are looked at here; it may have others that are not critical.
_UNDERSTOOD: Final = frozenset({ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.NAME_CONSTRAINTS})

Kind = TypeVar("Kind", bound=x509.ExtensionType)


class BadChain(RingfenceError):
    """A text that is no chain of certificates."""


@functools.lru_cache(maxsize=_KEPT)
def read(pem: bytes, at_most: int = MAX_CHAIN) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM text that holds nothing else, so that no private key hides in it. Raises BadChain.

    Kept for a while: whoever has judged a chain asks of it at once what is to be said in a status.
    """
    if len(pem) > MAX_CHAIN_BYTES:
        raise BadChain(f"is longer than {MAX_CHAIN_BYTES} bytes")
    if not _CHAIN.fullmatch(pem):
        raise BadChain("is not a text of PEM certificates alone")
    try:
        chain = tuple(x509.load_pem_x509_certificates(pem))
        for each in chain:
            _ = (each.extensions, each.subject, each.issuer, each.public_key())
    except _UNREADABLE as error:
        raise BadChain(f"holds a certificate that cannot be read: {error}") from error
    if len(chain) > at_most:
        raise BadChain(f"has {len(chain)} certificates, at most {at_most} are followed")
    return chain


@functools.lru_cache(maxsize=16)
def read_roots(pem: bytes) -> tuple[x509.Certificate, ...]:
    """The roots of a trust bundle; kept, since thousands of leaves are judged by the same few. Raises BadChain."""
    return read(pem, MAX_ROOTS)


def anchor(chain: Sequence[x509.Certificate], roots: Iterable[x509.Certificate]) -> x509.Certificate | None:
    """The root that signed the last certificate of the chain; None when none of them did."""
    for root in roots:
        if chain[-1].issuer == root.subject and not _signature(chain[-1], root):
            return root
    return None


def problems(chain: Sequence[x509.Certificate], root: x509.Certificate, now: float) -> Iterator[str]:
    """What is wrong with the path from ``chain`` (leaf first) to ``root`` at ``now`` (epoch seconds).

    ``root`` is what ``anchor`` found, so its own signature has been verified already.
    """
    issuers = [*chain[1:], root]
    moment = datetime.fromtimestamp(now, UTC)
    for depth, (subject, issuer) in enumerate(zip(chain, issuers, strict=True)):
        name = "the root" if issuer is root else f"certificate {depth + 2} of the chain"
        wrong = "" if issuer is root else _signature(subject, issuer)
        if wrong:
            yield f"{name} {wrong}"
        yield from (f"{name} {wrong}" for wrong in _link(subject, issuer, depth, moment))
        for below in chain[: depth + 1]:
            yield from (f"{name} {wrong}" for wrong in _constraints(below, issuer))


def _link(subject: x509.Certificate, issuer: x509.Certificate, depth: int, moment: datetime) -> Iterator[str]:
    if not issuer.not_valid_before_utc <= moment <= issuer.not_valid_after_utc:
        yield f"is valid from {issuer.not_valid_before_utc} to {issuer.not_valid_after_utc} only"
    if subject.not_valid_after_utc > issuer.not_valid_after_utc:
        yield f"ends on {issuer.not_valid_after_utc}, before what it signed"
    basic = _extension(issuer, x509.BasicConstraints)
    if basic is None or not basic.ca:
        yield "is no CA"
    elif basic.path_length is not None and depth > basic.path_length:
        yield f"allows {basic.path_length} CAs below itself"
    usage = _extension(issuer, x509.KeyUsage)
    if usage is None or not usage.key_cert_sign:
        yield "may not sign certificates"
    for extension in issuer.extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD:
            yield f"has the critical extension {extension.oid.dotted_string}, which is not understood"


@functools.lru_cache(maxsize=_KEPT)
def _signature(subject: x509.Certificate, issuer: x509.Certificate) -> str:
    """Why ``issuer`` did not sign ``subject``; "" when it did.

    Kept for a while, by the bytes of both (certificates are equal when their DER forms are): nothing else decides it.
    """
    try:
        subject.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return "did not sign what it should have signed"
    return ""


def _constraints(below: x509.Certificate, issuer: x509.Certificate) -> Iterator[str]:
    constraints = _extension(issuer, x509.NameConstraints)
    names = _extension(below, x509.SubjectAlternativeName)
    if constraints is None or names is None:
        return
    for kind in (x509.UniformResourceIdentifier, x509.DNSName):
        permitted = [each.value for each in constraints.permitted_subtrees or () if isinstance(each, kind)]
        excluded = [each.value for each in constraints.excluded_subtrees or () if isinstance(each, kind)]
        for name in names.get_values_for_type(kind):
            host = _host(name) if kind is x509.UniformResourceIdentifier else name
            deeper = kind is x509.DNSName
            if permitted and not any(_within(host, each, deeper) for each in permitted):
                yield f"is constrained to {', '.join(sorted(permitted))}, not {name!r}"
            if any(_within(host, each, deeper) for each in excluded):
                yield f"excludes {name!r}"


def _within(host: str, subtree: str, deeper: bool) -> bool:
    """RFC 5280 §4.2.1.10: a DNS subtree holds what is below it; a URI's host is itself, unless it begins with a dot."""
    host, subtree = host.lower(), subtree.lower()
    if subtree.startswith("."):
        return host.endswith(subtree)
    return host == subtree or (deeper and host.endswith("." + subtree))


def _host(uri: str) -> str:
    try:
        return urlsplit(uri).netloc
    except ValueError:
        return ""


def _extension(certificate: x509.Certificate, kind: type[Kind]) -> Kind | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
