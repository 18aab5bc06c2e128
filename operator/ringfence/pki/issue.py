"""One certificate from wish to result: template, sign, validate. What does not pass is never returned."""

from ringfence.model.certificates import LeafTemplate
from ringfence.model.ports import Signer
from ringfence.pki import validate
from ringfence.pki.encoding import Pair
from ringfence.pki.keys import PrivateKey


def expectation(template: LeafTemplate, public_key: bytes, roots: bytes, now: float) -> validate.Expectation:
    """What a certificate made of a template must be."""
    return validate.Expectation(
        spiffe_id=template.spiffe_id,
        dns_names=template.dns_names,
        key_algorithm=template.key_algorithm,
        public_key=public_key,
        roots=roots,
        now=now,
        longest_life=template.not_after - template.not_before,
        latest_end=template.not_after,
    )


async def issue(template: LeafTemplate, key: PrivateKey, signer: Signer, roots: bytes, now: float) -> Pair:
    """The signed chain with its key; ``roots`` is the trust bundle (PEM) under which it must be valid ``now``.

    Raises what the signer raises, and CertificateRefused when the signer's answer is not what was asked for.
    """
    chain = await signer.sign(template, key.public_der)
    validate.check(chain, expectation(template, key.public_der, roots, now))
    return Pair(chain, key.pem)
