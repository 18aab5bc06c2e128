"""The program in the pods: mutual TLS from its identity's Secret, called and calling all the time.

It does what a careful service would: a new connection for each exchange, nothing resumed, its files read again when
they change, its peer told by the SPIFFE ID. Each second it prints what it has seen so far as one line of JSON. It
stands alone (Python's own library, and cryptography to tell the roots apart), since its pod holds nothing else of this
repository.
"""

import argparse
import json
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

CERTIFICATE, KEY, ROOTS = "tls.crt", "tls.key", "ca.crt"
CURRENT = "..data"
"""The kubelet's symbolic link to the directory of the present files: it changes them all at once by moving this."""

PERIOD = 0.1
"""Seconds from one exchange to the next."""
PATIENCE = 10.0
"""Seconds that an exchange may take."""
_QUESTION, _ANSWER = b"who are you\n", b"you know now\n"
_AT_ONCE = 16
_REFUSED = (OSError, ValueError, LookupError, x509.ExtensionNotFound)
"""What a connection ends with that is not good; OpenSSL's own errors are OSErrors."""


@dataclass(frozen=True, slots=True)
class Material:
    """The files as they were at one moment, ready to use."""

    files: tuple[bytes, bytes, bytes]
    server: ssl.SSLContext
    client: ssl.SSLContext
    serial: str
    """Of the own certificate, hexadecimal."""
    roots: Mapping[bytes, str]
    """SHA-256 of each trusted root, by its key identifier."""


def load(directory: Path) -> Material:
    """Reads the files. Raises OSError or ValueError when they change meanwhile, or do not fit each other."""
    link = directory / CURRENT
    base = link.resolve() if link.is_symlink() else directory
    files = _files(base)
    certificate = x509.load_pem_x509_certificate(files[0])
    roots = x509.load_pem_x509_certificates(files[2])
    return Material(
        files,
        _context(ssl.PROTOCOL_TLS_SERVER, base, files[2]),
        _context(ssl.PROTOCOL_TLS_CLIENT, base, files[2]),
        f"{certificate.serial_number:x}",
        {_key_identifier(each): each.fingerprint(hashes.SHA256()).hex() for each in roots},
    )


def changed(directory: Path, material: Material) -> bool:
    """Whether the files are others than those that were loaded."""
    return _files(directory) != material.files


def _files(directory: Path) -> tuple[bytes, bytes, bytes]:
    return (
        (directory / CERTIFICATE).read_bytes(),
        (directory / KEY).read_bytes(),
        (directory / ROOTS).read_bytes(),
    )


def _context(protocol: int, base: Path, roots: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # The peer is told by its SPIFFE ID, once the path to a root has been verified.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=roots.decode())
    context.load_cert_chain(base / CERTIFICATE, base / KEY)
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0
    return context


def _key_identifier(root: x509.Certificate) -> bytes:
    return root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def root_of_peer(connection: ssl.SSLSocket, expected: str, material: Material) -> str:
    """SHA-256 of the root of a verified peer. Raises ValueError when the peer is not who it should be."""
    der = connection.getpeercert(binary_form=True)
    certificate = x509.load_der_x509_certificate(der or b"")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    found = names.get_values_for_type(x509.UniformResourceIdentifier)
    if found != [expected]:
        raise ValueError(f"the peer is {', '.join(found)}, not {expected}")
    issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    return material.roots[issuer or b""]


class Peer:
    """Serves and calls. ``report`` is what it has seen so far."""

    def __init__(self, directory: Path, expected: str) -> None:
        """``expected`` is the SPIFFE ID of whoever is called and may call. Raises as ``load``."""
        self._directory = directory
        self._expected = expected
        self._lock = threading.Lock()
        self._material = load(directory)
        self._started = time.time()
        self._handshakes = self._failures = 0
        self._last_failure = ""
        self._serials = [self._material.serial]
        self._issuers: list[str] = []

    def refresh(self) -> None:
        """Reads the files again if they have changed. What cannot be read yet is left for the next time."""
        try:
            if not changed(self._directory, self._material):
                return
            material = load(self._directory)
        except (OSError, ValueError):
            return
        with self._lock:
            self._material = material
            if material.serial != self._serials[-1]:
                self._serials.append(material.serial)

    def serve(self, listener: socket.socket) -> None:
        """Answers whoever proves to be the expected peer, until the listener is closed. Failures are the caller's."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                pool.submit(self._answer, connection)

    def _answer(self, connection: socket.socket) -> None:
        material = self._material
        try:
            connection.settimeout(PATIENCE)
            with connection, material.server.wrap_socket(connection, server_side=True) as tls:
                root_of_peer(tls, self._expected, material)
                if tls.recv(len(_QUESTION)) == _QUESTION:
                    tls.sendall(_ANSWER)
        except _REFUSED:
            connection.close()

    def call(self, address: tuple[str, int]) -> None:
        """One exchange over a connection of its own. It counts when the answer is there: before that, nobody knows
        whether the other took the certificate. Failures count from the first success on.
        """
        material = self._material
        try:
            root = self._exchange(address, material)
        except _REFUSED as error:
            with self._lock:
                if self._handshakes:
                    self._failures += 1
                self._last_failure = f"{time.strftime('%H:%M:%S', time.gmtime())} {type(error).__name__}: {error}"
            return
        with self._lock:
            self._handshakes += 1
            if self._issuers[-1:] != [root]:
                self._issuers.append(root)

    def _exchange(self, address: tuple[str, int], material: Material) -> str:
        with (
            socket.create_connection(address, PATIENCE) as plain,
            material.client.wrap_socket(plain) as tls,
        ):
            root = root_of_peer(tls, self._expected, material)
            tls.sendall(_QUESTION)
            if tls.recv(len(_ANSWER)) != _ANSWER:
                raise ConnectionError("closed without an answer")
        return root

    def report(self) -> dict[str, object]:
        """Counts; ``serials`` of the own certificates and ``issuers`` of the peer's, each in the order they came."""
        with self._lock:
            return {
                "started": int(self._started),
                "handshakes": self._handshakes,
                "failures": self._failures,
                "lastFailure": self._last_failure,
                "serials": list(self._serials),
                "issuers": list(self._issuers),
                "trusted": sorted(self._material.roots.values()),
            }


def main(argv: Sequence[str]) -> None:
    """Runs until it is told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="where the Secret is mounted")
    parser.add_argument("--port", type=int, required=True, help="where to serve")
    parser.add_argument("--peer", required=True, metavar="HOST:PORT", help="whom to call")
    parser.add_argument("--expect", required=True, metavar="SPIFFE-ID", help="who that must be, and who may call")
    options = parser.parse_args(argv)
    # The first process of a pod has no default for this signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    peer = Peer(options.directory, options.expect)
    listener = socket.create_server(("", options.port), backlog=64)
    threading.Thread(target=peer.serve, args=(listener,), daemon=True).start()
    host, _, port = options.peer.rpartition(":")
    said = 0.0
    while True:
        begin = time.monotonic()
        peer.refresh()
        peer.call((host, int(port)))
        if begin - said >= 1:
            said = begin
            print(json.dumps(peer.report()), flush=True)
        time.sleep(max(0.0, begin + PERIOD - time.monotonic()))


if __name__ == "__main__":
    main(sys.argv[1:])
