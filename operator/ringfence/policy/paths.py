"""Paths of requests: what a proxy makes of one before any rule sees it, and which ones rules never see.

``normalized`` is what Envoy 1.40 does with ``normalize_path`` (its URL library is Chromium's), found by asking it;
tests hold the two together. The equivalences are those of RFC 3986 §6.2.2, the backslash of the WHATWG URL standard,
and dot segments with parameters (``..;x``).
"""

import re
from typing import Final

#: Written as such in a path, they become %XX; written as %XX, those in _PLAIN become what they stand for.
_ESCAPED: Final = frozenset('"<>^`{|}')
_PLAIN: Final = frozenset("-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_HEX: Final = frozenset("0123456789abcdefABCDEF")
#: A ``%`` that begins no escape, as long as it is not known what comes behind it; no path holds it.
_LOOSE: Final = "\0"
#: What no request may carry in its target, and the mark of a fragment, which is no part of one.
_NEVER: Final = re.compile(r"[\x00-\x20\x7f#]")
_DOTS_WITH_PARAMETERS: Final = re.compile(r"(?<=/)(\.{1,2});[^/]*")
#: In lower case: what programs take apart in ways of their own. A slash or backslash that is hidden, an empty segment,
#: parameters of a segment.
UNCLEAR: Final = ("//", "%2f", "%5c", ";", "%3b")


def normalized(target: str) -> str | None:
    """The path of a request's target, without its query, as rules see it; None where the proxy refuses the request.

    Bytes beyond ASCII (which HTTP/1.1 may not carry, and the proxy refuses there) are those of UTF-8; others are
    surrogates, as in Python's ``surrogateescape``.
    """
    path = target.partition("?")[0]
    if not target.startswith("/") or _NEVER.search(target):
        return None
    found = _canonical(_DOTS_WITH_PARAMETERS.sub(r"\1", path))
    return found if found is not None and found.startswith("/") else None


def unclear(path: str) -> bool:
    """Whether a normalized path is one that programs may read in different ways: no rule about paths is asked."""
    lower = path.lower()
    return any(part in lower for part in UNCLEAR)


def _canonical(path: str) -> str | None:
    """``path`` begins with a slash. None where it holds %00."""
    out = ["/"]
    place, end = 1, len(path)
    while place < end:
        char = path[place]
        dots = _dot(path, place) if out[-1] == "/" else 0
        if dots and (step := _dot_segment(path, place, dots, out)):
            place = step
        elif char == "\\":
            out.append("/")
            place += 1
        elif char == "%":
            if (found := _escape(path, place, out)) is None:
                return None
            place = found
        else:
            out.append(char if char.isascii() and char not in _ESCAPED else _escaped(char))
            place += 1
    return "".join(out).replace(_LOOSE, "%")


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogateescape"))


def _dot(path: str, place: int) -> int:
    """The characters of a dot at ``place``, as itself or as %2E; 0 for none."""
    if path.startswith(".", place):
        return 1
    return 3 if path[place : place + 3].lower() == "%2e" else 0


def _ends(path: str, place: int) -> int:
    """Characters to pass at the end of a segment; -1 where none ends."""
    if place >= len(path):
        return 0
    return 1 if path[place] in "/\\" else -1


def _dot_segment(path: str, place: int, dots: int, out: list[str]) -> int:
    """Where to go on after a segment of one or two dots, which is taken out; 0 where there is none."""
    after = place + dots
    if (more := _ends(path, after)) >= 0:
        return after + more
    second = _dot(path, after)
    if not second or (more := _ends(path, after + second)) < 0:
        return 0
    if len(out) > 1:
        out.pop()
        while out[-1] != "/":
            out.pop()
    return after + second + more


def _escape(path: str, place: int, out: list[str]) -> int | None:
    """Where to go on after a ``%``; None for %00."""
    digits = path[place + 1 : place + 3]
    if len(digits) < 2 or not set(digits) <= _HEX:
        out.append(_LOOSE)
        return place + 1
    char = chr(int(digits, 16))
    if char == "\0":
        return None
    if char in _PLAIN:
        _plain(out, char, path[place + 3 : place + 4])
    else:
        out.extend(f"%{digits}")
    return place + 3


def _plain(out: list[str], char: str, following: str) -> None:
    """Write what an escape stood for; where a loose ``%`` before it would make it part of a new one, that is undone."""
    if out[-1] == _LOOSE and {char, following} <= _HEX:
        out[-1:] = [*"%25", char]
    elif len(out) > 1 and out[-2] == _LOOSE and {out[-1], char} <= _HEX:
        out[-2:] = [*"%25", out[-1], char]
    else:
        out.append(char)
