"""Certificates that a real TLS library accepts, and no other."""

import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from e2e.cluster import certificates, kubeconfig
from e2e.cluster.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path, "ca")
    made.create()
    return made


def _load(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def test_names_and_groups_stand_in_the_certificate(authority: Authority) -> None:
    pair = authority.issue("node", user="system:node:a", groups=["system:nodes"], hosts=["DNS:a", "IP:10.0.0.1"])
    made = _load(pair.certificate)
    assert made.subject.rfc4514_string() == "CN=system:node:a,O=system:nodes"
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]
    made.verify_directly_issued_by(_load(authority.pair.certificate))


def test_an_issued_certificate_cannot_issue(authority: Authority) -> None:
    made = _load(authority.issue("leaf", user="leaf").certificate)
    assert made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert isinstance(made.public_key(), ec.EllipticCurvePublicKey)


def test_keys_are_for_their_owner_only(authority: Authority, tmp_path: Path) -> None:
    keys = [authority.pair.key, authority.issue("leaf", user="leaf").key, certificates.signing_key(tmp_path, "sa").key]
    assert [stat.S_IMODE(key.stat().st_mode) for key in keys] == [0o600, 0o600, 0o600]


def test_issued_twice_is_one_certificate(authority: Authority) -> None:
    first = authority.issue("leaf", user="leaf").certificate.read_bytes()
    assert authority.issue("leaf", user="leaf").certificate.read_bytes() == first


def test_a_kubeconfig_is_for_its_owner_only(authority: Authority, tmp_path: Path) -> None:
    user = authority.issue("admin", user="admin")
    ca = authority.pair.certificate
    file = kubeconfig.write(tmp_path / "kubeconfig", server="https://127.0.0.1:1", authority=ca, user=user, name="one")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
