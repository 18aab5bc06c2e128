"""Serving certificates: what they say, when they are renewed, and that TLS really accepts them."""

import socket
import ssl
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import verification
from ringfence.pki import serving

NOW = 1_800_000_000.0
DAY = 86400.0
NAMES = serving.names("ringfence-system")


@pytest.fixture(scope="module")
def ca() -> serving.Pair:
    return serving.make_ca(NOW, 1)


@pytest.fixture(scope="module")
def leaf(ca: serving.Pair) -> serving.Pair:
    return serving.issue(ca, NAMES, NOW, 2)


def read(pair: serving.Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate)


def test_names_are_those_of_the_service() -> None:
    assert NAMES[0] == "ringfence-webhook.ringfence-system.svc"
    assert "ringfence-webhook.ringfence-system.svc.cluster.local" in NAMES


def test_the_ca_signs_leaves_and_nothing_else(ca: serving.Pair) -> None:
    certificate = read(ca)
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical
    assert (basic.value.ca, basic.value.path_length) == (True, 0)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert not usage.digital_signature
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"


def test_the_leaf_serves_and_signs_nothing(ca: serving.Pair, leaf: serving.Pair) -> None:
    certificate = read(leaf)
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert not usage.key_cert_sign
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert tuple(names.get_values_for_type(x509.DNSName)) == NAMES
    certificate.verify_directly_issued_by(read(ca))


def test_an_independent_verifier_accepts_it(ca: serving.Pair, leaf: serving.Pair) -> None:
    store = verification.Store([read(ca)])
    moment = read(leaf).not_valid_before_utc + timedelta(days=1)
    verifier = verification.PolicyBuilder().store(store).time(moment).build_server_verifier(x509.DNSName(NAMES[0]))
    assert verifier.verify(read(leaf), [])[0] == read(leaf)


def test_tls_accepts_it(tmp_path: Path) -> None:
    import time

    ca = serving.make_ca(time.time(), 1)
    leaf = serving.issue(ca, ["localhost"], time.time(), 2)
    (tmp_path / "leaf").write_bytes(leaf.key + leaf.certificate)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "leaf")
    client = ssl.create_default_context(cadata=ca.certificate.decode())
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=lambda: server.wrap_socket(theirs, server_side=True).close())
    thread.start()
    with client.wrap_socket(ours, server_hostname="localhost") as tls:
        assert tls.version() == "TLSv1.3"
    thread.join()


def test_clocks_that_are_behind_accept_it_too(leaf: serving.Pair) -> None:
    assert read(leaf).not_valid_before_utc.timestamp() == NOW - 300


def test_a_leaf_never_outlives_its_ca() -> None:
    short = serving.make_ca(NOW, 1, life=timedelta(days=2))
    assert serving.ends(serving.issue(short, NAMES, NOW, 2).certificate) == NOW + 2 * DAY


@pytest.mark.parametrize(("days", "due"), [(0, False), (19, False), (20.1, True), (29, True), (31, True)])
def test_it_is_renewed_when_a_third_of_its_life_is_left(leaf: serving.Pair, days: float, due: bool) -> None:
    assert serving.needs_renewal(leaf.certificate, NOW + days * DAY) is due


def test_what_is_no_certificate_needs_renewal() -> None:
    assert serving.needs_renewal(b"", NOW)
    assert serving.needs_renewal(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", NOW)


def test_is_for(ca: serving.Pair, leaf: serving.Pair) -> None:
    other = serving.make_ca(NOW, 3)
    assert serving.is_for(leaf.certificate, ca.certificate, NAMES)
    assert serving.is_for(leaf.certificate, ca.certificate, NAMES[:1])
    assert not serving.is_for(leaf.certificate, ca.certificate, ["else.svc"])
    assert not serving.is_for(leaf.certificate, other.certificate, NAMES)
    assert not serving.is_for(b"", ca.certificate, NAMES)
    assert not serving.is_for(ca.certificate, ca.certificate, NAMES)


def test_a_ca_of_the_same_name_with_another_key_is_another(ca: serving.Pair) -> None:
    twin = serving.make_ca(NOW, 1)
    assert not serving.is_for(serving.issue(twin, NAMES, NOW, 2).certificate, ca.certificate, NAMES)


def test_bundle_holds_each_root_once_new_first_and_none_that_has_ended() -> None:
    old = serving.make_ca(NOW - 400 * DAY, 1)
    new = serving.make_ca(NOW, 2)
    both = new.certificate + old.certificate
    assert serving.bundle(new.certificate, old.certificate) == both
    assert serving.bundle(new.certificate, both, both) == both
    assert serving.bundle(new.certificate, both, now=NOW) == new.certificate
    assert serving.bundle(b"", b"nothing") == b""


def test_a_foreign_key_is_refused(ca: serving.Pair) -> None:
    with pytest.raises(serving.BadCertificate, match="not the one"):
        serving.issue(serving.Pair(ca.certificate, serving.make_ca(NOW, 9).key), NAMES, NOW, 2)
    with pytest.raises(serving.BadCertificate, match="cannot be read"):
        serving.issue(serving.Pair(ca.certificate, b"key"), NAMES, NOW, 2)
    with pytest.raises(ValueError, match="at least one"):
        serving.issue(ca, [], NOW, 2)


def test_nothing_secret_is_shown(ca: serving.Pair) -> None:
    assert repr(ca) == "Pair(...)"
    assert "PRIVATE" not in f"{ca} {[ca]}"
