"""The Secret of an identity: every state that it can be found in, and what follows from it."""

import asyncio
import base64
import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from ringfence.model.ca import CaState, RotationReason
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import identity_secret, slots
from ringfence.pki.encoding import Pair
from ringfence.pki.identity_secret import Action, Decision, Reason, Wish
from ringfence.pki.issue import issue
from ringfence.pki.local_signer import LocalSigner

from tests.unit.pki.material import DAY, DNS, HOUR, ID, NOW, Forgery, idle, key, root

WISH = Wish("shop", "payments", "uid-1", "payments-identity", ID, DNS)
IDLE = idle()
PREPARED = slots.prepare(IDLE, root(2), NOW + 60, RotationReason.REQUESTED)
ACTIVATED = slots.activate(PREPARED, NOW + 240, NOW + 240 + DAY)
COMPROMISED = replace(ACTIVATED, reason=RotationReason.COMPROMISED)
RETIRED = slots.retire(COMPROMISED, NOW + 241)


def stored(wish: Wish = WISH, ca: CaState = IDLE, now: float = NOW) -> dict[str, Any]:
    """The Secret as it is after issuing."""
    made = key(wish.key_algorithm)
    template = identity_secret.leaf_template(wish, ca, now, 1 << 90)
    pair = asyncio.run(issue(template, made, LocalSigner(ca.current), ca.bundle, now))
    return copy.deepcopy(dict(identity_secret.desired(wish, pair, ca.bundle)))


def decide(secret: Any, wish: Wish = WISH, ca: CaState = IDLE, after: float = 60) -> Decision:
    return identity_secret.decide(secret, wish, ca, NOW + after)


def changed(**data: bytes) -> dict[str, Any]:
    secret = stored()
    for name, value in data.items():
        secret["data"][name.replace("_", ".")] = base64.b64encode(value).decode()
    return secret


def test_the_secret_is_what_programs_expect() -> None:
    secret = stored()
    assert (secret["type"], secret["metadata"]["name"], secret["metadata"]["namespace"]) == (
        "kubernetes.io/tls",
        "payments-identity",
        "shop",
    )
    assert sorted(secret["data"]) == ["ca.crt", "tls.crt", "tls.key"]
    assert base64.b64decode(secret["data"]["ca.crt"]) == IDLE.bundle
    assert base64.b64decode(secret["data"]["tls.key"]) == key().pem
    assert secret["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "ringfence.dev/v1alpha1",
            "kind": "ServiceIdentity",
            "name": "payments",
            "uid": "uid-1",
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]
    assert identity_secret.is_ours(secret)


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_what_was_issued_is_kept(algorithm: KeyAlgorithm) -> None:
    wish = replace(WISH, key_algorithm=algorithm)
    found = decide(stored(wish), wish)
    assert (found.action, found.reason) == (Action.KEEP, Reason.UP_TO_DATE)
    assert found.summary is not None
    assert found.summary.issuer == root().root.fingerprint
    assert (found.summary.not_before, found.summary.not_after) == (NOW - 300, NOW + 4 * HOUR)
    assert found.again_at == pytest.approx(found.summary.renewal_time, abs=1)
    assert NOW + 0.9 * HOUR <= found.summary.renewal_time <= NOW + 1.1 * HOUR


def test_a_missing_one_is_issued() -> None:
    found = decide(None)
    assert (found.action, found.reason, found.summary) == (Action.ISSUE, Reason.MISSING, None)


def labelled(**changes: Any) -> dict[str, Any]:
    secret = stored()
    secret["metadata"] |= changes
    return secret


