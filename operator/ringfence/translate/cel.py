"""Pieces of CEL that the admission outputs share. Values enter an expression as literals, never as text."""

import json
from collections.abc import Iterable, Mapping
from typing import Final

from ringfence.model.names import RESERVED_PREFIX


def literal(value: str | Iterable[str]) -> str:
    """A string, or a list of strings, as CEL writes it (JSON's strings are CEL's)."""
    return json.dumps(value if isinstance(value, str) else list(value))


#: The subresource of a request; the API server leaves the field out where there is none.
SUBRESOURCE: Final = "(has(request.subResource) ? request.subResource : '')"


def name(of: str) -> str:
    """The name of ``object`` or ``oldObject``; empty where there is no object, or only generateName is given yet."""
    return f"({of} != null && has({of}.metadata.name) ? {of}.metadata.name : '')"


def labels(of: str) -> str:
    """The labels of ``object`` or ``oldObject``; an empty map where there is no object or no label."""
    return f"({of} != null && has({of}.metadata.labels) ? {of}.metadata.labels : {{}})"


def annotations(of: str) -> str:
    """The annotations of ``object`` or ``oldObject``; an empty map where there is no object or no annotation."""
    return f"({of} != null && has({of}.metadata.annotations) ? {of}.metadata.annotations : {{}})"


def reserved_differ(after: str, before: str) -> str:
    """Whether any label of Ringfence's is added, changed or removed between two maps."""
    prefix = literal(RESERVED_PREFIX)
    return (
        f"{after}.exists(key, key.startsWith({prefix}) && !(key in {before} && {before}[key] == {after}[key])) || "
        f"{before}.exists(key, key.startsWith({prefix}) && !(key in {after}))"
    )


def either(*terms: str) -> str:
    """Any of them."""
    return " || ".join(f"({term})" for term in terms)


def both(*terms: str) -> str:
    """All of them."""
    return " && ".join(f"({term})" for term in terms)


def named(expressions: Mapping[str, str]) -> list[dict[str, str]]:
    """As matchConditions and variables are written; order is kept, since a variable may use those before it."""
    return [{"name": name, "expression": expression} for name, expression in expressions.items()]
