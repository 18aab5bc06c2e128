"""Whoever checks is told of a root before it signs, and state is only changed as it was read."""

import asyncio
import base64
import itertools
from typing import Any

import pytest
from ringfence.model.errors import RingfenceError
from ringfence.pki import serving as pki
from ringfence.reconcile.serving import CA_SECRET, LEAF_SECRET, OVERLAP_SECONDS, ServingCertificates, Trust

from tests.unit.reconcile import fakes

NAMESPACE = "ringfence-system"
DAY = 86400.0


class Rig:
    def __init__(self) -> None:
        self.cluster = fakes.FakeCluster()
        self.clock = fakes.FakeClock()
        self.events = fakes.FakeEvents()
        secrets = self.cluster.lister("Secret")
        serials = itertools.count(1)
        self.certificates = ServingCertificates(
            secrets, secrets, fakes.means(self.cluster, self.events, self.clock), lambda: next(serials), NAMESPACE
        )

    def ensure(self, *in_use: bytes) -> Trust:
        return asyncio.run(self.certificates.ensure(in_use))

    def data(self, secret: str, key: str) -> bytes:
        held: Any = self.cluster.find("Secret", NAMESPACE, secret)
        return base64.b64decode(held["data"].get(key, ""))

    @property
    def ca(self) -> bytes:
        return self.data(CA_SECRET, "tls.crt")

    @property
    def leaf(self) -> bytes:
        return self.data(LEAF_SECRET, "tls.crt")

    def leaf_is_trusted_by(self, bundle: bytes) -> bool:
        roots = [part + b"-----END CERTIFICATE-----\n" for part in bundle.split(b"-----END CERTIFICATE-----\n") if part]
        return any(pki.is_for(self.leaf, root, pki.names(NAMESPACE)) for root in roots)


def test_the_first_time_everything_is_made() -> None:
    rig = Rig()
    trust = rig.ensure()
    assert pki.is_for(rig.leaf, rig.ca, pki.names(NAMESPACE))
    assert trust == Trust(rig.ca)
    assert rig.data(LEAF_SECRET, "ca.crt") == rig.ca
    assert b"PRIVATE KEY" in rig.data(LEAF_SECRET, "tls.key")
    assert rig.events.told == [
        ("Normal", "Secret", CA_SECRET, "ServingCAMade"),
        ("Normal", "Secret", LEAF_SECRET, "ServingCertificateIssued"),
    ]


def test_afterwards_nothing_is_written_until_it_is_due() -> None:
    rig = Rig()
    trust = rig.ensure()
    rig.cluster.writes.clear()
    rig.clock.seconds += 19 * DAY
    assert rig.ensure(trust.bundle) == trust
    assert rig.cluster.writes == []


def test_a_leaf_is_renewed_with_a_third_of_its_life_left() -> None:
    rig = Rig()
    trust = rig.ensure()
    before = rig.leaf
    rig.clock.seconds += 21 * DAY
    assert rig.ensure(trust.bundle) == trust
    assert rig.leaf != before
    assert pki.is_for(rig.leaf, rig.ca, pki.names(NAMESPACE))
    assert rig.events.told[2:] == [("Normal", "Secret", LEAF_SECRET, "ServingCertificateIssued")]


def test_a_new_root_is_told_before_it_signs_and_the_old_one_leaves_later() -> None:
    rig = Rig()
    first = rig.ensure()
    old_root, old_leaf = rig.ca, rig.leaf
    rig.clock.seconds += 10 * DAY
    for _ in range(24):
        rig.clock.seconds += 10 * DAY
        first = rig.ensure(first.bundle)
        if rig.ca != old_root:
            break
        old_leaf = rig.leaf
    new_root = rig.ca
    assert new_root != old_root
    # Both are trusted, and the leaf is still of the old one: the API servers do not know the new one yet.
    assert first.bundle == new_root + old_root
    assert rig.leaf == old_leaf
    assert first.again_in == OVERLAP_SECONDS
    # Told, but not for long enough.
    told = rig.ensure(first.bundle)
    assert (rig.leaf, told.again_in) == (old_leaf, OVERLAP_SECONDS)
    rig.clock.seconds += OVERLAP_SECONDS
    signed = rig.ensure(first.bundle)
    assert pki.is_for(rig.leaf, new_root, pki.names(NAMESPACE))
    assert signed.bundle == first.bundle
    # With the next leaf nothing of the old root is in use any more.
    rig.clock.seconds += 21 * DAY
    assert rig.ensure(signed.bundle).bundle == new_root


