"""The next step of a rotation, question by question."""

from dataclasses import replace

import pytest
from ringfence.model.ca import CaState, RotationReason
from ringfence.pki import rotation, slots
from ringfence.pki.rotation import Action, Observations, Request, Step, Timing

from tests.unit.pki.material import DAY, NOW, idle, root

TIMING = Timing()
YEAR = 365 * DAY
#: The whole bundle was seen everywhere from the start.
SEEN = Observations(carried_since=NOW)


def prepared(reason: RotationReason = RotationReason.REQUESTED) -> CaState:
    return slots.prepare(idle(), root(2), NOW, reason)


def activated(reason: RotationReason = RotationReason.REQUESTED) -> CaState:
    return slots.activate(prepared(reason), NOW, NOW + DAY)


def step(state: CaState, seen: Observations = SEEN, after: float = 0) -> Step:
    return rotation.next_step(state, seen, NOW + after, TIMING)


def test_idle_waits_until_two_thirds_of_the_life() -> None:
    life = root().root.not_after - root().root.not_before
    due = root().root.not_before + life * 2 / 3 - NOW
    before = step(idle(), after=due - 10)
    assert (before.action, before.again_in) == (Action.WAIT, pytest.approx(10))
    at = step(idle(), after=due + 1)
    assert (at.action, at.reason) == (Action.PREPARE, RotationReason.AGE)
    assert step(idle(), replace(SEEN, clock_steady=False), after=due + 1).action is Action.WAIT


@pytest.mark.parametrize(
    ("request_", "reason"),
    [(Request.REQUESTED, RotationReason.REQUESTED), (Request.COMPROMISED, RotationReason.COMPROMISED)],
)
def test_a_request_prepares_at_once(request_: Request, reason: RotationReason) -> None:
    found = step(idle(), replace(SEEN, request=request_, clock_steady=False))
    assert (found.action, found.reason) == (Action.PREPARE, reason)


def test_prepared_waits_for_every_object_and_names_them() -> None:
    found = step(prepared(), replace(SEEN, bundle_missing=("ConfigMap shop/ringfence-trust-bundle",)), after=DAY)
    assert (found.action, found.waiting_for) == (Action.WAIT, ("ConfigMap shop/ringfence-trust-bundle",))
    assert "has not reached every object: ConfigMap shop/" in rotation.describe(found)


def test_prepared_waits_for_proxies() -> None:
    found = step(prepared(), replace(SEEN, unacknowledged=("proxy shop/cart-1",)), after=DAY)
    assert (found.action, found.waiting_for) == (Action.WAIT, ("proxy shop/cart-1",))


def test_prepared_waits_until_this_process_has_looked() -> None:
    assert step(prepared(), Observations(), after=DAY).action is Action.WAIT


def test_prepared_gives_programs_time_from_when_all_was_seen() -> None:
    seen = replace(SEEN, carried_since=NOW + 50)
    found = step(prepared(), seen, after=60)
    assert (found.action, found.again_in) == (Action.WAIT, 110)
    assert step(prepared(), seen, after=169).action is Action.WAIT
    assert step(prepared(), seen, after=170).action is Action.ACTIVATE
    assert step(prepared(), replace(seen, clock_steady=False), after=170).action is Action.WAIT


def test_a_clock_that_was_set_back_waits_no_longer_than_a_propagation() -> None:
    found = step(prepared(), replace(SEEN, carried_since=NOW + YEAR), after=60)
    assert (found.action, found.again_in) == (Action.WAIT, TIMING.propagation)


def test_a_next_root_that_grew_old_is_prepared_anew() -> None:
    pending = replace(SEEN, bundle_missing=("Secret shop/x",))
    found = step(prepared(), pending, after=0.7 * YEAR)
    assert (found.action, found.reason) == (Action.PREPARE, RotationReason.REQUESTED)


def test_a_next_root_of_the_future_is_waited_for() -> None:
    assert step(prepared(), after=-2 * DAY).action is Action.WAIT


