"""What a rotation is told: nobody is overlooked, and nothing is believed longer than it is known."""

from dataclasses import replace
from typing import Any

import pytest
from ringfence.model.acknowledgements import ProxyState, Report
from ringfence.model.ca import CaState, RotationReason
from ringfence.pki import bundle, identity_secret, slots, store
from ringfence.pki.identity_secret import Wish
from ringfence.pki.rotation import Observations, Request
from ringfence.reconcile import ca_sight, proxy_reports
from ringfence.reconcile.ca_sight import CaListers, Sight

from tests.unit.pki import test_identity_secret as secrets
from tests.unit.pki.material import DAY, NOW
from tests.unit.reconcile import fakes
from tests.unit.reconcile.certificate_rig import OWN, FakeSecretCaches, run

IDLE = secrets.IDLE
PREPARED = slots.prepare(IDLE, secrets.root(2), NOW, RotationReason.REQUESTED)
ACTIVATED = slots.activate(PREPARED, NOW + 60, NOW + DAY)


class Rig:
    def __init__(self) -> None:
        self.cluster = fakes.FakeCluster()
        self.clock = fakes.FakeClock()
        self.clock.seconds = float(NOW)
        self.ahead = 0.0
        self.caches = FakeSecretCaches(self.cluster)
        listers = CaListers(
            secret=self.cluster.lister("Secret"),
            bundles=self.cluster.lister("ConfigMap"),
            namespaces=self.cluster.lister("Namespace"),
            secrets=self.caches,
            enrolled=lambda name: name.startswith("shop"),
            reports=self.cluster.lister("Report"),
            pods=self.cluster.lister("Pod"),
        )
        self.sight = Sight(listers, self.clock, self.clock, OWN)

    def namespace(self, name: str, roots: bytes | None, *, opened: bool = True) -> None:
        """An enrolled one with the ConfigMap of these roots; ``opened``: its Secrets have been read."""
        self.cluster.put(fakes.namespace(name, "enforce"))
        self.config_map(name, roots)
        if opened:
            run(self.caches.open(name))

    def config_map(self, namespace: str, roots: bytes | None) -> None:
        if roots is not None:
            metadata = {"name": store.MARKER_NAME, "namespace": namespace}
            data = {"ca.crt": roots.decode()}
            self.cluster.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})

    def secret(self, ca: CaState, roots: bytes, name: str = "payments") -> None:
        """The Secret of an identity with a leaf of that CA's current root, and these roots."""
        wish = Wish("shop", name, f"uid-{name}", f"{name}-identity", secrets.ID)
        held = secrets.stored(wish, ca)
        self.cluster.put(identity_secret.rewritten(held, wish, roots))

    def report(self, *proxies: ProxyState) -> None:
        """What the only replica of proxyd says."""
        obj = proxy_reports.encode(Report("a", float(NOW), proxies), OWN)
        self.cluster.put({**obj, "kind": "Report"})

    def pod(self, namespace: str, name: str, uid: str) -> None:
        metadata = {"name": name, "namespace": namespace, "uid": uid}
        self.cluster.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}})

    def look(self, state: CaState = PREPARED, request: str = "", unwritten: tuple[str, ...] = ()) -> Observations:
        annotations = {"ringfence.dev/rotate": request} if request else {}
        held = {"metadata": {"name": store.SECRET_NAME, "annotations": annotations}}
        seen: Observations = run(self.sight.look(held, state, self.clock.seconds + self.ahead, unwritten=unwritten))
        return seen


def everywhere(state: CaState = PREPARED) -> Rig:
    rig = Rig()
    rig.config_map(OWN, state.bundle)
    rig.namespace("shop", state.bundle)
    return rig


def test_without_a_rotation_only_request_and_clock_matter() -> None:
    rig = Rig()
    rig.namespace("shop", None)
    assert rig.look(IDLE) == Observations()
    assert rig.look(IDLE, "requested").request is Request.REQUESTED
    assert rig.look(IDLE, "compromised").request is Request.COMPROMISED
    assert rig.look(IDLE, "Requested\n").request is Request.NONE


