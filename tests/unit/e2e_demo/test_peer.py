"""The program in the pods: what it counts, what it notices when its files change, and what it must not take as good."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ringfence.model.ca import Slot
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import keys
from ringfence.pki.root import make_root

from e2e.demo import peer, peers
from e2e.demo.peer import Peer
from tests.unit.pki.material import DAY, HOUR, TRUST_DOMAIN, Forgery, uri

ORDERS, STOCK = (str(SpiffeId.of_service_account(TRUST_DOMAIN, "shop", name)) for name in ("orders", "stock"))


def _root(serial: int) -> Slot:
    return make_root(TRUST_DOMAIN, time.time() - DAY, serial | 1 << 100)


OLD, NEW = _root(1), _root(2)


def _put(place: Path, name: str, root: Slot, *trusted: Slot, serial: int = 1 << 70, life: int = HOUR) -> None:
    """The files of an identity as the kubelet brings them: in a new directory, by moving a link."""
    key, now = keys.generate(KeyAlgorithm.ECDSA_P256), int(time.time())
    leaf = Forgery(names=(uri(name),), serial=serial, begin=now - 300, end=now + life, key=key)
    place.mkdir(exist_ok=True)
    directory = place / f"..{serial}.{len(list(place.iterdir()))}"
    directory.mkdir()
    (directory / peer.CERTIFICATE).write_bytes(leaf.sign(root))
    (directory / peer.KEY).write_bytes(key.pem)
    (directory / peer.ROOTS).write_bytes(b"".join(each.root.certificate for each in trusted))
    link = place / "..link"
    link.symlink_to(directory.name)
    link.rename(place / peer.CURRENT)
    for file in (peer.CERTIFICATE, peer.KEY, peer.ROOTS):
        if not (place / file).is_symlink():
            (place / file).symlink_to(f"{peer.CURRENT}/{file}")


@contextmanager
def _serving(served: Peer) -> Iterator[tuple[str, int]]:
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=served.serve, args=(listener,))
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        # Closing alone does not wake the thread that accepts.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=10)
        assert not thread.is_alive()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Peer, Peer, tuple[str, int]]]:
    """Orders, which calls; stock, which serves; and where. Both under the old root, trusting it alone."""
    _put(tmp_path / "orders", ORDERS, OLD, OLD, serial=10)
    _put(tmp_path / "stock", STOCK, OLD, OLD, serial=20)
    orders, stock = Peer(tmp_path / "orders", STOCK), Peer(tmp_path / "stock", ORDERS)
    with _serving(stock) as address:
        yield orders, stock, address


def _report(program: Peer) -> peers.Report:
    return peers.parse(json.dumps(program.report()))


def test_a_rotation_in_the_right_order_fails_nobody(pair: tuple[Peer, Peer, tuple[str, int]], tmp_path: Path) -> None:
    orders, stock, address = pair
    orders.call(address)
    for name, spiffe_id, program in (("orders", ORDERS, orders), ("stock", STOCK, stock)):
        _put(tmp_path / name, spiffe_id, OLD, OLD, NEW, serial=30)
        program.refresh()
        orders.call(address)
    for name, spiffe_id, program in (("stock", STOCK, stock), ("orders", ORDERS, orders)):
        _put(tmp_path / name, spiffe_id, NEW, OLD, NEW, serial=40)
        program.refresh()
        orders.call(address)
    report = _report(orders)
    assert (report.handshakes, report.failures) == (5, 0)
    assert report.serials == ("a", "1e", "28")
    assert report.issuers == (OLD.root.fingerprint, NEW.root.fingerprint)
    assert report.trusted == {OLD.root.fingerprint, NEW.root.fingerprint}
    assert _report(stock).handshakes == 0, "only who calls counts"


def test_a_root_that_signs_before_everybody_trusts_it_is_noticed(
    pair: tuple[Peer, Peer, tuple[str, int]], tmp_path: Path
) -> None:
    orders, stock, address = pair
    orders.call(address)
    _put(tmp_path / "stock", STOCK, NEW, OLD, NEW, serial=30)
    stock.refresh()
    orders.call(address)
    report = _report(orders)
    assert (report.handshakes, report.failures) == (1, 1)
    assert "certificate verify failed" in report.last_failure


def test_a_server_that_refuses_the_caller_is_noticed_by_the_caller(
    pair: tuple[Peer, Peer, tuple[str, int]], tmp_path: Path
) -> None:
    orders, _, address = pair
    orders.call(address)
    # In TLS 1.3 the caller's handshake is over before the server has looked at its certificate.
    _put(tmp_path / "orders", ORDERS, NEW, OLD, NEW, serial=30)
    orders.refresh()
    orders.call(address)
    report = _report(orders)
    assert (report.handshakes, report.failures) == (1, 1)


@pytest.mark.parametrize(
    ("served", "life"), [(ORDERS, HOUR), (f"{STOCK}x", HOUR), (STOCK, -60)], ids=["another", "longer", "ended"]
)
def test_a_peer_that_is_somebody_else_or_has_ended_is_refused(
    pair: tuple[Peer, Peer, tuple[str, int]], tmp_path: Path, served: str, life: int
) -> None:
    orders, stock, address = pair
    orders.call(address)
    _put(tmp_path / "stock", served, OLD, OLD, serial=30, life=life)
    stock.refresh()
    orders.call(address)
    assert (_report(orders).handshakes, _report(orders).failures) == (1, 1)


def test_a_caller_that_is_somebody_else_gets_no_answer(
    pair: tuple[Peer, Peer, tuple[str, int]], tmp_path: Path
) -> None:
    orders, _, address = pair
    orders.call(address)
    _put(tmp_path / "orders", f"{ORDERS}x", OLD, OLD, serial=30)
    orders.refresh()
    orders.call(address)
    report = _report(orders)
    assert (report.handshakes, report.failures) == (1, 1)
    assert "closed without an answer" in report.last_failure


def test_failures_count_from_the_first_success_on(pair: tuple[Peer, Peer, tuple[str, int]]) -> None:
    orders, _, address = pair
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()
    orders.call(nobody)
    assert (_report(orders).handshakes, _report(orders).failures) == (0, 0)
    assert _report(orders).last_failure
    orders.call(address)
    orders.call(nobody)
    assert (_report(orders).handshakes, _report(orders).failures) == (1, 1)


def test_files_that_do_not_fit_each_other_are_left_for_later(
    pair: tuple[Peer, Peer, tuple[str, int]], tmp_path: Path
) -> None:
    orders, _, address = pair
    key = keys.generate(KeyAlgorithm.ECDSA_P256)
    (tmp_path / "orders" / peer.CURRENT / peer.KEY).write_bytes(key.pem)
    orders.refresh()
    orders.call(address)
    assert (_report(orders).handshakes, _report(orders).serials) == (1, ("a",))
    with pytest.raises(ssl.SSLError):
        peer.load(tmp_path / "orders")


def test_every_handshake_is_a_whole_one(pair: tuple[Peer, Peer, tuple[str, int]]) -> None:
    orders, _, address = pair
    context = orders._material.client
    with socket.create_connection(address) as plain, context.wrap_socket(plain) as tls:
        tls.sendall(b"who are you\n")
        assert tls.recv(100) == b"you know now\n"
        assert tls.version() == "TLSv1.3"
        assert tls.session is None or not tls.session.has_ticket
