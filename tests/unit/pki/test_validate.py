"""Forged and spoiled certificates: each is refused for what is wrong with it, and nothing that is right is refused."""

import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import encoding, keys, validate
from ringfence.pki.keys import PrivateKey
from ringfence.pki.validate import Expectation, Wrong

from tests.unit.pki.material import DAY, DNS, HOUR, ID, NOW, Forgery, key, root, rsa_key, uri

GOOD = Forgery()
GOOD_NAMES = tuple(GOOD.names or ())


def expectation(**changes: object) -> Expectation:
    values: dict[str, object] = {
        "spiffe_id": ID,
        "dns_names": DNS,
        "key_algorithm": KeyAlgorithm.ECDSA_P256,
        "public_key": key().public_der,
        "roots": root().root.certificate,
        "now": NOW,
        "longest_life": 4 * HOUR + 300,
        "latest_end": NOW + 4 * HOUR,
    }
    return Expectation(**(values | changes))  # type: ignore[arg-type]


def wrongs(chain: bytes, **changes: object) -> set[Wrong]:
    return {each.reason for each in validate.mismatches(chain, expectation(**changes))}


def test_what_is_right_passes() -> None:
    assert validate.mismatches(GOOD.sign(), expectation()) == ()
    validate.check(GOOD.sign(), expectation())
    back_dated = GOOD.but(begin=NOW - HOUR, end=NOW + HOUR)
    assert wrongs(back_dated.sign()) == set(), "a signer may date back within the life that was asked for"


def usage(**changes: bool) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**({name: name == "digital_signature" for name in names} | changes))


def with_names(*names: x509.GeneralName) -> Forgery:
    return GOOD.but(names=names)


