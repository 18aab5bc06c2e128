"""Whether invariants hold now: in the policy's status, and for people to hear of when it changes."""

import asyncio
from typing import Any

import pytest
from ringfence.policy.proof import prove
from ringfence.reconcile import promises

from tests.unit.reconcile.test_cluster import Rig
from tests.unit.webhook.fakes import identity, namespace
from tests.unit.webhook.test_proving import WORLD, ZONE, lets_in, who
from tests.unit.webhook.test_proving import promises as promising

BREAKS = lets_in("middle", "api", who("front", "web"))


def rig(*more: dict[str, Any], mode: str = "Enforce") -> Rig:
    made = Rig()
    for each in (*WORLD, promising(mode), *more):
        made.cluster.put(each)
    return made


def said(made: Rig) -> dict[str, tuple[str, str, str]]:
    (obj,) = made.cluster.lister("ClusterSecurityPolicy").list()
    return {each["type"]: (each["status"], each["reason"], each["message"]) for each in obj["status"]["conditions"]}


def test_what_holds_is_said_and_looked_at_again() -> None:
    made = rig()
    assert 0 < made.reconcile() <= promises.EVERY
    assert said(made)["Proven"] == ("True", "Holds", "its invariant holds")
    assert said(made)["Ready"][0] == "True"


def test_without_invariants_nothing_is_said_and_nobody_looks_again() -> None:
    made = Rig()
    made.cluster.put({**promising(), "spec": {"namespaceSelector": {}, "ingress": []}})
    assert made.reconcile() == 0.0
    assert "Proven" not in said(made)


def test_what_nobody_asked_the_webhook_about_is_seen() -> None:
    made = rig()
    made.reconcile()
    made.cluster.put(BREAKS)
    made.reconcile()
    status, reason, message = said(made)["Proven"]
    assert (status, reason) == ("False", "InvariantViolated")
    assert message.splitlines()[:2] == [
        "neverAllow never-pci of ClusterSecurityPolicy promises does not hold",
        "  allowed: front/web -> middle/api TCP 8080",
    ]
    assert said(made)["Ready"] == (status, reason, message)
    assert ("Warning", "ClusterSecurityPolicy", "promises", "InvariantViolated") in made.events.told
    del made.cluster.objects["SecurityPolicy", "middle", "api"]
    made.reconcile()
    assert said(made)["Ready"][0] == said(made)["Proven"][0] == "True"


def test_another_label_of_a_namespace_is_seen() -> None:
    made = rig(namespace("edge", "enforce"), identity("edge", "door"), lets_in("vault", "db", who("edge", "door")))
    made.reconcile()
    assert said(made)["Proven"][0] == "True"
    made.cluster.put(namespace("edge", "enforce", **{ZONE: "public"}))
    made.reconcile()
    assert said(made)["Proven"][1] == "InvariantViolated"


def test_in_mode_audit_the_policy_is_ready_all_the_same() -> None:
    made = rig(BREAKS, mode="Audit")
    made.reconcile()
    assert said(made)["Proven"][0] == "False"
    assert said(made)["Ready"][0] == "True"


def test_beside_what_cannot_be_understood_nothing_is_proven() -> None:
    made = rig({**BREAKS, "spec": {"ingress": "everyone"}})
    made.reconcile()
    status, reason, message = said(made)["Proven"]
    assert (status, reason) == ("False", "InvariantNotProven")
    assert "SecurityPolicy api cannot be understood and may allow anything" in message


def test_it_is_proven_again_only_where_something_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = rig()
    proofs = []
    whole = prove.Prover.prove
    monkeypatch.setattr(prove.Prover, "prove", lambda self, one: proofs.append(one) or whole(self, one))
    looking = promises.Promises(made.gatherer)
    asyncio.run(looking.look())
    asyncio.run(looking.look())
    assert len(proofs) == 1
    made.cluster.put(BREAKS)
    found = asyncio.run(looking.look())
    assert len(proofs) == 2
    assert not found["promises"].status
