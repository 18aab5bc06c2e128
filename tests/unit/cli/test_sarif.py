"""What readers of SARIF rely on (OASIS SARIF 2.1.0): levels, rules, places, and fingerprints that survive an edit."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from ringfence.cli import documents, main
from ringfence.cli.sarif import _rule, log
from ringfence.controls import registry

POLICY = """\
apiVersion: v1
kind: Namespace
metadata: {name: a, labels: {ringfence.dev/enroll: enforce}}
---
apiVersion: ringfence.dev/v1alpha1
kind: ServiceIdentity
metadata: {name: web, namespace: a}
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: a}
spec:
  serviceAccountName: web
  hostNetwork: true
  containers: [{name: web, image: web, securityContext: {privileged: true}}]
"""


def _run(folder: Path, capsys: pytest.CaptureFixture[str], pod: str) -> dict[str, Any]:
    policy, file = folder / "policy.yaml", folder / "a pod.yaml"
    policy.write_text(POLICY)
    file.write_text(pod)
    assert main.main(["admit", "-f", str(policy), "-f", str(file), "-o", "sarif"], {}) == 1
    value: dict[str, Any] = json.loads(capsys.readouterr().out)
    return value


def test_a_violation_is_an_error_at_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = _run(tmp_path, capsys, POD)["runs"]
    (network, privileged) = run["results"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["host-namespaces", "privileged"]
    assert [run["tool"]["driver"]["rules"][each["ruleIndex"]]["id"] for each in run["results"]] == [
        network["ruleId"],
        privileged["ruleId"],
    ]
    place = network["locations"][0]["physicalLocation"]
    assert place["region"] == {"startLine": 6}
    assert place["artifactLocation"]["uri"].endswith("/a%20pod.yaml")
    assert network["level"] == "error"
    assert "Fix: remove it" in network["message"]["text"]


def test_a_fingerprint_stays_when_lines_move(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def prints(pod: str) -> list[str]:
        (run,) = _run(tmp_path, capsys, pod)["runs"]
        return [each["partialFingerprints"]["violation/v1"] for each in run["results"]]

    before = prints(POD)
    assert prints("# a line more\n" + POD) == before
    assert len(set(before)) == 2
    assert prints(POD.replace("name: web, namespace: a", "name: other, namespace: a")) != before


def test_nothing_found_is_a_run_without_results() -> None:
    assert log([])["runs"][0]["results"] == []
    assert log([])["version"] == "2.1.0"


def test_what_came_through_a_pipe_has_a_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stdin:
        buffer = io.BytesIO((POLICY + "---\n" + POD).encode())

    monkeypatch.setattr("ringfence.cli.inputs.sys.stdin", Stdin)
    assert main.main(["admit", "-f", documents.STDIN, "-o", "sarif"], {}) == 1
    results = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert {each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for each in results} == {"stdin"}


def test_a_rule_says_what_it_asks_whichever_kind_of_control_it_is() -> None:
    assert {
        each for each in (*registry.CONTROLS, *registry.POLICY_CONTROLS.values()) if not _described(each.id)
    } == set()


def _described(identifier: str) -> bool:
    text: str = _rule(identifier)["shortDescription"]["text"]
    return text != identifier
