"""`ringfence admit -f` on the pods that Kubernetes tests its Pod Security policies with: its verdict and its check."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ringfence.cli import main
from ringfence.controls import registry
from ringfence.model.resources import PodSecurityLevel

from e2e.podsecurity import fixtures
from e2e.podsecurity.client import Standard

POLICY = """
apiVersion: v1
kind: Namespace
metadata: {{name: default, labels: {{ringfence.dev/enroll: enforce}}}}
---
apiVersion: ringfence.dev/v1alpha1
kind: ServiceIdentity
metadata: {{name: default, namespace: default}}
---
apiVersion: ringfence.dev/v1alpha1
kind: SecurityPolicy
metadata: {{name: level, namespace: default}}
spec: {{admission: {{podSecurity: {{level: {level}, version: "{version}"}}}}}}
"""

SPREAD = [Standard("baseline", 0), Standard("baseline", 34), Standard("restricted", 18), Standard("restricted", 35)]


def admit(capsys: pytest.CaptureFixture[str], policy: Path, directory: Path) -> tuple[int, list[dict[str, Any]]]:
    """Exit status and results, of an installation that asks no more than Kubernetes does."""
    config = policy.with_name("config")
    config.write_text("proxy: {enabled: false}")
    files = ["-f", str(policy), "-f", str(directory), "--config", str(config)]
    status = main.main(["admit", *files, "-o", "json"], {})
    out = capsys.readouterr().out
    return status, json.loads(out)["results"]


@pytest.mark.parametrize("standard", SPREAD, ids=str)
def test_the_verdict_and_the_check_are_those_of_kubernetes(
    standard: Standard, tmp_path: Path, capsys: pytest.CaptureFixture[str], summary: Callable[[str], None]
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.format(level=standard.level, version=f"1.{standard.minor}"))
    directory = fixtures.directory() / standard.level / standard.version
    active = registry.active(PodSecurityLevel(standard.level), version=standard.minor)

    status, good = admit(capsys, policy, directory / "pass")
    assert status == 0
    assert all(each["admitted"] for each in good)
    assert len(good) == len(list((directory / "pass").glob("*.yaml")))

    status, bad = admit(capsys, policy, directory / "fail")
    assert status == 1
    assert not any(each["admitted"] for each in bad)
    assert len(bad) == len(list((directory / "fail").glob("*.yaml")))
    spoken = {each.kubernetes.lower() for each in active}
    stricter = {
        registry.KUBERNETES[weak].lower(): registry.KUBERNETES[strong] for strong, weak in registry.WEAKER.items()
    }
    for each in bad:
        name = Path(each["source"].partition(":")[0]).stem.rstrip("0123456789")
        wanted = name if name in spoken else stricter[name].lower()
        assert wanted in {found["podSecurityCheck"].lower() for found in each["violations"]}, each
        assert {found["standard"] for found in each["violations"]} == {str(standard)}
    summary(f"ringfence admit on fixtures of Kubernetes at {standard}: {len(good) + len(bad)} cases")
