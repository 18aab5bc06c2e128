from ipaddress import ip_address
from typing import Any

import pytest

from e2e.enforcer import model
from e2e.enforcer.model import NamedPort, Pod, Protocol


def manifest(**changes: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "x", "name": "a", "labels": {"app": "a"}},
        "spec": {"containers": []},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]},
    } | changes


def test_a_pod_has_every_address_of_its_status() -> None:
    addresses = (ip_address("10.0.0.1"), ip_address("fd00::1"))
    assert model.pod_from(manifest()) == Pod("x", "a", {"app": "a"}, addresses)


def test_what_the_network_plugin_said_counts_before_the_status() -> None:
    early = (ip_address("10.0.0.9"),)
    pod = model.pod_from(manifest(), early)
    assert pod is not None
    assert pod.addresses == early


@pytest.mark.parametrize(
    "changes",
    [
        {"spec": {"hostNetwork": True}},
        {"status": {"phase": "Succeeded", "podIP": "10.0.0.1"}},
        {"status": {"phase": "Failed", "podIP": "10.0.0.1"}},
        {"status": {"phase": "Pending"}},
        {"status": {}},
    ],
    ids=["host network", "succeeded", "failed", "no address yet", "no status"],
)
def test_no_network_of_its_own_no_pod(changes: dict[str, Any]) -> None:
    assert model.pod_from(manifest(**changes)) is None


def test_names_of_ports_come_from_containers_and_native_sidecars() -> None:
    spec = {
        "initContainers": [
            {"ports": [{"name": "gone", "containerPort": 1}]},
            {"restartPolicy": "Always", "ports": [{"name": "side", "containerPort": 2}]},
        ],
        "containers": [{"ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}, {"containerPort": 80}]}],
    }
    pod = model.pod_from(manifest(spec=spec))
    assert pod is not None
    assert pod.ports == (NamedPort("side", 2, Protocol.TCP), NamedPort("dns", 53, Protocol.UDP))


def test_a_namespace_always_carries_its_name() -> None:
    forged = {"metadata": {"name": "x", "labels": {"kubernetes.io/metadata.name": "y", "zone": "a"}}}
    assert model.namespace_labels(forged) == {"kubernetes.io/metadata.name": "x", "zone": "a"}
