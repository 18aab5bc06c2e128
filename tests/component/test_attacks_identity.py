"""Certificates that nobody should have, signed by our own root all the same: a real Envoy takes none of them."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from ringfence.pki import encoding
from ringfence.translate import envoy

from tests.component import proxy_net
from tests.component.proxy_net import POD, WEB, Identities, Net
from tests.component.test_proxy_envoy import call, config
from tests.unit.pki import material
from tests.unit.pki.material import Forgery, uri
from tests.unit.policy.making import allow, caller, policy

pytestmark = pytest.mark.component

GOOD = "spiffe://cluster.local/ns/shop/sa/web"


@pytest.fixture
def guarded(net: Net, svids: Identities) -> Iterator[Path]:
    """A proxy that lets in whoever has an identity, on an HTTP and on a TCP port."""
    with proxy_net.running(net, config(policy(ingress=(allow("all"),))), svids.secrets("shop", "db")) as log:
        yield log


def files(svids: Identities, directory: Path, forged: Forgery, *below: bytes) -> tuple[str, str, str]:
    """A leaf, signed by the root of the mesh whatever is wrong with it, and what else its holder shows."""
    chain, key = directory / "leaf.crt", directory / "leaf.key"
    chain.write_bytes(b"".join((forged.sign(svids.slot), *below)))
    key.write_bytes((forged.key or material.key()).pem)
    return str(chain), str(key), str(svids.roots_file)


def leaf(*names: x509.GeneralName, hours: tuple[int, int] = (-1, 24), **changes: object) -> Forgery:
    """A leaf in every respect but ``changes``; good for longer than a run of all tests takes."""
    now = int(time.time())
    return Forgery(names=names or None, begin=now + hours[0] * 3600, end=now + hours[1] * 3600).but(**changes)


def answers(net: Net, identity: tuple[str, str, str]) -> list[str]:
    return net.call([call(WEB, 8080, identity, http=True), call(WEB, 5432, identity)])


def test_a_leaf_of_the_right_form_passes(net: Net, svids: Identities, guarded: Path, tmp_path: Path) -> None:
    assert answers(net, files(svids, tmp_path, leaf(uri(GOOD)))) == ["allowed", "allowed"], guarded.read_text()


@pytest.mark.parametrize(
    "names",
    [
        (),
        (x509.DNSName("web.shop.svc"),),
        (uri("spiffe://partner.example/ns/shop/sa/web"),),
        (uri("spiffe://cluster.local"),),
        (uri("spiffe://cluster.local.evil.example/ns/shop/sa/web"),),
        (uri("https://cluster.local/ns/shop/sa/web"),),
    ],
    ids=["none", "dns", "foreign trust domain", "trust domain alone", "longer trust domain", "no spiffe id"],
)
def test_other_names_do_not(
    net: Net, svids: Identities, guarded: Path, tmp_path: Path, names: tuple[x509.GeneralName, ...]
) -> None:
    assert answers(net, files(svids, tmp_path, leaf(*names))) == ["denied", "denied"]


OTHER = "spiffe://cluster.local/ns/shop/sa/api"
SIGNS = encoding.key_usage(sign_certificates=True)
IS_CA = x509.BasicConstraints(ca=True, path_length=None)
SPOILED = {
    "two ids, none of which is let in": leaf(uri(OTHER), uri("spiffe://cluster.local/ns/bank/sa/web")),
    "CA": leaf(uri(GOOD), basic=IS_CA),
    "CA that signs": leaf(uri(GOOD), basic=IS_CA, usage=SIGNS),
    "keyCertSign": leaf(uri(GOOD), usage=SIGNS),
    "NUL after the id": leaf(uri(GOOD + "\x00.evil")),
    "NUL inside the id": leaf(uri("spiffe://cluster.local/ns/shop/sa/web\x00/../api")),
    "newline after the id": leaf(uri(GOOD + "\n")),
    "slash after the id": leaf(uri(GOOD + "/")),
    "root path": leaf(uri("spiffe://cluster.local/")),
    "escaped": leaf(uri("spiffe://cluster.local/ns/shop/sa/%77eb")),
    "upper case": leaf(uri(GOOD.upper())),
}


@pytest.mark.parametrize("what", SPOILED)
def test_what_is_never_issued_does_not_either(net: Net, svids: Identities, tmp_path: Path, what: str) -> None:
    """Only web may come."""
    with proxy_net.running(net, config(policy(ingress=(allow("web", caller("web")),))), svids.secrets("shop", "db")):
        assert answers(net, files(svids, tmp_path, SPOILED[what])) == ["denied", "denied"]


def test_of_two_ids_either_counts_so_that_none_may_be_issued(net: Net, svids: Identities, tmp_path: Path) -> None:
    """What holds is what is handed out: one ID in each certificate (X.509-SVID §2), looked at once more when signed."""
    with proxy_net.running(net, config(policy(ingress=(allow("web", caller("web")),))), svids.secrets("shop", "db")):
        for names in ((uri(GOOD), uri(OTHER)), (uri(OTHER), uri(GOOD))):
            assert answers(net, files(svids, tmp_path, leaf(*names))) == ["allowed", "allowed"]
    for namespace in ("shop", "bank"):
        chain, _ = svids.pair(namespace, "web")
        assert svid_ids(chain) == [f"spiffe://cluster.local/ns/{namespace}/sa/web"]


def svid_ids(chain: bytes) -> list[str]:
    """All URIs of a certificate."""
    certificate = x509.load_pem_x509_certificate(chain)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)


@pytest.mark.parametrize("hours", [(-3, -1), (1, 3)], ids=["ended", "not yet"])
def test_outside_of_its_life_it_does_not(
    net: Net, svids: Identities, guarded: Path, tmp_path: Path, hours: tuple[int, int]
) -> None:
    identity = files(svids, tmp_path, leaf(uri(GOOD), hours=hours))
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
