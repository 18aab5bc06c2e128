"""Mappings that are replaced and never changed, so that thousands who have the same can hold one."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

Value = TypeVar("Value")

#: The one that is empty.
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def nothing() -> Mapping[str, Any]:
    """NOTHING, where a default has to be made."""
    return NOTHING


def same(one: Mapping[str, Value], other: Mapping[str, Value]) -> bool:
    """Whether they say the same; at once when they are the same."""
    return one is other or one == other


def first_same(mapping: Mapping[str, Value], known: Collection[Mapping[str, Value]]) -> Mapping[str, Value]:
    """The first of ``known`` that says the same, else the mapping itself; NOTHING for every empty one."""
    if not mapping:
        return NOTHING
    for each in known:
        if same(mapping, each):
            return each
    return mapping


def without(mapping: Mapping[str, Value], names: Collection[str]) -> Mapping[str, Value]:
    """The mapping less these names; the mapping itself when it has none of them."""
    for name in names:
        if name in mapping:
            gone = frozenset(names)
            return {name: each for name, each in mapping.items() if name not in gone} or NOTHING
    return mapping


def outdated(versions: Mapping[str, str], names: Collection[str]) -> Mapping[str, str]:
    """With "" for these names where they are known: in no version that there is, but not gone either."""
    old = [name for name in names if name in versions]
    return {**versions, **dict.fromkeys(old, "")} if old else versions
