"""Pages can be found, long ones can be found one's way in, and what they count and name is there."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ringfence.model.resources import Kind
from ringfence.pki.store import SECRET_NAME
from ringfence.reconcile import serving
from ringfence.translate import admission_policy

REPOSITORY = Path(__file__).parents[3]
DOCS = REPOSITORY / "docs"
INDEX = DOCS / "README.md"
#: Words that one reads in ten minutes.
LONG = 2200
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
#: Names that Prometheus makes of a counter's or histogram's own.
SUFFIXES = ("_total", "_count", "_sum", "_bucket")


def test_every_page_is_in_the_index() -> None:
    linked = {target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", INDEX.read_text())}
    assert sorted({page.name for page in DOCS.glob("*.md")} - {INDEX.name} - linked) == []


def test_the_index_is_a_click_from_the_front() -> None:
    assert "(docs/README.md)" in (REPOSITORY / "README.md").read_text()


def test_long_pages_say_what_is_where() -> None:
    long = [page for page in DOCS.glob("*.md") if len(page.read_text().split()) > LONG]
    assert {"api.md", "cli.md", "proxy.md"} <= {page.name for page in long}
    lost = [page.name for page in long if len(re.findall(r"\]\(#", page.read_text().partition("\n## ")[0])) < 4]
    assert lost == []


def values(path: str) -> Any:
    """The default of a value of the chart by its dotted name; KeyError where there is none."""
    found = yaml.safe_load((REPOSITORY / "charts/ringfence/values.yaml").read_text())
    for part in path.split("."):
        found = found[part]
    return found


def test_values_that_the_page_on_installing_names_have_these_defaults() -> None:
    rows = re.findall(r"^\| `([a-zA-Z.]+)` \| ([^|]+) \|", (DOCS / "install.md").read_text(), re.MULTILINE)
    assert len(rows) > 8
    nothing: tuple[Any, ...] = ([], "", {})
    for name, default in rows:
        value = values(name)
        shown = default.strip().strip("`")
        if shown in {"[]", "none", "nobody"}:
            assert value in nothing or value == "none" or name == "signatures", name
        elif shown in {"true", "cluster.local"}:
            assert str(value).lower() == shown, name


def test_values_are_named_as_the_chart_has_them() -> None:
    top = set(yaml.safe_load((REPOSITORY / "charts/ringfence/values.yaml").read_text()))
    pattern = re.compile(rf"`((?:{'|'.join(top)})\.[a-zA-Z][a-zA-Z.]*)`")
    named = {(page.name, name) for page in DOCS.glob("*.md") for name in pattern.findall(page.read_text())}
    # Words of other files that begin alike.
    other = re.compile(r".*\.(md|yaml|py|json|dev|example|local|crt|key)$")
    for page, name in sorted(named):
        if other.match(name):
            continue
        try:
            values(name)
        except (KeyError, TypeError):
            pytest.fail(f"{page} names the value {name}, which the chart has not")


def defined_metrics() -> set[str]:
    text = "\n".join(path.read_text() for path in (REPOSITORY / "operator/ringfence").rglob("*.py"))
    return set(re.findall(r'"(ringfence_[a-z_0-9]+)"', text))


def test_metrics_that_pages_name_exist() -> None:
    defined = defined_metrics()
    assert len(defined) > 40
    missing = set()
    for page in DOCS.glob("*.md"):
        for name in re.findall(r"\b(ringfence_[a-z_0-9]+)", page.read_text()):
            plain = [name, *(name.removesuffix(suffix) for suffix in SUFFIXES)]
            if not defined & set(plain):
                missing.add(f"{page.name}: {name}")
    assert sorted(missing) == []


def test_what_an_installation_writes_is_counted_right() -> None:
    text = " ".join((DOCS / "install.md").read_text().split())
    assert f"{NUMBERS[len(admission_policy.NAMES)]} ValidatingAdmissionPolicies (`ringfence-…`)" in text
    crds = list((REPOSITORY / "crds").glob("*.yaml"))
    assert f"| {NUMBERS[len(crds)]} CRDs |" in text
    for kind in Kind:
        assert kind.value in text


def test_what_stays_after_uninstalling_is_all_named() -> None:
    text = (DOCS / "uninstall.md").read_text()
    [row] = [line for line in text.splitlines() if "kubectl delete crd" in line]
    names = {yaml.safe_load(path.read_text())["metadata"]["name"] for path in (REPOSITORY / "crds").glob("*.yaml")}
    assert {word.strip("`") for word in row.split("kubectl delete crd ")[1].split("`")[0].split()} == names
    secrets = (serving.LEAF_SECRET, serving.PROXYD_SECRET, serving.CA_SECRET, SECRET_NAME)
    assert [name for name in secrets if f"`{name}`" not in text] == []


def test_drawings_are_of_kinds_that_mermaid_knows() -> None:
    drawn = [
        (page.name, block)
        for page in DOCS.glob("*.md")
        for block in re.findall(r"^```mermaid\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    ]
    assert {page for page, _ in drawn} >= {"architecture.md", "ca.md"}
    for page, block in drawn:
        assert re.match(r"(flowchart|sequenceDiagram|stateDiagram-v2)\b", block), page
        # It ends a line there, whatever stands around it.
        assert ";" not in block, page
