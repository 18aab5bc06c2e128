"""The CA's transitions, and those that are refused."""

import pytest
from ringfence.model.ca import CaState, Phase, RotationReason
from ringfence.pki import slots
from ringfence.pki.root import make_root
from ringfence.pki.slots import TransitionRefused

from tests.unit.pki.material import DAY, NOW, TRUST_DOMAIN, idle, root

YEAR = 365 * DAY


def prepared(reason: RotationReason = RotationReason.REQUESTED) -> CaState:
    return slots.prepare(idle(), root(2), NOW, reason)


def activated(reason: RotationReason = RotationReason.REQUESTED) -> CaState:
    return slots.activate(prepared(reason), NOW + 200, NOW + 200 + DAY)


def test_a_whole_rotation() -> None:
    assert idle().roots == (root(1).root,)
    both = tuple(sorted((root(1).root, root(2).root), key=lambda each: each.fingerprint))
    state = prepared()
    assert (state.phase, state.since, state.reason) == (Phase.PREPARED, NOW, RotationReason.REQUESTED)
    assert (state.current, state.next, state.roots) == (root(1), root(2), both)
    state = activated()
    assert (state.phase, state.since, state.current, state.next) == (Phase.ACTIVATED, NOW + 200, root(2), None)
    assert state.previous is not None
    assert (state.previous.root, state.previous.leaves_until) == (root(1).root, NOW + 200 + DAY)
    assert state.roots == both
    state = slots.retire(state, NOW + 200 + DAY)
    assert (state.phase, state.roots, state.reason, state.previous) == (Phase.IDLE, (root(2).root,), None, None)


def test_the_key_of_the_previous_root_is_gone() -> None:
    state = activated()
    assert root(1).key not in [slot.key for slot in (state.current, state.next) if slot]


def test_nothing_is_left_of_leaves_beyond_their_root() -> None:
    state = slots.activate(prepared(), NOW, NOW + 2 * YEAR)
    assert state.previous is not None
    assert state.previous.leaves_until == root(1).root.not_after


def test_a_compromise_replaces_what_was_prepared() -> None:
    state = slots.prepare(prepared(), root(3), NOW + 5, RotationReason.COMPROMISED)
    assert (state.next, state.reason) == (root(3), RotationReason.COMPROMISED)
    assert root(2).root not in state.roots


def test_a_root_that_grew_old_unused_is_replaced() -> None:
    later = make_root(TRUST_DOMAIN, NOW + YEAR * 3 / 4, 4)
    state = slots.prepare(prepared(), later, NOW + YEAR * 3 / 4, RotationReason.AGE)
    assert state.next == later


def test_a_compromise_ends_the_wait_for_old_leaves() -> None:
    state = slots.force(activated(), NOW + 300)
    assert (state.reason, state.since) == (RotationReason.COMPROMISED, NOW + 300)
    assert slots.retire(state, NOW + 301, ["Secret shop/x"]).phase is Phase.IDLE


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda: slots.prepare(prepared(), root(3), NOW, RotationReason.REQUESTED), "prepared already"),
        (lambda: slots.prepare(activated(), root(3), NOW, RotationReason.COMPROMISED), "still in use"),
        (lambda: slots.prepare(idle(), root(1), NOW, RotationReason.AGE), "must be a new one"),
        (lambda: slots.prepare(idle(), root(2), NOW + 2 * YEAR, RotationReason.AGE), "has ended"),
        (lambda: slots.activate(idle(), NOW, NOW), "no next root"),
        (lambda: slots.activate(activated(), NOW, NOW), "no next root"),
        (lambda: slots.activate(prepared(), NOW + 2 * YEAR, NOW), "not valid now"),
        (lambda: slots.activate(prepared(), NOW - 2 * DAY, NOW), "not valid now"),
        (lambda: slots.retire(idle(), NOW), "no previous root"),
        (lambda: slots.retire(prepared(), NOW), "no previous root"),
        (lambda: slots.retire(activated(), NOW + 200 + DAY - 1), "may still be valid"),
        (lambda: slots.retire(activated(), NOW + 2 * DAY, ["Secret shop/b", "Secret shop/a"]), "Secret shop/a, Secret"),
        (lambda: slots.force(idle(), NOW), "no previous root"),
        (lambda: slots.force(prepared(), NOW), "no previous root"),
    ],
)
def test_what_is_not_allowed_is_refused(change: object, why: str) -> None:
    with pytest.raises(TransitionRefused, match=why):
        change()  # type: ignore[operator]
