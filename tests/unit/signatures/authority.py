"""A certificate authority, a certificate log and a signature log of a test's own: what public Sigstore runs, in memory.

They sign for real. Each step of a signature can be spoilt on its own, so that a test says exactly what is wrong.
"""

import base64
import functools
import hashlib
import json
import struct
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from ringfence.signatures.found import Bundle, SimpleSigning
from ringfence.signatures.statement import SIGNATURE_PREDICATE, STATEMENT_PAYLOAD

Key = ec.EllipticCurvePrivateKey

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ISSUER = "https://token.example"
IDENTITY = "https://code.example/shop/app/.release@refs/tags/v1.0.0"
DIGEST = "sha256:" + hashlib.sha256(b"an image").hexdigest()
OTHER_DIGEST = "sha256:" + hashlib.sha256(b"another image").hexdigest()
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"

_SCTS = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_ISSUER_V1 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_ISSUER_V2 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def der(key: Key) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def pem(key: Any) -> str:
    """The public half of a private key."""
    encoded: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded.decode()


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def sign(key: Key, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def simple_payload(digest: str = DIGEST, kind: str = "cosign container image signature") -> bytes:
    """What cosign signs in its older form."""
    image = {"docker-manifest-digest": digest}
    critical = {"identity": {"docker-reference": "registry.example/app"}, "image": image, "type": kind}
    return json.dumps({"critical": critical, "optional": None}).encode()


def statement(digest: str = DIGEST, predicate: str = SIGNATURE_PREDICATE) -> bytes:
    """What it signs in the newer one."""
    subject = [{"name": "", "digest": {"sha256": digest.removeprefix("sha256:")}}]
    return json.dumps(
        {"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": predicate, "predicate": {}}
    ).encode()


def pae(payload: bytes, payload_type: str = STATEMENT_PAYLOAD) -> bytes:
    return f"DSSEv1 {len(payload_type)} {payload_type} {len(payload)} ".encode() + payload


@dataclass(frozen=True)
class Certified:
    """A key and the certificate for it."""

    key: Key
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


@dataclass(frozen=True)
class Wishes:
    """A signer's certificate in every respect, which a test then spoils in one."""

    issuer: str = ISSUER
    names: tuple[x509.GeneralName, ...] = (x509.UniformResourceIdentifier(IDENTITY),)
    begin: datetime = NOW
    life: timedelta = timedelta(minutes=10)
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING
    logged: bool = True


@dataclass
class Authority:
    """Root, certificate log and signature log. Two of them know nothing of each other."""

    root: Certified = field(default_factory=lambda: _root())  # noqa: PLW0108 (defined below)
    certificate_log: Key = field(default_factory=new_key)
    log: Key = field(default_factory=new_key)

    def certify(self, wishes: Wishes = Wishes()) -> Certified:
        """A signer's short-lived certificate, with the certificate log's promise inside."""
        key = new_key()
        if not wishes.logged:
            return Certified(key, self._builder(wishes, key).sign(self.root.key, hashes.SHA256()))
        builder = self._builder(wishes, key)
        draft = builder.add_extension(x509.UnrecognizedExtension(_SCTS, _octets(_sct_list(b""))), critical=False)
        logged = draft.sign(self.root.key, hashes.SHA256()).tbs_precertificate_bytes
        scts = _octets(_sct_list(self._sct(logged, wishes.begin)))
        final = self._builder(wishes, key).add_extension(x509.UnrecognizedExtension(_SCTS, scts), critical=False)
        return Certified(key, final.sign(self.root.key, hashes.SHA256()))

    def trusted_root(self) -> bytes:
        """What an installation is configured with."""
        since = {"start": "2020-01-01T00:00:00Z"}
        authority = {
            "subject": {"organization": "test", "commonName": "test"},
            "uri": "https://ca.example",
            "certChain": {"certificates": [{"rawBytes": b64(self.root.der)}]},
            "validFor": since,
        }
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [_log(self.log, since)],
                "certificateAuthorities": [authority],
                "ctlogs": [_log(self.certificate_log, since)],
                "timestampAuthorities": [],
            }
        ).encode()

    def simple(self, signer: Certified, payload: bytes | None = None, at: datetime = NOW) -> SimpleSigning:
        """A signature of the older form."""
        signed = simple_payload() if payload is None else payload
        signature = sign(signer.key, signed)
        entry = self.entry(_hashed_record(signer, signed, signature), at)
        log = {"SignedEntryTimestamp": entry["promise"], "Payload": entry["payload"]}
        return SimpleSigning(signed, signature, signer.pem, json.dumps(log).encode())

    def bundle(
        self, signer: Certified, payload: bytes | None = None, at: datetime = NOW, payload_type: str = STATEMENT_PAYLOAD
    ) -> dict[str, Any]:
        """A signature of the newer form, with a proof that the log includes it."""
        signed = statement() if payload is None else payload
        signature = sign(signer.key, pae(signed, payload_type))
        body = {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(signature).hexdigest()},
                "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(signed).hexdigest()},
                "signatures": [{"signature": b64(signature), "verifier": b64(signer.pem)}],
            },
        }
        envelope = {"payload": b64(signed), "payloadType": payload_type, "signatures": [{"sig": b64(signature)}]}
        return {
            "mediaType": BUNDLE_TYPE,
            "verificationMaterial": {
                "certificate": {"rawBytes": b64(signer.der)},
                "tlogEntries": [self.proven(body, at)],
            },
            "dsseEnvelope": envelope,
        }

    def blob_bundle(self, signer: Certified, data: bytes, at: datetime = NOW) -> dict[str, Any]:
        """A bundle whose signature is over bytes that it does not hold."""
        signature = sign(signer.key, data)
        return {
            "mediaType": BUNDLE_TYPE,
            "verificationMaterial": {
                "certificate": {"rawBytes": b64(signer.der)},
                "tlogEntries": [self.proven(_hashed_record(signer, data, signature), at)],
            },
            "messageSignature": {"signature": b64(signature)},
        }

    def proven(self, body: dict[str, Any], at: datetime) -> dict[str, Any]:
        """A log entry with promise, proof and checkpoint, as a bundle has it."""
        entry = self.entry(body, at)
        proof = self._proof(base64.b64decode(entry["payload"]["body"]))
        return {
            "logIndex": str(entry["payload"]["logIndex"]),
            "logId": {"keyId": b64(self._log_id())},
            "kindVersion": {"kind": body["kind"], "version": body["apiVersion"]},
            "integratedTime": str(entry["payload"]["integratedTime"]),
            "inclusionPromise": {"signedEntryTimestamp": entry["promise"]},
            "inclusionProof": proof,
            "canonicalizedBody": entry["payload"]["body"],
        }

    def entry(self, body: dict[str, Any], at: datetime) -> dict[str, Any]:
        """A log entry with the log's promise."""
        payload = {
            "body": b64(_canonical(body)),
            "integratedTime": int(at.timestamp()),
            "logID": self._log_id().hex(),
            "logIndex": 7,
        }
        return {"payload": payload, "promise": b64(sign(self.log, _canonical(payload)))}

    def _proof(self, body: bytes) -> dict[str, Any]:
        """In a tree of two: another entry, and this one."""
        other = hashlib.sha256(b"\0another entry").digest()
        leaf = hashlib.sha256(b"\0" + body).digest()
        top = hashlib.sha256(b"\1" + other + leaf).digest()
        note = f"log.example - 1\n2\n{b64(top)}\n"
        signature = b64(self._log_id()[:4] + sign(self.log, note.encode()))
        return {
            "logIndex": "1",
            "rootHash": b64(top),
            "treeSize": "2",
            "hashes": [b64(other)],
            "checkpoint": {"envelope": f"{note}\n\u2014 log.example {signature}\n"},
        }

    def _log_id(self) -> bytes:
        return hashlib.sha256(der(self.log)).digest()

    def _sct(self, tbs: bytes, at: datetime) -> bytes:
        milliseconds = int(at.timestamp() * 1000)
        issuer = hashlib.sha256(der(self.root.key)).digest()
        entry = issuer + len(tbs).to_bytes(3, "big") + tbs
        signature = sign(self.certificate_log, struct.pack("!BBQH", 0, 0, milliseconds, 1) + entry + b"\0\0")
        head = b"\0" + hashlib.sha256(der(self.certificate_log)).digest() + struct.pack("!Q", milliseconds)
        return head + b"\0\0" + b"\4\3" + struct.pack("!H", len(signature)) + signature

    def _builder(self, wishes: Wishes, key: Key) -> x509.CertificateBuilder:
        issuer = wishes.issuer.encode()
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.root.certificate.subject)
            .public_key(key.public_key())
            .serial_number(4711)
            .not_valid_before(wishes.begin)
            .not_valid_after(wishes.begin + wishes.life)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([wishes.usage]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.root.key.public_key()), critical=False
            )
            .add_extension(x509.SubjectAlternativeName(wishes.names), critical=True)
            .add_extension(x509.UnrecognizedExtension(_ISSUER_V1, issuer), critical=False)
            .add_extension(x509.UnrecognizedExtension(_ISSUER_V2, b"\x0c" + _length(issuer) + issuer), critical=False)
        )


