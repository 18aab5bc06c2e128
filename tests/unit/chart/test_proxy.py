"""What the chart installs for the proxies, where they are wanted: proxyd, node, and nothing where they are not."""

from ipaddress import ip_address
from typing import Any

import pytest
import yaml
from ringfence import settings
from ringfence.model import proxy
from ringfence.model.proxy_settings import Tracing
from ringfence.pki import store

from e2e.enforcer import meaning
from e2e.enforcer.model import Protocol, World, pod_from
from tests.unit.chart import conftest as chart

OWN, NODES = "ringfence-system", "ringfence-node"


@pytest.fixture(scope="module")
def enabled(render: chart.Render) -> list[chart.Manifest]:
    return render({"proxy": {"enabled": True}})


@pytest.fixture(scope="module")
def disabled(render: chart.Render) -> list[chart.Manifest]:
    return render({"proxy": {"enabled": False}})


def test_it_is_on_unless_it_is_turned_off(default: list[chart.Manifest], enabled: list[chart.Manifest]) -> None:
    assert default == enabled


def _named(manifests: list[chart.Manifest]) -> set[tuple[str, str, str]]:
    return {(e["kind"], e["metadata"].get("namespace", ""), e["metadata"]["name"]) for e in manifests}


def _spec(manifests: list[chart.Manifest], kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = chart.only(manifests, kind, name)["spec"]["template"]["spec"]
    return found


def _grants(manifests: list[chart.Manifest], kind: str, name: str) -> set[tuple[str, str, str]]:
    """(resource, verb, name) of every grant; name "" for any."""
    return {
        (resource, verb, each)
        for rule in chart.only(manifests, kind, name)["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for each in rule.get("resourceNames", [""])
    }


def test_nothing_of_it_is_there_unless_wanted(disabled: list[chart.Manifest], enabled: list[chart.Manifest]) -> None:
    assert _named(disabled) < _named(enabled)
    assert _named(enabled) - _named(disabled) == {
        ("ServiceAccount", OWN, "ringfence-proxyd"),
        ("Service", OWN, "ringfence-proxyd"),
        ("PodDisruptionBudget", OWN, "ringfence-proxyd"),
        ("Deployment", OWN, "ringfence-proxyd"),
        ("NetworkPolicy", OWN, "ringfence-proxyd-pods"),
        ("ClusterRole", "", "ringfence-proxyd"),
        ("ClusterRoleBinding", "", "ringfence-proxyd"),
        ("Role", OWN, "ringfence-proxyd"),
        ("RoleBinding", OWN, "ringfence-proxyd"),
        ("Role", OWN, "ringfence-proxies"),
        ("RoleBinding", OWN, "ringfence-proxies"),
        ("Namespace", "", NODES),
        ("ServiceAccount", NODES, "ringfence-node"),
        ("ClusterRole", "", "ringfence-node"),
        ("ClusterRoleBinding", "", "ringfence-node"),
        ("ConfigMap", NODES, "ringfence-node-config"),
        ("ResourceQuota", NODES, "ringfence-node-critical-pods"),
        ("DaemonSet", NODES, "ringfence-node"),
    }


def test_what_is_there_anyway_stays_as_it_was(disabled: list[chart.Manifest], enabled: list[chart.Manifest]) -> None:
    """But for the settings, and what is restarted because of them."""
    changed = {key for key in _named(disabled) if _one(disabled, key) != _one(enabled, key)}
    assert changed == {
        ("ConfigMap", OWN, "ringfence-config"),
        ("Deployment", OWN, "ringfence-controller"),
        ("Deployment", OWN, "ringfence-webhook"),
    }


def _one(manifests: list[chart.Manifest], key: tuple[str, str, str]) -> chart.Manifest:
    (found,) = [e for e in manifests if (e["kind"], e["metadata"].get("namespace", ""), e["metadata"]["name"]) == key]
    return found


def test_no_object_stands_twice_and_none_has_a_reserved_label(enabled: list[chart.Manifest]) -> None:
    assert len(_named(enabled)) == len(enabled)
    labelled = [each["metadata"] for each in enabled] + [each["metadata"] for each in chart.pod_templates(enabled)]
    for each in labelled:
        assert not [key for key in each.get("labels", {}) if key.startswith("ringfence.dev/")], each
        assert each["labels"]["app.kubernetes.io/managed-by"] == "Helm"


def test_node_is_alone_in_a_namespace_that_is_never_enrolled(
    enabled: list[chart.Manifest], render: chart.Render
) -> None:
    running = [each for each in enabled if "template" in each.get("spec", {})]
    assert [each["kind"] for each in running if each["metadata"]["namespace"] == NODES] == ["DaemonSet"]

    def exempt(rendered: list[chart.Manifest]) -> frozenset[str]:
        text = _one(rendered, ("ConfigMap", OWN, "ringfence-config"))["data"]["config.yaml"]
        return settings.parse(text, {"POD_NAMESPACE": OWN}).exempt_namespaces

    assert NODES in exempt(enabled)
    assert {"storage", "elsewhere"} <= exempt(
        render({"proxy": {"enabled": True}, "exemptNamespaces": ["storage"], "node": {"namespace": "elsewhere"}})
    )
    labels = chart.only(enabled, "Namespace", NODES)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"


def test_node_has_the_rights_that_it_needs_on_the_node_and_no_more(enabled: list[chart.Manifest]) -> None:
    spec = _spec(enabled, "DaemonSet", "ringfence-node")
    assert spec["hostPID"] is True
    # How it knows the network that it must never touch (node/processes.py).
    assert spec["hostNetwork"] is True
    assert "hostIPC" not in spec
    [container] = spec["containers"]
    assert container["securityContext"] == {
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN"]},
    }
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    paths = {each["name"]: each["hostPath"]["path"] for each in spec["volumes"] if "hostPath" in each}
    assert paths == {"cgroup": "/sys/fs/cgroup"}
    mounts = {each["name"]: each for each in container["volumeMounts"]}
    assert mounts["cgroup"]["readOnly"] is True
    environment = {each["name"]: each for each in container["env"]}
    assert environment["NODE_CGROUPS"]["value"] == mounts["cgroup"]["mountPath"]
    assert environment["NODE_NAME"]["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"
    assert _grants(enabled, "ClusterRole", "ringfence-node") == {
        (resource, verb, "") for resource in ("pods", "namespaces") for verb in ("list", "watch")
    }
    assert container["args"][:2] == ["run", "node"]
    assert {"cpu", "memory"} <= set(container["resources"]["requests"])


def test_node_runs_on_every_node_before_all_that_waits_for_it(enabled: list[chart.Manifest]) -> None:
    spec = _spec(enabled, "DaemonSet", "ringfence-node")
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert spec["priorityClassName"] == "system-node-critical"


def test_node_understands_its_settings(enabled: list[chart.Manifest]) -> None:
    text = _one(enabled, ("ConfigMap", NODES, "ringfence-node-config"))["data"]["config.yaml"]
    understood = settings.parse(text, {"POD_NAMESPACE": NODES})
    assert (understood.log_level, understood.http_host, understood.http_port) == ("info", "127.0.0.1", 15029)
    [container] = _spec(enabled, "DaemonSet", "ringfence-node")["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": 15029, "hostPort": 15029, "protocol": "TCP"}]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["host"] == "127.0.0.1"


def test_the_collector_of_spans_is_in_the_settings_where_one_is_named(
    render: chart.Render, enabled: list[chart.Manifest]
) -> None:
    def understood(manifests: list[chart.Manifest]) -> settings.Settings:
        text = chart.only(manifests, "ConfigMap", "ringfence-config")["data"]["config.yaml"]
        return settings.parse(text, {"POD_NAMESPACE": OWN})

    assert understood(enabled).proxy.tracing is None
    tracing = {"address": "otel.obs.svc:4317", "podLabels": {"app": "otel"}, "sampling": 0.5}
    found = understood(render({"proxy": {"enabled": True, "tracing": tracing}}))
    assert found.proxy.tracing == Tracing("otel.obs.svc", 4317, (("app", "otel"),), 4317, 0.5)


def test_proxyd_is_where_the_proxies_look_for_it(enabled: list[chart.Manifest]) -> None:
    service = chart.only(enabled, "Service", proxy.PROXYD_SERVICE)["spec"]
    [port] = service["ports"]
    assert port["port"] == proxy.PROXYD_PORT
    [container] = _spec(enabled, "Deployment", "ringfence-proxyd")["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports[port["targetPort"]] == proxy.PROXYD_PORT
    policy = chart.only(enabled, "NetworkPolicy", "ringfence-proxyd-pods")["spec"]
    labels = chart.only(enabled, "Deployment", "ringfence-proxyd")["spec"]["template"]["metadata"]["labels"]
    assert service["selector"] == policy["podSelector"]["matchLabels"]
    assert service["selector"].items() <= labels.items()
    assert policy["ingress"] == [
        {"from": [{"namespaceSelector": {}}], "ports": [{"protocol": "TCP", "port": "proxyd"}]}
    ]


@pytest.mark.parametrize(
    ("ranges", "caller", "open_"),
    [
        (["10.244.0.0/16", "fd00:10::/56"], "10.244.3.7", True),
        (["10.244.0.0/16", "fd00:10::/56"], "fd00:10::7", True),
        (["10.244.0.0/16", "fd00:10::/56"], "10.245.0.1", False),
        ([], "10.244.3.7", False),
    ],
)
def test_proxyd_is_open_to_pods_that_the_api_server_shows_no_address_of_yet(
    render: chart.Render, ranges: list[str], caller: str, open_: bool
) -> None:
    rendered = render({"network": {"podCIDRs": ranges}})
    policy = chart.only(rendered, "NetworkPolicy", "ringfence-proxyd-pods")
    template = chart.only(rendered, "Deployment", "ringfence-proxyd")["spec"]["template"]
    metadata = {"namespace": OWN, "name": "proxyd", "labels": template["metadata"]["labels"]}
    proxyd = pod_from({"metadata": metadata, "spec": template["spec"], "status": {"podIP": "10.244.1.1"}})
    assert proxyd is not None
    ((_, isolated),) = meaning.isolation(World((proxyd,), {OWN: {}}, (policy,)))
    assert isolated.ingress is not None
    assert isolated.ingress.allows(ip_address(caller), Protocol.TCP, proxy.PROXYD_PORT) is open_
    # Nothing else comes with it.
    assert not isolated.ingress.allows(ip_address(caller), Protocol.TCP, 1)


def test_proxyd_is_hardened_and_survives_the_loss_of_a_node(enabled: list[chart.Manifest]) -> None:
    deployment = chart.only(enabled, "Deployment", "ringfence-proxyd")["spec"]
    webhook = chart.only(enabled, "Deployment", "ringfence-webhook")["spec"]
    spec, other = deployment["template"]["spec"], webhook["template"]["spec"]
    for key in ("securityContext", "volumes", "priorityClassName"):
        assert spec[key] == other[key]
    assert spec["containers"][0]["securityContext"] == other["containers"][0]["securityContext"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"] == webhook["strategy"]
    budget = chart.only(enabled, "PodDisruptionBudget", "ringfence-proxyd")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == deployment["selector"]


def test_proxyd_writes_nothing_but_what_its_proxies_have_acknowledged(enabled: list[chart.Manifest]) -> None:
    everywhere = _grants(enabled, "ClusterRole", "ringfence-proxyd")
    assert {each for each in everywhere if each[1] not in {"list", "watch"}} == {("tokenreviews", "create", "")}
    own = _grants(enabled, "Role", "ringfence-proxyd")
    assert {each for each in own if each[0] == "secrets"} == {
        ("secrets", verb, name) for verb in ("list", "watch") for name in (store.SECRET_NAME, "ringfence-proxyd-tls")
    }
    assert {each for each in own if each[1] not in {"list", "watch"}} == {
        *(("configmaps", verb, "") for verb in ("get", "create", "patch")),
        ("deployments", "get", "ringfence-proxyd"),
    }


def test_placement_and_images_reach_the_pods(render: chart.Render) -> None:
    placement: dict[str, Any] = {
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "system", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "podAnnotations": {"team": "platform"},
    }
    values = {"proxy": {"enabled": True}, "proxyd": placement, "node": {**placement, "priorityClassName": ""}}
    rendered = render({**values, "image": {"repository": "r.example/x"}, "imagePullSecrets": [{"name": "registry"}]})
    for kind, name in (("Deployment", "ringfence-proxyd"), ("DaemonSet", "ringfence-node")):
        template = chart.only(rendered, kind, name)["spec"]["template"]
        assert template["metadata"]["annotations"]["team"] == "platform"
        spec = template["spec"]
        assert spec["nodeSelector"]["pool"] == "system"
        assert spec["tolerations"] == placement["tolerations"]
        assert spec["affinity"] == {"nodeAffinity": {}}
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
        assert spec["containers"][0]["image"].startswith("r.example/x:")
    assert "priorityClassName" not in _spec(rendered, "DaemonSet", "ringfence-node")
    assert ("ResourceQuota", NODES, "ringfence-node-critical-pods") not in _named(rendered)


def test_parts_can_be_left_out(render: chart.Render) -> None:
    rendered = render(
        {"proxy": {"enabled": True}, "node": {"createNamespace": False}, "networkPolicy": {"enabled": False}}
    )
    assert not {"Namespace", "NetworkPolicy"} & {each["kind"] for each in rendered}


def test_egress_is_closed_only_where_the_port_is_known(render: chart.Render) -> None:
    rendered = render({"proxy": {"enabled": True}, "networkPolicy": {"apiServerPorts": [6443]}})
    spec = chart.only(rendered, "NetworkPolicy", "ringfence-proxyd-pods")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert [port["port"] for rule in spec["egress"] for port in rule["ports"]] == [6443, 53, 53]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"proxyd": {"replicas": 0}}, "/proxyd/replicas"),
        ({"node": {"namespace": "UPPER"}}, "/node/namespace"),
        ({"node": {"maxUnavailable": 0}}, "/node/maxUnavailable"),
        ({"node": {"cgroupPath": "cgroup"}}, "/node/cgroupPath"),
        ({"node": {"replicas": 2}}, "replicas"),
        ({"node": {"listenOn": "eth0"}}, "/node/listenOn"),
        ({"node": {"port": 0}}, "/node/port"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(render: chart.Render, values: dict[str, Any], field: str) -> None:
    with pytest.raises(chart.Refused) as refused:
        render(values)
    assert field in str(refused.value)


def test_a_change_of_the_log_is_a_new_pod(render: chart.Render, enabled: list[chart.Manifest]) -> None:
    changed = render({"proxy": {"enabled": True}, "log": {"level": "debug"}})
    for kind, name in (("Deployment", "ringfence-proxyd"), ("DaemonSet", "ringfence-node")):
        before, after = (
            chart.only(each, kind, name)["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
            for each in (enabled, changed)
        )
        assert before != after
    text = _one(changed, ("ConfigMap", NODES, "ringfence-node-config"))["data"]["config.yaml"]
    assert yaml.safe_load(text)["logLevel"] == "debug"
