"""Moments: renewal, spreading, the age of roots, clocks that step."""

import pytest
from ringfence.pki import renewal

from tests.unit.pki.material import HOUR, NOW


def test_renewal_starts_at_the_share_of_the_life() -> None:
    assert renewal.renew_at(NOW, NOW + 4 * HOUR, 0.25, 0.0) == NOW + HOUR
    assert renewal.renew_at(NOW, NOW + 4 * HOUR, 0.25, 1.0) == pytest.approx(NOW + 1.1 * HOUR)
    assert renewal.renew_at(NOW, NOW + 4 * HOUR, 0.25, -1.0) == pytest.approx(NOW + 0.9 * HOUR)


def test_late_renewal_leaves_time_to_try_again() -> None:
    assert renewal.renew_at(0, 1000, 0.95, 1.0) == pytest.approx(975)


@pytest.mark.parametrize(("share", "jitter"), [(0, 0), (1, 0), (-0.1, 0), (0.5, 1.1), (0.5, -1.1), (float("nan"), 0)])
def test_shares_that_are_none_raise(share: float, jitter: float) -> None:
    with pytest.raises(ValueError, match="share"):
        renewal.renew_at(0, 1000, share, jitter)


def test_a_life_that_is_none_raises() -> None:
    with pytest.raises(ValueError, match="before it begins"):
        renewal.renew_at(10, 10, 0.5, 0)


def test_it_is_due_from_its_moment_on() -> None:
    assert not renewal.should_renew(9.9, 10)
    assert renewal.should_renew(10, 10)


def test_jitter_follows_from_the_serial_number_and_is_spread() -> None:
    drawn = [renewal.jitter_of(number) for number in range(4000)]
    assert drawn == [renewal.jitter_of(number) for number in range(4000)]
    assert all(-1 <= each < 1 for each in drawn)
    quarters = [sum(low <= each < low + 0.5 for each in drawn) for low in (-1, -0.5, 0, 0.5)]
    assert all(900 < count < 1100 for count in quarters)


def test_a_storm_is_spread_evenly() -> None:
    moments = [renewal.spread(NOW, 600, f"shop/service-{number}") for number in range(5000)]
    per_minute = [sum(NOW + 60 * minute <= each < NOW + 60 * (minute + 1) for each in moments) for minute in range(10)]
    assert sum(per_minute) == 5000
    assert max(per_minute) < 600


def test_a_root_is_old_at_two_thirds() -> None:
    assert renewal.rotate_at(0, 900) == 600


@pytest.mark.parametrize(
    ("wall", "monotonic", "step"),
    [(10, 10, 0), (11, 10, 0), (10 + 31, 10, 31), (10 - 3 * 86400, 10, -3 * 86400), (3600, 3600, 0)],
)
def test_a_clock_that_was_set_is_noticed(wall: float, monotonic: float, step: float) -> None:
    assert renewal.clock_step((NOW, 5.0), (NOW + wall, 5.0 + monotonic)) == step
