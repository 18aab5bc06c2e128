"""Everything that the command writes: tables and sentences for people, JSON, YAML and their like for programs.

Answers go to standard output, everything else to standard error, so that a pipe carries answers only. Names and
messages come from files and from other people's clusters; control characters in them never reach a terminal.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TextIO

import yaml

from ringfence.cli import scalars


class Output(StrEnum):
    """How answers are written."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    SARIF = "sarif"
    JUNIT = "junit"
    MARKDOWN = "markdown"


#: What every command can write.
COMMON: Final = (Output.TEXT, Output.JSON, Output.YAML)


class Style(StrEnum):
    """What a word means; on a terminal also its colour (SGR parameters)."""

    GOOD = "32"
    BAD = "31;1"
    CAUTION = "33"
    FAINT = "2"
    STRONG = "1"
    PLAIN = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A word with a meaning."""

    text: str
    style: Style = Style.PLAIN


#: C0 and C1 controls but newline and tab, and the marks that turn the direction of writing.
_UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def safe(text: str) -> str:
    """The text with characters that a terminal would act upon written out."""
    return _UNSAFE.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


class Console:
    """Where answers and remarks go. Nothing is coloured unless the stream is a terminal that wants it."""

    def __init__(
        self,
        out: TextIO,
        err: TextIO,
        environment: Mapping[str, str],
        *,
        output: Output = Output.TEXT,
        verbosity: int = 0,
    ) -> None:
        self.output = output
        self.verbosity = verbosity
        self._out = out
        self._err = err
        wanted = not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
        self._terminal = err.isatty() and environment.get("TERM") != "dumb"
        self._colour = {out: wanted and out.isatty(), err: wanted and err.isatty()}

    # --- answers ----------------------------------------------------------------------------------------------------

    def print(self, *parts: str | Cell) -> None:
        """A line of the answer."""
        self._out.write("".join(self._shown(part, self._out) for part in parts) + "\n")

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[str | Cell]], *, indent: str = "") -> None:
        """Columns under headers, as wide as needed; the last one is not padded."""
        head: list[Sequence[str | Cell]] = [[Cell(header, Style.STRONG) for header in headers]]
        lines = [*head, *rows]
        widths = [max(len(safe(_text(line[i]))) for line in lines) for i in range(len(headers))]
        for line in lines:
            parts = []
            for index, (part, width) in enumerate(zip(line, widths, strict=True)):
                last = index == len(widths) - 1 or not any(_text(rest) for rest in line[index + 1 :])
                padding = "" if last else " " * (width - len(safe(_text(part))) + 3)
                parts.append(self._shown(part, self._out) + padding)
                if last:
                    break
            self._out.write(indent + "".join(parts) + "\n")

    def data(self, value: Any) -> None:
        """The answer for programs, in the format asked for (YAML when text was)."""
        if self.output in (Output.JSON, Output.SARIF):
            self._out.write(json.dumps(value, indent=2, ensure_ascii=True) + "\n")
        else:
            self._out.write(to_yaml(value))

    def document(self, text: str) -> None:
        """The answer for programs, already in the format asked for."""
        self._out.write(text)

    def objects(self, objects: Sequence[Mapping[str, Any]]) -> None:
        """Kubernetes objects: a List as JSON, else documents as YAML; both can be given to kubectl."""
        if self.output is Output.JSON:
            self.data({"apiVersion": "v1", "kind": "List", "items": list(objects)})
            return
        for obj in objects:
            self._out.write("---\n" + to_yaml(obj))

    # --- remarks ----------------------------------------------------------------------------------------------------

    def error(self, message: str) -> None:
        """Why there is no answer."""
        self._remark("error", Style.BAD, message)

    def warn(self, message: str) -> None:
        """What a person should look at."""
        self._remark("warning", Style.CAUTION, message)

    def note(self, message: str) -> None:
        """What the answer rests on."""
        self._remark("note", Style.FAINT, message)

    def detail(self, message: str) -> None:
        """What only ``-v`` shows."""
        if self.verbosity:
            self.note(message)

    def progress(self, message: str) -> None:
        """A step of something that takes time."""
        self._err.write(safe(message) + "\n")
        self._err.flush()

    def ticking(self, message: str) -> None:
        """How far something is, on a line that the next one takes the place of; "" ends it. On a terminal only."""
        if self._terminal:
            self._err.write(f"\r\x1b[K{safe(message)}")
            self._err.flush()

    def _remark(self, word: str, style: Style, message: str) -> None:
        self._err.write(f"{self._shown(Cell(word, style), self._err)}: {safe(message)}\n")

    def _shown(self, part: str | Cell, stream: TextIO) -> str:
        text = safe(_text(part))
        if isinstance(part, str) or not part.style or not self._colour[stream]:
            return text
        return f"\x1b[{part.style}m{text}\x1b[0m"


def _text(part: str | Cell) -> str:
    return part if isinstance(part, str) else part.text


_BASE: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_BASE):  # type: ignore[misc]  # whichever there is: libyaml's is five times as fast
    """Writes what every YAML reader reads back as the same: no aliases, words that look like something else quoted."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _string(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None if scalars.plain(value) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _string)
_Dumper.add_multi_representer(StrEnum, lambda dumper, value: _string(dumper, str(value)))


def to_yaml(value: Any) -> str:
    """The value as block YAML in the order given, ASCII, long lines kept whole."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=10**6, default_flow_style=False)
