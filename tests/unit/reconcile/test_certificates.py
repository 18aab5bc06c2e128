"""Certificates of a namespace: the Secrets that shall be there are, no others are touched, and all of it is told."""

import asyncio
import base64
import copy
from typing import Any

import pytest
from cryptography import x509
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.errors import RingfenceError
from ringfence.model.world import Workload
from ringfence.pki import keys, store
from ringfence.pki.identity_secret import ANNOTATION_IDENTITY
from ringfence.reconcile.certificate_status import Told
from ringfence.reconcile.certificates import Certified

from tests.unit.pki import material
from tests.unit.reconcile import fakes
from tests.unit.reconcile.certificate_rig import OWN, Rig, grant, text

SECRET = ("Secret", "payments-identity")


def shop(*, served: str = "") -> Rig:
    rig = Rig(served)
    rig.install()
    rig.enrol()
    return rig


def reason(certified: Certified, name: str = "payments") -> tuple[bool, str]:
    condition = certified.told[name].condition
    assert condition is not None
    return condition.status, condition.reason


def message(certified: Certified, name: str = "payments") -> str:
    condition = certified.told[name].condition
    assert condition is not None
    return condition.message


def leaf(secret: dict[str, Any]) -> x509.Certificate:
    return x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"]))


def dns_names(secret: dict[str, Any]) -> list[str]:
    names = leaf(secret).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName)


def service(name: str, **selector: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": selector}}


POD = Workload("shop", "payments-0", "payments", {"app": "pay"})


# --- the namespace


def test_right_bundle_and_secret_come_in_this_order_and_once() -> None:
    rig = shop()
    payments = rig.want()
    certified = rig.certify(payments)
    assert rig.cluster.writes == [
        ("apply", "RoleBinding", "ringfence-secrets"),
        ("apply", "ConfigMap", store.MARKER_NAME),
        ("create", *SECRET),
    ]
    assert reason(certified) == (True, "Issued")
    assert not certified.failures
    assert certified.again_at is not None
    assert rig.due[-1] == ("shop", certified.again_at)
    assert rig.events.told[-1] == ("Normal", "ServiceIdentity", "payments", "CertificateIssued")
    assert ("issued", "SecretMissing") in rig.meter.heard
    rig.cluster.writes.clear()
    rig.certify(payments)
    assert rig.cluster.writes == []


def test_a_namespace_that_is_not_enrolled_loses_bundle_and_right_but_no_secret() -> None:
    rig = shop()
    payments = rig.want()
    rig.certify(payments)
    assert rig.certify(payments, enrolled=False) == Certified()
    assert rig.cluster.find("RoleBinding", "shop", "ringfence-secrets") is None
    assert rig.cluster.find("ConfigMap", "shop", store.MARKER_NAME) is None
    assert rig.identity_secret()
    assert rig.secrets.opened == {}
    assert rig.due[-1] == ("shop", None)
    assert rig.meter.heard[-1] == ("holds", "shop", {})


def test_leaving_touches_nothing_of_others_and_nothing_of_its_own_namespace() -> None:
    rig = shop()
    for namespace in ("shop", OWN):
        metadata = {"name": store.MARKER_NAME, "namespace": namespace}
        if namespace == "shop":
            rig.cluster.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {}})
        rig.certify(namespace=namespace, enrolled=False)
    assert rig.cluster.writes == []
    assert rig.cluster.find("ConfigMap", OWN, store.MARKER_NAME)


def test_without_a_ca_nothing_is_written_and_everybody_says_why() -> None:
    rig = shop()
    payments = rig.want()
    rig.certify(payments)
    held = rig.identity_secret()
    del rig.cluster.objects["Secret", OWN, store.SECRET_NAME]
    rig.look()
    rig.cluster.writes.clear()
    rig.cluster.put(fakes.identity("shop", "unread"), fakes.identity("shop", "without"))
    certified = rig.certify(payments, "unread")
    assert reason(certified) == (False, "CAMissing")
    assert reason(certified, "unread") == (False, "CAMissing")
    assert "ringfence ca restore" in message(certified)
    assert rig.cluster.writes == []
    assert rig.identity_secret() == held


def test_a_ca_that_is_about_to_be_loaded_is_no_news() -> None:
    rig = shop()
    payments = rig.want()
    rig.restart()
    assert rig.certify(payments) == Certified({"payments": Told()})
    assert rig.cluster.names("Secret", "shop") == []


