"""The CA in a file: encrypted with a passphrase, and known to be readable before anybody relies on it.

The file is text: a line that says what it is, a line of JSON with everything public (key derivation, when, of which
trust domain and root), and the data of the CA's Secret encrypted by AES-256-GCM. The first two lines are authenticated
with it. The key comes from the passphrase by scrypt (RFC 7914).
"""

import base64
import binascii
import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ringfence.model.errors import RingfenceError
from ringfence.pki import store

MAGIC: Final = "RINGFENCE CA BACKUP 1"
MIN_PASSPHRASE: Final = 12
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 12

#: Cost of scrypt: 128 MiB of memory for one guess.
COST: Final = 2**17
_BLOCK, _PARALLEL = 8, 1
#: Files that ask for more than 1 GiB, or are longer than any CA, are not read.
_MAX_COST: Final = 2**20
_MAX_BYTES: Final = 1 << 20


class BadBackup(RingfenceError):
    """A file that is no backup, is damaged, or a passphrase that does not open it or is too weak."""


@dataclass(frozen=True, slots=True, repr=False)
class Backup:
    """A backup that has been opened: the data of the CA's Secret (base64), and when it was made (RFC 3339)."""

    data: Mapping[str, str]
    trust_domain: str
    fingerprint: str
    created: str

    def __repr__(self) -> str:
        return f"Backup({self.trust_domain}, {self.fingerprint}, {self.created})"


def seal(data: Mapping[str, str], passphrase: str, *, salt: bytes, nonce: bytes, now: float, cost: int = COST) -> bytes:
    """The file for the ``data`` of the CA's Secret; read back and compared before it is returned.

    ``salt`` (16 bytes) and ``nonce`` (12 bytes) are random and never used twice; ``now`` in seconds since the epoch.
    Raises BadBackup for a weak passphrase and CaUnusable when the data is no CA worth keeping.
    """
    if len(passphrase) < MIN_PASSPHRASE:
        raise BadBackup(f"the passphrase has {len(passphrase)} characters, at least {MIN_PASSPHRASE} are needed")
    if len(salt) != SALT_BYTES or len(nonce) != NONCE_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes and a nonce {NONCE_BYTES}")
    state = store.read(data)
    public = {
        "cipher": {"name": "AES-256-GCM", "nonce": _text(nonce)},
        "created": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "fingerprint": state.current.root.fingerprint,
        "kdf": {"name": "scrypt", "n": cost, "p": _PARALLEL, "r": _BLOCK, "salt": _text(salt)},
        "trustDomain": state.trust_domain,
    }
    header = f"{MAGIC}\n{json.dumps(public, sort_keys=True)}\n".encode()
    plain = json.dumps(dict(data), sort_keys=True).encode()
    sealed = AESGCM(_derive(passphrase, salt, cost, _BLOCK, _PARALLEL)).encrypt(nonce, plain, header)
    written = header + "\n".join(textwrap.wrap(_text(sealed), 76)).encode() + b"\n"
    if dict(unseal(written, passphrase).data) != dict(data):
        raise BadBackup("what was written cannot be read back")
    return written


def unseal(file: bytes, passphrase: str) -> Backup:
    """Open a file that ``seal`` wrote and check that it holds a whole CA. Raises BadBackup or CaUnusable."""
    header, public, body = _split(file)
    kdf, cipher = _mapping(public, "kdf"), _mapping(public, "cipher")
    if kdf.get("name") != "scrypt" or cipher.get("name") != "AES-256-GCM":
        raise BadBackup("the backup is encrypted in a way that this program does not know")
    cost, block, parallel = (_number(kdf, key) for key in ("n", "r", "p"))
    if not 2 <= cost <= _MAX_COST or cost & (cost - 1) or not 1 <= block <= 16 or not 1 <= parallel <= 4:
        raise BadBackup("the backup asks for a key derivation out of bounds")
    nonce = _decoded(cipher.get("nonce"))
    if len(nonce) != NONCE_BYTES:
        raise BadBackup("the backup's nonce has a wrong length")
    key = _derive(passphrase, _decoded(kdf.get("salt")), cost, block, parallel)
    try:
        plain = AESGCM(key).decrypt(nonce, _decoded(body), header)
    except InvalidTag:
        raise BadBackup("the passphrase is wrong or the file was changed") from None
    data = json.loads(plain)
    state = store.read(data)
    return Backup(data, state.trust_domain, state.current.root.fingerprint, str(public.get("created", "")))


def _split(file: bytes) -> tuple[bytes, dict[str, Any], str]:
    """Header (authenticated bytes), its public part, and the encrypted rest."""
    if len(file) > _MAX_BYTES:
        raise BadBackup("the file is too long to be a backup of the CA")
    magic, _, rest = file.partition(b"\n")
    line, newline, body = rest.partition(b"\n")
    if magic != MAGIC.encode():
        if magic.startswith(MAGIC.rpartition(" ")[0].encode()):
            raise BadBackup(f"the backup is of another version than {MAGIC!r}: use the ringfence that wrote it")
        raise BadBackup("the file is no backup that `ringfence ca backup` wrote")
    try:
        public = json.loads(line)
        text = "".join(body.decode("ascii").split())
    except (ValueError, RecursionError):
        raise BadBackup("the backup's second line is damaged") from None
    if not isinstance(public, dict):
        raise BadBackup("the backup's second line is damaged")
    return magic + b"\n" + line + newline, public, text


def _derive(passphrase: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=cost, r=block, p=parallel).derive(passphrase.encode())


def _mapping(public: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = public.get(key)
    if not isinstance(value, dict):
        raise BadBackup(f"the backup has no {key}")
    return value


def _number(mapping: Mapping[str, Any], key: str) -> int:
    value = mapping.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadBackup(f"the backup's {key} is no number")
    return value


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: object) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        raise BadBackup("the backup is damaged: a part of it is not base64") from None
