"""When memory is given back."""

from ringfence.proxyd.crowds import CROWD, Crowds


def seen(*moves: int) -> list[int]:
    """At which of the looks it was given back."""
    given: list[int] = []
    now = 0
    crowds = Crowds(lambda: given.append(now))
    for now, each in enumerate(moves):  # noqa: B007 (the callback reads it)
        crowds.look(each)
    return given


def test_after_a_crowd_once_nobody_comes_any_more() -> None:
    assert seen(0, 5 * CROWD, 9 * CROWD, 9 * CROWD, 9 * CROWD, 9 * CROWD) == [3]


def test_not_for_a_few_until_there_were_many_of_them() -> None:
    assert seen(0, 0, CROWD - 1, CROWD - 1, CROWD - 1) == []
    assert seen(CROWD - 1, CROWD - 1, CROWD, CROWD, CROWD) == [3]


def test_for_each_crowd_again() -> None:
    assert seen(CROWD, CROWD, CROWD, 2 * CROWD, 2 * CROWD) == [1, 4]
