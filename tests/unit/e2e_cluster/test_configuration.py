"""What the nodes' programs are told."""

import json
import tomllib
from pathlib import Path

import yaml

from e2e.cluster import configuration, kind, manifests
from e2e.cluster.layout import Layout

LAYOUT = Layout("one", 2, 2, Path("/state/one"))


def test_pods_of_each_node_get_addresses_of_its_own_range() -> None:
    ranges = [json.loads(configuration.cni(node))["plugins"][0]["ipam"]["ranges"] for node in LAYOUT.nodes]
    assert ranges == [[[{"subnet": "10.130.1.0/24"}]], [[{"subnet": "10.130.2.0/24"}]]]


def test_containerd_configuration_is_toml_with_the_sandbox_image_of_the_registry() -> None:
    parsed = tomllib.loads(configuration.containerd(LAYOUT, LAYOUT.nodes[0]))
    cri = parsed["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["sandbox_image"] == "localhost:5003/pause:dev"
    assert cri["restrict_oom_score_adj"] is True


def test_the_registrys_name_leads_a_node_to_the_machine() -> None:
    parsed = tomllib.loads(configuration.registry_hosts(LAYOUT))
    assert parsed["server"] == "http://10.89.2.1:5003"
    assert list(parsed["host"]) == ["http://10.89.2.1:5003"]
    assert LAYOUT.registry_inside == "10.89.2.1:5003"


def test_each_kubelet_has_a_cgroup_of_its_own_and_lets_nobody_in_unknown() -> None:
    first, second = (configuration.kubelet(LAYOUT, node) for node in LAYOUT.nodes)
    assert first["cgroupRoot"] != second["cgroupRoot"]
    assert first["authentication"]["anonymous"] == {"enabled": False}
    assert first["authorization"] == {"mode": "Webhook"}


def test_kube_proxy_uses_nftables() -> None:
    assert configuration.kube_proxy(LAYOUT, LAYOUT.nodes[1])["mode"] == "nftables"


def test_dns_is_where_the_kubelets_send_the_pods() -> None:
    objects = {(each["kind"], each["metadata"]["name"]): each for each in manifests.base(LAYOUT)}
    service = objects["Service", "kube-dns"]["spec"]
    assert service["clusterIP"] == configuration.kubelet(LAYOUT, LAYOUT.nodes[0])["clusterDNS"][0]
    pods = objects["Deployment", "coredns"]["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= pods.items()
    assert pods["k8s-app"] == "kube-dns"


def test_kind_gets_the_same_features() -> None:
    written = yaml.safe_load(yaml.safe_dump(kind.configuration(3)))
    assert [node["role"] for node in written["nodes"]] == ["control-plane", "worker", "worker"]
    assert written["featureGates"]["PodCertificateRequest"] is True
    assert [yaml.safe_load(each)["syncFrequency"] for each in written["kubeadmConfigPatches"]] == ["5s"]
    assert written["runtimeConfig"] == {"certificates.k8s.io/v1beta1": "true"}
    assert "@sha256:" in written["nodes"][0]["image"]


def test_gateway_of_kinds_network_is_the_ipv4_one() -> None:
    inspected = json.dumps([{"IPAM": {"Config": [{"Gateway": "fc00::1"}, {"Subnet": "x"}, {"Gateway": "172.18.0.1"}]}}])
    assert kind.network_gateway(inspected) == "172.18.0.1"
