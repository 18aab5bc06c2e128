"""Certificates that nobody should have, signed by our own root all the same: a real Envoy takes none of them."""

import datetime
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ringfence.translate import envoy

from tests.component import proxy_net
from tests.component.proxy_net import POD, WEB, Identities, Net
from tests.component.test_proxy_envoy import call, config
from tests.unit.policy.making import allow, policy

pytestmark = pytest.mark.component

GOOD = "spiffe://cluster.local/ns/shop/sa/web"


@pytest.fixture
def guarded(net: Net, svids: Identities) -> Iterator[Path]:
    """A proxy that lets in whoever has an identity, on an HTTP and on a TCP port."""
    with proxy_net.running(net, config(policy(ingress=(allow("all"),))), svids.secrets("shop", "db")) as log:
        yield log


def files(
    svids: Identities, directory: Path, *names: x509.GeneralName, hours: tuple[int, int] = (-1, 1)
) -> tuple[str, str, str]:
    """A leaf with these names, signed by the root of the mesh."""
    slot = svids._slot
    issuer = x509.load_pem_x509_certificate(slot.root.certificate)
    signs = serialization.load_pem_private_key(slot.key, None)
    assert isinstance(signs, ec.EllipticCurvePrivateKey)
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(hours=hours[0]))
        .not_valid_after(now + datetime.timedelta(hours=hours[1]))
    )
    usages = [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH, x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]
    made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    made = made.add_extension(x509.KeyUsage(True, *[False] * 8), critical=True)
    made = made.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if names:
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=True)
    paths = directory / "leaf.crt", directory / "leaf.key"
    paths[0].write_bytes(made.sign(signs, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(*pem))
    return str(paths[0]), str(paths[1]), str(svids.roots_file)


def answers(net: Net, identity: tuple[str, str, str]) -> list[str]:
    return net.call([call(WEB, 8080, identity, http=True), call(WEB, 5432, identity)])


def test_a_leaf_of_the_right_form_passes(net: Net, svids: Identities, guarded: Path, tmp_path: Path) -> None:
    assert answers(net, files(svids, tmp_path, x509.UniformResourceIdentifier(GOOD))) == ["allowed", "allowed"], (
        guarded.read_text()
    )


@pytest.mark.parametrize(
    "names",
    [
        (),
        (x509.DNSName("web.shop.svc"),),
        (x509.UniformResourceIdentifier("spiffe://partner.example/ns/shop/sa/web"),),
        (x509.UniformResourceIdentifier("spiffe://cluster.local"),),
        (x509.UniformResourceIdentifier("spiffe://cluster.local.evil.example/ns/shop/sa/web"),),
        (x509.UniformResourceIdentifier("https://cluster.local/ns/shop/sa/web"),),
    ],
    ids=["none", "dns", "foreign trust domain", "trust domain alone", "longer trust domain", "no spiffe id"],
)
def test_other_names_do_not(
    net: Net, svids: Identities, guarded: Path, tmp_path: Path, names: tuple[x509.GeneralName, ...]
) -> None:
    assert answers(net, files(svids, tmp_path, *names)) == ["denied", "denied"]


@pytest.mark.parametrize("hours", [(-3, -1), (1, 3)], ids=["ended", "not yet"])
def test_outside_of_its_life_it_does_not(
    net: Net, svids: Identities, guarded: Path, tmp_path: Path, hours: tuple[int, int]
) -> None:
    identity = files(svids, tmp_path, x509.UniformResourceIdentifier(GOOD), hours=hours)
    assert answers(net, identity) == ["denied", "denied"]


_TICKETS = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
chain, key, roots, pod, source, port = sys.argv[1:]
context.load_verify_locations(roots)
context.load_cert_chain(chain, key)
context.set_alpn_protocols(["ringfence"])
with context.wrap_socket(socket.create_connection((pod, int(port)), 10, (source, 0))) as connection:
    connection.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    connection.recv(100)
    session = connection.session
    print(session.has_ticket if session else False)
"""


@pytest.mark.parametrize("port", ["8080", "5432"])
def test_no_session_can_be_resumed(net: Net, svids: Identities, guarded: Path, port: str) -> None:
    """A resumed session would let a certificate in that has ended, or whose root is not trusted any more."""
    command = net.command("callers", sys.executable, "-c", _TICKETS, *svids.files("shop", "web"), POD, WEB, port)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("False\n", "")


_HELD = """
import socket, ssl, sys, time
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
chain, key, roots, pod, source = sys.argv[1:]
context.load_verify_locations(roots)
context.load_cert_chain(chain, key)
context.set_alpn_protocols(["ringfence"])
with context.wrap_socket(socket.create_connection((pod, 5432), 10, (source, 0))) as connection:
    connection.settimeout(30)
    connection.sendall(b"hello")
    first, began = connection.recv(100), time.monotonic()
    try:
        ended = connection.recv(100) == b""
    except (ConnectionError, ssl.SSLError) as error:
        ended = "timed out" not in str(error)
    print(first.decode().strip(), ended, time.monotonic() - began < 10)
"""


def test_no_connection_outlives_its_certificate_for_long(
    net: Net, svids: Identities, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open connection knows nothing of a certificate that has ended, so its age is bounded: here to 2.9 seconds."""
    monkeypatch.setattr(envoy, "AGE_SHARE", envoy.AGE_SHARE / 1250)
    with proxy_net.running(net, config(policy(ingress=(allow("all"),))), svids.secrets("shop", "db")):
        command = net.command("callers", sys.executable, "-c", _HELD, *svids.files("shop", "web"), POD, WEB)
        assert proxy_net.run(*command) == "program True True\n"
