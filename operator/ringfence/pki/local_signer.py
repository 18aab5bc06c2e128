"""Signs with the CA key that Ringfence holds itself: the first of the signers, and the one for short paths."""

from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from ringfence.model.ca import Slot
from ringfence.model.certificates import KeyAlgorithm, LeafTemplate
from ringfence.model.errors import RingfenceError
from ringfence.pki import encoding, keys, root
from ringfence.pki.encoding import BadCertificate, PublicKeyType

_LEAF: Final = x509.BasicConstraints(ca=False, path_length=None)
_SIGNS: Final = encoding.key_usage(sign_certificates=False)
#: RSA keys may also receive a key (TLS 1.2 without forward secrecy offers no other way; harmless elsewhere).
_SIGNS_AND_RECEIVES: Final = encoding.key_usage(sign_certificates=False, encipher_keys=True)
_BOTH_ENDS: Final = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
_NOBODY: Final = x509.Name([])


class SigningRefused(RingfenceError):
    """A template or a key that this CA does not sign; the message says why."""


class LocalSigner:
    """Implements ``model.ports.Signer`` over a slot. Reads the key once; repr shows the fingerprint only."""

    def __init__(self, slot: Slot) -> None:
        """Raises BadCertificate when the slot's key cannot be read or is not the one of its certificate."""
        certificate = encoding.certificate(slot.root.certificate)
        key = encoding.private_key(slot.key)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise BadCertificate("the CA's private key is not the one of its certificate")
        self._key = key
        self._hash = hashes.SHA384() if key.curve.key_size > 256 else hashes.SHA256()
        identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        # What all leaves have in common is put together once; a builder never changes, it makes others.
        self._common = (
            x509.CertificateBuilder()
            .subject_name(_NOBODY)
            .issuer_name(certificate.subject)
            .add_extension(_LEAF, critical=True)
            .add_extension(_BOTH_ENDS, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        )
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        self._trust_domains = frozenset(str(each.value) for each in constraints.permitted_subtrees or ())
        self.root = slot.root

    def __repr__(self) -> str:
        return f"LocalSigner({self.root.fingerprint})"

    async def sign(self, template: LeafTemplate, public_key: bytes) -> bytes:
        """As the port says. Raises SigningRefused."""
        return self.sign_now(template, public_key)

    def sign_now(self, template: LeafTemplate, public_key: bytes) -> bytes:
        """The same without a loop: signing takes some 100 microseconds and waits for nothing."""
        self._refuse(template)
        key = _read(public_key, template.key_algorithm)
        usage = _SIGNS_AND_RECEIVES if isinstance(key, rsa.RSAPublicKey) else _SIGNS
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(str(template.spiffe_id))]
        names += [x509.DNSName(name) for name in template.dns_names]
        certificate = (
            self._common.public_key(key)
            .serial_number(template.serial)
            .not_valid_before(encoding.moment(template.not_before))
            .not_valid_after(encoding.moment(template.not_after))
            .add_extension(usage, critical=True)
            # Critical because the subject is empty (RFC 5280 §4.2.1.6).
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .sign(self._key, self._hash)
        )
        return encoding.certificate_pem(certificate)

    def _refuse(self, template: LeafTemplate) -> None:
        """What no certificate of this root may be, whoever wrote the template."""
        if template.spiffe_id.trust_domain not in self._trust_domains:
            raise SigningRefused(f"{template.spiffe_id} is not of the trust domain of this CA")
        if template.not_after > self.root.not_after:
            raise SigningRefused("the certificate would outlive its CA")
        if template.not_after <= template.not_before:
            raise SigningRefused("the certificate would end before it begins")
        if not 0 < template.serial < 2**root.MAX_SERIAL_BITS:
            raise SigningRefused("the serial number is out of range")


def _read(public_key: bytes, algorithm: KeyAlgorithm) -> PublicKeyType:
    """The public key, only if it is of the algorithm; its size is bounded before anything reads it."""
    if len(public_key) > keys.MAX_PUBLIC_KEY_BYTES:
        raise SigningRefused(f"the public key is longer than {keys.MAX_PUBLIC_KEY_BYTES} bytes")
    try:
        key = serialization.load_der_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningRefused("the public key cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise SigningRefused(f"the public key is not {algorithm}")
    if keys.algorithm_of(key) != algorithm:
        raise SigningRefused(f"the public key is {keys.algorithm_of(key)}, not {algorithm}")
    if isinstance(key, rsa.RSAPublicKey) and key.public_numbers().e != keys.RSA_EXPONENT:
        raise SigningRefused(f"the RSA key's exponent is not {keys.RSA_EXPONENT}")
    return key
