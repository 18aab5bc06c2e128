"""`ringfence admit` where pods get a proxy: judged as they will be, told as their author wrote them."""

import json
from pathlib import Path
from typing import Any

import pytest
from ringfence.cli import main

CONFIG = "proxy: {enabled: true, image: 'registry.example/envoy:v1.40.0'}\n"
WORLD = """
apiVersion: v1
kind: Namespace
metadata: {{name: shop, labels: {{ringfence.dev/enroll: {enroll}}}}}
---
apiVersion: ringfence.dev/v1alpha1
kind: ServiceIdentity
metadata: {{name: default, namespace: shop}}
---
apiVersion: ringfence.dev/v1alpha1
kind: SecurityPolicy
metadata: {{name: images, namespace: shop}}
spec: {{admission: {{podSecurity: restricted, images: {{registries: [registry.example/shop]}}}}}}
"""
WORKLOAD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
      initContainers:
        - name: migrate
          image: registry.example/shop/migrate:1
          securityContext: {capabilities: {drop: [ALL], add: [SETUID]}}
      containers:
        - name: web
          image: registry.example/shop/web:1
          securityContext: {capabilities: {drop: [ALL]}}
          readinessProbe: {tcpSocket: {port: 8080}}
"""


def admit(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    workload: str,
    *,
    enroll: str = "enforce",
    config: str | None = CONFIG,
) -> tuple[int, dict[str, Any]]:
    (tmp_path / "settings.yaml").write_text(config or "")
    (tmp_path / "world.yaml").write_text(WORLD.format(enroll=enroll))
    (tmp_path / "workload.yaml").write_text(workload)
    files = ["-f", str(tmp_path / "world.yaml"), "-f", str(tmp_path / "workload.yaml")]
    settings = ["--config", str(tmp_path / "settings.yaml")] if config is not None else []
    status = main.main(["admit", *files, *settings, "-o", "json"], {})
    (result,) = json.loads(capsys.readouterr().out)["results"]
    return status, result


def test_the_fields_and_lines_are_those_of_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, result = admit(tmp_path, capsys, WORKLOAD)
    assert status == 1
    found = {each["control"]: each for each in result["violations"]}
    assert sorted(found) == ["capabilities-restricted", "proxy-capabilities"]
    field = "spec.template.spec.initContainers[0].securityContext.capabilities.add"
    assert found["proxy-capabilities"]["field"] == field
    assert found["proxy-capabilities"]["line"] == 12


def test_what_ringfence_fills_in_is_not_asked_of_the_author(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = WORKLOAD.replace(", add: [SETUID]", "")
    assert admit(tmp_path, capsys, good)[0] == 0
    without = admit(tmp_path, capsys, good, config="{}")
    assert without[0] == 1
    assert {each["control"] for each in without[1]["violations"]} == {"privilege-escalation"}


def test_in_an_audited_namespace_it_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, result = admit(tmp_path, capsys, WORKLOAD, enroll="audit")
    assert status == 0
    assert "proxy-capabilities" in {each["control"] for each in result["warnings"]}


def test_without_settings_pods_are_judged_as_the_chart_has_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert admit(tmp_path, capsys, WORKLOAD, config=None) == admit(tmp_path, capsys, WORKLOAD)
    off = admit(tmp_path, capsys, WORKLOAD, config="proxy: {enabled: false}")[1]
    assert "proxy-capabilities" not in {each["control"] for each in off["violations"]}
