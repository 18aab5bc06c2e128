"""What is trimmed away is not missed, and what is kept is enough."""

from typing import Any

from ringfence.kube import trim
from ringfence.model.resources import Protocol
from ringfence.model.world import ContainerPort
from ringfence.reconcile import gather


def whole_pod() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "a",
            "namespace": "shop",
            "uid": "u",
            "resourceVersion": "7",
            "labels": {"app": "a"},
            "annotations": {"large": "x" * 1000},
            "managedFields": [{"manager": "kubelet"}],
        },
        "spec": {
            "serviceAccountName": "payments",
            "containers": [{"name": "main", "ports": [{"name": "http", "containerPort": 80}, {"containerPort": 81}]}],
            "initContainers": [
                {"name": "side", "ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}]},
                {"name": "none"},
            ],
            "volumes": [{"name": "v"}],
        },
        "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "conditions": [{"type": "Ready"}]},
    }


def test_a_trimmed_pod_is_the_same_workload() -> None:
    workload = gather.workload(trim.pod(whole_pod()))
    assert workload.service_account == "payments"
    assert workload.labels == {"app": "a"}
    assert workload.ips == ("10.0.0.1",)
    assert workload.ports == (ContainerPort("http", 80), ContainerPort("dns", 53, Protocol.UDP))
    assert not workload.host_network
    assert not workload.finished


def test_a_trimmed_pod_is_small() -> None:
    kept = trim.pod(whole_pod())
    assert set(kept) == {"metadata", "spec", "status"}
    assert "annotations" not in kept["metadata"]
    assert "managedFields" not in kept["metadata"]


def test_a_bare_pod_runs_under_default() -> None:
    kept = trim.pod({"metadata": {"name": "a"}, "spec": {"hostNetwork": True}, "status": {"phase": "Failed"}})
    workload = gather.workload(kept)
    assert (workload.service_account, workload.host_network, workload.finished) == ("default", True, True)


def test_null_lists_of_containers_are_empty() -> None:
    assert "containers" not in trim.pod({"metadata": {"name": "a"}, "spec": {"containers": None}})["spec"]


def test_noise_goes_and_the_rest_stays() -> None:
    obj = {
        "metadata": {
            "name": "a",
            "managedFields": [1],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "own": "x"},
        },
        "spec": {"x": 1},
    }
    assert trim.without_noise(obj) == {"metadata": {"name": "a", "annotations": {"own": "x"}}, "spec": {"x": 1}}


def test_of_a_pod_with_an_identity_it_stays_known_whether_anything_leads_out_of_it() -> None:
    obj = {"metadata": {"name": "a", "labels": {"ringfence.dev/identity": "default"}}, "spec": {"hostPID": True}}
    assert gather.workload(trim.pod(dict(obj))).ways_past
    assert not gather.workload(trim.mesh_pod(dict(obj))).ways_past
    obj["metadata"] = {"name": "a"}
    assert not gather.workload(trim.pod(dict(obj))).ways_past
