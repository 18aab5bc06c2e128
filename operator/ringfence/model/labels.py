"""Sets of labelled objects that can be intersected and subtracted exactly.

A Kubernetes LabelSelector is a conjunction of conditions, one key at a time. So is a LabelBox: a mapping from keys
to the set of values (absence among them) that the key may have. Boxes are closed under intersection, and the
difference of two boxes is a finite union of boxes, which is what lets a Deny be taken out of an Allow although a
NetworkPolicy can only allow.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

#: What values without an order of their own are sorted by.
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class ValueSet:
    """A finite or cofinite set over the values of one label, with absence as an element of its own.

    ``values`` are the named values; ``complement`` says that the set is everything but them; ``absent`` says
    whether an object without the label is a member.
    """

    values: frozenset[str] = frozenset()
    complement: bool = False
    absent: bool = False

    def __contains__(self, value: str | None) -> bool:
        if value is None:
            return self.absent
        return (value in self.values) != self.complement

    @property
    def key(self) -> Key:
        """Orders sets: finite before cofinite, then by the values."""
        return (self.complement, self.absent, tuple(sorted(self.values)))

    @property
    def empty(self) -> bool:
        return not self.absent and not self.complement and not self.values

    @property
    def full(self) -> bool:
        return self.absent and self.complement and not self.values

    def disjoint(self, other: Self) -> bool:
        """Whether no value, nor absence, is in both."""
        if self.absent and other.absent:
            return False
        if self.complement:
            return not other.complement and other.values <= self.values
        return self.values <= other.values if other.complement else self.values.isdisjoint(other.values)

    def within(self, other: Self) -> bool:
        """Whether every member is one of ``other``."""
        if self.absent and not other.absent:
            return False
        if self.complement:
            return other.complement and other.values <= self.values
        return self.values.isdisjoint(other.values) if other.complement else self.values <= other.values

    def __and__(self, other: Self) -> "ValueSet":
        absent = self.absent and other.absent
        if self.complement and other.complement:
            return ValueSet(self.values | other.values, complement=True, absent=absent)
        if self.complement:
            return ValueSet(other.values - self.values, absent=absent)
        if other.complement:
            return ValueSet(self.values - other.values, absent=absent)
        return ValueSet(self.values & other.values, absent=absent)

    def __or__(self, other: Self) -> "ValueSet":
        if not (self.complement or other.complement):
            return ValueSet(self.values | other.values, absent=self.absent or other.absent)
        return ~(~self & ~other)

    def __invert__(self) -> "ValueSet":
        return ValueSet(self.values, complement=not self.complement, absent=not self.absent)


ANY_VALUE: Final = ValueSet(complement=True, absent=True)


def one_of(*values: str) -> ValueSet:
    """The label is there with one of these values."""
    return ValueSet(frozenset(values))


def none_of(*values: str) -> ValueSet:
    """The label is absent or has another value (Kubernetes' NotIn)."""
    return ValueSet(frozenset(values), complement=True, absent=True)


def exists() -> ValueSet:
    """The label is there, whatever its value."""
    return ValueSet(complement=True)


def missing() -> ValueSet:
    """The label is not there."""
    return ValueSet(absent=True)


Conditions = tuple[tuple[str, ValueSet], ...]


@dataclass(frozen=True, slots=True)
class LabelBox:
    """Objects whose labels satisfy every condition; no conditions means every object.

    ``conditions`` is sorted by key and holds no full ValueSet, so equal boxes are equal values.
    """

    conditions: Conditions = ()
    _index: dict[str, ValueSet] = field(init=False, repr=False, compare=False, hash=False)
    _hash: int = field(init=False, repr=False, compare=False, hash=False)
    _key: Key | None = field(init=False, repr=False, compare=False, hash=False)
    #: Whether no object can be a member.
    empty: bool = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        empty = False
        for _, values in self.conditions:
            empty = empty or values.empty
        object.__setattr__(self, "_index", dict(self.conditions))
        object.__setattr__(self, "_hash", 0)
        object.__setattr__(self, "_key", None)
        object.__setattr__(self, "empty", empty)

    def __hash__(self) -> int:
        # Kept, because boxes are the keys of many look-ups and hashing one walks all of its values.
        if not self._hash:
            object.__setattr__(self, "_hash", hash(self.conditions) or 1)
        return self._hash

    @property
    def key(self) -> Key:
        """Orders boxes: by their keys, then by the values."""
        # Kept as the hash is: whatever is written is sorted.
        if self._key is None:
            object.__setattr__(self, "_key", tuple((key, values.key) for key, values in self.conditions))
        return self._key or ()

    @classmethod
    def of(cls, conditions: Mapping[str, ValueSet]) -> Self:
        """The box of these conditions, in canonical form."""
        kept = [condition for condition in conditions.items() if not condition[1].full]
        return cls(tuple(sorted(kept) if len(kept) > 1 else kept))

    def get(self, key: str) -> ValueSet:
        """What ``key`` may be: any value when the box has no condition on it."""
        return self._index.get(key, ANY_VALUE)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is a member."""
        for key, values in self.conditions:  # noqa: SIM110 - asked for every pod; twice as fast as all()
            if labels.get(key) not in values:
                return False
        return True

    def disjoint(self, other: Self) -> bool:
        """Whether no object is in both boxes."""
        if self is other:
            return self.empty
        for key, values in other.conditions:
            own = self._index.get(key)
            if own is not None and own.disjoint(values):
                return True
        return self.empty or other.empty

    def within(self, other: Self) -> bool:
        """Whether every object of this box is one of ``other``."""
        for key, values in other.conditions:
            own = self._index.get(key)
            if own is None or not own.within(values):
                return self.empty
        return True

    def __and__(self, other: Self) -> "LabelBox":
        if not other.conditions or self is other:
            return self
        if not self.conditions:
            return other
        merged = dict(self._index)
        for key, values in other.conditions:
            merged[key] = merged[key] & values if key in merged else values
        return LabelBox.of(merged)

    def minus(self, other: Self) -> "tuple[LabelBox, ...]":
        """Disjoint boxes that together hold what is in this box and not in ``other``; empty ones are left out."""
        if self is other:
            return ()
        if self.disjoint(other):
            return () if self.empty else (self,)
        pieces = []
        kept = dict(self._index)
        for key, values in other.conditions:
            own = kept.get(key, ANY_VALUE)
            outside = own & ~values
            if not outside.empty:
                pieces.append(LabelBox.of({**kept, key: outside}))
            kept[key] = own & values
        return tuple(pieces)

    def selectors(self) -> tuple[dict[str, Any], ...]:
        """Kubernetes LabelSelectors whose union is this box; one, except where a key may be absent or one of some."""
        alternatives: list[list[dict[str, Any]]] = [[]]
        for key, values in self.conditions:
            choices = _requirements(key, values)
            alternatives = [[*head, *choice] for head in alternatives for choice in choices]
        return tuple(_selector(requirements) for requirements in alternatives)


def _requirements(key: str, values: ValueSet) -> list[list[dict[str, Any]]]:
    """Alternatives (any of) of requirements (all of) that say the same as ``values``."""
    named = sorted(values.values)
    if values.complement:
        not_in = [{"key": key, "operator": "NotIn", "values": named}] if named else []
        return [not_in] if values.absent else [[{"key": key, "operator": "Exists"}, *not_in]]
    choices: list[list[dict[str, Any]]] = []
    if named:
        choices.append([{"key": key, "operator": "In", "values": named}])
    if values.absent:
        choices.append([{"key": key, "operator": "DoesNotExist"}])
    return choices


def _selector(requirements: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Requirements as people write them: a single value goes to matchLabels."""
    labels: dict[str, str] = {}
    expressions: list[dict[str, Any]] = []
    for requirement in requirements:
        if requirement["operator"] == "In" and len(requirement["values"]) == 1:
            labels[requirement["key"]] = requirement["values"][0]
        else:
            expressions.append(requirement)
    selector: dict[str, Any] = {}
    if labels:
        selector["matchLabels"] = labels
    if expressions:
        selector["matchExpressions"] = expressions
    return selector
