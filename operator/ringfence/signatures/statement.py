"""What a signature says: which digest, and that it is meant as the signature of an image.

The second matters as much as the first: a signer also attests (where an image comes from, what was found in it), and a
list of an image's faults must not pass for its approval.
"""

import json
from typing import Any, Final

from ringfence.signatures.found import NotVerified

#: Bytes of a payload at most; real ones have a few hundred.
MAX_PAYLOAD: Final = 64 * 1024

_SIMPLE_TYPE: Final = "cosign container image signature"
STATEMENT_PAYLOAD: Final = "application/vnd.in-toto+json"
_STATEMENTS: Final = frozenset({"https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"})
#: The one predicate that means "this is the image's signature".
SIGNATURE_PREDICATE: Final = "https://sigstore.dev/cosign/sign/v1"
_MAX_SUBJECTS: Final = 64


def check_simple_signing(payload: bytes, digest: str) -> None:
    """Raises NotVerified unless ``payload`` says that ``digest`` (``sha256:…``) was signed as an image."""
    document = _object(payload, "the signed payload")
    critical = document.get("critical")
    image = critical.get("image") if isinstance(critical, dict) else None
    if not isinstance(critical, dict) or not isinstance(image, dict):
        raise NotVerified("the signed payload has no critical.image")
    if critical.get("type") != _SIMPLE_TYPE:
        raise NotVerified(f"the signed payload is {_shown(critical.get('type'))}, not {_SIMPLE_TYPE!r}")
    if image.get("docker-manifest-digest") != digest:
        raise NotVerified(f"it signs {_shown(image.get('docker-manifest-digest'))}, another image")


def check_statement(payload_type: str, payload: bytes, digest: str) -> None:
    """Raises NotVerified unless a DSSE envelope's payload says that ``digest`` was signed as an image."""
    if payload_type != STATEMENT_PAYLOAD:
        raise NotVerified(f"the envelope carries {_shown(payload_type)}, not {STATEMENT_PAYLOAD}")
    document = _object(payload, "the signed statement")
    if document.get("_type") not in _STATEMENTS:
        raise NotVerified(f"the statement is of type {_shown(document.get('_type'))}, which is unknown")
    if document.get("predicateType") != SIGNATURE_PREDICATE:
        raise NotVerified(f"it attests {_shown(document.get('predicateType'))} and is no signature of an image")
    subjects = document.get("subject")
    if not isinstance(subjects, list) or not 0 < len(subjects) <= _MAX_SUBJECTS:
        raise NotVerified("the statement names no subject")
    algorithm, _, value = digest.partition(":")
    if not any(_digest_of(each, algorithm) == value for each in subjects):
        raise NotVerified(f"it signs {_shown(_digest_of(subjects[0], algorithm))}, another image")


def _digest_of(subject: Any, algorithm: str) -> Any:
    digests = subject.get("digest") if isinstance(subject, dict) else None
    return digests.get(algorithm) if isinstance(digests, dict) else None


def _object(data: bytes, what: str) -> dict[str, Any]:
    if len(data) > MAX_PAYLOAD:
        raise NotVerified(f"{what} is larger than {MAX_PAYLOAD // 1024} KiB")
    try:
        document = json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise NotVerified(f"{what} is no JSON that can be relied on: {error}") from error
    if not isinstance(document, dict):
        raise NotVerified(f"{what} is no JSON object")
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A key that is there twice means one thing to one reader and another to the next."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key is there twice")
    return made


def _shown(value: Any) -> str:
    return ascii(value)[:100] if value is not None else "nothing"
