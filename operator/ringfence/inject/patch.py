"""JSON Patch (RFC 6902) operations, with the pointers escaped as RFC 6901 asks."""

from collections.abc import Iterable
from typing import Any


def pointer(path: Iterable[str]) -> str:
    """A JSON Pointer; ``~`` and ``/`` in a name are escaped, in this order."""
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in path)


def add(path: Iterable[str], value: object) -> dict[str, Any]:
    """Set a member (or insert an element); an existing one is replaced."""
    return {"op": "add", "path": pointer(path), "value": value}