def test_each_object_that_lacks_the_bundle_is_named() -> None:
    rig = Rig()
    rig.config_map(OWN, IDLE.bundle)
    rig.namespace("shop", None)
    rig.namespace("shop-two", PREPARED.bundle)
    rig.cluster.put(fakes.namespace("plain"))
    rig.secret(IDLE, IDLE.bundle)
    rig.secret(IDLE, PREPARED.bundle, "checkout")
    seen = rig.look(unwritten=("ClusterTrustBundle x",))
    assert seen.bundle_missing == (
        "ClusterTrustBundle x",
        f"ConfigMap {OWN}/ringfence-trust-bundle",
        "ConfigMap shop/ringfence-trust-bundle",
        "Secret shop/payments-identity",
    )
    assert seen.carried_since is None


def test_a_namespace_whose_secrets_are_not_known_is_missing() -> None:
    rig = everywhere()
    rig.namespace("shop-two", PREPARED.bundle, opened=False)
    assert rig.look().bundle_missing == ("Secrets of namespace shop-two, not read yet",)
    run(rig.caches.open("shop-two"))
    rig.caches.opened["shop-two"].synced = False  # type: ignore[misc]
    assert rig.look().bundle_missing == ("Secrets of namespace shop-two, not read yet",)
    rig.caches.opened["shop-two"].synced = True  # type: ignore[misc]
    assert rig.look().bundle_missing == ()


