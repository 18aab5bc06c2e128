"""Golden pairs: a file of resources in; the NetworkPolicies and the findings of every namespace out."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ringfence.cli import documents
from ringfence.cli import world as loading
from ringfence.model.effective import Finding
from ringfence.model.resources import Protocol
from ringfence.model.world import Installation, OpenService, World
from ringfence.policy.resolve import resolve
from ringfence.translate import network_policy

from tests.conftest import Golden

DIRECTORY = Path(__file__).parents[2] / "golden" / "network_policy"
INPUTS = sorted(DIRECTORY.glob("*.in.yaml"))


def test_there_are_golden_inputs() -> None:
    assert len(INPUTS) >= 10


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name.removesuffix(".in.yaml"))
def test_compiles_to_what_the_file_says(golden: Golden, path: Path) -> None:
    world = _world(path)
    output = [_compiled(world, name) for name in sorted(world.namespaces)]
    text = yaml.safe_dump_all([each for each in output if each], sort_keys=False, width=120)
    golden.check(path.with_name(path.name.replace(".in.", ".out.")), text)


def _world(path: Path) -> World:
    """The world of a file; a document of kind Installation (for tests only) says what the chart would."""
    settings: dict[str, Any] = {}
    read = []
    for document in documents.read([str(path)], io.BytesIO()):
        if document.value.get("kind") == "Installation":
            settings = document.value
        else:
            read.append(document)
    return loading.load(read, _installation(settings)).world


def _installation(settings: dict[str, Any]) -> Installation:
    found = Installation(
        pod_cidrs=tuple(settings.get("podCIDRs", ())),
        cidr_covers_pods=settings.get("cidrCoversPods", False),
        api_server=tuple((each["address"], each["port"]) for each in settings.get("apiServer", ())),
    )
    if "openServices" not in settings:
        return found
    return replace(found, open_services=tuple(_open_service(each) for each in settings["openServices"]))


def _open_service(each: dict[str, Any]) -> OpenService:
    ports = tuple((Protocol(port["protocol"]), port["port"]) for port in each["ports"])
    return OpenService(each["name"], each["namespace"], each["podLabels"], ports, tuple(each.get("addresses", ())))


def _compiled(world: World, namespace: str) -> dict[str, Any]:
    policy = resolve(world, namespace)
    objects = network_policy.objects(policy, world.installation)
    findings = [_finding(each) for each in policy.findings]
    if not objects and not findings:
        return {}
    return {"namespace": namespace, "findings": findings, "networkPolicies": [_short(each) for each in objects]}


def _finding(found: Finding) -> str:
    return f"{' '.join(part for part in found.subject if part)}: {found.reason}: {found.message}"


def _short(manifest: dict[str, Any]) -> dict[str, Any]:
    """Without what every object has; the constant parts are tested once, in test_network_policy.py."""
    metadata = manifest["metadata"]
    rules = metadata.get("annotations", {}).get(network_policy.ANNOTATION_RULES)
    return {"name": metadata["name"], **({"rules": rules} if rules else {}), "spec": manifest["spec"]}
