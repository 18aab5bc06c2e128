"""Results that are kept: found again by value, and never more of them than allowed."""

from ringfence.policy.kept import Kept


def lengths(most: int) -> tuple[Kept[str, int], list[str]]:
    """Lengths of words, each of the weight of its word, and the words whose lengths were computed."""
    computed: list[str] = []

    def compute(word: str) -> int:
        computed.append(word)
        return len(word)

    return Kept(compute, weigh=lambda word, _: len(word), most=most), computed


def test_a_result_is_computed_once() -> None:
    kept, computed = lengths(most=10)
    assert [kept("one"), kept("on" + "e"), kept("three")] == [3, 3, 5]
    assert computed == ["one", "three"]


def test_beyond_the_weight_what_was_asked_for_longest_ago_goes() -> None:
    kept, computed = lengths(most=8)
    for word in ("one", "two", "one", "four"):
        kept(word)
    assert kept.weight == 7
    kept("one")
    kept("two")
    assert computed == ["one", "two", "four", "two"]


def test_what_is_too_heavy_by_itself_is_not_kept_and_drives_nothing_out() -> None:
    kept, computed = lengths(most=5)
    for word in ("one", "eleven", "eleven", "one"):
        kept(word)
    assert computed == ["one", "eleven", "eleven"]
    assert kept.weight == 3


def test_forgetting_is_starting_anew() -> None:
    kept, computed = lengths(most=5)
    kept("three")
    kept.cache_clear()
    kept("three")
    assert (kept.weight, computed) == (5, ["three", "three"])