@functools.cache
def authority(number: int = 0) -> Authority:
    """An authority, made once for each number."""
    del number
    return Authority()


def document(bundle: dict[str, Any]) -> Bundle:
    return Bundle(json.dumps(bundle).encode())


def key_bundle(key: Key, payload: bytes | None = None) -> Bundle:
    """A bundle that a key pair made: no certificate, no log."""
    signed = statement() if payload is None else payload
    envelope = {
        "payload": b64(signed),
        "payloadType": STATEMENT_PAYLOAD,
        "signatures": [{"sig": b64(sign(key, pae(signed)))}],
    }
    material = {"publicKey": {"hint": "anything"}, "tlogEntries": []}
    return document({"mediaType": BUNDLE_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope})


def key_simple(key: Key, payload: bytes | None = None) -> SimpleSigning:
    """A signature of the older form that a key pair made."""
    signed = simple_payload() if payload is None else payload
    return SimpleSigning(signed, sign(key, signed))


def changed_log(found: SimpleSigning, **payload: Any) -> SimpleSigning:
    """The signature with other things in the log's entry."""
    log = json.loads(found.log)
    log["Payload"].update(payload)
    return replace(found, log=json.dumps(log).encode())


def _root() -> Certified:
    key = new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test root")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=365))
        .not_valid_after(NOW + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(key_cert_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Certified(key, certificate)


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(digital_signature, False, False, False, False, key_cert_sign, False, False, False)


def _log(key: Key, since: dict[str, str]) -> dict[str, Any]:
    return {
        "baseUrl": "https://log.example",
        "hashAlgorithm": "SHA2_256",
        "publicKey": {"rawBytes": b64(der(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": since},
        "logId": {"keyId": b64(hashlib.sha256(der(key)).digest())},
    }


def _hashed_record(signer: Certified, data: bytes, signature: bytes) -> dict[str, Any]:
    return {
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}},
            "signature": {"content": b64(signature), "publicKey": {"content": b64(signer.pem)}},
        },
    }


def _canonical(value: Any) -> bytes:
    """RFC 8785 for what is used here: ASCII strings and whole numbers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _sct_list(sct: bytes) -> bytes:
    inner = struct.pack("!H", len(sct)) + sct if sct else b""
    return struct.pack("!H", len(inner)) + inner


def _octets(data: bytes) -> bytes:
    return b"\x04" + _length(data) + data


def _length(data: bytes) -> bytes:
    size = len(data)
    if size < 128:
        return bytes([size])
    encoded = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([128 | len(encoded)]) + encoded
