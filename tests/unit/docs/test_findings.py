"""The documentation names every finding, and none that does not exist."""

import re
from pathlib import Path

from ringfence.policy.reasons import FindingReason

DOCS = Path(__file__).parents[3] / "docs"


def test_every_finding_is_described_once() -> None:
    described = re.findall(r"^\| `(\w+)` \|", (DOCS / "findings.md").read_text(), re.MULTILINE)
    assert sorted(described) == sorted(reason.value for reason in FindingReason)


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{page.name}: {target}"
        for page in [*DOCS.glob("*.md"), DOCS.parent / "README.md"]
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []
