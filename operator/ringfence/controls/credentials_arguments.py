"""No credential is written into a command line: it stands in the pod and in the process list of the node.

Fields: command, args, and of livenessProbe, readinessProbe, startupProbe, lifecycle.postStart and lifecycle.preStop
exec.command and httpGet.httpHeaders[*].value, of every container. Refused: what has the form of a credential, and a
value that is written out for a flag, a variable or a header whose name says credential (or that the policy names). The
value itself is never shown.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from ringfence.controls import credentials, handlers
from ringfence.controls.control import Check, Found, PolicyControl, container, shown
from ringfence.controls.credentials import Form
from ringfence.controls.pod import Container, Header, Subject
from ringfence.model.demands import ControlId

_FIX: Final = "keep it in a Secret, mount that as a volume and give the program the name of the file"
#: Headers that carry credentials whatever their value looks like.
_HEADERS: Final = frozenset({"authorization", "cookie", "proxy-authorization"})


def prepare(names: tuple[str, ...]) -> Check:
    """The check for names that say credential, and ``names`` beside them."""
    more = frozenset(names)

    def check(subject: Subject) -> Iterator[Found]:
        room = credentials.Room()
        for field, each in subject.containers:
            for place, words in _commands(each):
                if not room.for_all(words):
                    yield Found(f"{field}.{place}", credentials.NO_ROOM, credentials.NO_ROOM_FIX)
                    return
                yield from _words(f"{field}.{place}", words, each, more)
            for name, handler in handlers.of(each):
                headers = (handler.http_get.http_headers if handler.http_get else None) or []
                if not room.for_all([header.value for header in headers]):
                    yield Found(f"{field}.{name}.httpGet.httpHeaders", credentials.NO_ROOM, credentials.NO_ROOM_FIX)
                    return
                yield from _headers(f"{field}.{name}", headers, each, more)

    return check


def _commands(each: Container) -> Iterator[tuple[str, Sequence[str]]]:
    if each.command:
        yield "command", each.command
    if each.args:
        yield "args", each.args
    for name, handler in handlers.of(each):
        if handler.run is not None and handler.run.command:
            yield f"{name}.exec.command", handler.run.command


def _words(field: str, words: Sequence[str], owner: Container, names: frozenset[str]) -> Iterator[Found]:
    forms = credentials.possible(words)
    for index, word in enumerate(words):
        complaint = _complaint(word, forms, names)
        if complaint:
            yield Found(f"{field}[{index}]", f"{complaint} for {container(owner.name)}", _FIX)
        elif index + 1 < len(words) and (name := credentials.flag(word, words[index + 1], names)):
            message = f'is the value ("{credentials.MASK}") of {shown(name)} for {container(owner.name)}'
            yield Found(f"{field}[{index + 1}]", f"{message}, whose name says that it is a credential", _FIX)


def _complaint(word: str, forms: tuple[Form, ...], names: frozenset[str]) -> str:
    if len(word) > credentials.MAX_TEXT:
        return f"has more than {credentials.MAX_TEXT} characters, too many to look for credentials in,"
    form = credentials.found(word, forms, in_shell=True) if forms else None
    if form is not None:
        return f'holds what looks like {form.what} ("{form.shows}")'
    name = next(credentials.assigned(word, names), "")
    return f'gives {shown(name)}, a credential by its name, a value ("{credentials.MASK}")' if name else ""


def _headers(field: str, headers: Sequence[Header], owner: Container, names: frozenset[str]) -> Iterator[Found]:
    for index, header in enumerate(headers):
        if header.value and (_telling(header.name, names) or _secret(header.value)):
            yield Found(
                f"{field}.httpGet.httpHeaders[{index}].value",
                f'holds a credential ("{credentials.MASK}") in header {shown(header.name)} for {container(owner.name)}',
                "probe a path that needs no credential",
            )


def _telling(header: str, names: frozenset[str]) -> bool:
    return header.lower() in _HEADERS or header in names or credentials.named(header)


def _secret(value: str) -> bool:
    too_long = len(value) > credentials.MAX_TEXT
    return too_long or credentials.found(value, credentials.possible([value])) is not None


CONTROL: Final = PolicyControl(
    id=ControlId.CREDENTIALS_ARGUMENTS,
    title="No credentials are written into commands, arguments and probes",
    prepare=prepare,
)
