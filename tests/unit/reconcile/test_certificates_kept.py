"""Certificates that are there already: left alone, mended or renewed, and not judged twice."""

import asyncio
import copy
from typing import Any

import pytest
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.errors import RingfenceError
from ringfence.pki import keys

from tests.unit.pki import material
from tests.unit.reconcile.certificate_rig import text
from tests.unit.reconcile.certificates_told import (
    SECRET,
    leaf,
    message,
    reason,
    shop,
)

# --- what is there already


def test_a_secret_of_somebody_else_is_left_alone_whether_the_cache_sees_it_or_not() -> None:
    rig = shop()
    payments = rig.want()
    theirs = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "payments-identity", "namespace": "shop"},
        "type": "Opaque",
        "data": {"password": text("x")},
    }
    rig.cluster.put(theirs)
    certified = rig.certify(payments)
    assert reason(certified) == (False, "SecretNotOurs")
    assert "was not made by Ringfence: delete it" in message(certified)
    assert rig.identity_secret()["data"] == theirs["data"]
    assert not certified.failures
    # With the one label that the watch selects by, it is in the cache.
    rig.cluster.put({**theirs, "metadata": {**theirs["metadata"], "labels": {"ringfence.dev/purpose": "identity"}}})
    rig.cluster.writes.clear()
    assert reason(rig.certify(payments)) == (False, "SecretNotOurs")
    assert rig.cluster.writes == []


@pytest.mark.parametrize(
    ("change", "wanted"),
    [({"type": "Opaque"}, "SecretTypeDiffers"), ({"immutable": True}, "SecretImmutable")],
)
def test_one_that_cannot_be_written_is_left_alone(change: dict[str, Any], wanted: str) -> None:
    rig = shop()
    payments = rig.want()
    rig.certify(payments)
    rig.cluster.put({**rig.identity_secret(), **change})
    rig.cluster.writes.clear()
    assert reason(rig.certify(payments)) == (False, wanted)
    assert rig.cluster.writes == []


def test_a_create_that_failed_though_nothing_is_there_is_a_failure() -> None:
    rig = shop()
    rig.cluster.errors["create", *SECRET] = RingfenceError("quota")
    assert [str(error) for _, error in rig.certify(rig.want()).failures] == ["quota"]


def test_a_create_that_lost_against_an_own_one_is_tried_again() -> None:
    """The answer of an earlier attempt got lost: the Secret is ours and good, the cache is about to know it."""
    rig = shop()
    payments = rig.want()
    rig.certify(payments)
    held = rig.identity_secret()
    listers = rig.secrets.opened["shop"]
    listers.get = lambda *_: None  # type: ignore[method-assign,assignment]
    certified = rig.certify(payments)
    assert [str(error) for _, error in certified.failures] == ["already exists"]
    assert rig.identity_secret() == held


def test_a_spoilt_bundle_is_mended_with_the_key_kept() -> None:
    rig = shop()
    payments = rig.want()
    rig.certify(payments)
    before = rig.identity_secret()
    mine = {"team": "shop"}
    spoilt = copy.deepcopy(before)
    spoilt["data"]["ca.crt"] = text("")
    spoilt["metadata"]["annotations"].update(mine)
    spoilt["metadata"]["managedFields"] = [{"manager": "somebody"}]
    rig.cluster.put(spoilt)
    rig.cluster.writes.clear()
    certified = rig.certify(payments)
    after = rig.identity_secret()
    assert rig.cluster.writes == [("replace", *SECRET)]
    assert after["data"] == before["data"]
    assert mine.items() <= after["metadata"]["annotations"].items()
    assert certified.again_at == rig.clock.seconds, "what was written is looked at again"
    assert not [each for each in rig.meter.heard if each[0] == "issued" and each[1] != "SecretMissing"]


def test_a_renewal_replaces_key_and_certificate_and_keeps_what_others_have_added() -> None:
    rig = shop()
    payments = rig.want()
    rig.certify(payments)
    before = copy.deepcopy(rig.identity_secret())
    before["metadata"]["labels"]["team"] = "shop"
    rig.cluster.put(before)
    rig.clock.seconds += 3600 * 0.3
    certified = rig.certify(payments)
    after = rig.identity_secret()
    assert leaf(after).serial_number != leaf(before).serial_number
    assert after["metadata"]["labels"]["team"] == "shop"
    assert ("issued", "RenewalDue") in rig.meter.heard
    assert certified.told["payments"].certificate["serial"] == f"{leaf(after).serial_number:x}"  # type: ignore[index]


