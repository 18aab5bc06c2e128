"""The frozen cluster: equal where nothing changed, and taken from tenants' objects with care."""

from typing import Any

from ringfence import api
from ringfence.model.mesh import EndpointValue, ServicePort, ServiceValue
from ringfence.model.world import Installation
from ringfence.proxyd.snapshot import Snapshots
from ringfence.reconcile import gather

from tests.unit.reconcile import fakes


class Rig:
    def __init__(self) -> None:
        self.cluster = fakes.FakeCluster()
        lister = self.cluster.lister
        listers = gather.Listers(
            lister("Namespace"),
            lister("ServiceIdentity"),
            lister("SecurityPolicy"),
            lister("ClusterSecurityPolicy"),
            lister("Pod"),
            lister("NetworkPolicy"),
        )
        gatherer = gather.Gatherer(listers, api.parse, Installation)
        self.snapshots = Snapshots(gatherer, lister("Service"), lister("EndpointSlice"))
        for name in ("shop", "bank"):
            self.cluster.put(fakes.namespace(name, "enforce"))

    def service(self, name: str, namespace: str = "shop", **spec: Any) -> None:
        metadata = {"name": name, "namespace": namespace}
        self.cluster.put({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})

    def slice(self, name: str, service: str, *endpoints: dict[str, Any]) -> None:
        labels = {"kubernetes.io/service-name": service} if service else {}
        metadata = {"name": name, "namespace": "shop", "labels": labels}
        kind = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice"}
        self.cluster.put({**kind, "metadata": metadata, "endpoints": list(endpoints)})


def endpoint(
    pod: str, *addresses: str, kind: str = "Pod", namespace: str = "shop", ready: Any = True
) -> dict[str, Any]:
    reference = {"kind": kind, "name": pod, "namespace": namespace}
    return {"addresses": list(addresses), "targetRef": reference, "conditions": {"ready": ready}}


def pod(name: str, *, containers: str = "True", **spec: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "False"}, {"type": "ContainersReady", "status": containers}]
    metadata = {"name": name, "namespace": "shop", "uid": name}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"conditions": conditions}}


def ready(rig: Rig, service: str = "web") -> set[str]:
    return {each.pod for each in rig.snapshots.take().endpoints["shop", service] if each.ready}


