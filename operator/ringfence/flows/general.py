"""Paths in general: what varies in them is taken for any segment. docs/flows.md states the rules."""

import re
from typing import Final

from ringfence.policy import paths
from ringfence.policy.requests import ANY_SEGMENT

#: Segments that name one of many things: a number, a UUID, at least 16 hexadecimal digits with a number among them.
_VARIES: Final = re.compile(
    r"[0-9]+|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|(?=[a-fA-F]*[0-9])[0-9a-fA-F]{16,}"
)
#: A segment as a policy can write it (docs/api.md); others stand for any.
_WRITABLE: Final = re.compile(
    r"([A-Za-z0-9_~!$&'()+,=:@-]|\.[A-Za-z0-9_~!$&'()+,=:@-]|\.\.[A-Za-z0-9._~!$&'()+,=:@-])[A-Za-z0-9._~!$&'()+,=:@-]*"
)
#: A path whose segments mean themselves: nothing in it is normalized, and no program reads it in another way.
CLEAN: Final = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+/?|/")
#: Characters of a path in a policy.
LONGEST: Final = 256


def general(target: str) -> str | None:
    """The path of a request's target with ``{*}`` for what varies.

    None for one that no rule about paths lets pass: that a proxy refuses, or that programs may read in several ways.
    """
    found: str | None = target if CLEAN.fullmatch(target) else paths.normalized(target)
    if found is None or paths.unclear(found):
        return None
    path = "/".join(part if not part or _stays(part) else ANY_SEGMENT for part in found.split("/"))
    return path if len(path) <= LONGEST else None


def _stays(part: str) -> bool:
    return _WRITABLE.fullmatch(part) is not None and _VARIES.fullmatch(part) is None
