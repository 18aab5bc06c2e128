"""How the CA stands, from what a cluster holds: a pure answer, for programs as it is and for people as tables."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ringfence.cli import ca_words
from ringfence.cli.ca_cluster import Object, Seen
from ringfence.model.ca import CaState, Phase, Root
from ringfence.pki import bundle, encoding, keys, renewal, rotation, store
from ringfence.pki.encoding import BadCertificate
from ringfence.pki.root import root_of
from ringfence.pki.rotation import Action, Observations, Request, Step, Timing
from ringfence.pki.store import CaUnusable
from ringfence.reconcile import conditions, proxy_reports
from ringfence.reconcile.trust_bundle import CLUSTER_KIND, CLUSTER_NAME
from ringfence.settings import CaSettings

HEALTHY: Final = 0
ATTENTION: Final = 1
UNKNOWN: Final = 2

#: A root that ends within so many seconds needs a person: it should have been replaced months before.
SOON: Final = 30 * 86400
#: What ServiceIdentities say when the controller cannot use the CA.
_TROUBLES: Final = ("CAMissing", "CACorrupt", "CAExpired", "CAForeign")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the CA cannot be used, and what to do."""

    reason: str
    message: str
    fix: str


@dataclass(frozen=True, slots=True)
class Health:
    """The CA as far as it is known: ``state`` is None when it is not there, unusable, or may not be read."""

    state: CaState | None
    trouble: Trouble | None


def health(seen: Seen, now: float) -> Health:
    """Whether the CA can be used. The Secret must have been readable."""
    try:
        state = store.load(seen.secret, seen.marker, trust_domain(seen), now)
    except CaUnusable as error:
        return Health(None, Trouble(error.reason, error.message, error.fix))
    if state is None:
        message = f"there is no Secret {store.SECRET_NAME} and there never was one"
        return Health(None, Trouble("NoCA", message, "the controller makes it when it runs: look at its log"))
    return Health(state, None)


def trust_domain(seen: Seen) -> str:
    """That of the installation; where its settings are not known, what the marker or the Secret itself says."""
    if seen.settings is not None:
        return seen.settings.installation.trust_domain
    said = ((seen.marker or {}).get("data") or {}).get(store.TRUST_DOMAIN_KEY)
    if said:
        return str(said)
    try:
        return store.read((seen.secret or {}).get("data") or {}).trust_domain
    except CaUnusable:
        return ""


def step_of(state: CaState, seen: Seen, now: float) -> Step:
    """What the controller does next or waits for, by its own rule from what can be seen from outside."""
    missing = _bundle_missing(state, seen)
    untold = proxy_reports.unacknowledged(seen.reports, state, now + seen.ahead, _alive)
    observed = Observations(
        request=Request(seen.request) if seen.request in set(Request) else Request.NONE,
        bundle_missing=missing,
        unacknowledged=untold,
        carried_since=None if missing or untold else float(state.since),
        old_leaves=(
            *_old_leaves(state, seen, now),
            *proxy_reports.old_leaves(seen.reports, state, now + seen.ahead, _alive),
        ),
    )
    ca = seen.settings.ca if seen.settings else CaSettings()
    timing = Timing(propagation=ca.propagation, reissue_within=ca.reissue_within, longest_life=ca.max_ttl)
    return rotation.next_step(state, observed, now, timing)


def _alive(*_: str) -> bool:
    """Which pods are gone is not looked up here: their proxies count until their certificates end."""
    return True


def _bundle_missing(state: CaState, seen: Seen) -> tuple[str, ...]:
    lacking = [
        f"ConfigMap {namespace}/{store.MARKER_NAME}"
        for namespace, found in (seen.bundles or {}).items()
        if not bundle.carries(_public(found), state.bundle)
    ]
    if seen.cluster_bundles is not None and not any(_carries(each, state) for each in seen.cluster_bundles):
        lacking.append(f"{CLUSTER_KIND} {CLUSTER_NAME}")
    return tuple(sorted(lacking))


def _old_leaves(state: CaState, seen: Seen, now: float) -> tuple[str, ...]:
    """Identities whose certificate is valid and not of the root that signs."""
    found = []
    for each in seen.identities or ():
        certificate = certificate_of(each)
        ends = ca_words.seconds_of(certificate.get("notAfter"))
        if ends is not None and ends > now and certificate.get("issuer") != state.current.root.fingerprint:
            found.append(f"ServiceIdentity {named(each)}")
    return tuple(sorted(found))


def certificate_of(identity: Object) -> Mapping[str, Any]:
    """``status.certificate``; empty for none."""
    found = (identity.get("status") or {}).get("certificate")
    return found if isinstance(found, dict) else {}