def test_a_namespace_that_is_going_is_not_waited_for() -> None:
    rig = everywhere()
    going = fakes.namespace("shop-going", "enforce")
    going["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    rig.cluster.put(going)
    assert rig.look().bundle_missing == ()


def test_secrets_of_others_are_not_looked_at() -> None:
    rig = everywhere()
    rig.secret(IDLE, b"")
    held = rig.cluster.find("Secret", "shop", "payments-identity")
    assert held is not None
    rig.cluster.put({**held, "metadata": {**held["metadata"], "labels": {"ringfence.dev/purpose": "identity"}}})
    assert rig.look().bundle_missing == ()


def test_leaves_of_an_old_root_are_named_until_they_end() -> None:
    rig = everywhere(ACTIVATED)
    rig.secret(IDLE, ACTIVATED.bundle)
    rig.secret(ACTIVATED, ACTIVATED.bundle, "checkout")
    assert rig.look(ACTIVATED).old_leaves == ("Secret shop/payments-identity",)
    rig.ahead = 5 * 3600
    assert rig.look(ACTIVATED).old_leaves == ()


def test_since_when_all_carry_it_is_remembered_and_forgotten() -> None:
    rig = everywhere()
    assert rig.look().carried_since == NOW
    rig.clock.seconds += 20
    assert rig.look().carried_since == NOW
    rig.namespace("shop-two", None)
    rig.clock.seconds += 1
    assert rig.look().carried_since is None
    rig.config_map("shop-two", PREPARED.bundle)
    rig.clock.seconds += 1
    assert rig.look().carried_since == NOW + 22
    # Another bundle is another matter.
    other = slots.prepare(IDLE, secrets.root(3), NOW, RotationReason.REQUESTED)
    for name in (OWN, "shop", "shop-two"):
        rig.config_map(name, other.bundle)
    assert rig.look(other).carried_since == NOW + 22
    rig.clock.seconds += 1
    for name in (OWN, "shop", "shop-two"):
        rig.config_map(name, PREPARED.bundle)
    assert rig.look().carried_since == NOW + 23


def test_who_has_not_looked_for_a_while_does_not_know_what_was_in_between() -> None:
    rig = everywhere()
    rig.look()
    rig.clock.seconds += ca_sight.ABSENT_SECONDS + 1
    assert rig.look().carried_since == NOW + ca_sight.ABSENT_SECONDS + 1


def test_the_end_of_a_rotation_forgets_it() -> None:
    rig = everywhere()
    rig.look()
    rig.look(IDLE)
    rig.clock.seconds += 5
    assert rig.look().carried_since == NOW + 5


@pytest.mark.parametrize("step", [3 * DAY, -3 * DAY, 31, -31])
def test_a_clock_that_was_set_is_not_believed_for_a_while(step: float) -> None:
    rig = everywhere()
    assert rig.look().clock_steady
    rig.ahead = step
    assert not rig.look().clock_steady
    rig.clock.seconds += ca_sight.UNSTEADY_SECONDS - 1
    assert not rig.look().clock_steady
    rig.clock.seconds += 1
    assert rig.look().clock_steady


def test_a_clock_that_drifts_is_believed() -> None:
    rig = everywhere()
    rig.look()
    for _ in range(5):
        rig.ahead += 29
        assert rig.look().clock_steady


def test_a_secret_is_judged_once_for_each_of_its_states(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = everywhere(ACTIVATED)
    rig.secret(IDLE, ACTIVATED.bundle)
    rig.secret(ACTIVATED, ACTIVATED.bundle, "checkout")
    judged: list[str] = []
    judge = identity_secret.uses_old_root

    def counted(secret: Any, ca: CaState, now: float) -> bool:
        judged.append(secret["metadata"]["name"])
        return judge(secret, ca, now)

    monkeypatch.setattr(identity_secret, "uses_old_root", counted)
    for _ in range(3):
        rig.look(ACTIVATED)
    assert sorted(judged) == ["checkout-identity", "payments-identity"]
    # One that is waited for ends without a change.
    rig.clock.seconds += 31
    rig.look(ACTIVATED)
    assert judged[2:] == ["payments-identity"]
    rig.secret(ACTIVATED, ACTIVATED.bundle)
    rig.look(ACTIVATED)
    assert judged[3:] == ["payments-identity"]


def test_many_secrets_leave_others_their_turn() -> None:
    import asyncio

    rig = everywhere()
    wish = Wish("shop", "payments", "uid", "payments-identity", secrets.ID)
    held = secrets.stored(wish, IDLE)
    for number in range(120):
        rig.cluster.put({**held, "metadata": {**held["metadata"], "name": f"id-{number}"}})
    turns = 0

    async def scenario() -> None:
        async def tick() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(tick())
        seen = await rig.sight.look({"metadata": {}}, PREPARED, NOW)
        other.cancel()
        assert len(seen.bundle_missing) == 120

    asyncio.run(scenario())
    assert turns >= 2


def test_the_bundle_is_compared_as_a_set() -> None:
    turned = b"".join(root.certificate for root in reversed(PREPARED.roots))
    assert turned != PREPARED.bundle
    assert bundle.same(turned, PREPARED.bundle)
    rig = everywhere()
    rig.config_map("shop", turned)
    assert rig.look().bundle_missing == ()


def test_proxies_that_have_not_acknowledged_the_bundle_are_waited_for_by_name() -> None:
    rig = Rig()
    rig.config_map(OWN, PREPARED.bundle)
    rig.namespace("shop", PREPARED.bundle)
    old = ProxyState("shop", "web-1", "uid-1", not_after=NOW + 60, bundle="old", root=PREPARED.current.root.fingerprint)
    rig.report(old)
    seen = rig.look()
    assert (seen.bundle_missing, seen.unacknowledged, seen.carried_since) == ((), ("proxy shop/web-1",), None)
    rig.report(replace(old, bundle=bundle.digest(PREPARED.bundle)))
    seen = rig.look()
    assert (seen.unacknowledged, seen.carried_since) == ((), NOW)
    # It left, and its pod is there: nobody knows whether it would come back with the bundle.
    rig.report(replace(old, connected=False))
    assert rig.look().unacknowledged == ()
    rig.pod("shop", "web-1", "uid-1")
    assert rig.look().unacknowledged == ("proxy shop/web-1 (not connected)",)
    assert rig.look(ACTIVATED).old_leaves == ("proxy shop/web-1",)
    rig.pod("shop", "web-1", "uid-2")
    assert rig.look().unacknowledged == ()
