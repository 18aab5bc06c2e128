"""Rules that no request can be one of."""

from hypothesis import given
from hypothesis import strategies as st
from ringfence.model.requests import Asks, HeaderCondition, QueryCondition, Requests, TimeCondition
from ringfence.model.resources import Action, Rule
from ringfence.model.windows import WEEK, Window
from ringfence.policy import never
from ringfence.policy.reasons import FindingReason

from tests.unit.model.test_windows import around, windows
from tests.unit.policy import making

A, B = ("a",), ("b",)
ALLOW, DENY = Action.ALLOW, Action.DENY


def header(test: Asks, *values: str) -> HeaderCondition:
    return HeaderCondition("x", test, values)


def query(test: Asks, *values: str) -> QueryCondition:
    return QueryCondition("x", test, values)


def both(rule: Requests) -> tuple[bool, bool]:
    return never.named(rule, ALLOW), never.named(rule, DENY)


def test_values_that_have_nothing_in_common() -> None:
    """A Deny of both still denies what has no header at all."""
    assert both(Requests(when=(header(Asks.IN, "a"), header(Asks.IN, "b")))) == (True, False)
    assert both(Requests(when=(header(Asks.IN, "a"), header(Asks.PREFIX, "b")))) == (True, False)
    assert both(Requests(when=(header(Asks.IN, "a"), header(Asks.NOT_IN, "a")))) == (True, False)
    assert both(Requests(when=(header(Asks.EXISTS), header(Asks.ABSENT)))) == (True, True)
    assert both(Requests(query=(query(Asks.IN, "a"), query(Asks.ABSENT)))) == (True, False)
    assert both(Requests(query=(query(Asks.IN, "a"), query(Asks.NOT_IN, "b")))) == (False, False)
    assert both(Requests(when=(header(Asks.IN, "a"),), query=(query(Asks.IN, "b"),))) == (False, False)


def test_times_that_have_nothing_in_common() -> None:
    monday, tuesday = Window((0,)), Window((1,))
    days = TimeCondition((monday,)), TimeCondition((tuesday,))
    assert both(Requests(times=days)) == (True, True)
    assert both(Requests(times=(TimeCondition((monday,)), TimeCondition((monday,), outside=True)))) == (True, True)
    over = TimeCondition((Window((0,), 23 * 3600, 3600),)), TimeCondition((tuesday,))
    assert both(Requests(times=over)) == (False, False)
    bounds = TimeCondition((Window(not_after=10 * WEEK),)), TimeCondition((Window(not_before=10 * WEEK),))
    assert both(Requests(times=bounds)) == (True, True)


@given(st.lists(st.builds(TimeCondition, st.tuples(windows()), st.booleans()), min_size=2, max_size=3))
def test_never_is_never(conditions: list[TimeCondition]) -> None:
    if never.named(Requests(times=tuple(conditions)), ALLOW):
        for moment in (each for condition in conditions for w in condition.windows for each in around(w) if each >= 0):
            assert not all(c.windows[0].holds(moment) is not c.outside for c in conditions)


def test_it_is_told() -> None:
    made = Rule("r", ALLOW, None, (making.PortSpec(80),), Requests(when=(header(Asks.IN, "a"), header(Asks.IN, "b"))))
    known = making.world(making.policy(ingress=(made,)))
    (found,) = making.findings(known, FindingReason.RULE_NEVER_MATCHES)
    assert found.message.startswith("rule r matches no request: its conditions contradict each other")
