"""What sources may call, for all of them at once."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from ringfence.model.effective import Direction
from ringfence.policy.algebra.diagram import NOTHING, Diagram, Dimension, Split, split
from ringfence.policy.algebra.ports import Names
from ringfence.policy.algebra.values import Members
from ringfence.policy.reasoning.side import TARGET, Side, Stated


@dataclass(frozen=True)
class Leaving:
    """The sources of a side in classes whose rules let out the same."""

    side: Side

    @cached_property
    def stated(self) -> tuple[Stated | None, ...]:
        """What the rules of each source say, without what does not matter: who wrote them."""
        return tuple(self.side.stated(number, Direction.EGRESS) for number in range(len(self.side.kinds.all)))

    @cached_property
    def classes(self) -> Mapping[Stated | None, int]:
        """Bits of the sources of each class."""
        found: dict[Stated | None, int] = defaultdict(int)
        for number, stated in enumerate(self.stated):
            found[stated] |= 1 << number
        return found

    def calls(self, target: int, sources: int, names: Names) -> Diagram:
        """Source and request of every call that ``sources`` may make to a target."""
        rows = []
        for stated, bits in self._of(sources):
            rest = _to(self.side.leaving(stated, names), target)
            rows.append((Members(bits & sources), rest))
        return split(self.side.axes.source, rows)

    def _of(self, sources: int) -> Iterator[tuple[Stated | None, int]]:
        """The classes that some of ``sources`` are in."""
        if sources.bit_count() < len(self.classes):
            left = sources
            while left:
                stated = self.stated[(left & -left).bit_length() - 1]
                bits = self.classes[stated]
                yield stated, bits
                left &= ~bits
            return
        yield from ((stated, bits) for stated, bits in self.classes.items() if bits & sources)


def at(calls: Diagram, dimension: Dimension) -> Iterator[tuple[Members, Diagram]]:
    """The rows of a set by a dimension of ends; those of a set that leaves it out are about everyone."""
    if isinstance(calls, Split) and calls.dimension.name == dimension.name:
        yield from calls.rows
    elif calls is not NOTHING:
        yield dimension.full, calls


def _to(leaving: Diagram, target: int) -> Diagram:
    """The requests of calls to one target."""
    if not isinstance(leaving, Split) or leaving.dimension.name != TARGET:
        return leaving
    return next((rest for targets, rest in leaving.rows if target in targets), NOTHING)
