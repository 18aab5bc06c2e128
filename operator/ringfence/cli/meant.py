"""What was probably meant by a name that is not there."""

import difflib
from collections.abc import Iterable
from typing import Final

from ringfence.model.errors import CannotTell

#: How alike a name must be to be proposed, from 0 (anything) to 1 (the same), and how many are.
_ALIKE: Final = 0.75
_MOST: Final = 3
#: Names that are listed where none is alike.
_LISTED: Final = 10


def near(name: str, known: Iterable[str], first: Iterable[str] = ()) -> str:
    """``; did you mean a or b?``, at most three, ``first`` before those that are alike; "" for none."""
    close = difflib.get_close_matches(name, list(known), n=_MOST, cutoff=_ALIKE)
    candidates = list(dict.fromkeys([*first, *close]))[:_MOST]
    return f"; did you mean {' or '.join(candidates)}?" if candidates else ""


def one(name: str, namespaces: Iterable[str], what: str) -> str | None:
    """The only one of the namespaces in which there is something of a name; None for none.

    Raises CannotTell where there are several, with all of them; ``what`` says what is called so.
    """
    found = sorted(set(namespaces))
    if len(found) <= 1:
        return found[0] if found else None
    more = f" or {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    listed = " or ".join(f"{each}/{name}" for each in found[:_LISTED])
    raise CannotTell(f"there are {len(found)} {what} {name}: write {listed}{more} (or -n NAMESPACE)")


def of_namespace(namespace: str, name: str, known: Iterable[tuple[str, str]]) -> str:
    """The same of ``namespace/name``: what is called so elsewhere, what is called alike, else what its namespace has.

    ``namespace`` is "" for what has none.
    """
    there = sorted(set(known))
    shown = {pair: "/".join(filter(None, pair)) for pair in there}
    elsewhere = [shown[pair] for pair in there if pair[1] == name]
    found = near("/".join(filter(None, (namespace, name))), shown.values(), elsewhere)
    own = [pair[1] for pair in there if pair[0] == namespace]
    if found or not own:
        return found
    more = len(own) - _LISTED
    listed = ", ".join(own[:_LISTED]) + (f" and {more} more" if more > 0 else "")
    return f"; there {'is' if len(own) == 1 else 'are'} {listed}"
