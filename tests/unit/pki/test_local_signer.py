"""The local signer: what its certificates say, and what it refuses to sign whoever asks."""

import asyncio
from dataclasses import replace

import pytest
from cryptography import x509
from ringfence.model.ca import Slot
from ringfence.model.certificates import KeyAlgorithm, LeafTemplate
from ringfence.model.ports import Signer
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import encoding
from ringfence.pki.encoding import BadCertificate
from ringfence.pki.issue import issue
from ringfence.pki.keys import PrivateKey
from ringfence.pki.local_signer import LocalSigner, SigningRefused
from ringfence.pki.validate import CertificateRefused, Wrong

from tests.unit.pki.material import DNS, HOUR, ID, NOW, Forgery, key, root, rsa_key

TEMPLATE = LeafTemplate(ID, DNS, NOW - 300, NOW + HOUR, 1 << 90)
SIGNER = LocalSigner(root())


def signed(template: LeafTemplate = TEMPLATE, with_key: PrivateKey | None = None) -> x509.Certificate:
    return encoding.certificate(SIGNER.sign_now(template, (with_key or key()).public_der))


def test_it_is_a_signer() -> None:
    port: Signer = SIGNER
    chain = asyncio.run(port.sign(TEMPLATE, key().public_der))
    assert chain.count(b"BEGIN CERTIFICATE") == 1, "the chain holds no root"


def test_it_says_what_the_template_says_and_nothing_else() -> None:
    leaf = signed()
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert [each.value for each in names.value] == [str(ID), *DNS]
    assert names.critical
    assert leaf.serial_number == 1 << 90
    assert leaf.subject == x509.Name([])
    assert leaf.issuer == encoding.certificate(root().root.certificate).subject
    assert (leaf.not_valid_before_utc, leaf.not_valid_after_utc) == (
        encoding.moment(NOW - 300),
        encoding.moment(NOW + HOUR),
    )
    assert len(leaf.extensions) == 5


REFUSED = {
    "foreign trust domain": replace(TEMPLATE, spiffe_id=SpiffeId("other.example", "/ns/shop/sa/payments")),
    "below the trust domain": replace(TEMPLATE, spiffe_id=SpiffeId("sub.mesh.example", "/ns/shop/sa/payments")),
    "outlives its CA": replace(TEMPLATE, not_after=root().root.not_after + 1),
    "ends before it begins": replace(TEMPLATE, not_after=NOW - 301),
    "serial zero": replace(TEMPLATE, serial=0),
    "serial too long": replace(TEMPLATE, serial=2**159),
    "another algorithm": replace(TEMPLATE, key_algorithm=KeyAlgorithm.ECDSA_P384),
}


@pytest.mark.parametrize("name", REFUSED)
def test_templates_that_it_refuses(name: str) -> None:
    with pytest.raises(SigningRefused):
        SIGNER.sign_now(REFUSED[name], key().public_der)


def test_huge_and_small_rsa_keys_are_refused() -> None:
    wanted = replace(TEMPLATE, key_algorithm=KeyAlgorithm.RSA_3072)
    with pytest.raises(SigningRefused, match="RSA-2048, not RSA-3072"):
        SIGNER.sign_now(wanted, rsa_key(2048).public_der)
    with pytest.raises(SigningRefused, match="RSA-4096, not RSA-3072"):
        SIGNER.sign_now(wanted, rsa_key(4096).public_der)
    with pytest.raises(SigningRefused, match="longer than 1024 bytes"):
        SIGNER.sign_now(wanted, b"\x30" * 2049)
    assert SIGNER.sign_now(wanted, key(KeyAlgorithm.RSA_3072).public_der)


def test_an_rsa_key_with_another_exponent_is_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    odd = rsa.generate_private_key(public_exponent=3, key_size=3072)
    with pytest.raises(SigningRefused, match="exponent"):
        SIGNER.sign_now(replace(TEMPLATE, key_algorithm=KeyAlgorithm.RSA_3072), encoding.public_der(odd.public_key()))


@pytest.mark.parametrize("text", [b"", b"no key", key().pem])
def test_what_is_no_public_key_is_refused(text: bytes) -> None:
    with pytest.raises(SigningRefused, match="cannot be read"):
        SIGNER.sign_now(TEMPLATE, text)


def test_a_slot_whose_key_is_not_its_certificates_makes_no_signer() -> None:
    with pytest.raises(BadCertificate, match="not the one of its certificate"):
        LocalSigner(Slot(root(1).root, root(2).key))


class Careless:
    """A signer that signs what it likes."""

    def __init__(self, chain: bytes) -> None:
        self.chain = chain

    async def sign(self, template: LeafTemplate, public_key: bytes) -> bytes:
        return self.chain


def test_issue_gives_the_chain_with_its_key() -> None:
    pair = asyncio.run(issue(TEMPLATE, key(), SIGNER, root().root.certificate, NOW))
    assert pair.key == key().pem
    assert encoding.certificate(pair.certificate).serial_number == 1 << 90


def test_issue_returns_nothing_that_was_not_asked_for() -> None:
    forged = Forgery(basic=x509.BasicConstraints(ca=True, path_length=None), end=NOW + HOUR)
    with pytest.raises(CertificateRefused) as refused:
        asyncio.run(issue(TEMPLATE, key(), Careless(forged.sign()), root().root.certificate, NOW))
    assert [each.reason for each in refused.value.mismatches] == [Wrong.CA]