def test_a_secret_that_changed_under_our_hands_is_not_overwritten() -> None:
    rig = shop()
    payments = rig.want()
    rig.certify(payments)
    rig.clock.seconds += 3600 * 0.3
    rig.cluster.errors["replace", *SECRET] = RingfenceError("conflict")
    before = rig.identity_secret()
    certified = rig.certify(payments)
    assert [str(error) for _, error in certified.failures] == ["conflict"]
    assert rig.identity_secret() == before


# --- what is remembered


def test_what_was_found_good_is_not_judged_again_until_something_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    from ringfence.pki import identity_secret

    rig = shop()
    payments = rig.want()
    judged = 0
    decide = identity_secret.decide

    def counted(*arguments: Any) -> Any:
        nonlocal judged
        judged += 1
        return decide(*arguments)

    monkeypatch.setattr(identity_secret, "decide", counted)
    for _ in range(3):
        rig.certify(payments)
    assert judged == 1, "what was issued was judged before it was stored"
    # Set back by less than five minutes: still believed; by more: not.
    rig.clock.seconds -= 200
    rig.certify(payments)
    assert judged == 1
    rig.clock.seconds -= 101
    rig.certify(payments)
    assert judged == 2
    rig.certificates.forget("shop")
    rig.certify(payments)
    assert judged == 3
    rig.cluster.put(rig.identity_secret())  # another resourceVersion
    rig.certify(payments)
    assert judged == 4


@pytest.mark.parametrize("change", [{"data": {}}, {"type": "Opaque"}, {"metadata": {"labels": {}}}])
def test_what_was_changed_on_its_way_into_the_cluster_is_judged(change: dict[str, Any]) -> None:
    """An admission webhook of somebody else may do so; the next look must find it, not what was sent."""
    rig = shop()
    payments = rig.want()
    create = rig.cluster.create

    async def meddled(obj: Any) -> Any:
        metadata = {**obj["metadata"], **change.get("metadata", {})}
        return await create({**obj, **change, "metadata": metadata})

    rig.cluster.create = meddled  # type: ignore[method-assign]
    rig.certify(payments)
    certified = rig.certify(payments)
    if "data" in change:
        assert ("issued", "SecretUnreadable") in rig.meter.heard
    else:
        assert reason(certified)[0] is False


def test_a_clock_that_was_set_back_by_days_costs_new_certificates_not_bad_ones() -> None:
    """One that is not valid yet, by the clock of this machine, is replaced by one that is."""
    rig = shop()
    rig.clock.seconds += 3 * material.DAY
    payments = rig.want()
    rig.certify(payments)
    rig.clock.seconds -= 2 * material.DAY
    certified = rig.certify(payments)
    assert reason(certified) == (True, "Issued")
    assert ("issued", "NotYetValid") in rig.meter.heard
    assert leaf(rig.identity_secret()).not_valid_before_utc.timestamp() <= rig.clock.seconds


def test_a_clock_that_was_set_forward_by_days_renews_what_has_ended() -> None:
    rig = shop()
    payments = rig.want()
    rig.certify(payments)
    rig.clock.seconds += 3 * material.DAY
    assert reason(rig.certify(payments)) == (True, "Issued")
    assert ("issued", "Expired") in rig.meter.heard


def test_beyond_the_life_of_the_root_nothing_is_issued() -> None:
    """The CA is looked at less often than certificates: what it cannot sign it must not."""
    rig = shop()
    payments = rig.want()
    rig.certify(payments)
    before = rig.identity_secret()
    rig.clock.seconds += 400 * material.DAY
    certified = rig.certify(payments)
    assert reason(certified) == (False, "CertificateRefused")
    assert rig.identity_secret() == before


def test_no_more_are_issued_at_once_than_there_is_room_for() -> None:
    rig = shop()
    identities = [rig.want(f"id-{number}") for number in range(40)]
    running = most = 0
    create = rig.cluster.create

    async def slow(obj: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return await create(obj)

    rig.cluster.create = slow  # type: ignore[method-assign]
    certified = rig.certify(*identities)
    assert all(reason(certified, each.meta.name) == (True, "Issued") for each in identities)
    assert 1 < most <= 16


def test_an_rsa_key_does_not_hold_the_loop_up() -> None:
    import threading

    rig = shop()
    threads = []

    def noted(algorithm: KeyAlgorithm) -> keys.PrivateKey:
        threads.append(threading.current_thread() is threading.main_thread())
        return material.key(algorithm)

    rig.issuer._make_key = noted
    rig.certify(rig.want(keyAlgorithm="RSA-3072"), rig.want("checkout"))
    assert sorted(threads) == [False, True]