def test_activated_reissues_then_waits_for_the_last_leaf_then_retires() -> None:
    found = step(activated(), replace(SEEN, old_leaves=("Secret shop/x",)), after=2 * DAY)
    assert (found.action, found.waiting_for) == (Action.REISSUE, ("Secret shop/x",))
    found = step(activated(), after=DAY - 1)
    assert (found.action, found.again_in) == (Action.WAIT, 1)
    assert step(activated(), after=DAY).action is Action.RETIRE
    assert step(activated(), replace(SEEN, clock_steady=False), after=DAY).action is Action.WAIT


def test_a_compromise_waits_for_our_objects_only() -> None:
    state = prepared(RotationReason.COMPROMISED)
    assert step(state, replace(SEEN, carried_since=NOW + 1), after=1).action is Action.ACTIVATE
    assert step(state, replace(SEEN, bundle_missing=("Secret shop/x",)), after=1).action is Action.WAIT
    assert step(state, Observations(), after=1).action is Action.WAIT
    state = activated(RotationReason.COMPROMISED)
    assert step(state, after=1).action is Action.RETIRE
    assert step(state, replace(SEEN, old_leaves=("Secret shop/x",)), after=1).action is Action.REISSUE


def test_a_compromise_waits_for_nobody_for_ever() -> None:
    pending = Observations(bundle_missing=("Secret shop/x",), old_leaves=("Secret shop/x",))
    patience = TIMING.forced_patience
    found = step(prepared(RotationReason.COMPROMISED), pending, after=patience - 5)
    assert (found.action, found.again_in) == (Action.WAIT, 5)
    assert step(prepared(RotationReason.COMPROMISED), pending, after=patience).action is Action.ACTIVATE
    assert step(activated(RotationReason.COMPROMISED), pending, after=patience - 1).action is Action.REISSUE
    assert step(activated(RotationReason.COMPROMISED), pending, after=patience).action is Action.RETIRE


def test_a_compromise_in_the_middle_of_a_rotation() -> None:
    seen = replace(SEEN, request=Request.COMPROMISED)
    found = step(prepared(), seen, after=DAY)
    assert (found.action, found.reason) == (Action.PREPARE, RotationReason.COMPROMISED)
    assert step(activated(), seen).action is Action.FORCE
    assert step(activated(RotationReason.COMPROMISED), seen).action is Action.RETIRE, "force is not repeated"


@pytest.mark.parametrize(
    ("request_", "action", "left"),
    [
        (Request.REQUESTED, Action.PREPARE, Request.NONE),
        (Request.COMPROMISED, Action.PREPARE, Request.NONE),
        (Request.REQUESTED, Action.ACTIVATE, Request.NONE),
        (Request.REQUESTED, Action.RETIRE, Request.NONE),
        (Request.COMPROMISED, Action.FORCE, Request.COMPROMISED),
        (Request.COMPROMISED, Action.ACTIVATE, Request.COMPROMISED),
        (Request.COMPROMISED, Action.RETIRE, Request.COMPROMISED),
        (Request.REQUESTED, Action.WAIT, Request.REQUESTED),
        (Request.NONE, Action.RETIRE, Request.NONE),
    ],
)
def test_what_is_left_of_a_request(request_: Request, action: Action, left: Request) -> None:
    assert rotation.remaining_request(request_, action) is left


def test_long_lists_are_told_by_number() -> None:
    names = tuple(f"Secret shop/s{number:03}" for number in range(500))
    said = rotation.describe(Step(Action.REISSUE, "still in use", names))
    assert said.endswith("Secret shop/s009 and 490 more")
    assert rotation.describe(Step(Action.WAIT, "young enough")) == "young enough"


def test_an_old_root_is_trusted_as_long_as_any_leaf_may_live() -> None:
    assert TIMING.leaves_until(NOW) == NOW + DAY
    assert TIMING.leaves_until(NOW, [0, NOW + 60]) == NOW + DAY
    assert TIMING.leaves_until(NOW, [NOW + 3 * DAY, NOW]) == NOW + 3 * DAY, "it was issued when lives were longer"
