"""The CRDs of the chart are those that the schema generates, and Helm neither changes nor deletes them."""

import pytest
import yaml

from e2e.cluster import paths
from tests.unit.chart import conftest as chart

GENERATED = sorted((paths.REPOSITORY / "crds").glob("*.yaml"))


def _crds(manifests: list[chart.Manifest]) -> dict[str, chart.Manifest]:
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] == "CustomResourceDefinition"}


def test_every_generated_crd_is_rendered_unchanged(default: list[chart.Manifest]) -> None:
    generated = {crd["metadata"]["name"]: crd for crd in (yaml.safe_load(file.read_text()) for file in GENERATED)}
    rendered = _crds(default)
    assert len(generated) == 4
    assert set(rendered) == set(generated)
    for name, crd in generated.items():
        assert rendered[name]["spec"] == crd["spec"], name
        assert crd["metadata"].get("annotations", {}).items() <= rendered[name]["metadata"]["annotations"].items()


@pytest.mark.parametrize("keep", [True, False])
def test_crds_are_kept_unless_asked(render: chart.Render, keep: bool) -> None:
    for crd in _crds(render({"crds": {"keep": keep}})).values():
        assert (crd["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep") is keep
