"""The CA's state as the data of its Secret, and back, with errors that name what is wrong and how to mend it.

What cannot be trusted is refused, never replaced: a controller that made a new root because it could not read the old
one would cut off every program of the cluster at once. A ConfigMap beside the Secret, the marker, holds the public
half: it tells a Secret that was lost from one that never was, and a Secret of another installation from the own one.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from ringfence.model.ca import CaState, Phase, Previous, Root, RotationReason, Slot
from ringfence.model.errors import RingfenceError
from ringfence.model.names import TRUST_BUNDLE
from ringfence.model.ports import Object
from ringfence.pki import bundle, encoding
from ringfence.pki.encoding import BadCertificate
from ringfence.pki.root import root_of

SECRET_NAME: Final = "ringfence-ca"  # noqa: S105 (a name)
SECRET_TYPE: Final = "ringfence.dev/ca"  # noqa: S105 (a type)
MARKER_NAME: Final = TRUST_BUNDLE
BUNDLE_KEY: Final = "ca.crt"
FINGERPRINTS_KEY: Final = "fingerprints"
TRUST_DOMAIN_KEY: Final = "trustDomain"
VERSION: Final = 1

_CURRENT, _NEXT, _BUNDLE, _STATE = "current", "next", "bundle.crt", "state.json"
_MEND: Final = "run `ringfence ca restore` with a backup, or `ringfence ca init --new-root` to cut off what it signed"


class CaUnusable(RingfenceError):
    """The CA cannot be used and is not replaced. ``reason`` is for conditions, ``fix`` says what to do."""

    reason: ClassVar[str] = "CAUnusable"

    def __init__(self, message: str, fix: str = _MEND) -> None:
        self.message = message
        self.fix = fix
        super().__init__(f"{message} ({fix})")


class CAMissing(CaUnusable):
    """The Secret is gone although there has been a CA here."""

    reason = "CAMissing"


class CACorrupt(CaUnusable):
    """The Secret cannot be read, or its parts contradict each other."""

    reason = "CACorrupt"


class CAExpired(CaUnusable):
    """The root that signs is not valid by the clock of this machine."""

    reason = "CAExpired"


class CAForeign(CaUnusable):
    """The Secret holds the CA of another installation or trust domain, or a key that is not the certificate's."""

    reason = "CAForeign"


def load(secret: Object | None, marker_map: Object | None, trust_domain: str, now: float) -> CaState | None:
    """As ``decode``, from the Secret and the marker ConfigMap as the API server has them; None: not there."""
    if secret is not None and secret.get("type") != SECRET_TYPE:
        raise CAForeign(f"the Secret {SECRET_NAME} has type {secret.get('type')!r}, not {SECRET_TYPE}: it is not ours")
    return decode(
        None if secret is None else secret.get("data") or {},
        None if marker_map is None else marker_map.get("data") or {},
        trust_domain,
        now,
    )


def decode(
    secret: Mapping[str, str] | None, marker: Mapping[str, str] | None, trust_domain: str, now: float
) -> CaState | None:
    """The state in a Secret's ``data`` (base64); None only on a first install: neither Secret nor marker.

    ``marker`` is the ``data`` of the marker ConfigMap, None when there is none. Raises CaUnusable.
    """
    if secret is None:
        if marker is None:
            return None
        raise CAMissing(f"the Secret {SECRET_NAME} is gone, and there has been a CA here")
    state = read(secret)
    _belongs_here(state, marker, trust_domain)
    root = state.current.root
    if now >= root.not_after:
        raise CAExpired(f"the root {root.fingerprint[:16]} ended on {_rfc3339(root.not_after)}")
    if now < root.not_before:
        begin = _rfc3339(root.not_before)
        raise CAExpired(
            f"the root {root.fingerprint[:16]} is not valid before {begin}", "set this machine's clock right"
        )
    return state


