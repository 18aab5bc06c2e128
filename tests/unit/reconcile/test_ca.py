"""The CA is made once, never replaced by itself, and each step of a rotation is one conditional write."""

import base64
from typing import Any

import pytest
from ringfence.model.ca import Phase
from ringfence.model.errors import RingfenceError
from ringfence.pki import bundle, slots, store
from ringfence.reconcile.ca import UNUSABLE_SECONDS

from tests.unit.pki import material
from tests.unit.pki.material import DAY
from tests.unit.reconcile.certificate_rig import OWN, Rig, run, text

CA = ("Secret", store.SECRET_NAME)
MARKER = ("ConfigMap", store.MARKER_NAME)


def writes(rig: Rig) -> list[tuple[str, str, str]]:
    done = list(rig.cluster.writes)
    rig.cluster.writes.clear()
    return done


# --- loading


def test_on_a_first_install_one_is_made_and_marked() -> None:
    rig = Rig()
    wait = rig.look()
    assert writes(rig) == [("create", *CA), ("apply", *MARKER)]
    assert rig.ca.state is not None
    assert rig.ca.state.phase is Phase.IDLE
    assert rig.cluster.find("ConfigMap", OWN, store.MARKER_NAME)["data"] == store.marker(rig.ca.state)  # type: ignore[index]
    assert wait > 200 * DAY
    assert ("ca", Phase.IDLE, "") in rig.meter.heard
    assert rig.changes == ["ca"]
    rig.look()
    assert (writes(rig), rig.changes) == ([], ["ca"])


def test_caches_that_know_nothing_are_not_believed() -> None:
    rig = Rig()
    held = rig.install()
    rig.restart(blind=True)
    rig.look()
    assert ("create", *CA) not in writes(rig)
    assert store.read(rig.secret["data"]) == held
    assert rig.ca.state is None, "its Secret is not in the cache yet"


def test_one_is_not_made_while_the_api_server_cannot_be_asked() -> None:
    rig = Rig()
    rig.fetch_error = RingfenceError("no answer")
    with pytest.raises(RingfenceError, match="no answer"):
        rig.look()
    assert writes(rig) == []


def test_who_loses_the_race_for_the_first_one_uses_none_of_its_own() -> None:
    rig = Rig()
    rig.cluster.errors["create", *CA] = RingfenceError("already exists")
    with pytest.raises(RingfenceError, match="already exists"):
        rig.look()
    assert writes(rig) == [("create", *CA)]
    assert rig.ca.state is None
    with pytest.raises(RingfenceError, match="not loaded"):
        _ = rig.ca.signer


def _missing(rig: Rig) -> None:
    del rig.cluster.objects["Secret", OWN, store.SECRET_NAME]


def _no_state(rig: Rig) -> None:
    rig.alter(data={"state.json": text("{")})


def _key_gone(rig: Rig) -> None:
    rig.alter(data={"current.key": ""})


def _another_key(rig: Rig) -> None:
    rig.alter(data={"current.key": text(material.root(9).key)})


def _another_ca(rig: Rig) -> None:
    rig.alter(data=store.encode(slots.first(material.TRUST_DOMAIN, material.root(9), material.NOW)))


def _another_type(rig: Rig) -> None:
    rig.alter(type="Opaque")


def _ended(rig: Rig) -> None:
    rig.clock.seconds += 366 * DAY


def _not_begun(rig: Rig) -> None:
    rig.clock.seconds -= 2 * DAY


RESTORE = "ringfence ca restore"
UNUSABLE = {
    "missing": (_missing, "CAMissing", "there has been a CA here", RESTORE),
    "state": (_no_state, "CACorrupt", "state.json of the Secret ringfence-ca is not JSON", RESTORE),
    "no key": (_key_gone, "CACorrupt", "has no current.key", RESTORE),
    "another's key": (_another_key, "CAForeign", "is not the one of its certificate", RESTORE),
    "another CA": (_another_ca, "CAForeign", "is not among those that the ConfigMap", RESTORE),
    "another's Secret": (_another_type, "CAForeign", "has type 'Opaque'", RESTORE),
    "ended": (_ended, "CAExpired", "ended on", RESTORE),
    "clock behind": (_not_begun, "CAExpired", "is not valid before", "set this machine's clock right"),
}


