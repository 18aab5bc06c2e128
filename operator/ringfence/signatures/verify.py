"""Whether what a registry holds beside an image answers a rule: one good signature is enough, all others may be bad."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, Protocol

from ringfence.model.signatures import Answer, SignatureReason, SignatureRule, Signer
from ringfence.signatures import bundle, keys, statement
from ringfence.signatures.found import Bundle, Found, NotVerified, SimpleSigning

#: Reasons that a message shows; a registry may hold many signatures of others.
_SHOWN: Final = 3


class Root(Protocol):
    """Fulfilled by keyless.TrustRoot."""

    def verify(self, found: Found, digest: str, signer: Signer) -> None:
        """Raises NotVerified unless the signer signed the image of this digest."""
        ...


def verify(rule: SignatureRule, digest: str, found: Sequence[Found], root: Root | None) -> Answer:
    """The answer to ``rule`` for the image ``digest`` (``sha256:…``), from everything that was found beside it.

    ``root`` is None where the installation has no trust root for keyless signatures. Raises keys.BadKey for a rule
    whose keys no parser would have let in.
    """
    if rule.keyless and root is None:
        return Answer(SignatureReason.NO_TRUST_ROOT, "keyless signatures need a trust root: set signatures.trustedRoot")
    if not found:
        return Answer(SignatureReason.NOT_SIGNED, "the registry holds no signature for this digest")
    trouble: list[str] = []
    for each in found:
        for check in _checks(rule, digest, each, root):
            try:
                check()
            except NotVerified as error:
                trouble.append(str(error))
            else:
                return Answer(SignatureReason.VERIFIED)
    return Answer(SignatureReason.NOT_TRUSTED, _summed_up(trouble, len(found)))


def _checks(rule: SignatureRule, digest: str, found: Found, root: Root | None) -> Iterator[Callable[[], None]]:
    for pem in rule.keys:
        yield partial(by_key, keys.load(pem), digest, found)
    if root is not None:
        for signer in rule.keyless:
            yield partial(root.verify, found, digest, signer)


def by_key(key: keys.PublicKey, digest: str, found: Found) -> None:
    """Raises NotVerified unless ``key`` signed the image of this digest."""
    if isinstance(found, SimpleSigning):
        statement.check_simple_signing(found.payload, digest)
        keys.verify(key, found.signature, found.payload)
        return
    _bundle_by_key(key, digest, found)


def _bundle_by_key(key: keys.PublicKey, digest: str, found: Bundle) -> None:
    content = bundle.read(found.document)
    if isinstance(content, bundle.Message):
        keys.verify_digest(key, content.signature, bytes.fromhex(digest.removeprefix("sha256:")))
        return
    keys.verify(key, content.signature, content.signed)
    statement.check_statement(content.payload_type, content.payload, digest)


def _summed_up(trouble: Sequence[str], count: int) -> str:
    """What was wrong, each once, the first few."""
    distinct = list(dict.fromkeys(trouble))
    more = f"; and {len(distinct) - _SHOWN} more" if len(distinct) > _SHOWN else ""
    signatures = "signature" if count == 1 else "signatures"
    return f"{count} {signatures}, none as asked: " + "; ".join(distinct[:_SHOWN]) + more