def read(secret: Mapping[str, str]) -> CaState:
    """The state in a Secret's ``data`` without looking at the clock or the marker. Raises CACorrupt or CAForeign."""
    facts = _facts(_bytes(secret, _STATE))
    current = _slot(secret, _CURRENT)
    upcoming = _slot(secret, _NEXT) if f"{_NEXT}.crt" in secret or f"{_NEXT}.key" in secret else None
    roots = _roots(_bytes(secret, _BUNDLE))
    try:
        state = CaState(
            trust_domain=_text(facts, "trustDomain"),
            phase=Phase(_text(facts, "phase")),
            since=_seconds(facts, "since"),
            current=current,
            reason=RotationReason(facts["reason"]) if facts.get("reason") else None,
            next=upcoming,
            previous=_previous(facts.get("previous"), roots),
        )
    except ValueError as error:
        raise CACorrupt(f"{_STATE} of the Secret {SECRET_NAME}: {error}") from error
    _consistent(state, roots)
    return state


def encode(state: CaState) -> dict[str, str]:
    """The whole ``data`` of the Secret (base64), to be written in one conditional update."""
    facts: dict[str, Any] = {
        "version": VERSION,
        "phase": str(state.phase),
        "since": _rfc3339(state.since),
        "trustDomain": state.trust_domain,
        "reason": str(state.reason) if state.reason else None,
        "previous": None,
    }
    if state.previous:
        previous = state.previous
        facts["previous"] = {
            "fingerprint": previous.root.fingerprint,
            "leavesUntil": _rfc3339(previous.leaves_until),
        }
    data = {_STATE: json.dumps(facts, sort_keys=True, indent=1).encode() + b"\n", _BUNDLE: state.bundle}
    for name, slot in ((_CURRENT, state.current), (_NEXT, state.next)):
        if slot:
            data |= {f"{name}.crt": slot.root.certificate, f"{name}.key": slot.key}
    return {key: base64.b64encode(data[key]).decode() for key in sorted(data)}


def marker(state: CaState) -> dict[str, str]:
    """The ``data`` of the marker ConfigMap: everything public."""
    return {
        BUNDLE_KEY: state.bundle.decode(),
        FINGERPRINTS_KEY: "".join(f"{root.fingerprint}\n" for root in state.roots),
        TRUST_DOMAIN_KEY: state.trust_domain,
    }


def _belongs_here(state: CaState, marker_data: Mapping[str, str] | None, trust_domain: str) -> None:
    if state.trust_domain != trust_domain:
        raise CAForeign(
            f"the Secret {SECRET_NAME} is of the trust domain {state.trust_domain}, and this is {trust_domain}",
            f"set trustDomain back to {state.trust_domain}, or {_MEND}",
        )
    known = (marker_data or {}).get(FINGERPRINTS_KEY, "").split()
    if marker_data is not None and state.current.root.fingerprint not in known:
        raise CAForeign(
            f"the root {state.current.root.fingerprint[:16]} of the Secret {SECRET_NAME} is not among those "
            f"that the ConfigMap {MARKER_NAME} knows"
        )


def _consistent(state: CaState, roots: Mapping[str, Root]) -> None:
    """Raise unless the parts agree, so that nothing later has to doubt them."""
    for slot in (state.current, state.next):
        if slot:
            _check_slot(slot, state.trust_domain)
    wrong = []
    if (state.phase is Phase.PREPARED) != (state.next is not None):
        wrong.append(f"phase {state.phase} and the slot {_NEXT} contradict each other")
    if (state.phase is Phase.ACTIVATED) != (state.previous is not None):
        wrong.append(f"phase {state.phase} and the previous root contradict each other")
    if (state.phase is Phase.IDLE) != (state.reason is None):
        wrong.append(f"phase {state.phase} and the reason {state.reason} contradict each other")
    if {root.fingerprint for root in state.roots} != set(roots):
        wrong.append(f"{_BUNDLE} does not hold exactly the roots of the slots and the previous one")
    if wrong:
        raise CACorrupt(f"the Secret {SECRET_NAME}: {'; '.join(wrong)}")


