"""Names follow the Services that select an identity's pods, stay while there are none, and else need a grant."""

import time
from collections.abc import Sequence

from ringfence.model.ca import CaState
from ringfence.model.labels import LabelBox
from ringfence.model.ports import Object
from ringfence.model.resources import ClusterSecurityPolicy, DnsGrant, PolicySpec, ResourceMeta
from ringfence.model.spiffe import SpiffeId
from ringfence.model.world import Workload
from ringfence.pki import identity_secret, keys, slots
from ringfence.pki.encoding import Pair
from ringfence.pki.identity_secret import Wish
from ringfence.pki.local_signer import LocalSigner
from ringfence.pki.root import make_root
from ringfence.reconcile import service_names

NOW = time.time()


def service(name: str, type_: str = "ClusterIP", **selector: str) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": {"type": type_, "selector": selector}}


def pod(finished: bool = False, **labels: str) -> Workload:
    return Workload("shop", "payments-0", "payments", labels, finished=finished)


def _of(services: Sequence[Object], pods: Sequence[Workload], secret: Object | None) -> tuple[str, ...]:
    return service_names.of("shop", service_names.selecting(services), pods, secret)


PAY = ("pay.shop.svc", "pay.shop.svc.cluster.local")


def held(*names: str) -> Object:
    """A Secret with a certificate of these names."""
    ca: CaState = slots.first("cluster.local", make_root("cluster.local", NOW, 1 << 100), NOW)
    wish = Wish(
        "shop",
        "payments",
        "uid",
        "payments-identity",
        SpiffeId.parse("spiffe://cluster.local/ns/shop/sa/payments"),
        names,
    )
    key = keys.generate(wish.key_algorithm)
    chain = LocalSigner(ca.current).sign_now(identity_secret.leaf_template(wish, ca, NOW, 1 << 100), key.public_der)
    return identity_secret.desired(wish, Pair(chain, key.pem), ca.bundle)


def test_services_that_select_a_running_pod_give_their_names() -> None:
    services = [service("pay", app="pay"), service("other", app="other"), service("pay-all")]
    assert _of(services, [pod(app="pay", tier="a")], None) == PAY


def test_services_without_pods_of_their_own_give_none() -> None:
    assert _of([service("out", "ExternalName", app="pay")], [pod(app="pay")], None) == ()
    assert _of([service("pay", app="pay", tier="b")], [pod(app="pay")], None) == ()
    assert _of([service("pay", app="pay")], [], None) == ()


def test_while_there_are_no_pods_the_names_stay_as_long_as_their_services() -> None:
    secret = held(*PAY, "gone.shop.svc", "granted.example.com")
    services = [service("pay", app="pay"), service("new", app="pay")]
    assert _of(services, [pod(finished=True, app="pay")], secret) == PAY
    assert _of([], [], secret) == ()
    assert _of(services, [pod(app="x")], secret) == ()


def test_a_secret_of_somebody_else_or_a_broken_one_keeps_nothing() -> None:
    services = [service("pay", app="pay")]
    secret = held(*PAY)
    stranger = {**secret, "metadata": {**secret["metadata"], "labels": {}}}
    broken = {**secret, "data": {"tls.crt": "%"}}
    for each in (stranger, broken):
        assert _of(services, [], each) == ()


def test_grants_are_for_an_identity_of_a_namespace() -> None:
    grants = (
        DnsGrant("shop", ("payments",), ("*.example.com", "pay.example.com")),
        DnsGrant("shop", ("checkout",), ("checkout.example.com",)),
        DnsGrant("lab", ("payments",), ("lab.example.com",)),
    )
    policy = ClusterSecurityPolicy(ResourceMeta("names"), LabelBox(), PolicySpec(), grants=grants)
    assert service_names.granted([policy, policy], "shop", "payments") == ("*.example.com", "pay.example.com")
    assert service_names.granted([policy], "shop", "nobody") == ()
