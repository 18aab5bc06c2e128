"""Writes that are refused, and attempts that are cut off between two of them."""

from typing import Any

import pytest
from ringfence.model.errors import RingfenceError, WriteRefused
from ringfence.translate.network_policy import DEFAULT_DENY

from tests.unit.reconcile import fakes
from tests.unit.reconcile.namespace_rig import ALLOW, Rig, shop


def test_what_could_not_be_written_is_said_and_raised() -> None:
    rig = shop()
    rig.cluster.errors["apply", "NetworkPolicy", ALLOW] = WriteRefused("too large")
    with pytest.raises(RingfenceError, match="too large"):
        rig.reconcile()
    assert DEFAULT_DENY in rig.network_policies
    said = rig.ready("SecurityPolicy", "payments")
    assert (said["status"], said["reason"]) == ("False", "NotApplied")
    assert "too large" in said["message"]


def test_one_status_that_is_refused_keeps_nothing_else_from_being_written() -> None:
    rig = shop()
    rig.cluster.errors["apply status", "ServiceIdentity", "checkout"] = WriteRefused("schema")
    with pytest.raises(RingfenceError, match="status of ServiceIdentity checkout: schema"):
        rig.reconcile()
    assert DEFAULT_DENY in rig.network_policies
    assert rig.ready("ServiceIdentity", "payments")["status"] == "True"
    said = rig.ready("SecurityPolicy", "payments")
    assert (said["status"], said["reason"]) == ("True", "InForce")


def test_without_the_latch_nothing_is_closed() -> None:
    rig = shop()
    rig.cluster.errors["apply status", "Namespace", "shop"] = RingfenceError("away")
    with pytest.raises(RingfenceError):
        rig.reconcile()
    assert rig.network_policies == []


def test_once_latched_no_refused_condition_keeps_the_network_from_being_written() -> None:
    rig = shop()
    rig.reconcile()
    stranger = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": {"podSelector": {}}}
    rig.cluster.put({**stranger, "metadata": {"name": "theirs", "namespace": "shop"}})
    rig.cluster.put(fakes.policy("shop", "checkout", [("shop", "payments")]))
    rig.cluster.errors["apply status", "Namespace", "shop"] = RingfenceError("somebody's admission")
    with pytest.raises(RingfenceError, match="condition of Namespace shop: somebody's admission"):
        rig.reconcile()
    assert "ringfence-policy-checkout-ingress" in rig.network_policies


def test_the_latch_stays_while_a_network_policy_does() -> None:
    rig = shop()
    rig.reconcile()
    rig.cluster.put(fakes.namespace("shop"))
    rig.cluster.errors["delete", "NetworkPolicy", ALLOW] = RingfenceError("away")
    with pytest.raises(RingfenceError, match="away"):
        rig.reconcile()
    assert rig.enforced()["status"] == "True"
    rig.cluster.errors.clear()
    rig.reconcile()
    assert rig.enforced() == {}


def test_wherever_a_kill_falls_the_next_controller_gets_there() -> None:
    whole = shop()
    whole.reconcile()
    final = {key: obj.get("spec") for key, obj in whole.cluster.objects.items()}
    for allowed in range(len(whole.cluster.writes)):
        rig = shop()
        write = rig.cluster._write

        def killed(verb: str, obj: Any, *, limit: int = allowed, rig: Rig = rig, write: Any = write) -> None:
            if len(rig.cluster.writes) >= limit:
                raise KeyboardInterrupt
            write(verb, obj)

        rig.cluster._write = killed  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            rig.reconcile()
        rig.cluster._write = write  # type: ignore[method-assign]
        rig.restart()
        rig.reconcile()
        assert {key: obj.get("spec") for key, obj in rig.cluster.objects.items()} == final
        assert rig.enforced()["status"] == "True"
