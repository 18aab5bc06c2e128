"""The smaller dimensions of a request: its method, what an attribute may be, and who stands at an end."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self

from ringfence.policy.algebra.texts import EVERY_TEXT, NO_TEXT, TextSet

#: Tried in this order for a method that is none of those named.
_METHODS: Final = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Methods:
    """Request methods (RFC 9110 9.1; case matters): ``names``, or with ``others`` all but these."""

    names: frozenset[str] = frozenset()
    others: bool = False

    @classmethod
    def of(cls, names: Iterable[str]) -> Self:
        """These methods."""
        return cls(frozenset(names))

    @property
    def empty(self) -> bool:
        return not self.others and not self.names

    @property
    def key(self) -> tuple[bool, tuple[str, ...]]:
        """Orders sets: those that name what is in them first."""
        return self.others, tuple(sorted(self.names))

    def __contains__(self, method: str) -> bool:
        return (method in self.names) != self.others

    def __and__(self, other: Self) -> Self:
        if self.others and other.others:
            return type(self)(self.names | other.names, others=True)
        if self.others:
            return type(self)(other.names - self.names)
        return type(self)(self.names - other.names if other.others else self.names & other.names)

    def __invert__(self) -> Self:
        return type(self)(self.names, others=not self.others)

    def __or__(self, other: Self) -> Self:
        return ~(~self & ~other)

    def __sub__(self, other: Self) -> Self:
        return self & ~other

    def witness(self) -> str:
        """A member; raises ValueError for the empty set."""
        if not self.others:
            return min(self.names)
        number = 0
        for name in _METHODS:
            if name not in self.names:
                return name
        while f"M{number}" in self.names:
            number += 1
        return f"M{number}"


#: An attribute that is not there, and one that is given more than once (or as a list), so that its value is not clear.
MISSING: Final = None
SEVERAL: Final = ("several",)


@dataclass(frozen=True, slots=True)
class Attribute:
    """What a header, a claim or any other attribute of a request may be: some texts, missing, or several at once.

    Of an attribute that is a list each member is an attribute of its own, there or missing.
    """

    texts: TextSet = NO_TEXT
    absent: bool = False
    several: bool = False

    @property
    def empty(self) -> bool:
        return not self.absent and not self.several and self.texts.empty

    @property
    def key(self) -> tuple[bool, bool, tuple[tuple[str, bool, str], ...]]:
        """Orders sets."""
        return self.absent, self.several, self.texts.key

    def __contains__(self, value: str | tuple[str] | None) -> bool:
        """Whether it may be this text, MISSING or SEVERAL."""
        if isinstance(value, str):
            return value in self.texts
        return self.absent if value is MISSING else self.several

    def __and__(self, other: Self) -> Self:
        return type(self)(self.texts & other.texts, self.absent and other.absent, self.several and other.several)

    def __or__(self, other: Self) -> Self:
        return type(self)(self.texts | other.texts, self.absent or other.absent, self.several or other.several)

    def __sub__(self, other: Self) -> Self:
        return type(self)(
            self.texts - other.texts, self.absent and not other.absent, self.several and not other.several
        )

    def witness(self) -> str | tuple[str] | None:
        """A text, MISSING or SEVERAL; raises ValueError for the empty set."""
        if self.texts.empty and (self.absent or self.several):
            return MISSING if self.absent else SEVERAL
        return self.texts.witness()


@dataclass(frozen=True, slots=True)
class Members:
    """Some of finitely many things, by number: bit N of ``bits`` stands for the Nth."""

    bits: int = 0

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Self:
        """The things of these numbers."""
        bits = 0
        for number in numbers:
            bits |= 1 << number
        return cls(bits)

    @property
    def empty(self) -> bool:
        return not self.bits

    @property
    def key(self) -> int:
        """Orders sets."""
        return self.bits

    def __contains__(self, number: int) -> bool:
        return bool(self.bits >> number & 1)

    def __iter__(self) -> Iterator[int]:
        """The numbers, rising."""
        bits = self.bits
        while bits:
            yield (bits & -bits).bit_length() - 1
            bits &= bits - 1

    def __and__(self, other: Self) -> Self:
        return type(self)(self.bits & other.bits)

    def __or__(self, other: Self) -> Self:
        return type(self)(self.bits | other.bits)

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.bits & ~other.bits)

    def witness(self) -> int:
        """The least number; raises ValueError for the empty set."""
        if not self.bits:
            raise ValueError("nobody is in the empty set")
        return (self.bits & -self.bits).bit_length() - 1


EVERY_METHOD: Final = Methods(others=True)
ANY_OR_NONE: Final = Attribute(EVERY_TEXT, absent=True, several=True)
