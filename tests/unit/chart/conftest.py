"""Renders the chart with the real Helm, as `helm install` would."""

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster import paths, tools

CHART = paths.REPOSITORY / "charts" / "ringfence"

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]


class Refused(Exception):
    """Helm did not render; the text is what it says to the person."""


@pytest.fixture(scope="session")
def helm() -> Path:
    """The helm program; built when it is not there yet."""
    return tools.ensure(tools.HELM) / "helm"


@pytest.fixture(scope="session")
def render(helm: Path) -> Render:
    """Every manifest of the chart for the values given, hooks among them. Raises Refused."""
    return lambda values=None: _rendered(helm, CHART, values or {})


@pytest.fixture(scope="session")
def unchecked(helm: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """The same of a chart that looks at no value but by its schema."""
    copy = tmp_path_factory.mktemp("unchecked") / "ringfence"
    shutil.copytree(CHART, copy)
    (copy / "templates" / "_problems.tpl").write_text('{{- define "ringfence.problems" -}}{{- end }}')
    return lambda values=None: _rendered(helm, copy, values or {})


def _rendered(helm: Path, directory: Path, values: Mapping[str, Any]) -> list[Manifest]:
    done = subprocess.run(
        [helm, "template", "ringfence", directory, "--namespace", "ringfence-system", "--values", "-"],
        input=json.dumps(dict(values)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Refused(done.stderr)
    return [each for each in yaml.safe_load_all(done.stdout) if each]


@pytest.fixture(scope="session")
def default(render: Render) -> list[Manifest]:
    """The chart with no value set."""
    return render()


def only(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """The one manifest of this kind and name."""
    found = [each for each in manifests if each["kind"] == kind and each["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def pod_templates(manifests: list[Manifest]) -> list[Manifest]:
    """Metadata and spec of every pod that the manifests would start."""
    return [each["spec"]["template"] for each in manifests if "template" in (each.get("spec") or {})]