def test_at_every_step_of_three_years_the_leaf_is_trusted() -> None:
    rig = Rig()
    bundle = rig.ensure().bundle
    roots = {rig.ca}
    for _ in range(3 * 365):
        rig.clock.seconds += DAY
        assert rig.leaf_is_trusted_by(bundle), "by the bundle that the API servers have"
        trust = rig.ensure(bundle)
        bundle = trust.bundle
        assert rig.leaf_is_trusted_by(bundle), "by the bundle that they get"
        assert pki.ends(rig.leaf) > rig.clock.now()
        roots.add(rig.ca)
    assert len(roots) >= 4


def test_while_one_webhook_lacks_the_new_root_nobody_signs_with_it() -> None:
    rig = Rig()
    rig.ensure()
    leaf = rig.leaf
    del rig.cluster.objects["Secret", NAMESPACE, CA_SECRET]
    old = rig.data(LEAF_SECRET, "ca.crt")
    trust = rig.ensure(old, old)
    for _ in range(5):
        rig.clock.seconds += OVERLAP_SECONDS
        assert rig.ensure(trust.bundle, old).again_in == OVERLAP_SECONDS
        assert rig.leaf == leaf


@pytest.mark.parametrize("content", ["", base64.b64encode(b"rubbish").decode(), "%%%"])
def test_broken_secrets_are_replaced(content: str) -> None:
    rig = Rig()
    rig.ensure()
    for secret in (CA_SECRET, LEAF_SECRET):
        rig.cluster.objects["Secret", NAMESPACE, secret]["data"] = dict.fromkeys(("tls.crt", "tls.key"), content)
    rig.ensure()
    assert pki.is_for(rig.leaf, rig.ca, pki.names(NAMESPACE))


def test_a_deleted_leaf_is_made_again() -> None:
    rig = Rig()
    trust = rig.ensure()
    del rig.cluster.objects["Secret", NAMESPACE, LEAF_SECRET]
    assert rig.ensure(trust.bundle) == trust
    assert pki.is_for(rig.leaf, rig.ca, pki.names(NAMESPACE))


def test_state_that_has_changed_meanwhile_is_not_overwritten() -> None:
    rig = Rig()
    rig.ensure()
    held = rig.cluster.objects["Secret", NAMESPACE, CA_SECRET]
    stale = {**held, "metadata": {**held["metadata"], "resourceVersion": "0"}}
    rig.clock.seconds += 300 * DAY

    class Stale:
        def get(self, namespace: str, name: str) -> dict[str, Any]:
            return stale

    rig.certificates._ca = Stale()  # type: ignore[assignment]
    with pytest.raises(RingfenceError, match="conflict"):
        rig.ensure()
    assert rig.cluster.objects["Secret", NAMESPACE, CA_SECRET] == held


def test_other_roots_are_told_since_caches_do_not_tell_of_own_writes() -> None:
    rig = Rig()
    told: list[bytes] = []
    rig.certificates.changed = lambda: told.append(rig.ca)
    first = rig.ensure()
    assert told[-1] == rig.ca
    told.clear()
    rig.ensure(first.bundle)
    assert told == []
    held: Any = rig.cluster.find("Secret", NAMESPACE, CA_SECRET)
    rig.cluster.put({**held, "data": {**held["data"], "tls.key": ""}})
    rig.ensure(first.bundle)
    assert told == [rig.ca]
