"""Chains: intermediates, path lengths, name constraints; what OpenSSL thinks of the same."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from ringfence.model.ca import Slot
from ringfence.pki import encoding, path
from ringfence.pki.root import make_root

from tests.unit.pki.material import DAY, HOUR, NOW, TRUST_DOMAIN, Forgery, intermediate, openssl_verify, root, uri

LEAF = Forgery()


def open_root(serial: int, *, path_length: int | None = 1, constraints: x509.NameConstraints | None = None) -> Slot:
    """A root as an outside authority might have: it allows intermediates, its names are constrained or not."""
    own = encoding.private_key(root(serial).key)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"outside {serial}")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(own.public_key())
        .serial_number(serial)
        .not_valid_before(encoding.moment(NOW - DAY))
        .not_valid_after(encoding.moment(NOW + DAY))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(encoding.key_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
    )
    if constraints:
        builder = builder.add_extension(constraints, critical=True)
    from ringfence.pki.root import root_of

    return Slot(root_of(builder.sign(own, hashes.SHA256())), root(serial).key)


def judged(chain: bytes, slot: Slot) -> list[str]:
    """What path says; OpenSSL must agree on whether there is anything to say."""
    certificates = path.read(chain)
    anchor = path.anchor(certificates, path.read_roots(slot.root.certificate))
    found = ["no root"] if anchor is None else list(path.problems(certificates, anchor, NOW))
    assert bool(found) == bool(openssl_verify(chain, slot.root.certificate)), "OpenSSL is of another opinion"
    return found


def test_a_leaf_below_its_root() -> None:
    assert judged(LEAF.sign(), root()) == []


def test_what_is_remembered_holds_for_those_bytes_and_that_root_alone() -> None:
    chain = LEAF.sign()
    namesake = make_root(TRUST_DOMAIN, NOW - DAY, 1 | 1 << 100)
    der = bytearray(path.read(chain)[0].public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    forged = encoding.certificate_pem(x509.load_der_x509_certificate(bytes(der)))
    for _ in range(2):
        assert judged(chain, root()) == []
        assert judged(chain, namesake) == ["no root"]
        assert judged(forged, root()) == ["no root"]


def test_a_chain_with_an_intermediate() -> None:
    outside = open_root(11)
    below = intermediate(outside)
    assert judged(LEAF.sign(by=below) + below.root.certificate, outside) == []


def test_an_intermediate_that_is_not_there() -> None:
    outside = open_root(11)
    assert judged(LEAF.sign(by=intermediate(outside)), outside) == ["no root"]


def test_our_roots_allow_no_intermediate() -> None:
    below = intermediate(root())
    found = judged(LEAF.sign(by=below) + below.root.certificate, root())
    assert found == ["the root allows 0 CAs below itself"]


def test_an_intermediate_that_is_no_ca() -> None:
    outside = open_root(11)
    below = intermediate(outside, ca=False)
    found = judged(LEAF.sign(by=below) + below.root.certificate, outside)
    assert found == ["certificate 2 of the chain is no CA", "certificate 2 of the chain may not sign certificates"]


def test_an_intermediate_that_says_something_critical_that_is_not_understood() -> None:
    outside = open_root(11)
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    below = intermediate(outside, extra=[(unknown, True)])
    found = judged(LEAF.sign(by=below) + below.root.certificate, outside)
    assert found == ["certificate 2 of the chain has the critical extension 1.2.3.4, which is not understood"]
    harmless = intermediate(outside, extra=[(unknown, False)])
    assert judged(LEAF.sign(by=harmless) + harmless.root.certificate, outside) == []


def test_name_constraints_hold_for_intermediates_too() -> None:
    outside = open_root(12, constraints=x509.NameConstraints([uri("mesh.example")], None))
    for domain, good in (("mesh.example", True), ("other.example", False)):
        named = x509.SubjectAlternativeName([uri(f"spiffe://{domain}/ca")])
        below = intermediate(outside, extra=[(named, False)])
        assert (judged(LEAF.sign(by=below) + below.root.certificate, outside) == []) is good


def test_an_intermediate_that_did_not_sign() -> None:
    outside = open_root(11)
    one, other = intermediate(outside), intermediate(outside)
    found = judged(LEAF.sign(by=one) + other.root.certificate, outside)
    assert found == ["certificate 2 of the chain did not sign what it should have signed"]


def test_a_leaf_that_outlives_its_intermediate() -> None:
    outside = open_root(11)
    below = intermediate(outside)
    chain = path.read(LEAF.but(end=NOW + DAY + HOUR).sign(by=below) + below.root.certificate)
    anchor = path.anchor(chain, path.read_roots(outside.root.certificate))
    assert anchor is not None
    assert any("before what it signed" in each for each in path.problems(chain, anchor, NOW))


@pytest.mark.parametrize("at", [NOW - 2 * DAY, NOW + 2 * DAY])
def test_a_root_outside_its_life(at: int) -> None:
    outside = open_root(11)
    chain = path.read(LEAF.sign(by=outside))
    assert any(
        "is valid from" in each for each in path.problems(chain, path.read_roots(outside.root.certificate)[0], at)
    )


@pytest.mark.parametrize(
    ("permitted", "excluded", "good"),
    [
        ([uri("mesh.example")], None, True),
        ([uri(".example")], None, True),
        ([uri(".mesh.example")], None, False),
        ([uri("other.example")], None, False),
        ([uri("MESH.example")], None, True),
        (None, [uri("mesh.example")], False),
        (None, [uri("other.example")], True),
        ([x509.DNSName("svc"), x509.DNSName("svc.cluster.local")], None, True),
        ([x509.DNSName("shop.svc")], None, False),
        (None, [x509.DNSName("shop.svc")], False),
        ([uri("mesh.example")], [x509.DNSName("bank.svc")], True),
    ],
)
def test_name_constraints(
    permitted: list[x509.GeneralName] | None, excluded: list[x509.GeneralName] | None, good: bool
) -> None:
    outside = open_root(12, constraints=x509.NameConstraints(permitted, excluded))
    assert (judged(LEAF.sign(by=outside), outside) == []) is good


def test_many_roots_are_read_once_and_too_many_are_not() -> None:
    assert path.read_roots(root(1).root.certificate) is path.read_roots(root(1).root.certificate)
    with pytest.raises(path.BadChain, match="at most 16"):
        path.read_roots(b"".join(root(1).root.certificate for _ in range(17)))