LEFT_ALONE: dict[str, tuple[Callable[[], dict[str, Any]], Reason]] = {
    "no labels": (lambda: labelled(labels=None), Reason.NOT_OURS),
    "half of the labels": (lambda: labelled(labels={"app.kubernetes.io/managed-by": "ringfence"}), Reason.NOT_OURS),
    "another purpose": (
        lambda: labelled(labels={"app.kubernetes.io/managed-by": "ringfence", "ringfence.dev/purpose": "serving"}),
        Reason.NOT_OURS,
    ),
    "another identity's": (lambda: labelled(annotations={"ringfence.dev/identity-of": "vault"}), Reason.NOT_OURS),
    "no identity": (lambda: labelled(annotations=None), Reason.NOT_OURS),
    "another type": (lambda: {**stored(), "type": "Opaque"}, Reason.TYPE),
    "immutable": (lambda: {**stored(), "immutable": True}, Reason.IMMUTABLE),
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_a_secret_of_somebody_else_is_left_alone(name: str) -> None:
    make, reason = LEFT_ALONE[name]
    found = decide(make())
    assert (found.action, found.reason) == (Action.LEAVE, reason)
    assert "delete it" in found.message


GOOD = Forgery()
ISSUED_ANEW: dict[str, tuple[Callable[[], Decision], Reason]] = {
    "no data": (lambda: decide({**stored(), "data": None}), Reason.UNREADABLE),
    "no certificate": (lambda: decide(changed(tls_crt=b"")), Reason.UNREADABLE),
    "no key": (lambda: decide(changed(tls_key=b"")), Reason.UNREADABLE),
    "not base64": (lambda: decide({**stored(), "data": {"tls.crt": "#", "tls.key": "#"}}), Reason.UNREADABLE),
    "key of another": (lambda: decide(changed(tls_key=root(1).key)), Reason.KEY_MISMATCH),
    "another identity": (
        lambda: decide(stored(), replace(WISH, spiffe_id=SpiffeId("mesh.example", "/ns/shop/sa/x"))),
        Reason.IDENTITY,
    ),
    "a name more": (lambda: decide(stored(), replace(WISH, dns_names=(*DNS, "pay.corp.example"))), Reason.NAMES),
    "a name less": (lambda: decide(stored(), replace(WISH, dns_names=DNS[:1])), Reason.NAMES),
    "another algorithm": (
        lambda: decide(stored(), replace(WISH, key_algorithm=KeyAlgorithm.ECDSA_P384)),
        Reason.KEY_ALGORITHM,
    ),
    "a shorter life": (lambda: decide(stored(), replace(WISH, ttl=HOUR)), Reason.LIFE),
    "a longer life": (lambda: decide(stored(), replace(WISH, ttl=8 * HOUR)), Reason.LIFE),
    "ended": (lambda: decide(stored(), after=4 * HOUR), Reason.EXPIRED),
    "of the future": (lambda: decide(stored(), after=-2 * DAY / 4), Reason.NOT_YET_VALID),
    "old": (lambda: decide(stored(), after=1.2 * HOUR), Reason.RENEWAL),
    "root not trusted": (lambda: decide(stored(), ca=RETIRED, after=300), Reason.ISSUER_UNKNOWN),
    "a CA bit": (
        lambda: decide(changed(tls_crt=GOOD.but(basic=x509.BasicConstraints(ca=True, path_length=None)).sign())),
        Reason.NOT_AS_ASKED,
    ),
    "root after a compromise": (lambda: decide(stored(), ca=COMPROMISED, after=241), Reason.ISSUER_OLD),
}


@pytest.mark.parametrize("name", ISSUED_ANEW)
def test_a_certificate_that_will_not_do_is_issued_anew(name: str) -> None:
    ask, reason = ISSUED_ANEW[name]
    found = ask()
    assert (found.action, found.reason) == (Action.ISSUE, reason)
    assert found.message


def test_messages_never_hold_the_key() -> None:
    line = key().pem.decode().splitlines()[1]
    assert not [name for name, (ask, _) in ISSUED_ANEW.items() if line in repr(ask())]


def test_a_new_bundle_is_written_beside_the_same_certificate() -> None:
    secret = stored()
    found = decide(secret, ca=PREPARED)
    assert (found.action, found.reason) == (Action.REWRITE, Reason.BUNDLE)
    rewritten = identity_secret.rewritten(secret, WISH, PREPARED.bundle)
    assert rewritten["data"]["tls.crt"] == secret["data"]["tls.crt"]
    assert rewritten["data"]["tls.key"] == secret["data"]["tls.key"]
    assert base64.b64decode(rewritten["data"]["ca.crt"]) == PREPARED.bundle
    assert decide(rewritten, ca=PREPARED).reason is Reason.UP_TO_DATE


@pytest.mark.parametrize(
    "spoil",
    [
        lambda metadata: metadata.update(ownerReferences=[]),
        lambda metadata: metadata.pop("ownerReferences"),
        lambda metadata: metadata["ownerReferences"][0].update(uid="old"),
    ],
)
def test_lost_metadata_is_written_again(spoil: Callable[[dict[str, Any]], Any]) -> None:
    secret = stored()
    spoil(secret["metadata"])
    found = decide(secret)
    assert (found.action, found.reason) == (Action.REWRITE, Reason.METADATA)
    assert decide(identity_secret.rewritten(secret, WISH, IDLE.bundle)).reason is Reason.UP_TO_DATE


def test_what_others_add_is_no_difference() -> None:
    secret = stored()
    secret["metadata"]["labels"]["team"] = "payments"
    secret["metadata"]["annotations"]["note"] = "x"
    secret["metadata"]["ownerReferences"].append({"kind": "Other", "name": "x", "uid": "y"})
    assert decide(secret).reason is Reason.UP_TO_DATE


def test_leaves_of_the_previous_root_are_replaced_one_after_the_other() -> None:
    secret = identity_secret.rewritten(stored(), WISH, ACTIVATED.bundle)
    found = decide(secret, ca=ACTIVATED, after=241)
    assert found.reason is Reason.UP_TO_DATE
    due = found.again_at
    assert due is not None
    assert NOW + 240 <= due < NOW + 840
    assert decide(secret, ca=ACTIVATED, after=due - NOW).reason is Reason.ISSUER_OLD
    other = replace(WISH, name="checkout")
    found = identity_secret.decide(
        identity_secret.rewritten(stored(other), other, ACTIVATED.bundle), other, ACTIVATED, NOW + 241
    )
    assert found.again_at != due


def test_who_still_uses_the_old_root_is_known() -> None:
    secret = identity_secret.rewritten(stored(), WISH, ACTIVATED.bundle)
    assert identity_secret.uses_old_root(secret, ACTIVATED, NOW + 300)
    assert not identity_secret.uses_old_root(secret, ACTIVATED, NOW + 4 * HOUR), "it has ended"
    assert not identity_secret.uses_old_root(secret, PREPARED, NOW + 300), "its root is the current one"
    assert not identity_secret.uses_old_root(secret, RETIRED, NOW + 300), "its root is not trusted"
    assert not identity_secret.uses_old_root({**secret, "data": None}, ACTIVATED, NOW + 300)
    assert not identity_secret.uses_old_root(stored(ca=ACTIVATED, now=NOW + 300), ACTIVATED, NOW + 300)


def test_who_lacks_the_bundle_is_known() -> None:
    secret = stored()
    assert identity_secret.carries_bundle(secret, IDLE)
    assert not identity_secret.carries_bundle(secret, PREPARED)
    assert not identity_secret.carries_bundle({**secret, "data": None}, IDLE)


def test_the_summary_of_what_was_just_issued_is_that_of_what_is_stored() -> None:
    secret = stored()
    pair = Pair(base64.b64decode(secret["data"]["tls.crt"]), b"")
    assert identity_secret.summary_of(pair, IDLE, WISH.renew_at) == decide(secret).summary


def test_a_ca_near_its_end_gives_short_leaves_and_no_loop() -> None:
    near = root().root.not_after - 600
    secret = stored(now=near)
    found = identity_secret.decide(secret, WISH, IDLE, near + 10)
    assert found.reason is Reason.UP_TO_DATE
    assert found.summary is not None
    assert found.summary.not_after == root().root.not_after


def test_the_end_of_a_leaf_is_known() -> None:
    assert identity_secret.ends(stored()) == NOW + 4 * HOUR
    assert identity_secret.ends({**stored(), "data": None}) == 0
