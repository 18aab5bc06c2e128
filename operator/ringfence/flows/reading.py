"""Reads records line by line, each in whatever format it is in, and counts what could not be read.

Nothing is kept but counts and the first few complaints, however long the file is.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Final

import msgspec

from ringfence.flows import access_log, hubble, own
from ringfence.flows.flow import Aside, BadLine, Flow, Party, View

#: More than this is no record.
MAX_LINE: Final = 1024 * 1024
#: Complaints that are kept; the others are counted.
MANY: Final = 5
#: Kinds of what is left aside that are told apart.
_KINDS: Final = 32

#: What stands before a line of a container's log: kubectl's --prefix and --timestamps, the files of the kubelet.
_PREFIX: Final = re.compile(rb"(\[pod/[^\]]{1,600}\] )?([0-9]{4}-[0-9T:.+Z-]{8,40} )?(std(out|err) F )?")
#: What Envoy itself has to say.
_MESSAGE: Final = re.compile(rb"\[[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]+\]\[[0-9]+\]")
#: Events of Hubble that are no flows.
_EVENTS: Final = ("lost_events", "node_status", "agent_event", "debug_event")


@dataclass(frozen=True, slots=True)
class _Format:
    name: str
    decode: Callable[[bytes], Any]
    flow: Callable[[Any], Flow]


_FORMATS: Final = (
    _Format("access log", msgspec.json.Decoder(access_log.Line).decode, access_log.flow),
    _Format("ringfence", msgspec.json.Decoder(own.Line).decode, own.flow),
    _Format("hubble", msgspec.json.Decoder(hubble.Line).decode, hubble.flow),
)
_BROKEN: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(slots=True)
class Tally:
    """What has been read: ``lines`` that are not empty, ``flows`` by format, lines left ``aside`` by what they are.

    ``bad`` counts lines that could not be understood, ``complaints`` are about the first of them: where, and what.
    ``truncated`` are the sources that end within a record.
    """

    lines: int = 0
    flows: Counter[str] = field(default_factory=Counter)
    aside: Counter[str] = field(default_factory=Counter)
    bad: int = 0
    complaints: list[tuple[str, str]] = field(default_factory=list)
    truncated: list[str] = field(default_factory=list)

    def complain(self, place: str, message: str) -> None:
        """One more line that could not be understood."""
        self.bad += 1
        if len(self.complaints) < MANY:
            self.complaints.append((place, message))

    def leave(self, what: str) -> None:
        """One more line that is no call."""
        self.aside[what if what in self.aside or len(self.aside) < _KINDS else "other lines"] += 1


def read(stream: IO[bytes], source: str, tally: Tally, owner: Party | None = None) -> Iterator[Flow]:
    """The flows of a stream; ``source`` names it for complaints.

    ``owner`` is whose proxies wrote the access log in it, None where nobody said.
    """
    formats = list(_FORMATS)
    for number, line in _lines(stream):
        if line is None:
            tally.lines += 1
            tally.complain(f"{source}:{number}", f"is longer than {MAX_LINE >> 20} MiB")
            continue
        record = line.strip()
        if not record:
            continue
        tally.lines += 1
        try:
            name, found = _flow(record, formats)
        except Aside as aside:
            tally.leave(str(aside))
        except BadLine as error:
            if not line.endswith(b"\n") and _unfinished(record):
                tally.truncated.append(source)
            tally.complain(f"{source}:{number}", str(error))
        else:
            tally.flows[name] += 1
            yield found if owner is None or name != "access log" else _owned(found, owner)


def _lines(stream: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Lines with their numbers from 1; None for one that is too long."""
    number = 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        if len(line) <= MAX_LINE or line.endswith(b"\n"):
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(MAX_LINE)
        yield number, None


def _flow(record: bytes, formats: list[_Format]) -> tuple[str, Flow]:
    """The name of the format, and the flow. The format that fits is tried first from then on."""
    if not record.startswith(b"{"):
        record = _bare(record)
    for place, each in enumerate(formats):
        try:
            line = each.decode(record)
        except _BROKEN:
            continue
        if place:
            formats.insert(0, formats.pop(place))
        return each.name, each.flow(line)
    raise _explained(record)


def _bare(record: bytes) -> bytes:
    """The record without what a log puts before it; raises Aside and BadLine."""
    prefix = _PREFIX.match(record)
    rest = record[prefix.end() :] if prefix is not None else record
    if rest.startswith(b"{"):
        return rest
    if _MESSAGE.match(rest):
        raise Aside("the proxy's own messages")
    raise BadLine(f"is no JSON: {rest[:160].decode(errors='replace')[:40]!r}")


def _explained(record: bytes) -> BadLine | Aside:
    """Why a record fits no format."""
    try:
        value = msgspec.json.decode(record)
    except _BROKEN as error:
        return BadLine(f"is no JSON: {error}")
    if any(event in value for event in _EVENTS) and "flow" not in value:
        return Aside("events of Hubble that are no flows")
    wanted = "hubble" if "flow" in value else "access log" if "direction" in value else "ringfence"
    if wanted == "ringfence" and not {"source", "target"} & value.keys():
        return BadLine("is no record of a call: it has no source and target, no flow, no direction and destination")
    chosen = next(each for each in _FORMATS if each.name == wanted)
    try:
        chosen.decode(record)
    except _BROKEN as error:
        return BadLine(_in_words(str(error)))
    raise AssertionError(record)


def _in_words(message: str) -> str:
    """What msgspec says, with the field first."""
    text, _, path = message.partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    said = text.replace("Object contains unknown field", "there is no field").replace("Object missing", "it has no")
    return f"{field}: {said[0].lower()}{said[1:]}" if field else f"{said[0].lower()}{said[1:]}"


def _unfinished(record: bytes) -> bool:
    try:
        msgspec.json.decode(record)
    except _BROKEN:
        return True
    return False


def _owned(found: Flow, owner: Party) -> Flow:
    """The flow with the name of whoever wrote it down; the address stays."""
    field = "target" if found.view is View.TARGET else "source"
    end: Party = getattr(found, field)
    return msgspec.structs.replace(found, **{field: Party(owner.namespace, owner.account, ip=end.ip, named=True)})


def told_by_proxies(stream: IO[bytes]) -> Iterator[Flow]:
    """The flows of access logs alone; what cannot be read is passed over."""
    chosen = next(each for each in _FORMATS if each.name == "access log")
    for _, line in _lines(stream):
        place = line.find(b"{") if line is not None and b'"direction"' in line else -1
        if line is None or place < 0:
            continue
        try:
            yield chosen.flow(chosen.decode(line[place:]))
        except (*_BROKEN, BadLine, Aside):
            continue
