"""Keyless signatures: a certificate that names the signer, issued for minutes, and a log that saw it used in time.

sigstore-python does the verifying and is imported nowhere else; the import alone takes a second and 30 MB, so whoever
does not verify (the webhook) never has it. What is added here: who counts as the signer, and the older form of
signatures, whose log entry comes with the log's signed promise to include it instead of a proof that it did.
"""

import base64
import hashlib
import json
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from sigstore import models
from sigstore.errors import Error as SigstoreError
from sigstore.errors import VerificationError
from sigstore.hashes import Hashed
from sigstore.verify import Verifier, policy
from sigstore_models.common.v1 import HashAlgorithm
from sigstore_models.trustroot import v1 as trustroot

from ringfence.model.errors import RingfenceError
from ringfence.model.signatures import Signer
from ringfence.signatures import bundle, statement
from ringfence.signatures.found import Bundle, Found, NotVerified, SimpleSigning

#: Bytes at most of what an annotation of the older form carries.
MAX_CERTIFICATE: Final = 16 * 1024
MAX_LOG: Final = 256 * 1024

_OTHER_NAME: Final = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.7")
_V03: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
#: Stands where the older form has no proof. Nothing looks at it: see _PromisedEntry.
_NO_PROOF: Final = {"logIndex": "0", "treeSize": "1", "rootHash": "", "hashes": [], "checkpoint": {"envelope": ""}}


class BadTrustRoot(RingfenceError):
    """A trust root that cannot be used; the message says why."""


class TrustRoot:
    """The certificate authorities and logs that keyless signatures rest on."""

    def __init__(self, document: bytes) -> None:
        """``document`` is a Sigstore trusted root (JSON); raises BadTrustRoot."""
        try:
            root = models.TrustedRoot(trustroot.TrustedRoot.from_json(document))
            self._verifier = Verifier(trusted_root=root)
        except Exception as error:
            raise BadTrustRoot(f"the trust root cannot be used: {error}") from error
        #: Tells one trust root from another.
        self.fingerprint = hashlib.sha256(document).hexdigest()[:32]

    def verify(self, found: Found, digest: str, signer: Signer) -> None:
        """Raises NotVerified unless ``signer`` signed the image of this digest, and a log saw it in time."""
        try:
            if isinstance(found, SimpleSigning):
                self._simple(found, digest, signer)
            else:
                self._bundle(found, digest, signer)
        except NotVerified:
            raise
        except SigstoreError as error:
            raise NotVerified(str(error)) from error
        except Exception as error:
            # What a stranger wrote can break a parser in any way; none of them means that it is signed.
            raise NotVerified(f"it cannot be read: {type(error).__name__}: {error}") from error

    def _simple(self, found: SimpleSigning, digest: str, signer: Signer) -> None:
        statement.check_simple_signing(found.payload, digest)
        promised = _PromisedBundle.of(found)
        self._verifier.verify_artifact(found.payload, promised, _Is(signer))

    def _bundle(self, found: Bundle, digest: str, signer: Signer) -> None:
        content = bundle.read(found.document)
        whole = models.Bundle.from_json(found.document)
        if isinstance(content, bundle.Message):
            hashed = Hashed(algorithm=HashAlgorithm.SHA2_256, digest=bytes.fromhex(digest.removeprefix("sha256:")))
            self._verifier.verify_artifact(hashed, whole, _Is(signer))
            return
        payload_type, payload = self._verifier.verify_dsse(whole, _Is(signer))
        statement.check_statement(payload_type, payload, digest)


class _Is:
    """A certificate is this signer's: issued on a token of its issuer, for its identity and for no other beside it."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._issuer = policy.AnyOf([policy.OIDCIssuerV2(signer.issuer), policy.OIDCIssuer(signer.issuer)])

    def verify(self, cert: x509.Certificate) -> None:
        """Raises VerificationError (or NotVerified) if not."""
        identities = _identities(cert)
        try:
            self._issuer.verify(cert)
        except VerificationError as error:
            raise NotVerified(f"it is not by a signer whom {self._signer.issuer} vouches for") from error
        if len(identities) != 1:
            raise NotVerified(f"its certificate names {len(identities)} identities instead of one")
        if not self._signer.is_named(identities[0]):
            raise NotVerified(f"it is by {ascii(identities[0])[:200]}, not by {self._signer.identity}")


def _identities(certificate: x509.Certificate) -> list[str]:
    """Every name that the certificate carries; one of a kind that signers do not have is refused."""
    found = []
    for name in certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value:
        if isinstance(name, x509.RFC822Name | x509.UniformResourceIdentifier):
            found.append(name.value)
        elif isinstance(name, x509.OtherName) and name.type_id == _OTHER_NAME:
            found.append(name.value.decode())
        else:
            raise NotVerified("its certificate has a name of a kind that signers do not have")
    return found


class _PromisedEntry(models.TransparencyLogEntry):
    """A log entry that comes with the log's signed promise alone, which is then what must hold.

    It overrides two steps of sigstore-python's own. If a later version asked others, the proof that is not there
    would be looked for and the signature refused.
    """

    def _validate(self) -> None:
        if not self._inner.inclusion_promise or not self._inner.integrated_time:
            raise NotVerified("the log's promise or its time is missing")

    def _verify(self, keyring: Any) -> None:
        self._verify_set(keyring)


class _PromisedBundle(models.Bundle):
    """A signature of the older form in the shape that the verifier takes."""

    def _verify(self) -> None:
        material = self._inner.verification_material
        if material.certificate is None:
            raise NotVerified("there is no certificate")
        self._signing_certificate = x509.load_der_x509_certificate(material.certificate.raw_bytes)
        self._log_entry = _PromisedEntry(material.tlog_entries[0])

    @classmethod
    def of(cls, found: SimpleSigning) -> "_PromisedBundle":
        """From the annotations; raises NotVerified and whatever parsers raise."""
        if not found.certificate or not found.log:
            raise NotVerified("it has no certificate and no log entry: it was made with a key")
        if len(found.certificate) > MAX_CERTIFICATE or len(found.log) > MAX_LOG:
            raise NotVerified("its certificate or log entry is too large")
        certificate = x509.load_pem_x509_certificate(found.certificate)
        log = json.loads(found.log)
        entry = log["Payload"]
        body = json.loads(base64.b64decode(entry["body"], validate=True))
        document = {
            "mediaType": _V03,
            "verificationMaterial": {
                "certificate": {
                    "rawBytes": base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
                },
                "tlogEntries": [
                    {
                        "logIndex": str(int(entry["logIndex"])),
                        "logId": {"keyId": base64.b64encode(bytes.fromhex(entry["logID"])).decode()},
                        "kindVersion": {"kind": body["kind"], "version": body["apiVersion"]},
                        "integratedTime": str(int(entry["integratedTime"])),
                        "inclusionPromise": {"signedEntryTimestamp": log["SignedEntryTimestamp"]},
                        "inclusionProof": _NO_PROOF,
                        "canonicalizedBody": entry["body"],
                    }
                ],
            },
            "messageSignature": {"signature": base64.b64encode(found.signature).decode()},
        }
        made = cls.from_json(json.dumps(document))
        assert isinstance(made, cls)  # noqa: S101 (from_json makes what it is called on)
        return made
