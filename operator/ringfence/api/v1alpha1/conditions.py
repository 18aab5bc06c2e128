"""Conditions of ``when``: which attributes there are, what may be asked of each, and what was read."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from ringfence.api.schema import Choice, Complaint, Field, ListOf, Obj, Rule, Text, at_least_one_of
from ringfence.model.requests import Asks, HeaderCondition, QueryCondition, TimeCondition
from ringfence.model.sources import SourceAttribute, SourceCondition
from ringfence.model.windows import DAY, Window

HEADERS, QUERY, TIME = "request.headers", "request.query", "request.time"
LABELS: Final = SourceAttribute.LABEL.value
_HEADER: Final = "[a-z0-9]+(-[a-z0-9]+){0,3}"
_PARAMETER: Final = "[A-Za-z0-9]+([._-][A-Za-z0-9]+)*"
LABEL: Final = "[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?"

PATTERN: Final = (
    rf"^(request\.headers\[{_HEADER}\]|request\.query\[{_PARAMETER}\]|request\.time"
    rf"|source\.namespace|source\.zone|source\.labels\[{LABEL}\])$"
)
WHAT: Final = (
    "request.headers[NAME] (lower-case letters, digits and at most three '-'), request.query[NAME] (letters, digits"
    " and, inside, '.', '_' and '-'), request.time, source.namespace, source.zone or source.labels[NAME]"
)

WITHIN, OUTSIDE = "within", "outside"
TESTS: Final = (*(each.value for each in Asks), WITHIN, OUTSIDE)
_OF_VALUES: Final = ("in", "notIn", "prefix", "exists", "absent")
#: What may be asked of each attribute.
_MAY: Final[Mapping[str, tuple[str, ...]]] = {
    HEADERS: _OF_VALUES,
    QUERY: _OF_VALUES,
    TIME: (WITHIN, OUTSIDE),
    SourceAttribute.NAMESPACE.value: ("in", "notIn"),
    SourceAttribute.ZONE.value: ("in", "notIn", "exists", "absent"),
    LABELS: ("in", "notIn", "exists", "absent"),
}
_NAME: Final = re.compile("[a-z0-9]([a-z0-9-]*[a-z0-9])?")
#: Characters of the name of a parameter, and of a value: what Envoy takes as a regular expression.
_MAX_PARAMETER, _MAX_QUERY_VALUE = 20, 56
#: What values of an attribute look like, and in words; those of headers the schema says.
_VALUES: Final[Mapping[str, tuple[re.Pattern[str], str]]] = {
    QUERY: (
        re.compile(f"[A-Za-z0-9._-]{{1,{_MAX_QUERY_VALUE}}}"),
        f"a value of at most {_MAX_QUERY_VALUE} letters, digits, '.', '_' and '-', which nobody encodes",
    ),
    SourceAttribute.NAMESPACE.value: (_NAME, "the name of a namespace"),
    SourceAttribute.ZONE.value: (_NAME, "the name of a zone"),
    LABELS: (re.compile(f"(?=.{{1,63}}$){LABEL}"), "the value of a label"),
}


def split(attribute: str) -> tuple[str, str]:
    """``request.headers[x]`` is (``request.headers``, ``x``)."""
    what, _, name = attribute.removesuffix("]").partition("[")
    return what, name


def about_source(condition: Mapping[str, Any]) -> bool:
    """Whether a condition, as it was written, is about who calls and not about the request."""
    return str(condition["attribute"]).startswith("source.")


def _fits(value: Mapping[str, Any]) -> Complaint | None:
    """What an attribute can be asked, and the form of its values."""
    what, name = split(value["attribute"])
    if what == QUERY and len(name) > _MAX_PARAMETER:
        return Complaint(f"names a parameter of {len(name)} characters", f"at most {_MAX_PARAMETER}", at="attribute")
    (test,) = (each for each in TESTS if each in value)
    if test not in _MAY[what]:
        return Complaint(f"cannot be asked of {what}", f"write one of {', '.join(_MAY[what])}", at=test)
    pattern, like = _VALUES.get(what, (None, ""))
    for index, each in enumerate(value[test] if pattern is not None and value[test] is not True else ()):
        if pattern is not None and pattern.fullmatch(each) is None:
            return Complaint(f'"{each}" is not {like}', at=f"{test}[{index}]")
    return None


FITS: Final = Rule(test=_fits)

# --- windows of time ------------------------------------------------------------------------------------------------

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_CLOCK: Final = "([01][0-9]|2[0-3]):[0-5][0-9]"


def _no_such_moment(text: str) -> Complaint | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return Complaint(f'"{text}" is no moment that there is', "correct the day or the time")
    return None if found.year >= 1970 else Complaint(f'"{text}" is before 1970')


def _moment(description: str) -> Text:
    return Text(
        description=description,
        pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$",
        what="a moment in UTC such as 2026-01-31T23:59:59Z",
        max_length=20,
        format="date-time",
        rules=(Rule(test=_no_such_moment),),
    )


def _never_open(value: Mapping[str, Any]) -> Complaint | None:
    if "offset" in value and not value.keys() & {"days", "from", "to"}:
        return Complaint("says nothing without a time of day or days", "leave it out: moments are in UTC", at="offset")
    window = _window(value)
    if window.opens == window.closes:
        return Complaint("is the time at which the window opens", "leave from and to out for whole days", at="to")
    if None not in {window.not_before, window.not_after} and (window.not_before or 0) >= (window.not_after or 0):
        return Complaint("is not after notBefore, so the window is never open", "give a later moment", at="notAfter")
    if window.empty:
        return Complaint("is never open: none of its days and times is between its moments", "correct one of them")
    return None


_WINDOW: Final = Obj(
    description=(
        "When it is: on these days, between these times, between these moments; all that are given. It opens with its"
        " first second and is closed from its last on: 17:00 is not in a window to 17:00."
    ),
    fields=(
        Field(
            name="days",
            node=ListOf(
                description="The days on which the window opens. If left out, every day.",
                items=Choice(description="A day of the week.", values=_DAYS),
                max_items=7,
                unique=True,
            ),
        ),
        Field(
            name="from",
            node=Text(
                description='When it opens, such as "09:00" (in quotes). If left out, at midnight.',
                pattern=f"^{_CLOCK}$",
                what="a time of day such as 09:00, in quotes",
                max_length=5,
            ),
        ),
        Field(
            name="to",
            node=Text(
                description=(
                    'When it closes, such as "17:30" (in quotes); before from, it is on the next day. If left out, at'
                    " midnight."
                ),
                pattern=f"^({_CLOCK}|24:00)$",
                what="a time of day such as 17:30, in quotes",
                max_length=5,
            ),
        ),
        Field(
            name="offset",
            node=Text(
                description=(
                    'How far the clock of days and times is ahead of UTC, such as "+01:00" or "-03:30" (in quotes). If'
                    " left out, they are in UTC. It does not change in summer."
                ),
                pattern="^([+-](0[0-9]|1[0-3]):[0-5][0-9]|[+-]14:00|Z)$",
                what="an offset from UTC such as +01:00, in quotes",
                max_length=6,
            ),
        ),
        Field(name="notBefore", node=_moment("The moment from which on it holds, in UTC.")),
        Field(name="notAfter", node=_moment("The moment before which it holds, in UTC.")),
    ),
    rules=(
        at_least_one_of(("days", "from", "to", "notBefore", "notAfter"), "a window"),
        Rule(test=_never_open),
    ),
    hints={
        "timezone": Complaint("is not a field", "write offset: when clocks change is decided by decree"),
        "timeZone": Complaint("is not a field", "write offset: when clocks change is decided by decree"),
        "until": Complaint("is not a field", "write to, a time of day, or notAfter, a moment"),
    },
)


def windows(description: str) -> ListOf:
    """The node of ``within`` and ``outside``."""
    return ListOf(description=description, items=_WINDOW, max_items=8)


def _window(value: Mapping[str, Any]) -> Window:
    return Window(
        days=tuple(sorted(_DAYS.index(day) for day in value.get("days", ()))),
        opens=_clock(value.get("from", "00:00")),
        closes=_clock(value.get("to", "24:00")) or (DAY if value.get("from", "00:00") != "00:00" else 0),
        offset=_offset(value.get("offset", "Z")),
        not_before=_seconds(value.get("notBefore")),
        not_after=_seconds(value.get("notAfter")),
    )


def _clock(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 3600 + int(minutes) * 60


def _offset(text: str) -> int:
    if text == "Z":
        return 0
    return -_clock(text[1:]) if text.startswith("-") else _clock(text[1:])


def _seconds(text: str | None) -> int | None:
    return None if text is None else int(datetime.fromisoformat(text).astimezone(UTC).timestamp())


# --- what was read ----------------------------------------------------------------------------------------------------

Condition = HeaderCondition | QueryCondition | TimeCondition | SourceCondition
_C = TypeVar("_C", HeaderCondition, QueryCondition, TimeCondition, SourceCondition)


def condition(value: Mapping[str, Any]) -> Condition:
    """A condition that has been checked."""
    what, name = split(value["attribute"])
    (test,) = (each for each in TESTS if each in value)
    if what == TIME:
        return TimeCondition(tuple(sorted({_window(each) for each in value[test]}, key=repr)), outside=test == OUTSIDE)
    values = () if value[test] is True else tuple(sorted(value[test]))
    if what == HEADERS:
        return HeaderCondition(name, Asks(test), values)
    if what == QUERY:
        return QueryCondition(name, Asks(test), values)
    return SourceCondition(SourceAttribute(what), Asks(test), values, name)


def of_kind(kind: type[_C], conditions: Iterable[Condition]) -> tuple[_C, ...]:
    """Those of a kind, each once, sorted."""
    return tuple(sorted({each for each in conditions if isinstance(each, kind)}, key=repr))


# --- rules about who calls ------------------------------------------------------------------------------------------

_NO_IDENTITIES: Final = ("namespace", "cidr", "apiServer", "anonymous")


def _asks_of_strangers(rule: Mapping[str, Any]) -> Complaint | None:
    """Conditions on the source beside callers that are told by something else than their identity."""
    if not any(map(about_source, rule.get("when", ()))):
        return None
    for index, peer in enumerate(rule.get("from", ())):
        for kind in _NO_IDENTITIES:
            if kind in peer:
                fix = "write a rule of its own for it" if kind != "namespace" else "write source.namespace in when"
                return Complaint(
                    f"names callers without an identity ({kind}), of whom nothing about the source is known",
                    fix,
                    at=f"from[{index}]",
                )
    return None


def _labels_of_anybody(rule: Mapping[str, Any]) -> Complaint | None:
    """Labels are said by whoever may write ServiceIdentities in the caller's namespace."""
    conditions = rule.get("when", ())
    asked = [n for n, each in enumerate(conditions) if split(each["attribute"])[0] == LABELS]
    if not asked:
        return None
    at = f"when[{asked[0]}]"
    if rule["action"] == "Deny":
        return Complaint(
            "is about labels, which those who are denied could change",
            "allow by label instead, or deny by identity, source.namespace or source.zone",
            at=at,
        )
    bounds = (SourceAttribute.NAMESPACE.value, SourceAttribute.ZONE.value)
    if "from" in rule or any(each["attribute"] in bounds and "in" in each for each in conditions):
        return None
    return Complaint(
        "is about labels, which any namespace could give to its identities",
        "say whose: give from, or source.namespace or source.zone with in",
        at=at,
    )


RULES: Final = (Rule(test=_asks_of_strangers), Rule(test=_labels_of_anybody))
