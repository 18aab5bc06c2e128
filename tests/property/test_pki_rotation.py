"""Rotations on a virtual clock, killed anywhere: no program ever refuses another, and each rotation ends."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from ringfence.pki.rotation import Request, Timing

from tests.property.pki_fleet import START, Fleet

EXAMPLES = max(5, int(os.environ.get("RINGFENCE_EXAMPLES", "100")) // 5)
TIMING = Timing(longest_life=3600)


@dataclass(frozen=True)
class Course:
    """What happens: which writes kill the controller (negative: after they are done), how late programs read."""

    kills: frozenset[int]
    lags: tuple[int, ...]
    step: int
    seed: int


COURSES = st.builds(
    Course,
    kills=st.frozensets(st.integers(-40, 40).filter(bool), max_size=12),
    lags=st.tuples(*[st.integers(0, 90)] * 4),
    step=st.integers(1, 30),
    seed=st.integers(0, 2**32),
)


def settled(course: Course) -> Fleet:
    """A fleet in which everybody has a certificate; its kills are still to come."""
    fleet = Fleet(timing=TIMING, lags=course.lags, seed=course.seed).run(200)
    fleet.api.writes, fleet.api.kills = 0, course.kills
    assert fleet.failures == []
    return fleet


@settings(max_examples=EXAMPLES)
@given(COURSES)
def test_no_handshake_fails_in_a_rotation_that_is_killed_anywhere(course: Course) -> None:
    fleet = settled(course)
    before = fleet.state.current.root.fingerprint
    fleet.api.request = Request.REQUESTED
    fleet.phases.clear()
    fleet.until_idle()
    assert fleet.phases[-3:] == ["Prepared", "Activated", "Idle"]
    fleet.run(300)
    assert fleet.failures == []
    assert fleet.trusted == {fleet.state.current.root.fingerprint}
    assert before not in fleet.trusted


@settings(max_examples=EXAMPLES)
@given(COURSES)
def test_a_first_install_that_is_killed_anywhere_has_one_root(course: Course) -> None:
    fleet = Fleet(timing=TIMING, lags=course.lags, seed=course.seed, kills=course.kills).run(1200, step=30)
    assert fleet.failures == []
    assert fleet.phases == ["Idle"]
    assert len(fleet.trusted) == 1


@settings(max_examples=EXAMPLES)
@given(COURSES, st.integers(0, 5000))
def test_a_compromise_at_any_moment_ends_the_trust_in_every_root_of_before(course: Course, moment: int) -> None:
    fleet = settled(course)
    fleet.api.request = Request.REQUESTED
    fleet.run(moment, step=60)
    known = {root.fingerprint for root in fleet.state.roots}
    reported = fleet.now
    fleet.api.request = Request.COMPROMISED
    fleet.until_idle(at_most=3600)
    assert fleet.now - reported < 3600, "it does not wait for old certificates to end"
    fleet.run(150)
    fleet.failures.clear()
    fleet.run(150)
    assert fleet.failures == [], "when it is over everybody accepts everybody again"
    assert not known & fleet.trusted


def test_a_root_is_rotated_by_age() -> None:
    fleet = Fleet(timing=TIMING).run(200)
    first = fleet.state.current.root
    fleet.now = int(first.not_before + (first.not_after - first.not_before) * 2 / 3) - 1000
    # The leaves of half a year ago have ended: programs that slept that long read anew.
    fleet.run(600)
    fleet.failures.clear()
    fleet.phases.clear()
    fleet.run(8000)
    assert fleet.phases == ["Idle", "Prepared", "Activated", "Idle"]
    assert fleet.failures == []
    assert fleet.state.current.root != first


def test_the_fleet_notices_when_nobody_gives_programs_time_to_read() -> None:
    fleet = Fleet(timing=Timing(propagation=0, reissue_within=1, longest_life=3600), lags=(0, 110)).run(200)
    fleet.api.request = Request.REQUESTED
    fleet.until_idle()
    assert fleet.failures, "a rotation without waiting must fail somebody, else this fleet proves nothing"


class Hasty(Timing):
    """Retires the previous root as soon as every Secret has a new certificate."""

    def leaves_until(self, now: float, ends: Iterable[int] = ()) -> float:
        return now


def test_the_fleet_notices_a_root_that_is_retired_too_early() -> None:
    fleet = Fleet(timing=Hasty(reissue_within=1), lags=(0, 100)).run(200)
    fleet.api.request = Request.REQUESTED
    fleet.until_idle()
    assert fleet.failures, "a program that still shows its old certificate must be refused, else this proves nothing"


def test_a_fleet_without_a_rotation_renews_for_a_day() -> None:
    fleet = Fleet(timing=TIMING).run(24 * 3600, step=120)
    assert fleet.failures == []
    assert fleet.phases == ["Idle"]
    assert fleet.now - START >= 24 * 3600
    assert fleet.api.writes > 24, "certificates were renewed"
