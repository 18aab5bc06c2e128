"""The Secret of an identity: what it shall hold, and whether what is there will do.

A chain of small checks, each named after the state that it finds; the first that finds something decides. The reasons
go into conditions, Events and metrics as they are.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from cryptography import x509

from ringfence.model import names
from ringfence.model.ca import CaState, Phase, RotationReason
from ringfence.model.certificates import CertificateSummary, KeyAlgorithm, LeafTemplate
from ringfence.model.ports import Object
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import bundle, encoding, path, renewal, template, validate
from ringfence.pki.encoding import BadCertificate, Pair
from ringfence.pki.validate import Wrong

PURPOSE: Final = "identity"
SECRET_TYPE: Final = "kubernetes.io/tls"  # noqa: S105 (a type)
ANNOTATION_IDENTITY: Final = f"{names.GROUP}/identity-of"
ANNOTATION_TTL: Final = f"{names.GROUP}/certificate-ttl"
CERTIFICATE, KEY, BUNDLE = "tls.crt", "tls.key", "ca.crt"


class Action(StrEnum):
    """What is to be done with the Secret."""

    KEEP = "Keep"
    REWRITE = "Rewrite"
    """Write ``rewritten``: bundle and metadata anew, the same key and certificate."""
    ISSUE = "Issue"
    """A new key and a new certificate, then write ``desired``."""
    LEAVE = "Leave"
    """Touch nothing: it is not ours to write. The identity is not Ready."""


class Reason(StrEnum):
    """The state that was found; stable."""

    MISSING = "SecretMissing"
    NOT_OURS = "SecretNotOurs"
    TYPE = "SecretTypeDiffers"
    IMMUTABLE = "SecretImmutable"
    UNREADABLE = "SecretUnreadable"
    KEY_MISMATCH = "KeyMismatch"
    KEY_ALGORITHM = "KeyAlgorithmDiffers"
    IDENTITY = "IdentityDiffers"
    NAMES = "NamesDiffer"
    LIFE = "LifeDiffers"
    NOT_YET_VALID = "NotYetValid"
    EXPIRED = "Expired"
    ISSUER_UNKNOWN = "IssuerUnknown"
    ISSUER_OLD = "IssuerNotCurrent"
    NOT_AS_ASKED = "CertificateInvalid"
    RENEWAL = "RenewalDue"
    BUNDLE = "BundleDiffers"
    METADATA = "MetadataDiffers"
    UP_TO_DATE = "UpToDate"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a ServiceIdentity wants: its own namespace, name and uid, and all names that its certificate shall carry.

    ``ttl`` in seconds, ``renew_at`` a share in (0, 1); ``dns_names`` are those of its Services and those granted.
    """

    namespace: str
    name: str
    uid: str
    secret_name: str
    spiffe_id: SpiffeId
    dns_names: tuple[str, ...] = ()
    ttl: int = 4 * 3600
    renew_at: float = 0.25
    key_algorithm: KeyAlgorithm = KeyAlgorithm.ECDSA_P256


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do and why. ``again_at``: when to look again at the latest (epoch seconds, None: no moment is known).

    ``summary`` describes the certificate that is there, None when none can be read.
    """

    action: Action
    reason: Reason
    message: str
    again_at: float | None = None
    summary: CertificateSummary | None = None


@dataclass(frozen=True, slots=True)
class _Held:
    """A Secret that is ours, read; ``issuer`` is the fingerprint of the root that signed, "" when none is known."""

    secret: Object
    chain: bytes
    leaf: x509.Certificate
    public_der: bytes
    ca: bytes
    issuer: str


@dataclass(frozen=True, slots=True)
class _Case:
    held: _Held
    wish: Wish
    ca: CaState
    now: float
    reissue_within: float

    @property
    def renewal_time(self) -> float:
        return _renewal_time(self.held.leaf, self.wish.renew_at)

    @property
    def reissue_time(self) -> float | None:
        """When the leaf of a root that does not sign any more is replaced; None for a leaf of the current root."""
        if self.held.issuer == self.ca.current.root.fingerprint:
            return None
        if self.ca.phase is not Phase.ACTIVATED or self.ca.reason is RotationReason.COMPROMISED:
            return self.now
        return renewal.spread(self.ca.since, self.reissue_within, f"{self.wish.namespace}/{self.wish.name}")


def decide(secret: Object | None, wish: Wish, ca: CaState, now: float, reissue_within: float = 600.0) -> Decision:
    """What to do with the Secret that is there (None: there is none) ``now``, in seconds since the epoch.

    ``reissue_within``: seconds over which a new root's leaves are spread.
    """
    if secret is None:
        return Decision(Action.ISSUE, Reason.MISSING, f"there is no Secret {wish.secret_name}")
    stranger = _not_ours(secret, wish)
    if stranger:
        return stranger
    try:
        held = _read(secret, ca)
    except (BadCertificate, path.BadChain) as error:
        return Decision(Action.ISSUE, Reason.UNREADABLE, str(error))
    case = _Case(held, wish, ca, now, reissue_within)
    summary = summarize(held.leaf, held.issuer, wish.renew_at)
    for check in _CHECKS:
        found = check(case)
        if found:
            action, reason, message = found
            return Decision(action, reason, message, now, summary)
    due = min(case.renewal_time, case.reissue_time or case.renewal_time)
    return Decision(Action.KEEP, Reason.UP_TO_DATE, "the certificate is as it shall be", due, summary)


def desired(wish: Wish, pair: Pair, roots: bytes) -> Object:
    """The Secret with a chain, its key and the trust bundle (PEM)."""
    return _object(wish, {CERTIFICATE: _text(pair.certificate), KEY: _text(pair.key), BUNDLE: _text(roots)})


def rewritten(secret: Object, wish: Wish, roots: bytes) -> Object:
    """The Secret with the certificate and the key that it has, and bundle and metadata as they shall be."""
    data = secret.get("data") or {}
    return _object(wish, {CERTIFICATE: data[CERTIFICATE], KEY: data[KEY], BUNDLE: _text(roots)})


def leaf_template(wish: Wish, ca: CaState, now: float, serial: int) -> LeafTemplate:
    """The certificate to ask for. Raises InvalidTemplate."""
    return template.leaf(
        wish.spiffe_id,
        wish.dns_names,
        ttl=wish.ttl,
        now=now,
        serial=serial,
        issuer_ends=ca.current.root.not_after,
        key_algorithm=wish.key_algorithm,
    )


def is_ours(secret: Object) -> bool:
    """Whether Ringfence wrote the Secret for an identity. Admission lets nobody else set these labels."""
    labels = secret["metadata"].get("labels") or {}
    return labels.get(names.LABEL_MANAGED_BY) == names.MANAGED_BY and labels.get(names.LABEL_PURPOSE) == PURPOSE


def carries_bundle(secret: Object, ca: CaState) -> bool:
    """Whether ``ca.crt`` holds exactly the trusted roots; for Observations.bundle_missing."""
    return bundle.same(_bytes(secret, BUNDLE), ca.bundle)


def uses_old_root(secret: Object, ca: CaState, now: float) -> bool:
    """Whether its leaf is valid under a trusted root that is not the current one; for Observations.old_leaves."""
    try:
        held = _read(secret, ca)
    except (BadCertificate, path.BadChain):
        return False
    ended = now >= held.leaf.not_valid_after_utc.timestamp()
    return not ended and held.issuer not in {"", ca.current.root.fingerprint}


def ends(secret: Object) -> int:
    """When its leaf ends (epoch seconds), 0 when there is none that can be read; for Timing.leaves_until."""
    try:
        return int(path.read(_bytes(secret, CERTIFICATE))[0].not_valid_after_utc.timestamp())
    except path.BadChain:
        return 0


def summarize(leaf: x509.Certificate, issuer: str, renew_at: float) -> CertificateSummary:
    """What the status says of a certificate."""
    return CertificateSummary(
        serial=f"{leaf.serial_number:x}",
        not_before=int(leaf.not_valid_before_utc.timestamp()),
        not_after=int(leaf.not_valid_after_utc.timestamp()),
        renewal_time=int(_renewal_time(leaf, renew_at)),
        issuer=issuer,
    )


def summary_of(pair: Pair, ca: CaState, renew_at: float) -> CertificateSummary:
    """The same for a certificate that has just been issued. Raises BadChain."""
    chain = path.read(pair.certificate)
    return summarize(chain[0], _issuer(chain, ca), renew_at)


_Found = tuple[Action, Reason, str] | None


def _not_ours(secret: Object, wish: Wish) -> Decision | None:
    named = f"Secret {wish.secret_name}"
    owner = (secret["metadata"].get("annotations") or {}).get(ANNOTATION_IDENTITY)
    fix = "delete it"
    if not is_ours(secret):
        return Decision(Action.LEAVE, Reason.NOT_OURS, f"the {named} was not made by Ringfence: {fix}")
    if owner != wish.name:
        return Decision(Action.LEAVE, Reason.NOT_OURS, f"the {named} is that of the ServiceIdentity {owner}: {fix}")
    if secret.get("type") != SECRET_TYPE:
        return Decision(Action.LEAVE, Reason.TYPE, f"the {named} has type {secret.get('type')}: {fix}")
    if secret.get("immutable"):
        return Decision(Action.LEAVE, Reason.IMMUTABLE, f"the {named} was made immutable: {fix}")
    return None


def _invalid(case: _Case) -> _Found:
    """Judge it as if it had just been issued, by the code that judges those; the gravest mismatch names the reason."""
    found = validate.mismatches(
        case.held.chain,
        validate.Expectation(
            spiffe_id=case.wish.spiffe_id,
            dns_names=case.wish.dns_names,
            key_algorithm=case.wish.key_algorithm,
            public_key=case.held.public_der,
            roots=case.ca.bundle,
            now=case.now,
            longest_life=case.wish.ttl + template.BACKDATE,
        ),
    )
    if not found:
        return None
    wrongs = {each.reason for each in found}
    reason = next((reason for wrong, reason in _REASONS.items() if wrong in wrongs), Reason.NOT_AS_ASKED)
    return Action.ISSUE, reason, "; ".join(str(each) for each in found)


def _life_differs(case: _Case) -> _Found:
    # Compared as it was asked for: a signer may grant less, and asking again would never end.
    asked = (case.held.secret["metadata"].get("annotations") or {}).get(ANNOTATION_TTL)
    if asked == str(case.wish.ttl):
        return None
    return Action.ISSUE, Reason.LIFE, f"it was issued for a ttl of {asked} seconds, {case.wish.ttl} are wanted"


def _issuer_old(case: _Case) -> _Found:
    due = case.reissue_time
    if due is None or case.now < due:
        return None
    return Action.ISSUE, Reason.ISSUER_OLD, f"it was signed by the root {case.held.issuer[:16]}, which signs no more"


def _renewal_due(case: _Case) -> _Found:
    if not renewal.should_renew(case.now, case.renewal_time):
        return None
    return Action.ISSUE, Reason.RENEWAL, f"{case.wish.renew_at:.0%} of its life are over"


def _bundle_differs(case: _Case) -> _Found:
    if case.held.ca == case.ca.bundle:
        return None
    return Action.REWRITE, Reason.BUNDLE, "ca.crt is not the present trust bundle"


def _metadata_differs(case: _Case) -> _Found:
    have, want = case.held.secret["metadata"], _metadata(case.wish)
    same = all(_within(want[key], have.get(key)) for key in ("labels", "annotations"))
    if same and all(owner in (have.get("ownerReferences") or ()) for owner in want["ownerReferences"]):
        return None
    return Action.REWRITE, Reason.METADATA, "its labels, annotations or owner are not as they shall be"


#: In order of precedence: what a program would trip over first.
_REASONS: Final[Mapping[Wrong, Reason]] = {
    Wrong.KEY: Reason.KEY_MISMATCH,
    Wrong.IDENTITY: Reason.IDENTITY,
    Wrong.ISSUER_UNKNOWN: Reason.ISSUER_UNKNOWN,
    Wrong.EXPIRED: Reason.EXPIRED,
    Wrong.NOT_YET_VALID: Reason.NOT_YET_VALID,
    Wrong.KEY_ALGORITHM: Reason.KEY_ALGORITHM,
    Wrong.DNS_NAMES: Reason.NAMES,
    Wrong.LIFE: Reason.LIFE,
}
_CHECKS: Final[tuple[Callable[[_Case], _Found], ...]] = (
    _invalid,
    _life_differs,
    _issuer_old,
    _renewal_due,
    _bundle_differs,
    _metadata_differs,
)


def _read(secret: Object, ca: CaState) -> _Held:
    chain = path.read(_bytes(secret, CERTIFICATE))
    key = encoding.private_key(_bytes(secret, KEY))
    return _Held(
        secret=secret,
        chain=_bytes(secret, CERTIFICATE),
        leaf=chain[0],
        public_der=encoding.public_der(key.public_key()),
        ca=_bytes(secret, BUNDLE),
        issuer=_issuer(chain, ca),
    )


def _issuer(chain: tuple[x509.Certificate, ...], ca: CaState) -> str:
    root = path.anchor(chain, path.read_roots(ca.bundle))
    return encoding.fingerprint(root) if root else ""


def _renewal_time(leaf: x509.Certificate, renew_at: float) -> float:
    begin, end = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    # A life shorter than the back-dating (of a CA about to end) counts from its middle.
    issued = begin + template.BACKDATE if begin + template.BACKDATE < end else (begin + end) / 2
    if issued >= end:
        return begin
    return renewal.renew_at(issued, end, renew_at, renewal.jitter_of(leaf.serial_number))


def _object(wish: Wish, data: Mapping[str, str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": wish.secret_name, "namespace": wish.namespace, **_metadata(wish)},
        "type": SECRET_TYPE,
        "data": dict(sorted(data.items())),
    }


def _metadata(wish: Wish) -> dict[str, Any]:
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": "ServiceIdentity",
        "name": wish.name,
        "uid": wish.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
    return {
        "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_PURPOSE: PURPOSE},
        "annotations": {ANNOTATION_IDENTITY: wish.name, ANNOTATION_TTL: str(wish.ttl)},
        "ownerReferences": [owner],
    }


def _within(wanted: Mapping[str, str], have: Mapping[str, str] | None) -> bool:
    return wanted.items() <= (have or {}).items()


def _bytes(secret: Object, key: str) -> bytes:
    """A value of the Secret; empty, which nothing accepts, when it is missing or is no base64."""
    try:
        return base64.b64decode((secret.get("data") or {}).get(key) or "", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