@pytest.mark.parametrize("which", ["RoleBinding", "ConfigMap"])
def test_what_cannot_be_prepared_leaves_everything_as_it_is(which: str) -> None:
    rig = shop()
    payments = rig.want()
    name = {"RoleBinding": "ringfence-secrets", "ConfigMap": store.MARKER_NAME}[which]
    rig.cluster.errors["apply", which, name] = RingfenceError("no right")
    certified = rig.certify(payments)
    assert [(what, str(error)) for what, error in certified.failures] == [("certificates", "no right")]
    assert certified.told == {"payments": Told()}
    assert rig.cluster.names("Secret", "shop") == []
    assert ([each for each in rig.meter.heard if each[0] == "bundle failed"] != []) is (which == "ConfigMap")


def test_secrets_that_cannot_be_read_are_not_taken_to_be_absent() -> None:
    rig = shop()
    payments = rig.want()
    rig.certify(payments)
    rig.cluster.writes.clear()
    rig.secrets.error = RingfenceError("cannot be read")
    certified = rig.certify(payments)
    assert [str(error) for _, error in certified.failures] == ["cannot be read"]
    assert rig.cluster.writes == []


def test_one_that_fails_does_not_keep_the_others() -> None:
    rig = shop()
    payments, checkout = rig.want(), rig.want("checkout")
    rig.cluster.errors["create", *SECRET] = RingfenceError("no room")
    certified = rig.certify(payments, checkout)
    assert [(what, str(error)) for what, error in certified.failures] == [("certificate of payments", "no room")]
    assert reason(certified, "checkout") == (True, "Issued")
    assert certified.told["payments"] == Told()
    assert ("failed", "RingfenceError") in rig.meter.heard
    [(_, namespace, held)] = [each for each in rig.meter.heard if each[0] == "holds"]
    assert (namespace, set(held)) == ("shop", {"checkout"})


def test_a_defect_is_not_swallowed() -> None:
    rig = shop()
    payments = rig.want()

    def broken(_: KeyAlgorithm) -> Any:
        raise ZeroDivisionError

    rig.issuer._make_key = broken
    with pytest.raises(ZeroDivisionError):
        rig.certify(payments)


# --- who wants what


def test_who_asks_for_no_secret_gets_none() -> None:
    rig = shop()
    rig.cluster.put(fakes.identity("shop", "payments"))
    from ringfence import api

    value = api.parse(fakes.identity("shop", "payments"))
    certified = rig.certify(value)  # type: ignore[arg-type]
    assert certified.told == {}
    assert rig.cluster.names("Secret", "shop") == []


def test_secrets_that_nobody_wants_any_more_go_and_no_others() -> None:
    rig = shop()
    payments, checkout, unread = rig.want(), rig.want("checkout"), rig.want("unread")
    rig.certify(payments, checkout, unread)
    rig.cluster.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs", "namespace": "shop"}})
    half = {"name": "half", "namespace": "shop", "labels": {"ringfence.dev/purpose": "identity"}}
    rig.cluster.put({"apiVersion": "v1", "kind": "Secret", "metadata": half})
    # One has another account and so another Secret, one is gone, and one cannot be understood any more.
    rig.certify(rig.want(serviceAccountName="other"), "unread")
    assert rig.cluster.names("Secret", "shop") == ["half", "other-identity", "theirs", "unread-identity"]


def test_one_that_cannot_be_deleted_is_told_of() -> None:
    rig = shop()
    rig.certify(rig.want())
    rig.cluster.errors["delete", *SECRET] = RingfenceError("not now")
    certified = rig.certify()
    assert [(what, str(error)) for what, error in certified.failures] == [("Secret payments-identity", "not now")]


@pytest.mark.parametrize("account", ["payments\n", "PAYMENTS", "a/b", "..", "payments%2f", ""])
def test_an_account_that_spiffe_refuses_gets_nothing(account: str) -> None:
    import dataclasses

    rig = shop()
    payments = dataclasses.replace(rig.want(), service_account=account)
    certified = rig.certify(payments)
    assert certified.told == {}
    assert rig.cluster.names("Secret", "shop") == []


def test_names_of_services_and_granted_ones_are_in_it_and_others_are_told_of() -> None:
    rig = shop()
    rig.cluster.put(service("pay", app="pay"), service("other", app="other"), service("all"))
    payments = rig.want(dnsNames=["pay.example.com", "evil.example.org"])
    certified = rig.certify(payments, pods=(POD,), policies=(grant("*.example.com"),))
    assert dns_names(rig.identity_secret()) == ["pay.example.com", "pay.shop.svc", "pay.shop.svc.cluster.local"]
    assert reason(certified) == (False, "NamesNotGranted")
    assert "evil.example.org" in message(certified)


