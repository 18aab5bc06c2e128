"""Roots: what they say, which trust domains they can be bound to."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from ringfence.model.certificates import KeyAlgorithm
from ringfence.pki import encoding
from ringfence.pki.root import LIFE, BadTrustDomain, check_trust_domain, make_root

from tests.unit.pki.material import NOW, TRUST_DOMAIN, root


def read(slot: object = None) -> x509.Certificate:
    return encoding.certificate((slot or root()).root.certificate)  # type: ignore[attr-defined]


def extension(kind: type[x509.ExtensionType]) -> x509.Extension[x509.ExtensionType]:
    return read().extensions.get_extension_for_class(kind)


def test_it_signs_leaves_only() -> None:
    basic = extension(x509.BasicConstraints)
    assert basic.critical
    assert basic.value == x509.BasicConstraints(ca=True, path_length=0)
    usage = extension(x509.KeyUsage)
    assert usage.critical
    assert usage.value == encoding.key_usage(sign_certificates=True, sign_crls=True)


def test_it_is_bound_to_its_trust_domain() -> None:
    constraints = extension(x509.NameConstraints)
    assert constraints.critical
    assert constraints.value == x509.NameConstraints([x509.UniformResourceIdentifier(TRUST_DOMAIN)], None)
    names = extension(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier(f"spiffe://{TRUST_DOMAIN}")]


def test_it_is_back_dated_and_lives_as_long_as_asked() -> None:
    slot = make_root(TRUST_DOMAIN, NOW, 5, life=1000)
    assert (slot.root.not_before, slot.root.not_after) == (NOW - 300, NOW + 1000)
    assert make_root(TRUST_DOMAIN, NOW, 5).root.not_after == NOW + LIFE


def test_two_roots_never_share_a_name() -> None:
    assert read(root(1)).subject != read(root(2)).subject


def test_the_fingerprint_is_that_of_openssl() -> None:
    import hashlib
    import ssl

    der = ssl.PEM_cert_to_DER_cert(root().root.certificate.decode())
    assert root().root.fingerprint == hashlib.sha256(der).hexdigest()


def test_a_p384_root_signs_with_sha384() -> None:
    certificate = read(make_root(TRUST_DOMAIN, NOW, 6, key_algorithm=KeyAlgorithm.ECDSA_P384))
    public = certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.curve.name == "secp384r1"
    assert certificate.signature_hash_algorithm is not None
    assert certificate.signature_hash_algorithm.name == "sha384"


def test_a_root_has_no_rsa_key() -> None:
    with pytest.raises(ValueError, match="ECDSA-P256 or ECDSA-P384, not RSA-3072"):
        make_root(TRUST_DOMAIN, NOW, 7, key_algorithm=KeyAlgorithm.RSA_3072)


@pytest.mark.parametrize("serial", [0, -1, 2**159])
def test_serial_numbers_out_of_range_are_refused(serial: int) -> None:
    with pytest.raises(ValueError, match="serial number"):
        make_root(TRUST_DOMAIN, NOW, serial)


@pytest.mark.parametrize("domain", ["cluster.local", "local", "a_b.c-d", "prod.mesh.example", "x" * 253])
def test_hosts_are_trust_domains(domain: str) -> None:
    check_trust_domain(domain)


@pytest.mark.parametrize(
    "domain",
    ["", ".example", "example.", "a..b", "10.0.0.1", "127.1.1.1", "-a.b", "a-.b", "A.b", "a b", "a.b\n", "x" * 254],
)
def test_what_is_no_host_is_refused_with_a_fix(domain: str) -> None:
    with pytest.raises(BadTrustDomain, match="set trustDomain"):
        make_root(domain, NOW, 8)
