"""What CI systems read out of JUnit XML, whatever is in the names."""

from xml.etree.ElementTree import Element, XMLParser

from hypothesis import given
from hypothesis import strategies as st
from ringfence.cli.junit import Case, report


def _parsed(text: str) -> Element:
    parser = XMLParser()  # noqa: S314 (what was just written here)
    parser.feed(text)
    root: Element = parser.close()
    return root


def test_counts_groups_and_failures() -> None:
    cases = [
        Case("a", "one", file="x.yaml", line=3),
        Case("b", "two", failure="refused\nfor a reason", remarks="and a word"),
        Case("a", "three"),
    ]
    root = _parsed(report("title", cases))
    assert (root.get("name"), root.get("tests"), root.get("failures")) == ("title", "3", "1")
    assert [(suite.get("name"), suite.get("tests"), suite.get("failures")) for suite in root] == [
        ("a", "2", "0"),
        ("b", "1", "1"),
    ]
    first, failed = root[0][0], root[1][0]
    assert (first.get("file"), first.get("line"), len(first)) == ("x.yaml", "3", 0)
    failure = failed.find("failure")
    assert failure is not None
    assert (failure.get("message"), failure.text) == ("refused", "refused\nfor a reason")
    assert failed.findtext("system-out") == "and a word"


@given(st.text(), st.text(min_size=1))
def test_any_text_is_well_formed_xml(name: str, failure: str) -> None:
    root = _parsed(report(name, [Case(name, name, failure, failure)]))
    assert root.get("failures") == "1"
