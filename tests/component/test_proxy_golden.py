"""Envoy itself takes every golden configuration, and one of five thousand rules."""

import subprocess
from pathlib import Path

import pytest
from google.protobuf import json_format
from ringfence.translate.envoy import static

from e2e import envoy
from tests.unit.translate.envoy import test_configure
from tests.unit.translate.envoy.making import configured

pytestmark = pytest.mark.component

OUTPUTS = sorted((Path(__file__).parents[1] / "golden" / "proxy").glob("*.out.yaml"))


def validate(path: Path) -> None:
    command = [str(envoy.binary()), "--mode", "validate", "--log-level", "error", "-c", str(path)]
    judged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stderr[-3000:]


def test_there_are_golden_outputs() -> None:
    assert len(OUTPUTS) >= 7


@pytest.mark.parametrize("path", OUTPUTS, ids=lambda path: path.name.removesuffix(".out.yaml"))
def test_envoy_takes_it(path: Path) -> None:
    validate(path)


def test_envoy_refuses_what_is_wrong(tmp_path: Path) -> None:
    """So that the test above can fail."""
    broken = tmp_path / "envoy.yaml"
    broken.write_text(OUTPUTS[0].read_text().replace("lb_policy: CLUSTER_PROVIDED", "lb_policy: ROUND_ROBIN"))
    with pytest.raises(AssertionError):
        validate(broken)


def test_envoy_takes_a_thousand_rules_about_requests(tmp_path: Path) -> None:
    made = tmp_path / "envoy.json"
    ports = [{"name": "c", "ports": [{"containerPort": 8080}]}]
    config = configured(test_configure.many_requests(1000), containers=ports)
    found = static.bootstrap(config, static.placeholders("cluster.local", "shop", "api"))
    made.write_text(json_format.MessageToJson(found, preserving_proto_field_name=True))
    validate(made)


def test_envoy_takes_five_thousand_rules(tmp_path: Path) -> None:
    made = tmp_path / "envoy.json"
    found = static.bootstrap(
        configured(test_configure.many_rules(5000)), static.placeholders("cluster.local", "shop", "api")
    )
    made.write_text(json_format.MessageToJson(found, preserving_proto_field_name=True))
    validate(made)
