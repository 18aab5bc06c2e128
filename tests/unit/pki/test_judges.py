"""What others say of our certificates and of forgeries: OpenSSL's verify, py-spiffe, and TLS itself."""

import asyncio
import contextlib
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from ringfence.model.certificates import KeyAlgorithm
from ringfence.pki import encoding, keys, template
from ringfence.pki.encoding import Pair
from ringfence.pki.issue import issue
from ringfence.pki.local_signer import LocalSigner
from ringfence.pki.root import make_root
from spiffe import X509Svid
from spiffe.errors import PySpiffeError

from tests.unit.pki.material import DAY, DNS, HOUR, ID, NOW, TRUST_DOMAIN, Forgery, key, openssl_verify, root, uri

GOOD = Forgery()
ROOT = root().root.certificate


def issued(algorithm: KeyAlgorithm = KeyAlgorithm.ECDSA_P256) -> Pair:
    asked = template.leaf(
        ID, DNS, ttl=4 * HOUR, now=NOW, serial=99, issuer_ends=root().root.not_after, key_algorithm=algorithm
    )
    return asyncio.run(issue(asked, key(algorithm), LocalSigner(root()), ROOT, NOW))


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
@pytest.mark.parametrize("purpose", ["sslserver", "sslclient"])
def test_openssl_accepts_what_is_issued(algorithm: KeyAlgorithm, purpose: str) -> None:
    assert openssl_verify(issued(algorithm).certificate, ROOT, purpose=purpose) == ""


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_py_spiffe_accepts_what_is_issued(algorithm: KeyAlgorithm) -> None:
    pair = issued(algorithm)
    svid = X509Svid.parse(pair.certificate, pair.key)
    assert str(svid.spiffe_id) == str(ID)


def test_openssl_accepts_a_p384_root() -> None:
    slot = make_root(TRUST_DOMAIN, NOW - DAY, 384, key_algorithm=KeyAlgorithm.ECDSA_P384)
    assert openssl_verify(GOOD.sign(by=slot), slot.root.certificate) == ""


@pytest.mark.parametrize("at", [NOW - 301, NOW + 4 * HOUR + 1])
def test_openssl_refuses_it_outside_its_life(at: int) -> None:
    complaint = openssl_verify(issued().certificate, ROOT, at=at)
    assert "not yet valid" in complaint or "expired" in complaint


def test_openssl_refuses_a_foreign_trust_domain_signed_by_our_root() -> None:
    forged = GOOD.but(names=(uri("spiffe://other.example/ns/shop/sa/payments"),)).sign()
    assert "permitted subtree violation" in openssl_verify(forged, ROOT)


@pytest.mark.parametrize("host", ["sub.mesh.example", "mesh.example.evil", "evilmesh.example"])
def test_the_name_constraint_covers_exactly_the_trust_domain(host: str) -> None:
    forged = GOOD.but(names=(uri(f"spiffe://{host}/ns/shop/sa/payments"),)).sign()
    assert "permitted subtree violation" in openssl_verify(forged, ROOT)


def test_openssl_refuses_what_a_leaf_signs() -> None:
    leaf = issued()
    issuer = encoding.certificate(leaf.certificate)
    forged = (
        x509.CertificateBuilder()
        .subject_name(GOOD.subject)
        .issuer_name(issuer.subject)
        .public_key(encoding.private_key(key().pem).public_key())
        .serial_number(5)
        .not_valid_before(encoding.moment(NOW - 60))
        .not_valid_after(encoding.moment(NOW + 60))
        .add_extension(x509.SubjectAlternativeName([uri(str(ID))]), critical=True)
        .sign(encoding.private_key(leaf.key), hashes.SHA256())
    )
    assert openssl_verify(encoding.certificate_pem(forged) + leaf.certificate, ROOT)


