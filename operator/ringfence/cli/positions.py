"""Where in a file each field stands, so that an error can name the line that a person has to mend."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Position:
    """The line (from 1) of a value and the positions of what it holds, by key or by index."""

    line: int
    children: Mapping[str | int, "Position"] = field(default_factory=dict)

    def line_of(self, path: str) -> int:
        """The line of the field at ``path`` (``spec.ingress[0].from``, ``metadata.labels[a.b/c]``).

        A field that is not there has the line of the deepest one on the way to it that is: that is where it is missing.
        """
        here, rest = self, path
        while rest:
            key, rest = here._step(rest)
            if key is None:
                break
            here = here.children[key]
        return here.line

    def under(self, *keys: str | int) -> "Position":
        """The position reached by these keys, as far as they are there."""
        here = self
        for key in keys:
            here = here.children.get(key, here)
        return here

    def _step(self, rest: str) -> tuple[str | int | None, str]:
        """The child that ``rest`` begins with and what is left; keys may have dots in them, so the longest wins."""
        if rest.startswith("["):
            inside, _, after = rest[1:].partition("]")
            key: str | int = int(inside) if inside.isascii() and inside.isdigit() else inside
            return (key if key in self.children else None), after
        rest = rest.removeprefix(".")
        names = [
            name
            for name in self.children
            if isinstance(name, str) and rest.startswith(name) and rest[len(name) : len(name) + 1] in {"", ".", "["}
        ]
        best = max(names, key=len, default=None)
        return best, rest[len(best or "") :]
