"""Keyless signatures: what a local authority and log sign is accepted, and nothing that differs in one thing."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from ringfence.model.signatures import Signer
from ringfence.signatures import keyless
from ringfence.signatures.found import Bundle, Found, NotVerified

from tests.unit.signatures import authority as a
from tests.unit.signatures.authority import DIGEST, IDENTITY, ISSUER, NOW, Wishes

SIGNER = Signer(ISSUER, IDENTITY)


@pytest.fixture(scope="module")
def trusted() -> a.Authority:
    return a.authority()


@pytest.fixture(scope="module")
def root(trusted: a.Authority) -> keyless.TrustRoot:
    return keyless.TrustRoot(trusted.trusted_root())


@pytest.mark.parametrize("signer", [SIGNER, Signer(ISSUER, IDENTITY.rpartition("/")[0] + "/*")])
def test_what_the_signer_signed_is_accepted(trusted: a.Authority, root: keyless.TrustRoot, signer: Signer) -> None:
    certified = trusted.certify()
    root.verify(trusted.simple(certified), DIGEST, signer)
    root.verify(a.document(trusted.bundle(certified)), DIGEST, signer)
    root.verify(a.document(trusted.blob_bundle(certified, b"an image")), DIGEST, signer)


def test_an_identity_that_is_a_mail_address_is_accepted(trusted: a.Authority, root: keyless.TrustRoot) -> None:
    certified = trusted.certify(Wishes(names=(x509.RFC822Name("release@corp.example"),)))
    root.verify(trusted.simple(certified), DIGEST, Signer(ISSUER, "release@corp.example"))


def _refused(root: keyless.TrustRoot, found: Found, why: str, digest: str = DIGEST, signer: Signer = SIGNER) -> None:
    with pytest.raises(NotVerified, match=why):
        root.verify(found, digest, signer)


def test_a_signature_over_another_digest_is_refused(trusted: a.Authority, root: keyless.TrustRoot) -> None:
    certified = trusted.certify()
    other = a.OTHER_DIGEST
    _refused(root, trusted.simple(certified, a.simple_payload(other)), "another image")
    _refused(root, a.document(trusted.bundle(certified, a.statement(other))), "another image")
    _refused(root, a.document(trusted.blob_bundle(certified, b"another image")), "invalid|inconsistent|Signature")


@pytest.mark.parametrize(
    ("signer", "why"),
    [
        (Signer(ISSUER, "https://code.example/other/app/.release@refs/tags/v1.0.0"), "it is by"),
        (Signer(ISSUER, IDENTITY + "\n"), "it is by"),
        (Signer(ISSUER, IDENTITY[:-1]), "it is by"),
        (Signer(ISSUER, "https://code.example/shop/ap/*"), "it is by"),
        (Signer("https://token.example.evil", IDENTITY), "vouches"),
        (Signer("https://token.exampl", IDENTITY), "vouches"),
    ],
)
def test_another_signer_is_refused(trusted: a.Authority, root: keyless.TrustRoot, signer: Signer, why: str) -> None:
    certified = trusted.certify()
    _refused(root, trusted.simple(certified), why, signer=signer)
    _refused(root, a.document(trusted.bundle(certified)), why, signer=signer)


_URI = x509.UniformResourceIdentifier(IDENTITY)


@pytest.mark.parametrize(
    ("wishes", "why"),
    [
        (Wishes(names=(_URI, x509.UniformResourceIdentifier("https://other.example/"))), "2 identities"),
        (Wishes(names=(_URI, x509.DNSName("code.example"))), "name of a kind"),
        (Wishes(usage=ExtendedKeyUsageOID.CLIENT_AUTH), "code signing"),
        (Wishes(logged=False), "SCT"),
        (Wishes(begin=NOW - timedelta(minutes=20)), "chain|expired"),
        (Wishes(begin=NOW + timedelta(minutes=1)), "chain|expired"),
    ],
    ids=["two-names", "dns-name", "not-for-signing", "not-in-the-certificate-log", "expired", "not-yet-valid"],
)
def test_a_certificate_that_is_not_as_it_must_be_is_refused(
    trusted: a.Authority, root: keyless.TrustRoot, wishes: Wishes, why: str
) -> None:
    certified = trusted.certify(wishes)
    _refused(root, trusted.simple(certified), why)
    _refused(root, a.document(trusted.bundle(certified)), why)


@pytest.mark.parametrize(
    ("part", "why"), [("root", "certificate chain"), ("certificate_log", "SCT"), ("log", "invalid log entry")]
)
def test_another_authority_is_refused(trusted: a.Authority, root: keyless.TrustRoot, part: str, why: str) -> None:
    strange = replace(trusted, **{part: getattr(a.authority(1), part)})
    certified = strange.certify()
    _refused(root, strange.simple(certified), why)
    _refused(root, a.document(strange.bundle(certified)), why)


def _without_entry(bundle: dict[str, Any]) -> None:
    bundle["verificationMaterial"]["tlogEntries"] = []


def _entry(bundle: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = bundle["verificationMaterial"]["tlogEntries"][0]
    return found


def _other_root(bundle: dict[str, Any]) -> None:
    _entry(bundle)["inclusionProof"]["rootHash"] = a.b64(bytes(32))


def _other_path(bundle: dict[str, Any]) -> None:
    _entry(bundle)["inclusionProof"]["hashes"] = [a.b64(bytes(32))]


def _no_checkpoint(bundle: dict[str, Any]) -> None:
    del _entry(bundle)["inclusionProof"]["checkpoint"]


def _no_promise(bundle: dict[str, Any]) -> None:
    del _entry(bundle)["inclusionPromise"]


def _later(bundle: dict[str, Any]) -> None:
    _entry(bundle)["integratedTime"] = str(int(NOW.timestamp()) + 60)


def _payload(bundle: dict[str, Any]) -> None:
    bundle["dsseEnvelope"]["payload"] = a.b64(a.statement(DIGEST).replace(b"{}", b'{"a": 1}'))


def _two_signatures(bundle: dict[str, Any]) -> None:
    bundle["dsseEnvelope"]["signatures"] *= 2


def _version(bundle: dict[str, Any]) -> None:
    bundle["mediaType"] = "application/vnd.dev.sigstore.bundle.v9+json"


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_without_entry, "exactly one log entry"),
        (_other_root, "inclusion proof"),
        (_other_path, "inclusion proof"),
        (_no_checkpoint, "checkpoint"),
        (_no_promise, "inclusion promise"),
        (_later, "inclusion promise"),
        (_payload, "DSSE: invalid signature"),
        (_two_signatures, "dsseEnvelope.signatures"),
        (_version, "unknown"),
    ],
)
def test_a_bundle_that_was_tampered_with_is_refused(
    trusted: a.Authority, root: keyless.TrustRoot, spoil: Callable[[dict[str, Any]], None], why: str
) -> None:
    bundle = trusted.bundle(trusted.certify())
    spoil(bundle)
    _refused(root, a.document(bundle), why)


def test_the_bundle_of_another_image_with_its_log_entry_is_refused(
    trusted: a.Authority, root: keyless.TrustRoot
) -> None:
    certified = trusted.certify()
    bundle, other = trusted.bundle(certified), trusted.bundle(certified, a.statement(a.OTHER_DIGEST))
    bundle["verificationMaterial"] = other["verificationMaterial"]
    _refused(root, a.document(bundle), "payload hash does not match")


def test_an_older_signature_that_was_tampered_with_is_refused(trusted: a.Authority, root: keyless.TrustRoot) -> None:
    certified = trusted.certify()
    good = trusted.simple(certified)
    other = trusted.simple(certified, a.simple_payload(a.OTHER_DIGEST))
    _refused(root, replace(good, payload=a.simple_payload() + b" "), "Signature is invalid")
    _refused(root, replace(good, signature=other.signature), "Signature is invalid")
    _refused(root, replace(good, log=other.log), "inconsistent")
    _refused(root, replace(good, log=b""), "no log entry")
    _refused(root, replace(good, certificate=b""), "no certificate")
    _refused(root, replace(good, certificate=trusted.certify().pem), "Signature is invalid")
    _refused(root, a.changed_log(good, integratedTime=int(NOW.timestamp()) + 60), "promise")
    _refused(root, a.changed_log(good, integratedTime=0), "promise")
    _refused(root, a.changed_log(good, logIndex=8), "promise")
    no_promise = json.dumps({**json.loads(good.log), "SignedEntryTimestamp": ""}).encode()
    _refused(root, replace(good, log=no_promise), "promise")
    _refused(root, replace(good, log=b"x" * (keyless.MAX_LOG + 1)), "too large")


def test_an_attestation_is_no_signature(trusted: a.Authority, root: keyless.TrustRoot) -> None:
    certified = trusted.certify()
    attested = a.statement(predicate="https://slsa.dev/provenance/v1")
    _refused(root, a.document(trusted.bundle(certified, attested)), "is no signature")
    _refused(root, a.document(trusted.bundle(certified, a.simple_payload(), payload_type="text/plain")), "carries")
    _refused(root, trusted.simple(certified, a.simple_payload(kind="something else")), "something else")


@pytest.mark.parametrize(
    "document",
    [b"", b"null", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"mediaType": 1}', b" " * 600_000],
    ids=["empty", "null", "list", "object", "no-text", "deep", "type", "large"],
)
def test_garbage_is_refused(root: keyless.TrustRoot, document: bytes) -> None:
    _refused(root, Bundle(document), "the bundle")


def test_every_byte_of_a_signature_counts(trusted: a.Authority, root: keyless.TrustRoot) -> None:
    bundle = trusted.bundle(trusted.certify())
    signature = bytearray(base64.b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"]))
    signature[-1] ^= 1
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = a.b64(bytes(signature))
    _refused(root, a.document(bundle), "invalid signature")


@pytest.mark.parametrize("document", [b"", b"{}", b'{"mediaType": "x"}', b"\xff"])
def test_a_trust_root_that_cannot_be_used_is_said(document: bytes) -> None:
    with pytest.raises(keyless.BadTrustRoot, match="cannot be used"):
        keyless.TrustRoot(document)


def test_a_trust_root_without_logs_is_refused(trusted: a.Authority) -> None:
    document = json.loads(trusted.trusted_root())
    with pytest.raises(keyless.BadTrustRoot):
        keyless.TrustRoot(json.dumps({**document, "tlogs": []}).encode())


def test_who_does_not_verify_does_not_load_the_verifier() -> None:
    code = "import sys, ringfence.webhook.main, ringfence.cli.main; print('sigstore' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
