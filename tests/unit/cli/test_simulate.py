"""`simulate` where the answer depends on how it is asked."""

import json
from pathlib import Path
from typing import Any

import pytest
from ringfence.cli import main

WORLD = str(Path(__file__).parents[2] / "golden" / "cli" / "shop.in.yaml")


def simulate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], calls: list[dict[str, Any]], *more: str
) -> tuple[int, dict[str, Any]]:
    path = tmp_path / "flows.jsonl"
    path.write_text("".join(f"{json.dumps(each)}\n" for each in calls))
    status = main.main(["simulate", "-f", WORLD, "--flows", str(path), "-o", "json", *more], {})
    return status, json.loads(capsys.readouterr().out)


def test_audit_asks_as_if_all_were_enforced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls = [{"source": "shop/web", "target": "trial/batch", "port": 80}]
    status, told = simulate(tmp_path, capsys, calls)
    assert (status, told["allowed"]["calls"]) == (0, 1)
    status, told = simulate(tmp_path, capsys, calls, "--audit")
    assert status == 1
    assert [(each["to"], each["reason"]) for each in told["broken"]] == [("trial/batch", "NoRuleAllows")]


def test_what_would_be_let_in_that_was_not_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls = [{"source": "shop/web", "target": "shop/api", "port": 8080, "verdict": "denied"}]
    status, told = simulate(tmp_path, capsys, calls)
    assert status == 0
    assert [(each["from"], each["calls"]) for each in told["opened"]] == [("shop/web", 1)]


def test_many_kinds_of_calls_are_told_in_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "flows.jsonl"
    lines = [{"source": "shop/web", "target": "shop/api", "port": port} for port in range(1, 60)]
    path.write_text("".join(f"{json.dumps(each)}\n" for each in lines))
    assert main.main(["simulate", "-f", WORLD, "--flows", str(path)], {}) == 1
    out = capsys.readouterr().out
    assert "59 calls would break" in out
    assert "and 19 more, 19 calls (all with -o json)" in out


def test_explain_says_which_rules_no_call_has_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "flows.jsonl"
    path.write_text(json.dumps({"source": "shop/web", "target": "shop/api", "port": 8080}))
    assert main.main(["explain", "-f", WORLD, "shop/api", "--flows", str(path), "-o", "json"], {}) == 0
    rules = json.loads(capsys.readouterr().out)["rules"]
    unused = {each["name"]: each["unused"] for each in rules}
    assert unused == {"web-calls": False, "metrics": True, "not-the-first": False, "store": True, "bank": True}
    main.main(["explain", "-f", WORLD, "shop/api", "-o", "json"], {})
    assert all("unused" not in each for each in json.loads(capsys.readouterr().out)["rules"])