ATTACKS = {
    "two-uris": (with_names(*GOOD_NAMES, uri("spiffe://mesh.example/ns/bank/sa/vault")), {Wrong.IDENTITY}),
    "two-equal-uris": (with_names(*GOOD_NAMES, GOOD_NAMES[0]), {Wrong.IDENTITY}),
    "no-uri": (with_names(*GOOD_NAMES[1:]), {Wrong.IDENTITY}),
    "no-names-at-all": (GOOD.but(names=None), {Wrong.IDENTITY}),
    "another-identity": (with_names(uri("spiffe://mesh.example/ns/bank/sa/vault"), *GOOD_NAMES[1:]), {Wrong.IDENTITY}),
    "root-path": (with_names(uri("spiffe://mesh.example"), *GOOD_NAMES[1:]), {Wrong.IDENTITY}),
    "root-path-slash": (with_names(uri("spiffe://mesh.example/"), *GOOD_NAMES[1:]), {Wrong.IDENTITY}),
    "trailing-newline": (with_names(uri(f"{ID}\n"), *GOOD_NAMES[1:]), {Wrong.IDENTITY}),
    "trailing-slash": (with_names(uri(f"{ID}/"), *GOOD_NAMES[1:]), {Wrong.IDENTITY}),
    "nul-in-uri": (with_names(uri(f"{ID}\x00.evil"), *GOOD_NAMES[1:]), {Wrong.IDENTITY}),
    "upper-case-uri": (with_names(uri(str(ID).upper()), *GOOD_NAMES[1:]), {Wrong.IDENTITY}),
    "escaped-uri": (with_names(uri(str(ID).replace("payments", "%70ayments")), *GOOD_NAMES[1:]), {Wrong.IDENTITY}),
    "foreign-trust-domain": (
        with_names(uri("spiffe://other.example/ns/shop/sa/payments"), *GOOD_NAMES[1:]),
        {Wrong.IDENTITY, Wrong.PATH},
    ),
    "nul-in-dns": (with_names(GOOD_NAMES[0], x509.DNSName(f"{DNS[0]}\x00.evil"), GOOD_NAMES[2]), {Wrong.DNS_NAMES}),
    "surplus-dns": (with_names(*GOOD_NAMES, x509.DNSName("bank.example")), {Wrong.DNS_NAMES}),
    "wildcard-dns": (with_names(*GOOD_NAMES, x509.DNSName("*.shop.svc")), {Wrong.DNS_NAMES}),
    "missing-dns": (with_names(*GOOD_NAMES[:2]), {Wrong.DNS_NAMES}),
    "dns-twice": (with_names(*GOOD_NAMES, GOOD_NAMES[1]), {Wrong.DNS_NAMES}),
    "ip-name": (with_names(*GOOD_NAMES, x509.IPAddress(ipaddress.ip_address("10.0.0.1"))), {Wrong.OTHER_NAMES}),
    "mail-name": (with_names(*GOOD_NAMES, x509.RFC822Name("root@bank.example")), {Wrong.OTHER_NAMES}),
    "names-not-critical": (GOOD.but(names_critical=False), {Wrong.OTHER_NAMES}),
    "subject": (
        GOOD.but(subject=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vault")])),
        {Wrong.SUBJECT},
    ),
    "ca": (GOOD.but(basic=x509.BasicConstraints(ca=True, path_length=None)), {Wrong.CA}),
    "no-basic-constraints": (GOOD.but(basic=None), {Wrong.CA}),
    "signs-certificates": (GOOD.but(usage=usage(key_cert_sign=True)), {Wrong.KEY_USAGE}),
    "signs-crls": (GOOD.but(usage=usage(crl_sign=True)), {Wrong.KEY_USAGE}),
    "enciphers-keys": (GOOD.but(usage=usage(key_encipherment=True)), {Wrong.KEY_USAGE}),
    "no-digital-signature": (GOOD.but(usage=usage(digital_signature=False, key_agreement=True)), {Wrong.KEY_USAGE}),
    "usage-not-critical": (GOOD.but(usage_critical=False), {Wrong.KEY_USAGE}),
    "no-usage": (GOOD.but(usage=None), {Wrong.KEY_USAGE}),
    "code-signing": (
        GOOD.but(purposes=(*(GOOD.purposes or ()), ExtendedKeyUsageOID.CODE_SIGNING)),
        {Wrong.EXTENDED_KEY_USAGE},
    ),
    "any-purpose": (GOOD.but(purposes=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)), {Wrong.EXTENDED_KEY_USAGE}),
    "server-only": (GOOD.but(purposes=(ExtendedKeyUsageOID.SERVER_AUTH,)), {Wrong.EXTENDED_KEY_USAGE}),
    "no-purpose": (GOOD.but(purposes=None), {Wrong.EXTENDED_KEY_USAGE}),
    "unknown-critical": (
        GOOD.but(extra=((x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True),)),
        {Wrong.EXTENSION},
    ),
    "name-constraints": (
        GOOD.but(extra=((x509.NameConstraints([uri("mesh.example")], None), False),)),
        {Wrong.EXTENSION},
    ),
    "long-life": (GOOD.but(end=NOW + 30 * DAY), {Wrong.LIFE}),
    "back-dated-long": (GOOD.but(begin=NOW - 2 * HOUR), {Wrong.LIFE}),
    "outlives-its-root": (GOOD.but(end=root().root.not_after + 1), {Wrong.LIFE, Wrong.PATH}),
    "expired": (GOOD.but(begin=NOW - HOUR, end=NOW - 1), {Wrong.EXPIRED}),
    "ends-now": (GOOD.but(begin=NOW - HOUR, end=NOW), {Wrong.EXPIRED}),
    "not-yet-valid": (GOOD.but(begin=NOW + 60), {Wrong.NOT_YET_VALID}),
    "another-key": (GOOD.but(key=keys.generate(KeyAlgorithm.ECDSA_P256)), {Wrong.KEY}),
    "huge-rsa": (
        GOOD.but(key=rsa_key(4096), usage=usage(key_encipherment=False)),
        {Wrong.KEY, Wrong.KEY_ALGORITHM},
    ),
    "p384-for-p256": (GOOD.but(key=key(KeyAlgorithm.ECDSA_P384)), {Wrong.KEY, Wrong.KEY_ALGORITHM}),
    "weak-hash": (GOOD.but(hash=hashes.SHA224), {Wrong.SIGNATURE_HASH}),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_spoiled_certificate_is_refused_for_that_very_thing(name: str) -> None:
    forgery, expected = ATTACKS[name]
    assert wrongs(forgery.sign()) == expected


def test_every_mismatch_is_collected() -> None:
    forgery = GOOD.but(
        basic=x509.BasicConstraints(ca=True, path_length=None),
        usage=usage(key_cert_sign=True),
        end=NOW + 30 * DAY,
        names=(uri("spiffe://mesh.example/ns/bank/sa/vault"),),
    )
    with pytest.raises(validate.CertificateRefused) as refused:
        validate.check(forgery.sign(), expectation())
    found = {each.reason for each in refused.value.mismatches}
    assert found == {Wrong.CA, Wrong.KEY_USAGE, Wrong.LIFE, Wrong.IDENTITY, Wrong.DNS_NAMES}
    assert list(refused.value.mismatches) == sorted(refused.value.mismatches)
    assert "IsCA: it is a CA" in str(refused.value)


@pytest.mark.parametrize("serial", [0])
def test_a_serial_number_is_positive(serial: int) -> None:
    # The builder refuses to write such a number, so the check is given one by hand.
    class Leaf:
        serial_number = serial

    found = list(validate._serial(Leaf(), expectation()))  # type: ignore[arg-type]
    assert [each.reason for each in found] == [Wrong.SERIAL]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hello",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        GOOD.sign() + key().pem,
        b"subject=x\n" + GOOD.sign(),
        GOOD.sign() * 5,
        GOOD.sign() + b"\n" * 70_000,
        GOOD.sign().replace(b"CERTIFICATE", b"X509 CRL"),
    ],
    ids=["empty", "text", "no-der", "with-a-private-key", "with-text", "too-many", "too-long", "other-block"],
)
def test_what_is_no_chain_is_unreadable(text: bytes) -> None:
    assert wrongs(text) == {Wrong.UNREADABLE}


