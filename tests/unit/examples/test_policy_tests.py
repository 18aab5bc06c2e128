"""The examples of policies' own tests pass, and would not if the policies were others."""

import shutil
from pathlib import Path

import pytest
from ringfence.cli import main

from e2e.cluster import paths

EXAMPLES = paths.REPOSITORY / "examples"


def test_it_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["test", str(EXAMPLES / "policy-tests")], {}) == 0
    assert "17 passed, 0 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "text", "changed", "fails"),
    [
        ("shop/30-policies.yaml", "ports: [8443]", "ports: [8444]", "the checkout may charge"),
        ("shop/30-policies.yaml", "action: Deny", "action: Allow", "the frontend has no business in the ledger"),
        ("shop/40-floor.yaml", "podSecurity: restricted", "podSecurity: privileged", "every reason to refuse"),
        ("tokens/policies.yaml", "scope: [orders.write]", "scope: [orders.read]", "who may only read does not"),
        ("tokens/policies.yaml", "status: [suspended]", "status: [active]", "everybody in the company reads"),
        ("tokens/policies.yaml", "action: Deny", "action: Allow", "who is suspended gets nothing"),
    ],
)
def test_a_changed_policy_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, text: str, changed: str, fails: str
) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    policy = tmp_path / "examples" / file
    assert text in policy.read_text()
    policy.write_text(policy.read_text().replace(text, changed))
    assert main.main(["test", str(tmp_path / "examples" / "policy-tests")], {}) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if "FAILED" in line]
    assert any(fails in line for line in failed)
