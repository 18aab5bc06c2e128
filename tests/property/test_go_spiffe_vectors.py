"""SVIDs that the SPIFFE project's own Go library is tested with, good and wrong: our judge must see the same faults.

Its module is fetched when the test runs and checked against the sum that Go's checksum database has for it.
"""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import encoding, validate
from ringfence.pki.validate import Expectation, Mismatch, Wrong

from e2e import modules

MODULE = ("github.com/spiffe/go-spiffe/v2", "v2.9.0", "h1:g5qTg3qIP1HXV+GzuyEfSJFVxUCpEP5Ui1OINVJHPB4=")

#: What their file names say, and what our judge must say (among others: the chains are of roots that are not theirs to
#: give, have ended, and have a subject).
FAULTS = {
    "wrong-leaf-ca-true.pem": {Wrong.CA},
    "wrong-leaf-cert-sign.pem": {Wrong.KEY_USAGE},
    "wrong-leaf-crl-sign.pem": {Wrong.KEY_USAGE},
    "wrong-leaf-empty-id.pem": {Wrong.IDENTITY},
    "wrong-leaf-no-digital-signature.pem": {Wrong.KEY_USAGE},
}
#: Theirs may be used to agree on keys and to wrap them, too; ours are asked to sign and nothing else.
GOOD: dict[str, set[Wrong]] = {
    "good-leaf-only.pem": set(),
    "good-leaf-and-intermediate.pem": {Wrong.KEY_USAGE},
    "good-cert-and-key.pem": {Wrong.KEY_USAGE},
}
_ALL = frozenset(wrong for wrongs in FAULTS.values() for wrong in wrongs)


@pytest.fixture(scope="module")
def vectors() -> Path:
    return modules.directory(*MODULE) / "svid" / "x509svid" / "testdata"


def judged(file: Path) -> tuple[Mismatch, ...]:
    """All that is wrong with the chain in a file, if it were to be that of their workload."""
    certificates = x509.load_pem_x509_certificates(file.read_bytes())
    leaf = certificates[0]
    return validate.mismatches(
        b"".join(each.public_bytes(Encoding.PEM) for each in certificates),
        Expectation(
            spiffe_id=SpiffeId.parse("spiffe://example.org/workload-1"),
            dns_names=(),
            key_algorithm=KeyAlgorithm.ECDSA_P256,
            public_key=encoding.public_der(leaf.public_key()),  # type: ignore[arg-type]
            roots=certificates[-1].public_bytes(Encoding.PEM),
            now=leaf.not_valid_before_utc.timestamp(),
            longest_life=400 * 86400 * 10,
        ),
    )


@pytest.mark.parametrize("name", FAULTS)
def test_what_they_call_wrong_is_wrong_for_the_same_reason(vectors: Path, name: str) -> None:
    found = {each.reason for each in judged(vectors / name)}
    assert found & _ALL == FAULTS[name]


@pytest.mark.parametrize("name", GOOD)
def test_what_they_call_good_has_none_of_these_faults(vectors: Path, name: str) -> None:
    assert _ALL & {each.reason for each in judged(vectors / name)} == GOOD[name]


def test_none_of_theirs_is_overlooked(vectors: Path) -> None:
    """A new version of the module may bring more."""
    names = {each.name for each in vectors.iterdir() if each.name.startswith(("wrong-leaf", "good-leaf"))}
    assert names == {name for name in (*FAULTS, *GOOD) if name.startswith(("wrong", "good-leaf"))}
