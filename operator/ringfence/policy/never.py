"""Rules whose conditions contradict each other, so that no request can be one that they name."""

from collections.abc import Iterable, Iterator

from ringfence.model.requests import Requests, TimeCondition
from ringfence.model.resources import Action
from ringfence.model.windows import WEEK, second_of_week
from ringfence.policy.algebra import dimensions
from ringfence.policy.algebra.diagram import NOTHING, cube, intersect
from ringfence.policy.reasoning import sent


def named(requests: Requests, action: Action) -> bool:
    """Whether a rule of this action names no request at all. What is missing counts against it, as everywhere."""
    if len(requests.when) + len(requests.query) + len(requests.times) < 2:
        return False  # one condition alone is refused where it holds for nothing
    http = cube([(dimensions.TRAFFIC, dimensions.HTTP)])
    return intersect(sent.named(requests, action is Action.DENY), http) == NOTHING or _never(requests.times)


def _never(conditions: tuple[TimeCondition, ...]) -> bool:
    return not any(all(_holds(each, moment) for each in conditions) for moment in _moments(conditions))


def _holds(condition: TimeCondition, moment: int) -> bool:
    return any(window.holds(moment) for window in condition.windows) is not condition.outside


def _moments(conditions: Iterable[TimeCondition]) -> Iterator[int]:
    """Moments of which one is in every stretch of time in which nothing changes."""
    windows = [window for condition in conditions for window in condition.windows]
    bounds = {each for window in windows for each in (window.not_before, window.not_after) if each is not None}
    edges = {edge % WEEK for window in windows for span in window.spans() for edge in span}
    for first in (0, *sorted(bounds)):
        yield first
        for edge in sorted(edges):
            yield first + (edge - second_of_week(first)) % WEEK