@pytest.mark.parametrize(("spoil", "reason", "message", "fix"), UNUSABLE.values(), ids=UNUSABLE)
def test_one_that_cannot_be_used_is_left_alone_and_told_of(spoil: Any, reason: str, message: str, fix: str) -> None:
    rig = Rig()
    rig.install()
    spoil(rig)
    assert rig.look() == UNUSABLE_SECONDS
    assert writes(rig) == []
    assert rig.ca.problem is not None
    assert rig.ca.problem.reason == reason
    assert message in str(rig.ca.problem)
    assert fix in str(rig.ca.problem)
    assert rig.ca.state is None
    with pytest.raises(RingfenceError):
        _ = rig.ca.signer
    assert rig.meter.heard == [("ca", None, reason)]
    kind = "ConfigMap" if spoil is _missing else "Secret"
    told = [each for each in rig.events.told if each[3] == reason]
    assert [each[:2] for each in told] == [("Warning", kind)]
    rig.look()
    assert rig.changes == ["ca"], "the same again is no news"
    assert [each for each in rig.events.told if each[3] == reason] == told


def test_a_new_process_makes_none_either() -> None:
    for spoil, reason, *_ in UNUSABLE.values():
        rig = Rig()
        rig.install()
        spoil(rig)
        rig.restart()
        rig.look()
        assert rig.ca.problem is not None
        assert (rig.ca.problem.reason, writes(rig)) == (reason, [])


def test_when_it_is_back_it_is_used_again() -> None:
    rig = Rig()
    held = rig.install()
    good = dict(rig.secret)
    _missing(rig)
    rig.look()
    rig.cluster.put(good)
    rig.look()
    assert (rig.ca.problem, rig.ca.state) == (None, held)
    assert rig.changes == ["ca", "ca"]


def test_one_that_has_changed_since_it_was_loaded_signs_nothing() -> None:
    """A process that did not lead for a while must not sign with a key of yesterday."""
    rig = Rig()
    rig.install()
    assert rig.ca.signer is rig.ca.signer
    rig.alter(annotations={"any": "thing"})
    assert rig.ca.state is None
    with pytest.raises(RingfenceError, match="has changed just now"):
        _ = rig.ca.signer
    rig.look()
    assert rig.ca.signer


# --- the trust bundle


def test_the_mark_is_mended() -> None:
    rig = Rig()
    held = rig.install()
    marker = rig.cluster.find("ConfigMap", OWN, store.MARKER_NAME)
    assert marker is not None
    # Fingerprints of others beside the own one do not make it another's.
    fingerprints = f"{'0' * 64}\n{held.current.root.fingerprint}\n"
    rig.cluster.put({**marker, "data": {**marker["data"], "fingerprints": fingerprints, "ca.crt": ""}})
    rig.look()
    assert writes(rig) == [("replace", *MARKER)]
    assert rig.cluster.find("ConfigMap", OWN, store.MARKER_NAME)["data"] == store.marker(held)  # type: ignore[index]


def test_a_cluster_trust_bundle_that_cannot_be_written_keeps_nothing_up_but_is_told_of() -> None:
    rig = Rig("certificates.k8s.io/v1beta1")
    rig.cluster.errors["apply", "ClusterTrustBundle", "ringfence.dev:identity:root"] = RingfenceError("no right")
    assert rig.look() == UNUSABLE_SECONDS
    assert rig.ca.state is not None
    assert ("Warning", "Secret", store.SECRET_NAME, "TrustBundleNotWritten") in rig.events.told
    assert ("bundle failed", "ClusterTrustBundle") in rig.meter.heard
    rig.cluster.errors.clear()
    assert rig.look() > DAY
    assert rig.cluster.find("ClusterTrustBundle", "", "ringfence.dev:identity:root")


# --- rotation


def test_a_requested_rotation_goes_through_every_phase_and_ends() -> None:
    rig = Rig("certificates.k8s.io/v1beta1")
    old = rig.install()
    rig.ask("requested")
    assert rig.look() == 0
    prepared = store.read(rig.secret["data"])
    assert prepared.phase is Phase.PREPARED
    assert writes(rig) == [("replace", *CA), ("replace", *MARKER)]
    assert "ringfence.dev/rotate" not in rig.secret["metadata"]["annotations"]
    assert ("Normal", *CA, "CAPrepare") in rig.events.told
    assert rig.ca.signer.root == old.current.root, "the next root signs nothing yet"

    assert rig.look() == 1
    assert writes(rig) == [("apply", "ClusterTrustBundle", "ringfence.dev:identity:root")]
    rig.clock.seconds += 25
    rig.look()
    rig.clock.seconds += 25
    rig.look()
    assert store.read(rig.secret["data"]).phase is Phase.PREPARED
    rig.clock.seconds += 25
    rig.look()
    activated = store.read(rig.secret["data"])
    assert activated.phase is Phase.ACTIVATED
    assert rig.ca.signer.root == prepared.next.root  # type: ignore[union-attr]
    assert ("Normal", *CA, "CAActivate") in rig.events.told

    rig.clock.seconds += 3600
    rig.look()
    idle = store.read(rig.secret["data"])
    assert idle.phase is Phase.IDLE
    rig.look()
    for held in (
        rig.cluster.find("ConfigMap", OWN, store.MARKER_NAME)["data"]["ca.crt"],  # type: ignore[index]
        rig.cluster.find("ClusterTrustBundle", "", "ringfence.dev:identity:root")["spec"]["trustBundle"],  # type: ignore[index]
    ):
        assert bundle.same(held.encode(), idle.current.root.certificate)


