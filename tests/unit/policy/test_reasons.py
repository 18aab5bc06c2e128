"""The codes of findings: stable, legal in conditions, and each of them documented."""

import re
from pathlib import Path

from ringfence.policy.reasons import FindingReason

DOCUMENT = Path(__file__).parents[3] / "docs" / "findings.md"


def test_every_reason_is_documented_and_nothing_else() -> None:
    assert re.findall(r"^\| `(\w+)` \|", DOCUMENT.read_text(), re.MULTILINE) == [
        reason.value for reason in FindingReason
    ]


def test_reasons_are_what_conditions_take() -> None:
    assert all(re.fullmatch(r"[A-Z][A-Za-z]{1,100}", reason.value) for reason in FindingReason)
