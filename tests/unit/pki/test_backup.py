"""Backups: what was sealed comes back, and nothing that was tampered with does."""

import json

import pytest
from ringfence.model.ca import RotationReason
from ringfence.pki import backup, slots, store
from ringfence.pki.backup import BadBackup
from ringfence.pki.store import CACorrupt

from tests.unit.pki.material import NOW, TRUST_DOMAIN, idle, root

PASSPHRASE = "correct horse battery staple"
#: A cheap derivation for the tests; one test takes the real one.
COST = 2**4
STATE = slots.prepare(idle(), root(2), NOW, RotationReason.AGE)
DATA = store.encode(STATE)


def sealed(passphrase: str = PASSPHRASE, cost: int = COST) -> bytes:
    return backup.seal(DATA, passphrase, salt=b"s" * 16, nonce=b"n" * 12, now=NOW, cost=cost)


FILE = sealed()


def test_what_was_sealed_comes_back_whole() -> None:
    opened = backup.unseal(sealed(cost=backup.COST), PASSPHRASE)
    assert opened.data == DATA
    assert store.read(opened.data) == STATE
    assert (opened.trust_domain, opened.created) == (TRUST_DOMAIN, "2027-01-15T08:00:00Z")
    assert opened.fingerprint == root(1).root.fingerprint


def test_the_file_tells_what_it_is_and_no_secret() -> None:
    lines = FILE.decode("ascii").splitlines()
    assert lines[0] == "RINGFENCE CA BACKUP 1"
    assert json.loads(lines[1])["kdf"]["name"] == "scrypt"
    assert max(map(len, lines[2:])) == 76
    assert "PRIVATE" not in FILE.decode()


def test_the_real_cost_is_what_owasp_asks_for() -> None:
    header = json.loads(sealed(cost=backup.COST).splitlines()[1])
    assert (header["kdf"]["n"], header["kdf"]["r"], header["kdf"]["p"]) == (2**17, 8, 1)


def test_a_wrong_passphrase_opens_nothing() -> None:
    with pytest.raises(BadBackup, match="passphrase is wrong or the file was changed"):
        backup.unseal(FILE, PASSPHRASE + " ")


def test_a_passphrase_may_hold_any_characters() -> None:
    assert backup.unseal(sealed("pässwörter über zwölf"), "pässwörter über zwölf").data == DATA


def test_a_weak_passphrase_is_refused() -> None:
    with pytest.raises(BadBackup, match="at least 12"):
        sealed("short")


def test_every_changed_byte_is_noticed() -> None:
    for place in range(0, len(FILE), max(1, len(FILE) // 97)):
        changed = bytearray(FILE)
        changed[place] ^= 0x01
        if bytes(changed).split() == FILE.split():
            continue
        with pytest.raises(BadBackup):
            backup.unseal(bytes(changed), PASSPHRASE)


def test_the_public_line_is_authenticated() -> None:
    changed = FILE.replace(b"2027-01-15", b"2020-01-15")
    assert changed != FILE
    with pytest.raises(BadBackup, match="was changed"):
        backup.unseal(changed, PASSPHRASE)


def header(**changes: object) -> bytes:
    lines = FILE.splitlines()
    public = json.loads(lines[1])
    for path, value in changes.items():
        part, _, name = path.partition("__")
        if name:
            public[part][name] = value
        else:
            public[part] = value
    return b"\n".join([lines[0], json.dumps(public).encode(), *lines[2:]])


@pytest.mark.parametrize(
    ("file", "word"),
    [
        (b"", "no backup"),
        (b"hello\nworld", "no backup"),
        (FILE.replace(b"BACKUP 1", b"BACKUP 2"), "another version"),
        (b"RINGFENCE CA BACKUP 1\n{\n", "damaged"),
        (b"RINGFENCE CA BACKUP 1\n[]\n", "damaged"),
        (b"RINGFENCE CA BACKUP 1\n" + b"[" * 100_000 + b"\n", "damaged"),
        (b"RINGFENCE CA BACKUP 1\n{}\n", "has no kdf"),
        (header(kdf__name="md5"), "does not know"),
        (header(cipher__name="ROT13"), "does not know"),
        (header(kdf__n=2**30), "out of bounds"),
        (header(kdf__n=1000), "out of bounds"),
        (header(kdf__n=0), "out of bounds"),
        (header(kdf__r=10**6), "out of bounds"),
        (header(kdf__p=10**6), "out of bounds"),
        (header(kdf__n=True), "is no number"),
        (header(kdf__n="16"), "is no number"),
        (header(kdf__salt="###"), "not base64"),
        (header(cipher__nonce="AAAA"), "wrong length"),
        (FILE + b"###\n", "not base64"),
        (FILE[:-40], "not base64|was changed"),
        (FILE + b"A" * (1 << 20), "too long"),
    ],
)
def test_what_is_no_backup_is_named(file: bytes, word: str) -> None:
    with pytest.raises(BadBackup, match=word):
        backup.unseal(file, PASSPHRASE)


def test_what_is_no_ca_is_not_sealed() -> None:
    with pytest.raises(CACorrupt):
        backup.seal({"current.crt": "AAAA"}, PASSPHRASE, salt=b"s" * 16, nonce=b"n" * 12, now=NOW)


@pytest.mark.parametrize(("salt", "nonce"), [(b"", b"n" * 12), (b"s" * 16, b"")])
def test_salt_and_nonce_have_their_length(salt: bytes, nonce: bytes) -> None:
    with pytest.raises(ValueError, match="salt has 16 bytes"):
        backup.seal(DATA, PASSPHRASE, salt=salt, nonce=nonce, now=NOW)


def test_a_write_that_cannot_be_read_back_is_not_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    other = backup.unseal(FILE, PASSPHRASE)
    monkeypatch.setattr(
        backup, "unseal", lambda *_: backup.Backup({}, other.trust_domain, other.fingerprint, other.created)
    )
    with pytest.raises(BadBackup, match="cannot be read back"):
        sealed()
