"""Renders the chart with the real Helm, as `helm install` would."""

import json
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

    def call(values: Mapping[str, Any] | None = None) -> list[Manifest]:
        done = subprocess.run(
            [helm, "template", "ringfence", CHART, "--namespace", "ringfence-system", "--values", "-"],
            input=json.dumps(dict(values or {})),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Refused(done.stderr)
        return [each for each in yaml.safe_load_all(done.stdout) if each]

    return call


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