def named(identity: Object) -> str:
    """``namespace/name``."""
    metadata = identity["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}"


def _carries(cluster_bundle: Object, state: CaState) -> bool:
    return bundle.carries(str((cluster_bundle.get("spec") or {}).get("trustBundle", "")).encode(), state.bundle)


def _public(marker: Object | None) -> bytes:
    return str(((marker or {}).get("data") or {}).get(store.BUNDLE_KEY, "")).encode()


# --- the whole answer -----------------------------------------------------------------------------------------------


def report(seen: Seen, now: float) -> tuple[dict[str, Any], int]:
    """The answer for programs, and the exit status."""
    known = "CA's Secret" not in seen.denied
    found = health(seen, now) if known else Health(None, _said_by_identities(seen))
    state = found.state or (_readable(seen) if known else None)
    roots = _roots_of(state) if state else [("trusted", root) for root in _trusted(seen)]
    issued = _issued(seen)
    attention = list(_attention(state, found, roots, issued, seen, now))
    data: dict[str, Any] = {
        "trustDomain": state.trust_domain if state else trust_domain(seen),
        "usable": False if found.trouble else True if found.state else None,
        "trouble": _trouble(found.trouble),
        "phase": str(state.phase) if state else None,
        "since": ca_words.moment(state.since) if state else None,
        "reason": str(state.reason or "") if state else None,
        "request": seen.request if known else None,
        "rotation": _rotation(found.state, seen, now),
        "roots": [_root(role, root, state, issued, now) for role, root in roots],
        "certificates": None if issued is None else {"total": issued.total(), "ofNoTrustedRoot": _lost(issued, roots)},
        "attention": attention,
    }
    return data, ATTENTION if attention else HEALTHY if known else UNKNOWN


def _readable(seen: Seen) -> CaState | None:
    """The state of a CA that cannot be used but that can be read (ended, or foreign)."""
    try:
        return store.read((seen.secret or {}).get("data") or {})
    except CaUnusable:
        return None


def _said_by_identities(seen: Seen) -> Trouble | None:
    """What the controller has written of a CA that it cannot use, for those who may not look themselves."""
    for each in seen.identities or ():
        ready = conditions.find((each.get("status") or {}).get("conditions"), "Ready") or {}
        if ready.get("status") == "False" and ready.get("reason") in _TROUBLES:
            return Trouble(str(ready["reason"]), str(ready.get("message", "")), "ask the platform team")
    return None


def _roots_of(state: CaState) -> list[tuple[str, Root]]:
    found = [("current", state.current.root)]
    if state.next:
        found.append(("next", state.next.root))
    if state.previous:
        found.append(("previous", state.previous.root))
    return found


def _trusted(seen: Seen) -> Sequence[Root]:
    """The roots of the public bundle, of which nobody outside can say which signs."""
    try:
        found = [root_of(each) for each in encoding.certificates((bundle.join(_public(seen.marker)),))]
        return sorted(found, key=lambda root: (root.not_before, root.fingerprint))
    except BadCertificate:
        return ()


def _issued(seen: Seen) -> Counter[str] | None:
    """How many identities have a certificate of each root ("": of one that is not trusted any more)."""
    if seen.identities is None:
        return None
    certificates = (certificate_of(each) for each in seen.identities)
    return Counter(str(each.get("issuer", "")) for each in certificates if each.get("notAfter"))


def _lost(issued: Counter[str], roots: Sequence[tuple[str, Root]]) -> int:
    trusted = {root.fingerprint for _, root in roots}
    return sum(number for issuer, number in issued.items() if issuer not in trusted)


def _root(role: str, root: Root, state: CaState | None, issued: Counter[str] | None, now: float) -> dict[str, Any]:
    data: dict[str, Any] = {
        "role": role,
        "fingerprint": root.fingerprint,
        "algorithm": _algorithm(root),
        "notBefore": ca_words.moment(root.not_before),
        "notAfter": ca_words.moment(root.not_after),
        "ageSeconds": max(0, int(now - root.not_before)),
        "certificates": None if issued is None else issued[root.fingerprint],
    }
    if role == "current":
        data["replacedFrom"] = ca_words.moment(renewal.rotate_at(root.not_before, root.not_after))
    if role == "previous" and state and state.previous:
        data["leavesUntil"] = ca_words.moment(state.previous.leaves_until)
    return data


def _algorithm(root: Root) -> str:
    key = encoding.certificate(root.certificate).public_key()
    if isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        return keys.algorithm_of(key)
    return type(key).__name__


def _rotation(state: CaState | None, seen: Seen, now: float) -> dict[str, Any] | None:
    """The next step, None when nothing is to be done but to grow older."""
    if state is None:
        return None
    step = step_of(state, seen, now)
    if state.phase is Phase.IDLE and step.action is Action.WAIT:
        return None
    return {
        "action": str(step.action),
        "why": step.why,
        "waitingFor": list(step.waiting_for),
        "againInSeconds": int(step.again_in),
    }


def _trouble(trouble: Trouble | None) -> dict[str, str] | None:
    if trouble is None:
        return None
    return {"reason": trouble.reason, "message": trouble.message, "fix": trouble.fix}


def _attention(
    state: CaState | None,
    found: Health,
    roots: Sequence[tuple[str, Root]],
    issued: Counter[str] | None,
    seen: Seen,
    now: float,
) -> Iterable[str]:
    """What a person must look at, each a sentence."""
    if found.trouble:
        yield f"{found.trouble.reason}: {found.trouble.message} ({found.trouble.fix})"
    for role, root in roots:
        if role != "previous" and root.not_after - now < SOON:
            verb = "ends" if root.not_after > now else "ended"
            yield f"the {role} root {root.fingerprint[: ca_words.SHORT]} {verb} on {ca_words.moment(root.not_after)}"
    if state and found.state and seen.marker is None and "trust bundle" not in seen.denied:
        yield f"the ConfigMap {store.MARKER_NAME} is not there: the controller writes it when it runs"
    if issued and roots and (number := _lost(issued, roots)):
        has = "identity has" if number == 1 else "identities have"
        yield f"{number} {has} a certificate of a root that is not trusted: the controller issues them anew"
    if seen.request and seen.request not in set(Request):
        yield f"the annotation on the Secret asks for {seen.request[:40]!r}, which nobody understands"
