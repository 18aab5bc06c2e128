"""Answers as JUnit XML, the form of test results that every CI system shows.

There is no standard, only what the readers have in common: suites with counts, cases with ``classname`` and ``name``,
``failure`` with a message and a text.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

#: What XML 1.0 cannot say, not even by a reference (section 2.2).
_ILLEGAL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_DECLARATION: Final = "<?xml version='1.0' encoding='us-ascii'?>\n"


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the report. ``failure`` is empty for what passed; its first line is the summary."""

    group: str
    name: str
    failure: str = ""
    remarks: str = ""
    file: str = ""
    line: int = 0


def report(title: str, cases: Sequence[Case]) -> str:
    """The report as text with an XML declaration; groups in the order in which they first come."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.group, []).append(case)
    root = ElementTree.Element("testsuites", _counts(title, cases))
    for name, those in groups.items():
        suite = ElementTree.SubElement(root, "testsuite", _counts(name, those))
        for case in those:
            _add(suite, case)
    ElementTree.indent(root)
    # ASCII with references, whatever encoding the stream has that it is written to.
    body = ElementTree.tostring(root, encoding="us-ascii").decode()
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body.removeprefix(_DECLARATION)}\n'


def _counts(name: str, cases: Iterable[Case]) -> dict[str, str]:
    counted = list(cases)
    failures = sum(bool(case.failure) for case in counted)
    return {
        "name": _legal(name),
        "tests": str(len(counted)),
        "failures": str(failures),
        "errors": "0",
        "skipped": "0",
    }


def _add(suite: ElementTree.Element, case: Case) -> None:
    attributes = {"classname": _legal(case.group), "name": _legal(case.name)}
    if case.file:
        attributes["file"] = _legal(case.file)
    if case.line:
        attributes["line"] = str(case.line)
    element = ElementTree.SubElement(suite, "testcase", attributes)
    if case.failure:
        summary = _legal(case.failure.partition("\n")[0])
        ElementTree.SubElement(element, "failure", {"message": summary}).text = _legal(case.failure)
    if case.remarks:
        ElementTree.SubElement(element, "system-out").text = _legal(case.remarks)


def _legal(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", text)
