"""Certificates of a namespace: the Secrets that shall be there are, no others are touched, and all of it is told."""

from typing import Any

import pytest
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.errors import RingfenceError
from ringfence.model.world import Workload
from ringfence.pki import store
from ringfence.pki.identity_secret import ANNOTATION_IDENTITY
from ringfence.reconcile.certificate_status import Told
from ringfence.reconcile.certificates import Certified

from tests.unit.reconcile import fakes
from tests.unit.reconcile.certificate_rig import OWN, grant
from tests.unit.reconcile.certificates_told import (
    POD,
    SECRET,
    dns_names,
    leaf,
    message,
    reason,
    service,
    shop,
)

# --- the namespace


def test_bundle_right_and_secret_come_in_this_order_and_once() -> None:
    rig = shop()
    payments = rig.want()
    certified = rig.certify(payments)
    assert rig.cluster.writes == [
        ("apply", "ConfigMap", store.MARKER_NAME),
        ("apply", "RoleBinding", "ringfence-secrets"),
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
