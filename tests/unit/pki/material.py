"""Roots, leaves and forgeries for the tests of pki, and OpenSSL's opinion of them."""

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from ringfence.model.ca import CaState, Slot
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import encoding, keys, slots
from ringfence.pki.keys import PrivateKey
from ringfence.pki.root import make_root, root_of

NOW = 1_800_000_000
HOUR, DAY = 3600, 86400
TRUST_DOMAIN = "mesh.example"
ID = SpiffeId.of_service_account(TRUST_DOMAIN, "shop", "payments")
DNS = ("payments.shop.svc", "payments.shop.svc.cluster.local")


def root(serial: int = 1) -> Slot:
    """A root, made once for each serial number."""
    return _root(serial)


@functools.cache
def _root(serial: int) -> Slot:
    return make_root(TRUST_DOMAIN, NOW - DAY, serial | 1 << 100)


def idle() -> CaState:
    return slots.first(TRUST_DOMAIN, root(), NOW - DAY)


def key(algorithm: KeyAlgorithm = KeyAlgorithm.ECDSA_P256) -> PrivateKey:
    """One key of each algorithm: RSA takes long."""
    return _key(algorithm)


@functools.cache
def _key(algorithm: KeyAlgorithm) -> PrivateKey:
    return keys.generate(algorithm)


@functools.cache
def rsa_key(bits: int) -> PrivateKey:
    made = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return PrivateKey(encoding.key_pem(made), encoding.public_der(made.public_key()))


_NOBODY = x509.Name([])
_LEAF = x509.BasicConstraints(ca=False, path_length=None)
_SIGNS = encoding.key_usage(sign_certificates=False)


@dataclass(frozen=True)
class Forgery:
    """A leaf in every respect, which a test then spoils in one."""

    names: Sequence[x509.GeneralName] | None = (
        x509.UniformResourceIdentifier(str(ID)),
        *(x509.DNSName(name) for name in DNS),
    )
    names_critical: bool = True
    subject: x509.Name = _NOBODY
    serial: int = 12345678901234567890
    begin: int = NOW - 300
    end: int = NOW + 4 * HOUR
    basic: x509.BasicConstraints | None = _LEAF
    usage: x509.KeyUsage | None = _SIGNS
    usage_critical: bool = True
    purposes: Sequence[x509.ObjectIdentifier] | None = (
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    )
    extra: Sequence[tuple[x509.ExtensionType, bool]] = ()
    key: PrivateKey | None = None
    hash: type[hashes.HashAlgorithm] = hashes.SHA256

    def but(self, **changes: object) -> "Forgery":
        return replace(self, **changes)  # type: ignore[arg-type]

    def sign(self, by: Slot | None = None) -> bytes:
        """In PEM, signed by a root as it is: no check stands in between."""
        slot = by or root()
        issuer = encoding.certificate(slot.root.certificate)
        signer = encoding.private_key(slot.key)
        own = encoding.private_key((self.key or key()).pem)
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(issuer.subject)
            .public_key(own.public_key())
            .serial_number(self.serial)
            .not_valid_before(_time(self.begin))
            .not_valid_after(_time(self.end))
        )
        for extension, critical in self._extensions(issuer):
            builder = builder.add_extension(extension, critical=critical)
        return encoding.certificate_pem(builder.sign(signer, self.hash()))

    def _extensions(self, issuer: x509.Certificate) -> Iterable[tuple[x509.ExtensionType, bool]]:
        if self.basic:
            yield self.basic, True
        if self.usage:
            yield self.usage, self.usage_critical
        if self.purposes is not None:
            yield x509.ExtendedKeyUsage(self.purposes), False
        if self.names is not None:
            yield x509.SubjectAlternativeName(self.names), self.names_critical
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        yield x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False
        yield from self.extra


def uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


def intermediate(
    by: Slot,
    *,
    path_length: int | None = 0,
    ca: bool = True,
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> Slot:
    """A CA below a root (its certificate in the slot is not self-signed)."""
    private = ec.generate_private_key(ec.SECP256R1())
    issuer = encoding.certificate(by.root.certificate)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "below")]))
        .issuer_name(issuer.subject)
        .public_key(private.public_key())
        .serial_number(77)
        .not_valid_before(_time(NOW - HOUR))
        .not_valid_after(_time(NOW + DAY))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length if ca else None), critical=True)
        .add_extension(encoding.key_usage(sign_certificates=ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            ),
            critical=False,
        )
    )
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical=critical)
    signed = builder.sign(encoding.private_key(by.key), hashes.SHA256())
    return Slot(root_of(signed), encoding.key_pem(private))


def openssl_verify(chain: bytes, roots: bytes, *, at: int = NOW, purpose: str = "sslserver") -> str:
    """What ``openssl verify`` (strict RFC 5280) says of a chain: "" when it is good, else its complaint."""
    program = shutil.which("openssl")
    assert program, "the openssl command is missing: install openssl"
    with tempfile.TemporaryDirectory() as directory:
        leaf, trusted = Path(directory, "leaf.pem"), Path(directory, "roots.pem")
        leaf.write_bytes(chain)
        trusted.write_bytes(roots)
        done = subprocess.run(
            [
                program, "verify", "-x509_strict", "-attime", str(at), "-purpose", purpose,
                "-CAfile", trusted, "-untrusted", leaf, leaf,
            ],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )  # fmt: skip
    return "" if done.returncode == 0 else done.stderr.strip() or done.stdout.strip() or "refused"


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
