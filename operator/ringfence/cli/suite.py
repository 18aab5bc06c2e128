"""Policy authors' own tests: files of kind ``PolicyTest`` (test.ringfence.dev/v1alpha1), read by the command line only.

A case gives a pod or a workload, a change of a pod, or a call, and what must come of it. Files are named relative to
the one that names them, so that a directory of tests can be moved.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from ringfence.cli import documents, spoken, workloads
from ringfence.cli.documents import Document
from ringfence.cli.problems import BadInput, Problem
from ringfence.controls import templates
from ringfence.model.errors import FieldError
from ringfence.model.requests import Request
from ringfence.model.resources import Protocol
from ringfence.model.tokens import Claims
from ringfence.policy import tokens

GROUP: Final = "test.ringfence.dev"
API_VERSION: Final = f"{GROUP}/v1alpha1"
KIND: Final = "PolicyTest"


class Expected(StrEnum):
    """What a case expects; the first two of pods, the others of calls."""

    ADMITTED = "Admitted"
    REJECTED = "Rejected"
    ALLOWED = "Allowed"
    DENIED = "Denied"


_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_OF_CALLS: Final = frozenset({Expected.ALLOWED, Expected.DENIED})


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    pass


class Named(_Struct, frozen=True):
    """A violation or a warning that must be there; ``field`` None: whichever field."""

    control: Annotated[str, msgspec.Meta(min_length=1)]
    field: str | None = None

    def __str__(self) -> str:
        return f"{self.control} at {self.field}" if self.field else self.control


class Expectation(_Struct, frozen=True):
    """What must come of a case. A list that is given must be complete: nothing else may be found."""

    verdict: Expected
    violations: list[Named] | None = None
    warnings: list[Named] | None = None


class Token(_Struct, frozen=True):
    """A token as ``can-i`` takes it: good, with claims as its payload has them, or ``bad``.

    ``issuer`` None: the one that the policies declare.
    """

    issuer: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    claims: dict[Annotated[str, msgspec.Meta(min_length=1)], Any] = {}
    bad: bool = False

    def by_issuer(self) -> dict[str, Claims | None]:
        """As a request has it: by the name of its issuer, "" for the one that there is."""
        return {self.issuer or "": None if self.bad else tokens.claims(self.claims)}


class Sent(_Struct, frozen=True):
    """A request as ``can-i`` takes it; ``headers`` by name, with one value or several. ``time`` None: that of all."""

    method: Annotated[str, msgspec.Meta(pattern=rf"^{spoken.NAME_PATTERN}\Z")] = "GET"
    path: Annotated[str, msgspec.Meta(min_length=1)] = "/"
    host: str = ""
    headers: dict[
        Annotated[str, msgspec.Meta(pattern=rf"^{spoken.NAME_PATTERN}\Z")],
        str | Annotated[list[str], msgspec.Meta(min_length=1)],
    ] = {}
    upgrade: str = ""
    time: _Moment | None = None
    token: Token | None = None

    def request(self, now: float) -> Request:
        """As a value; ``now`` is when it is sent unless it says so itself."""
        found: dict[str, tuple[str, ...]] = {}
        for name, value in self.headers.items():
            values = (value,) if isinstance(value, str) else tuple(value)
            found[name.lower()] = (*found.get(name.lower(), ()), *values)
        moment = now if self.time is None else self.time.timestamp()
        told = {} if self.token is None else self.token.by_issuer()
        return Request(self.method, self.path, self.host, found, self.upgrade, int(moment), told)


class Call(_Struct, frozen=True):
    """A question as ``can-i`` takes it."""

    source: str = msgspec.field(name="from")
    target: str = msgspec.field(name="to")
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | Annotated[str, msgspec.Meta(min_length=1)]
    protocol: Protocol = Protocol.TCP
    request: Sent | None = None


class _Change(_Struct, frozen=True):
    before: Any = msgspec.field(name="from")
    after: Any = msgspec.field(name="to")


class _Case(_Struct, frozen=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    expect: Expected | Expectation
    object: Any = None
    change: _Change | None = None
    call: Call | None = None


class _Spec(_Struct, frozen=True):
    cases: Annotated[list[Any], msgspec.Meta(min_length=1)]
    policies: list[str] = []
    time: str | None = None


class _Meta(_Struct, frozen=True):
    name: Annotated[str, msgspec.Meta(min_length=1)]


class _File(_Struct, frozen=True):
    api_version: str
    kind: str
    metadata: _Meta
    spec: _Spec


@dataclass(frozen=True, slots=True)
class Case:
    """One case: exactly one of ``subject``, (``before``, ``subject``) or ``call`` is what is judged."""

    name: str
    line: int
    expect: Expectation
    subject: Document | None = None
    before: Document | None = None
    call: Call | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """A file of cases. ``time``, seconds since the epoch, is when exceptions and requests are judged; None: now."""

    name: str
    document: Document
    policies: tuple[Document, ...]
    cases: tuple[Case, ...]
    time: float | None


def read(names: list[str]) -> tuple[Suite, ...]:
    """The suites of the files and directories; raises BadInput with all that is wrong, and when there are none.

    In a directory other files may lie beside: pods, policies, what else there is.
    """
    found: list[Suite] = []
    problems: list[Problem] = []
    for document in documents.read(names, io.BytesIO()):
        with _noted(document, problems):
            if _is_suite(document):
                found.append(_suite(document))
    if problems:
        raise BadInput(problems)
    if not found:
        fix = f"write a file with apiVersion: {API_VERSION} and kind: {KIND}"
        raise BadInput([Problem(", ".join(names), 0, "", "", f"no {KIND} in there", fix)])
    return tuple(found)


@contextmanager
def _noted(document: Document, problems: list[Problem]) -> Iterator[None]:
    """What is wrong in the block is among the problems, so that all is told at once."""
    try:
        yield
    except BadInput as error:
        problems += error.problems
    except workloads.Malformed as malformed:
        each = malformed.error
        problems.append(document.problem(each.message, each.fix, field=each.path, subject=KIND))


def _is_suite(document: Document) -> bool:
    value = document.value
    group, kind = templates.group_kind(value) if isinstance(value, dict) else ("", "")
    if group != GROUP:
        if document.found:
            return False
        raise BadInput([document.problem(f"is no {KIND}", f"write apiVersion: {API_VERSION}, kind: {KIND}")])
    if kind != KIND or value["apiVersion"] != API_VERSION:
        raise BadInput([document.problem(f"is not known: {value['apiVersion']} {kind}", f"{API_VERSION} {KIND}")])
    return True


def _suite(document: Document) -> Suite:
    file = workloads.convert(document.value, _File)
    folder = Path(document.source).parent
    seen: set[str] = set()
    cases: list[Case] = []
    problems: list[Problem] = []
    for index, raw in enumerate(file.spec.cases):
        with _noted(document, problems):
            cases.append(_one(raw, seen, document, index))
    if problems:
        raise BadInput(problems)
    policies = _read_beside(folder, file.spec.policies, document, "spec.policies")
    return Suite(file.metadata.name, document, policies, tuple(cases), _time(file.spec.time))


def _one(raw: Any, seen: set[str], document: Document, index: int) -> Case:
    """A case; ``seen`` are the names of those before."""
    at = f"spec.cases[{index}]"
    case = workloads.convert(raw, _Case, f"{at}." if isinstance(raw, dict) else at)
    if case.name in seen:
        raise workloads.Malformed(FieldError(f"{at}.name", f"{case.name!r} is given twice", "name it otherwise"))
    seen.add(case.name)
    return _case(case, document, ("spec", "cases", index), at)


def _case(case: _Case, document: Document, path: tuple[str | int, ...], at: str) -> Case:
    given = [name for name in ("object", "change", "call") if getattr(case, name) is not None]
    if len(given) != 1:
        message = "has none of object, change and call" if not given else f"has {' and '.join(given)}"
        raise workloads.Malformed(FieldError(at, message, "give exactly one"))
    expect = case.expect if isinstance(case.expect, Expectation) else Expectation(case.expect)
    _fits(expect, case.call is not None, f"{at}.expect")
    line = document.position.under(*path).line

    def taken(value: Any, *below: str) -> Document:
        return _object(value, document, (*path, *below), f"{at}.{'.'.join(below)}")

    if case.call is not None:
        if case.call.request is not None and case.call.protocol is not Protocol.TCP:
            raise workloads.Malformed(FieldError(f"{at}.call.protocol", "carries no requests", "leave it out, or TCP"))
        if case.call.request is not None and case.call.request.token is not None:
            _can_be(case.call.request.token, f"{at}.call.request.token")
        return Case(case.name, line, expect, call=case.call)
    if case.change is None:
        return Case(case.name, line, expect, taken(case.object, "object"))
    before, after = taken(case.change.before, "change", "from"), taken(case.change.after, "change", "to")
    for each, field in ((before, "from"), (after, "to")):
        if templates.group_kind(each.value) != ("", "Pod"):
            fix = "give a Pod: a workload is judged by the pods that it makes, so use object"
            raise workloads.Malformed(FieldError(f"{at}.change.{field}", "is no Pod", fix))
    return Case(case.name, line, expect, after, before)


def _can_be(token: Token, at: str) -> None:
    if token.bad and token.claims:
        message = "are those of a token that is not good, which says nothing"
        raise workloads.Malformed(FieldError(f"{at}.claims", message, "leave them out, or bad"))
    for name, value in token.claims.items():
        try:
            tokens.claims({name: value})
        except OverflowError as error:
            fix = "write it in quotes if it is a text"
            raise workloads.Malformed(FieldError(f"{at}.claims[{name}]", "is too large for a number", fix)) from error


def _fits(expect: Expectation, is_call: bool, at: str) -> None:
    if (expect.verdict in _OF_CALLS) is not is_call:
        wanted = "Allowed or Denied" if is_call else "Admitted or Rejected"
        raise workloads.Malformed(FieldError(at, f"{expect.verdict} does not fit the case", wanted))
    if is_call and (expect.violations is not None or expect.warnings is not None):
        raise workloads.Malformed(FieldError(at, "a call has no violations and no warnings", "leave them out"))
    if expect.verdict is Expected.REJECTED and expect.violations == []:
        raise workloads.Malformed(FieldError(f"{at}.violations", "is empty", "leave it out or list at least one"))
    if expect.verdict is Expected.ADMITTED and expect.violations:
        raise workloads.Malformed(FieldError(f"{at}.violations", "are listed for Admitted", "write warnings"))


def _object(value: Any, document: Document, path: tuple[str | int, ...], at: str) -> Document:
    """An object that stands in the suite, or in the file that is named."""
    if isinstance(value, dict):
        if templates.group_kind(value) not in templates.TEMPLATES:
            raise workloads.Malformed(FieldError(at, "is neither a Pod nor a workload", "give its apiVersion and kind"))
        return Document(document.source, value, document.read, path=(*document.path, *path))
    if not isinstance(value, str):
        fix = "give a Pod or a workload, or the name of a file that holds one"
        raise workloads.Malformed(FieldError(at, f"is {workloads.describe(value)}", fix))
    found = _read_beside(Path(document.source).parent, [value], document, at)
    judged = [each for each in found if isinstance(each.value, dict) and _is_judged(each)]
    if len(judged) != 1:
        fix = "give a file with exactly one, or write the object here"
        raise workloads.Malformed(FieldError(at, f"{value} holds {len(judged)} Pods and workloads", fix))
    return judged[0]


def _is_judged(document: Document) -> bool:
    return templates.group_kind(document.value) in templates.TEMPLATES


def _read_beside(folder: Path, names: list[str], document: Document, at: str) -> tuple[Document, ...]:
    """What files say that a suite names."""
    if documents.STDIN in names:
        raise workloads.Malformed(FieldError(at, "names standard input", "name files"))
    if not names:
        return ()
    try:
        return documents.read([str(folder / name) for name in names], io.BytesIO())
    except BadInput as error:
        named = document.problem("names what cannot be used", field=at, subject=KIND)
        raise BadInput([named, *error.problems]) from error


def _time(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return msgspec.convert(text, _Moment).timestamp()
    except (msgspec.ValidationError, OverflowError) as error:
        fix = "write it as 2027-01-31T12:00:00Z"
        raise workloads.Malformed(FieldError("spec.time", f"{text[:80]!r} is no time", fix)) from error
