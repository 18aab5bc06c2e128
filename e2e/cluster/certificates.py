"""The cluster's certificates, signed by openssl's command, so that nothing but the standard library is needed.

They last a year and guard nothing but a test cluster on one machine; keys are readable by their owner only.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.errors import ClusterError


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Two PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """A certification authority in a directory of its own making."""

    directory: Path
    name: str

    @property
    def pair(self) -> KeyPair:
        """Its own certificate and key."""
        return KeyPair(self.directory / f"{self.name}.crt", self.directory / f"{self.name}.key")

    def create(self) -> KeyPair:
        """Makes key and self-signed certificate, unless they are there."""
        extensions = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
        return _request(self.pair, f"/CN={self.name}", extensions)

    def issue(self, name: str, *, user: str, groups: Sequence[str] = (), hosts: Sequence[str] = ()) -> KeyPair:
        """A certificate for both ends of a connection. `hosts` are openssl's forms: DNS:name or IP:address."""
        pair = KeyPair(self.directory / f"{name}.crt", self.directory / f"{name}.key")
        subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
        extensions = ["basicConstraints=critical,CA:FALSE", "extendedKeyUsage=serverAuth,clientAuth"]
        if hosts:
            extensions.append(f"subjectAltName={','.join(hosts)}")
        return _request(pair, subject, extensions, issuer=self.pair)


def signing_key(directory: Path, name: str) -> KeyPair:
    """A bare RSA key pair (the second file is the private key), as the API server signs ServiceAccount tokens with."""
    pair = KeyPair(directory / f"{name}.pub", directory / f"{name}.key")
    if not pair.certificate.exists():
        _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(pair.key))
        _openssl("pkey", "-in", str(pair.key), "-pubout", "-out", str(pair.certificate))
    return pair


def _request(pair: KeyPair, subject: str, extensions: Sequence[str], issuer: KeyPair | None = None) -> KeyPair:
    if pair.certificate.exists():
        return pair
    pair.certificate.parent.mkdir(parents=True, exist_ok=True)
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    files = ("-keyout", str(pair.key), "-out", str(pair.certificate))
    signer = ("-CA", str(issuer.certificate), "-CAkey", str(issuer.key)) if issuer else ()
    added = [part for extension in extensions for part in ("-addext", extension)]
    _openssl("req", "-x509", *curve, "-days", "365", "-subj", subject, *files, *signer, *added)
    return pair


def _openssl(*arguments: str) -> None:
    # An empty configuration: the machine's own may add extensions that contradict ours.
    command = ["openssl", *arguments]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        umask=0o077,
        env={"OPENSSL_CONF": "/dev/null", "PATH": "/usr/bin:/bin:/usr/local/bin"},
    )
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(command)}: {done.stderr.strip()}")
