"""proxyd's serving certificate: there when it is needed, and never of a root that pods have not heard of."""

import asyncio
import base64
import itertools
from typing import Any

import pytest
from ringfence.model.errors import RingfenceError
from ringfence.pki import serving as pki
from ringfence.reconcile.proxyd_serving import SPREAD_SECONDS, ProxydServing
from ringfence.reconcile.serving import CA_SECRET, PROXYD_SECRET

from tests.unit.reconcile import fakes

NAMESPACE = "ringfence-system"
DAY = 86400.0
NAMES = pki.names(NAMESPACE, "ringfence-proxyd")


class Rig:
    def __init__(self) -> None:
        self.cluster = fakes.FakeCluster()
        self.clock = fakes.FakeClock()
        secrets = self.cluster.lister("Secret")
        serials = itertools.count(1)
        means = fakes.means(self.cluster, fakes.FakeEvents(), self.clock)
        self.serving = ProxydServing(secrets, secrets, means, lambda: next(serials), NAMESPACE)

    def make_ca(self, serial: int) -> pki.Pair:
        made = pki.make_ca(self.clock.now(), serial)
        data = {"tls.crt": made.certificate, "tls.key": made.key}
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        metadata = {"name": CA_SECRET, "namespace": NAMESPACE}
        self.cluster.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded})
        return made

    def ensure(self) -> float:
        return asyncio.run(self.serving.ensure())

    @property
    def leaf(self) -> bytes:
        held: Any = self.cluster.find("Secret", NAMESPACE, PROXYD_SECRET)
        return base64.b64decode(held["data"]["tls.crt"])


def test_it_waits_for_the_ca_and_then_is_made_at_once() -> None:
    rig = Rig()
    assert rig.ensure() == 0.0
    assert rig.cluster.names("Secret", NAMESPACE) == []
    ca = rig.make_ca(7)
    assert rig.ensure() == 0.0
    assert pki.is_for(rig.leaf, ca.certificate, NAMES)
    before = rig.leaf
    rig.ensure()
    assert rig.leaf == before


def test_it_is_renewed_in_time() -> None:
    rig = Rig()
    rig.make_ca(7)
    rig.ensure()
    before = rig.leaf
    rig.clock.seconds += 21 * DAY
    rig.ensure()
    assert rig.leaf != before


def test_a_new_root_signs_only_when_pods_have_had_the_time_to_hear_of_it() -> None:
    rig = Rig()
    old = rig.make_ca(7)
    rig.ensure()
    new = rig.make_ca(8)
    assert rig.ensure() == pytest.approx(SPREAD_SECONDS, abs=1)
    assert pki.is_for(rig.leaf, old.certificate, NAMES)
    rig.clock.seconds += SPREAD_SECONDS
    assert rig.ensure() == 0.0
    assert pki.is_for(rig.leaf, new.certificate, NAMES)


def test_a_certificate_that_has_ended_serves_nobody_so_nothing_is_waited_for() -> None:
    rig = Rig()
    rig.make_ca(7)
    rig.ensure()
    rig.clock.seconds += 40 * DAY
    new = rig.make_ca(8)
    assert rig.ensure() == 0.0
    assert pki.is_for(rig.leaf, new.certificate, NAMES)


def test_a_broken_secret_is_replaced_and_a_failed_write_is_told() -> None:
    rig = Rig()
    ca = rig.make_ca(7)
    metadata = {"name": PROXYD_SECRET, "namespace": NAMESPACE}
    rig.cluster.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"tls.crt": "%%"}})
    rig.cluster.errors["replace", "Secret", PROXYD_SECRET] = RingfenceError("no")
    with pytest.raises(RingfenceError):
        rig.ensure()
    rig.cluster.errors.clear()
    rig.ensure()
    assert pki.is_for(rig.leaf, ca.certificate, NAMES)
