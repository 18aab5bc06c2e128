"""Waits grow, stay within their limit, and never undercut what a server asked for."""

from ringfence.kube.backoff import Backoff


def test_waits_double_up_to_the_limit() -> None:
    backoff = Backoff(1.0, 5.0, randomness=lambda: 1.0)
    assert [backoff.next() for _ in range(4)] == [1.0, 2.0, 4.0, 5.0]


def test_jitter_takes_away_at_most_half() -> None:
    assert Backoff(2.0, 8.0, randomness=lambda: 0.0).next() == 1.0


def test_a_servers_wish_is_a_minimum() -> None:
    assert Backoff(1.0, 5.0, randomness=lambda: 0.0).next(at_least=30.0) == 30.0


def test_reset_starts_small_again() -> None:
    backoff = Backoff(1.0, 5.0, randomness=lambda: 1.0)
    backoff.next()
    backoff.next()
    backoff.reset()
    assert backoff.next() == 1.0