def _check_slot(slot: Slot, trust_domain: str) -> None:
    """Raise unless the certificate is a self-signed CA of the trust domain and the key is its own."""
    short = slot.root.fingerprint[:16]
    try:
        certificate = encoding.certificate(slot.root.certificate)
        key = encoding.private_key(slot.key)
        certificate.verify_directly_issued_by(certificate)
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except (BadCertificate, InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound) as error:
        raise CACorrupt(f"the root {short} of the Secret {SECRET_NAME}: {_said(error)}") from None
    if key.public_key() != certificate.public_key():
        raise CAForeign(f"the private key beside the root {short} is not the one of its certificate")
    if not basic.ca:
        raise CACorrupt(f"the root {short} of the Secret {SECRET_NAME} is no CA")
    permitted = [each.value for each in constraints.permitted_subtrees or ()]
    if names.get_values_for_type(x509.UniformResourceIdentifier) != [f"spiffe://{trust_domain}"] or permitted != [
        trust_domain
    ]:
        raise CAForeign(f"the root {short} of the Secret {SECRET_NAME} is not one of the trust domain {trust_domain}")


def _said(error: Exception) -> str:
    return str(error) or f"cannot be verified ({type(error).__name__})"


def _slot(secret: Mapping[str, str], name: str) -> Slot:
    certificate = _bytes(secret, f"{name}.crt")
    key = _bytes(secret, f"{name}.key")
    try:
        found = list(encoding.certificates((certificate,)))
        if len(found) != 1:
            raise CACorrupt(f"{name}.crt of the Secret {SECRET_NAME} holds {len(found)} certificates, not one")
        return Slot(root_of(found[0]), key)
    except BadCertificate as error:
        raise CACorrupt(f"{name}.crt of the Secret {SECRET_NAME} is {error}") from error


def _roots(pem: bytes) -> dict[str, Root]:
    try:
        roots = [root_of(each) for each in encoding.certificates((bundle.join(pem),))]
    except BadCertificate as error:
        raise CACorrupt(f"{_BUNDLE} of the Secret {SECRET_NAME} is {error}") from error
    return {root.fingerprint: root for root in roots}


def _facts(text: bytes) -> dict[str, Any]:
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CACorrupt(f"{_STATE} of the Secret {SECRET_NAME} is not JSON") from error
    if not isinstance(facts, dict):
        raise CACorrupt(f"{_STATE} of the Secret {SECRET_NAME} is not a JSON object")
    if facts.get("version") != VERSION:
        raise CACorrupt(
            f"{_STATE} of the Secret {SECRET_NAME} has version {facts.get('version')!r}, this program knows {VERSION}",
            "run the version of Ringfence that wrote it",
        )
    return facts


def _previous(facts: object, roots: Mapping[str, Root]) -> Previous | None:
    if facts is None:
        return None
    if not isinstance(facts, dict):
        raise ValueError("previous is not an object")  # noqa: TRY004 (content, not code)
    root = roots.get(_text(facts, "fingerprint"))
    if root is None:
        raise ValueError("the previous root is not in the bundle")
    return Previous(root, _seconds(facts, "leavesUntil"))


def _bytes(secret: Mapping[str, str], key: str) -> bytes:
    value = secret.get(key)
    if not value:
        raise CACorrupt(f"the Secret {SECRET_NAME} has no {key}")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise CACorrupt(f"{key} of the Secret {SECRET_NAME} is not base64") from None


def _text(facts: Mapping[str, Any], key: str) -> str:
    value = facts.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} is missing or is no text")
    return value


def _seconds(facts: Mapping[str, Any], key: str) -> int:
    value = _text(facts, key)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise ValueError(f"{key} {value!r} is no time") from error
    if moment.tzinfo is None:
        raise ValueError(f"{key} {value!r} has no zone")
    return int(moment.timestamp())


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