def test_it_waits_for_a_cluster_trust_bundle_that_cannot_be_written() -> None:
    rig = Rig("certificates.k8s.io/v1beta1")
    rig.install()
    rig.ask("requested")
    rig.cluster.errors["apply", "ClusterTrustBundle", "ringfence.dev:identity:root"] = RingfenceError("no right")
    for _ in range(20):
        rig.look()
        rig.clock.seconds += 20
    assert store.read(rig.secret["data"]).phase is Phase.PREPARED
    assert rig.ca.step is not None
    assert rig.ca.step.waiting_for == ("ClusterTrustBundle ringfence.dev:identity:root",)
    assert ("rotation", 1) in rig.meter.heard
    rig.cluster.errors.clear()
    for _ in range(6):
        rig.look()
        rig.clock.seconds += 20
    assert store.read(rig.secret["data"]).phase is Phase.ACTIVATED


def test_a_compromise_is_told_of_as_a_warning_and_nothing_is_waited_for() -> None:
    rig = Rig()
    old = rig.install()
    rig.ask("compromised")
    for _ in range(6):
        rig.look()
        rig.clock.seconds += 1
    state = store.read(rig.secret["data"])
    assert (state.phase, state.current.root.fingerprint != old.current.root.fingerprint) == (Phase.IDLE, True)
    told = [(type_, reason) for type_, kind, _, reason in rig.events.told if kind == "Secret"]
    assert told == [("Warning", "CAPrepare"), ("Warning", "CAActivate"), ("Warning", "CARetire")]


def test_a_compromise_ends_the_last_phase_of_a_rotation_and_another_follows() -> None:
    rig = Rig()
    rig.install()
    rig.ask("requested")
    for _ in range(8):
        rig.look()
        rig.clock.seconds += 20
    second = store.read(rig.secret["data"])
    assert second.phase is Phase.ACTIVATED
    rig.ask("compromised")
    rig.look()
    assert ("Warning", *CA, "CAForce") in rig.events.told
    for _ in range(8):
        rig.look()
        rig.clock.seconds += 1
    third = store.read(rig.secret["data"])
    assert third.phase is Phase.IDLE
    assert third.current.root != second.current.root
    assert "ringfence.dev/rotate" not in rig.secret["metadata"]["annotations"]


def test_by_age_a_root_is_replaced_unless_the_clock_has_just_been_set() -> None:
    rig = Rig()
    rig.install()
    monotonic = rig.clock.seconds
    rig.clock.monotonic = lambda: monotonic  # type: ignore[method-assign]
    rig.clock.seconds += 300 * DAY
    rig.look()
    assert store.read(rig.secret["data"]).phase is Phase.IDLE
    monotonic += 301
    rig.clock.seconds += 301
    rig.look()
    assert store.read(rig.secret["data"]).phase is Phase.PREPARED


def test_a_write_that_somebody_else_was_quicker_than_changes_nothing() -> None:
    rig = Rig()
    held = rig.install()
    rig.ask("requested")
    rig.cluster.errors["replace", *CA] = RingfenceError("conflict")
    with pytest.raises(RingfenceError, match="conflict"):
        rig.look()
    assert store.read(rig.secret["data"]) == held
    assert [each for each in rig.events.told if each[3].startswith("CA")] == []


def test_a_request_that_nobody_understands_is_none() -> None:
    rig = Rig()
    held = rig.install()
    rig.ask("please")
    assert rig.look() > DAY
    assert store.read(rig.secret["data"]) == held
    assert writes(rig) == []


def test_labels_and_annotations_of_others_survive_a_rotation() -> None:
    rig = Rig()
    rig.install()
    rig.alter(annotations={"team": "platform", "ringfence.dev/rotate": "requested"})
    rig.look()
    assert rig.secret["metadata"]["annotations"] == {"team": "platform"}
    assert rig.secret["type"] == store.SECRET_TYPE


def test_the_private_key_of_the_old_root_is_gone_when_the_next_one_signs() -> None:
    rig = Rig()
    rig.install()
    old = base64.b64decode(rig.secret["data"]["current.key"])
    rig.ask("compromised")
    while store.read(rig.secret["data"]).phase is not Phase.ACTIVATED:
        rig.look()
    assert old not in [base64.b64decode(value) for value in rig.secret["data"].values()]
    assert run(_signed(rig))


async def _signed(rig: Rig) -> bool:
    return rig.ca.signer.root == store.read(rig.secret["data"]).current.root