def test_a_certificate_of_no_trusted_root_is_refused() -> None:
    assert wrongs(GOOD.sign(by=root(2))) == {Wrong.ISSUER_UNKNOWN}


def test_a_root_of_the_same_name_with_another_key_did_not_sign() -> None:
    from ringfence.pki.root import make_root

    twin = make_root("mesh.example", NOW - DAY, 1 | 1 << 100)
    assert encoding.certificate(twin.root.certificate).subject == encoding.certificate(root().root.certificate).subject
    assert wrongs(GOOD.sign(by=twin)) == {Wrong.ISSUER_UNKNOWN}


def test_rsa_may_receive_keys_and_must_have_its_size() -> None:
    rsa = {"key_algorithm": KeyAlgorithm.RSA_3072, "public_key": key(KeyAlgorithm.RSA_3072).public_der}
    right = GOOD.but(key=key(KeyAlgorithm.RSA_3072), usage=usage(key_encipherment=True))
    assert wrongs(right.sign(), **rsa) == set()
    assert wrongs(right.but(key=rsa_key(2048)).sign(), **rsa) == {Wrong.KEY, Wrong.KEY_ALGORITHM}
    small = {"key_algorithm": KeyAlgorithm.RSA_3072, "public_key": rsa_key(2048).public_der}
    assert wrongs(right.but(key=rsa_key(2048)).sign(), **small) == {Wrong.KEY_ALGORITHM}


@pytest.mark.parametrize("empty", [{"public_key": b""}, {"roots": b""}, {"longest_life": 0}])
def test_an_empty_expectation_raises(empty: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="an expectation needs"):
        expectation(**empty)


@pytest.mark.parametrize("path_", ["", "/", "/ns/shop/sa/payments\n", "/ns/shop/sa/x:y"])
def test_an_id_that_spiffe_refuses_does_not_pass_even_where_it_was_asked_for(path_: str) -> None:
    bad = SpiffeId(ID.trust_domain, path_)
    forged = with_names(uri(str(bad)), *GOOD_NAMES[1:]).sign()
    assert wrongs(forged, spiffe_id=bad) == {Wrong.IDENTITY}


def test_roots_that_cannot_be_read_pass_nothing() -> None:
    assert wrongs(GOOD.sign(), roots=b"nothing") == {Wrong.UNREADABLE}


def test_messages_hold_no_key_material() -> None:
    private: PrivateKey = key()
    said = " ".join(
        str(each) for forgery, _ in ATTACKS.values() for each in validate.mismatches(forgery.sign(), expectation())
    )
    assert private.pem.decode().splitlines()[1] not in said