def test_pods_of_nodes_that_are_not_heard_of_count_where_there_are_no_others() -> None:
    rig = Rig()
    gates = [{"conditionType": "example.com/in"}]
    for each in (pod("unheard"), pod("broken", containers="False"), pod("gated", readinessGates=gates)):
        rig.cluster.put(each)
    leaving = pod("leaving")
    leaving["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    rig.cluster.put(leaving)
    terminating = endpoint("unheard", "10.0.0.6", ready=False)
    terminating["conditions"]["terminating"] = True
    not_ready = [endpoint(name, f"10.0.0.{number}", ready=False) for number, name in enumerate(NOT_READY)]
    rig.slice("one", "web", *not_ready)
    rig.slice("two", "gone", terminating)
    assert ready(rig) == {"unheard"}
    assert ready(rig, "gone") == set()
    rig.slice("three", "web", endpoint("well", "10.0.1.1"))
    rig.snapshots.changed("endpoint_slices", "shop")
    assert ready(rig) == {"well"}, "another one is ready"


NOT_READY = ("unheard", "broken", "gated", "leaving", "unknown")


def test_what_a_kubelet_says_of_its_containers_is_heard_though_no_slice_changes() -> None:
    rig = Rig()
    rig.cluster.put(pod("web-1"))
    rig.slice("one", "web", endpoint("web-1", "10.0.0.1", ready=False))
    assert ready(rig) == {"web-1"}
    rig.cluster.put(pod("web-1", containers="False"))
    rig.snapshots.changed("pods", "shop")
    assert ready(rig) == set()


def test_services_with_a_selector_and_the_api_servers() -> None:
    rig = Rig()
    port = {"port": 80, "targetPort": "web", "name": "http", "protocol": "TCP", "appProtocol": "http"}
    rig.service("web", selector={"b": "2", "a": "1"}, clusterIPs=["10.96.0.1", "fd00::1"], ports=[{"port": 53}, port])
    rig.service("headless", selector={"a": "1"}, clusterIP="None", ports=[])
    rig.service("elsewhere", ports=[{"port": 80}])
    found = rig.snapshots.take().services["shop"]
    assert found == (
        ServiceValue("shop", "headless", (), (), (("a", "1"),)),
        ServiceValue(
            "shop",
            "web",
            ("10.96.0.1", "fd00::1"),
            (ServicePort("", 53, 53), ServicePort("http", 80, "web", app_protocol="http")),
            (("a", "1"), ("b", "2")),
        ),
    )


def test_only_pods_of_the_namespace_stand_behind_a_service() -> None:
    rig = Rig()
    rig.slice(
        "one",
        "web",
        endpoint("web-1", "10.0.0.1", "fd00::1"),
        endpoint("web-2", "10.0.0.2", ready=False),
        endpoint("web-3", "10.0.0.3", ready=None),
        endpoint("node", "10.0.0.9", kind="Node"),
        endpoint("victim", "10.0.0.8", namespace="bank"),
        {"addresses": ["10.0.0.7"]},
    )
    rig.slice("two", "web", endpoint("web-1", "10.0.0.1"))
    rig.slice("of nobody", "", endpoint("web-1", "10.0.0.1"))
    assert rig.snapshots.take().endpoints == {
        ("shop", "web"): (
            EndpointValue("web-1", "10.0.0.1"),
            EndpointValue("web-1", "fd00::1"),
            EndpointValue("web-2", "10.0.0.2", ready=False),
            EndpointValue("web-3", "10.0.0.3"),
        )
    }


def test_addresses_that_a_tenant_gives_a_service_are_not_its() -> None:
    """A Service with another's address would be where calls to that one go (CVE-2020-8554)."""
    rig = Rig()
    honest = {"selector": {"a": "1"}, "clusterIPs": ["10.96.0.9"], "ports": [{"port": 80}]}
    rig.service("web", **honest)
    expected = rig.snapshots.take().services["shop"]
    lies = {"externalIPs": ["10.96.0.1"], "loadBalancerIP": "10.96.0.1", "externalName": "pay.bank.svc"}
    rig.service("web", **honest, **lies)
    obj = rig.cluster.objects["Service", "shop", "web"]
    rig.cluster.put({**obj, "status": {"loadBalancer": {"ingress": [{"ip": "10.96.0.1", "hostname": "pay.bank.svc"}]}}})
    rig.service("alias", type="ExternalName", externalName="pay.bank.svc", ports=[{"port": 80}])
    rig.snapshots.changed("services", "shop")
    assert rig.snapshots.take().services["shop"] == expected
    assert expected[0].cluster_ips == ("10.96.0.9",)


def test_what_has_not_changed_is_the_same_value_and_what_has_is_seen() -> None:
    rig = Rig()
    rig.service("web", selector={"a": "1"}, ports=[])
    rig.service("pay", "bank", selector={"a": "1"}, ports=[])
    before = rig.snapshots.take()
    rig.service("late", selector={"a": "1"}, ports=[])
    assert rig.snapshots.take().services["shop"] is before.services["shop"]
    rig.snapshots.changed("services", "shop")
    after = rig.snapshots.take()
    assert [each.name for each in after.services["shop"]] == ["late", "web"]
    assert after.services["bank"] is before.services["bank"]
    # What was taken before stays as it was.
    assert [each.name for each in before.services["shop"]] == ["web"]
    del rig.cluster.objects["Namespace", "", "bank"]
    assert "bank" not in rig.snapshots.take().services


def test_what_holds_is_worked_out_once_a_snapshot() -> None:
    rig = Rig()
    rig.cluster.put(fakes.policy("shop", "payments", [("shop", "checkout")]))
    mesh = rig.snapshots.take()
    assert mesh.effective("shop") is mesh.effective("shop")
    assert mesh.effective("shop").rules


def test_what_was_said_to_change_and_is_the_same_is_the_very_same_value() -> None:
    rig = Rig()
    rig.service("web", selector={"a": "1"}, clusterIP="10.96.0.1", ports=[{"port": 80}])
    first = rig.snapshots.take()
    rig.service("web", selector={"a": "1"}, clusterIP="10.96.0.1", ports=[{"port": 80}])
    rig.snapshots.changed("services", "shop")
    second = rig.snapshots.take()
    assert second.services["shop"] is first.services["shop"]
    rig.service("web", selector={"a": "1"}, clusterIP="10.96.0.2", ports=[{"port": 80}])
    rig.snapshots.changed("services", "")
    assert rig.snapshots.take().services["shop"][0].cluster_ips == ("10.96.0.2",)