def test_a_name_that_is_asked_for_and_follows_from_a_service_is_there_once() -> None:
    rig = shop()
    rig.cluster.put(service("pay", app="pay"))
    certified = rig.certify(rig.want(dnsNames=["pay.shop.svc"]), pods=(POD,))
    assert reason(certified) == (True, "Issued")
    assert dns_names(rig.identity_secret()) == ["pay.shop.svc", "pay.shop.svc.cluster.local"]


def test_the_service_of_another_namespace_is_a_name_that_needs_a_grant() -> None:
    rig = shop()
    certified = rig.certify(rig.want(dnsNames=["bank.vault.svc"]), pods=(POD,), policies=(grant("bank.vault.svc.x"),))
    assert reason(certified) == (False, "NamesNotGranted")
    assert dns_names(rig.identity_secret()) == []


def test_the_service_of_another_identity_of_the_namespace_needs_a_grant_too() -> None:
    rig = shop()
    rig.cluster.put(service("checkout", app="checkout"))
    others = Workload("shop", "checkout-0", "checkout", {"app": "checkout"})
    payments, checkout = rig.want(dnsNames=["checkout.shop.svc"]), rig.want("checkout")
    certified = rig.certify(payments, checkout, pods=(POD, others))
    assert reason(certified) == (False, "NamesNotGranted")
    assert "checkout.shop.svc" not in dns_names(rig.identity_secret())
    assert "checkout.shop.svc" in dns_names(rig.identity_secret("checkout-identity"))


def test_a_service_over_pods_of_two_identities_is_a_name_of_both() -> None:
    rig = shop()
    rig.cluster.put(service("front", tier="front"))
    pods = tuple(Workload("shop", f"{name}-0", name, {"tier": "front"}) for name in ("payments", "checkout"))
    rig.certify(rig.want(), rig.want("checkout"), pods=pods)
    for name in ("payments-identity", "checkout-identity"):
        assert dns_names(rig.identity_secret(name)) == ["front.shop.svc", "front.shop.svc.cluster.local"]


def test_a_grant_to_another_identity_is_none() -> None:
    rig = shop()
    wanted = rig.want(dnsNames=["pay.example.com"])
    for policy in (
        grant("pay.example.com", identity="checkout"),
        grant("pay.example.com", namespace="other"),
    ):
        assert reason(rig.certify(wanted, policies=(policy,))) == (False, "NamesNotGranted")


def test_too_many_names_are_refused_with_the_number_and_issued_once_they_are_fewer() -> None:
    rig = shop()
    for number in range(51):
        rig.cluster.put(service(f"pay-{number}", app="pay"))
    payments = rig.want()
    certified = rig.certify(payments, pods=(POD,))
    assert reason(certified) == (False, "CertificateRefused")
    assert "102 names, at most 100" in message(certified)
    assert rig.cluster.names("Secret", "shop") == []
    assert ("Warning", "ServiceIdentity", "payments", "CertificateRefused") in rig.events.told
    assert ("failed", "InvalidTemplate") in rig.meter.heard
    assert not certified.failures, "trying again would give the same answer"
    del rig.cluster.objects["Service", "shop", "pay-0"]
    assert reason(rig.certify(payments, pods=(POD,))) == (True, "Issued")
    assert len(dns_names(rig.identity_secret())) == 100


def test_a_life_beyond_what_the_platform_allows_is_cut() -> None:
    rig = shop()
    rig.certify(rig.want(ttl="24h"))
    made = leaf(rig.identity_secret())
    assert (made.not_valid_after_utc - made.not_valid_before_utc).total_seconds() == 3600 + 300


def test_two_identities_on_one_account_do_not_share_its_secret() -> None:
    rig = shop()
    one, two = rig.want(), rig.want("twin", serviceAccountName="payments")
    certified = rig.certify(one, two)
    said = {reason(certified, name) for name in ("payments", "twin")}
    assert said == {(True, "Issued"), (False, "SecretNotOurs")}
    owner = rig.identity_secret()["metadata"]["annotations"][ANNOTATION_IDENTITY]
    assert reason(certified, owner) == (True, "Issued")
    again = rig.certify(one, two)
    assert {name: reason(again, name) for name in again.told} == {
        name: reason(certified, name) for name in certified.told
    }


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