SPIFFE_REFUSES: Mapping[str, Forgery] = {
    "two-uris": GOOD.but(names=(uri(str(ID)), uri("spiffe://mesh.example/ns/bank/sa/vault"))),
    "no-uri": GOOD.but(names=(x509.DNSName(DNS[0]),)),
    "no-names": GOOD.but(names=None),
    "root-path": GOOD.but(names=(uri("spiffe://mesh.example"),)),
    "ca": GOOD.but(basic=x509.BasicConstraints(ca=True, path_length=None)),
    "key-cert-sign": GOOD.but(usage=encoding.key_usage(sign_certificates=True)),
}


@pytest.mark.parametrize("name", SPIFFE_REFUSES)
def test_py_spiffe_refuses_the_same_forgeries(name: str) -> None:
    with pytest.raises(PySpiffeError):
        X509Svid.parse(SPIFFE_REFUSES[name].sign(), key().pem)


class Peers:
    """Two programs that shake hands with mutual TLS 1.3 and tell what each saw of the other."""

    def __init__(self, directory: Path, server: Pair, client: Pair, roots: tuple[bytes, bytes]) -> None:
        self._server = self._context(ssl.PROTOCOL_TLS_SERVER, directory / "server", server, roots[0])
        self._client = self._context(ssl.PROTOCOL_TLS_CLIENT, directory / "client", client, roots[1])

    def _context(self, protocol: int, base: Path, pair: Pair, roots: bytes) -> ssl.SSLContext:
        base.mkdir()
        (base / "tls.crt").write_bytes(pair.certificate)
        (base / "tls.key").write_bytes(pair.key)
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
        context.load_cert_chain(base / "tls.crt", base / "tls.key")
        context.load_verify_locations(cadata=roots.decode())
        return context

    def shake(self, name: str) -> tuple[bytes | None, bytes | None]:
        """The certificates (DER) that the server saw of the client, and the client of the server."""
        near, far = socket.socketpair()
        seen: list[bytes | None] = []

        def serve() -> None:
            # What goes wrong is told by the client, whose side the test looks at.
            with contextlib.suppress(ssl.SSLError), self._server.wrap_socket(far, server_side=True) as tls:
                seen.append(tls.getpeercert(binary_form=True))
                tls.sendall(b"hello")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with self._client.wrap_socket(near, server_hostname=name) as tls:
                assert tls.recv(5) == b"hello"
                return seen[0], tls.getpeercert(binary_form=True)
        finally:
            thread.join(10)


def fresh(slot_name: str, serial: int) -> tuple[Pair, bytes]:
    """A pair valid by the real clock (TLS libraries take no other), and its root."""
    now = int(time.time())
    slot = make_root(TRUST_DOMAIN, now, serial)
    made = keys.generate(KeyAlgorithm.ECDSA_P256)
    identity = type(ID).of_service_account(TRUST_DOMAIN, "shop", slot_name)
    asked = template.leaf(
        identity, DNS, ttl=HOUR, now=now, serial=secrets.randbits(127) | 1, issuer_ends=slot.root.not_after
    )
    pair = asyncio.run(issue(asked, made, LocalSigner(slot), slot.root.certificate, now))
    return pair, slot.root.certificate


def test_two_programs_shake_hands(tmp_path: Path) -> None:
    server, server_root = fresh("payments", 3)
    client, client_root = fresh("checkout", 4)
    both = server_root + client_root
    client_seen, server_seen = Peers(tmp_path, server, client, (both, both)).shake(DNS[0])
    assert client_seen == ssl.PEM_cert_to_DER_cert(client.certificate.decode())
    assert server_seen == ssl.PEM_cert_to_DER_cert(server.certificate.decode())


def test_no_hand_is_shaken_without_the_root(tmp_path: Path) -> None:
    server, server_root = fresh("payments", 3)
    client, client_root = fresh("checkout", 4)
    with pytest.raises(ssl.SSLCertVerificationError):
        Peers(tmp_path, server, client, (server_root + client_root, client_root)).shake(DNS[0])
