"""What the values change, and which are refused."""

from typing import Any

import pytest
import yaml
from ringfence import settings
from ringfence.model.proxy_settings import OLDEST_ENVOY, ProxySettings

from e2e.cluster import paths, versions
from tests.unit.chart import conftest as chart

DIGEST = "sha256:" + "a" * 64
PROXY: dict[str, Any] = {
    "enabled": True,
    "image": "docker.io/envoyproxy/envoy:distroless-v1.40.0",
    "pullPolicy": "IfNotPresent",
    "requests": {"cpu": "20m", "memory": "40Mi"},
    "limits": {"cpu": "2", "memory": "256Mi"},
    "concurrency": 1,
    "drain": "5s",
    "logLevel": "warning",
    "ownAddressOnly": False,
}


def test_the_settings_file_says_what_the_values_say(render: chart.Render) -> None:
    rendered = render(
        {
            "trustDomain": "corp.example",
            "defaultEnroll": "audit",
            "exemptNamespaces": ["storage"],
            "network": {
                "podCIDRs": ["10.244.0.0/16", "fd00:10::/56"],
                "cidrCoversPods": True,
                "hostOpenCIDRs": ["10.50.0.0/16"],
                "hostClosedCIDRs": ["20.7.0.0/16"],
                "jwksHosts": ["login.corp.example", "*.idp.example"],
                "openServices": [
                    {
                        "name": "dns",
                        "namespace": "dns",
                        "podLabels": {"app": "dns"},
                        "ports": [{"protocol": "UDP", "port": 5353}],
                        "addresses": ["169.254.20.10/32"],
                    }
                ],
                "apiServer": [{"address": "192.0.2.10", "port": 6443}],
            },
            "log": {"level": "debug", "format": "text"},
            "policyReports": {"enabled": False},
            "signatures": {"registries": [{"host": "registry.internal:5000", "private": True}]},
            "ca": {"keyAlgorithm": "ECDSA-P384", "ttl": "4380h", "propagation": "90s"},
        }
    )
    written = yaml.safe_load(chart.only(rendered, "ConfigMap", "ringfence-config")["data"]["config.yaml"])
    assert written == {
        "trustDomain": "corp.example",
        "podCIDRs": ["10.244.0.0/16", "fd00:10::/56"],
        "cidrCoversPods": True,
        "hostOpenCIDRs": ["10.50.0.0/16"],
        "hostClosedCIDRs": ["20.7.0.0/16"],
        "jwksHosts": ["login.corp.example", "*.idp.example"],
        "openServices": [
            {
                "name": "dns",
                "namespace": "dns",
                "podLabels": {"app": "dns"},
                "ports": [{"protocol": "UDP", "port": 5353}],
                "addresses": ["169.254.20.10/32"],
            }
        ],
        "defaultEnroll": "audit",
        "exemptNamespaces": ["storage", "ringfence-node"],
        "apiServer": [{"address": "192.0.2.10", "port": 6443}],
        "policyReports": False,
        "logLevel": "debug",
        "logFormat": "text",
        "proxy": PROXY,
        "ca": {
            "keyAlgorithm": "ECDSA-P384",
            "ttl": "4380h",
            "propagation": "90s",
            "reissueWithin": "10m",
            "maxTTL": "24h",
        },
        "signatures": {
            "trustedRoot": "",
            "ca": "",
            "registries": [{"host": "registry.internal:5000", "private": True}],
        },
    }


def test_the_processes_understand_the_settings_file(render: chart.Render) -> None:
    def parse(rendered: list[chart.Manifest]) -> settings.Settings:
        text = chart.only(rendered, "ConfigMap", "ringfence-config")["data"]["config.yaml"]
        return settings.parse(text, {"POD_NAMESPACE": "ringfence-system"})

    assert parse(render({"proxy": {"enabled": False}})) == settings.Settings()
    changed = parse(render({"network": {"podCIDRs": ["10.1.0.0/16"]}, "exemptNamespaces": ["storage"]}))
    assert changed.installation.pod_cidrs == ("10.1.0.0/16",)
    assert "storage" in changed.exempt_namespaces


def test_the_proxy_is_the_envoy_that_is_tested(render: chart.Render) -> None:
    rendered = render({"proxy": {"enabled": True, "image": {"digest": DIGEST}}})
    written = yaml.safe_load(chart.only(rendered, "ConfigMap", "ringfence-config")["data"]["config.yaml"])
    version = versions.ENVOY_FROM_PYPI.partition("==")[2]
    assert written["proxy"] == {
        **PROXY,
        "enabled": True,
        "image": f"docker.io/envoyproxy/envoy:distroless-v{version}@{DIGEST}",
    }
    assert tuple(map(int, version.split("."))) >= OLDEST_ENVOY
    assert ProxySettings().image.endswith(f":distroless-v{version}")


def test_the_image_for_the_proxy_is_built_from_the_same() -> None:
    pinned = (paths.REPOSITORY / "proxy/requirements.txt").read_text().split()
    assert pinned == [versions.ENVOY_FROM_PYPI, f"--hash=sha256:{versions.ENVOY_SHA256}"]


def test_the_api_server_is_found_out_unless_named(default: list[chart.Manifest]) -> None:
    written = yaml.safe_load(chart.only(default, "ConfigMap", "ringfence-config")["data"]["config.yaml"])
    assert "apiServer" not in written


def test_a_change_of_settings_is_a_new_pod(render: chart.Render, default: list[chart.Manifest]) -> None:
    def checksums(rendered: list[chart.Manifest]) -> list[str]:
        templates = [chart.only(rendered, "Deployment", f"ringfence-{name}")["spec"]["template"] for name in PROCESSES]
        return [each["metadata"]["annotations"]["checksum/config"] for each in templates]

    changed = checksums(render({"log": {"level": "debug"}}))
    assert all(one != other for one, other in zip(checksums(default), changed, strict=True))


PROCESSES = ("controller", "webhook")


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        ({}, "ghcr.io/ringfence/ringfence:0.1.0"),
        ({"repository": "r.example:5000/x", "tag": "v9"}, "r.example:5000/x:v9"),
        ({"repository": "r.example/x", "tag": "v9", "digest": DIGEST}, f"r.example/x@{DIGEST}"),
    ],
)
def test_every_pod_runs_the_image(render: chart.Render, image: dict[str, str], wanted: str) -> None:
    templates = chart.pod_templates(render({"image": image}))
    assert len(templates) == 5
    assert {c["image"] for each in templates for c in each["spec"]["containers"]} == {wanted}


def test_placement_reaches_the_pods(render: chart.Render) -> None:
    placement: dict[str, Any] = {
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "system", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "podAnnotations": {"team": "platform"},
    }
    rendered = render(
        {
            "controller": placement,
            "webhook": placement,
            "node": {"priorityClassName": ""},
            "imagePullSecrets": [{"name": "registry"}],
            "priorityClassName": "platform",
        }
    )
    for name in PROCESSES:
        template = chart.only(rendered, "Deployment", f"ringfence-{name}")["spec"]["template"]
        assert template["metadata"]["annotations"]["team"] == "platform"
        spec = template["spec"]
        assert spec["nodeSelector"] == {"pool": "system"}
        assert spec["tolerations"] == placement["tolerations"]
        assert spec["affinity"] == {"nodeAffinity": {}}
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
        assert spec["priorityClassName"] == "platform"
    assert not [each for each in rendered if each["kind"] == "ResourceQuota"]


def test_no_priority_class_when_none_is_wanted(render: chart.Render) -> None:
    rendered = render({"priorityClassName": "", "node": {"priorityClassName": ""}})
    assert all("priorityClassName" not in each["spec"] for each in chart.pod_templates(rendered))


def test_egress_is_closed_only_where_the_port_is_known(render: chart.Render, default: list[chart.Manifest]) -> None:
    for name in PROCESSES:
        spec = chart.only(default, "NetworkPolicy", f"ringfence-{name}-pods")["spec"]
        assert spec["policyTypes"] == ["Ingress"]
        closed = chart.only(
            render({"networkPolicy": {"apiServerPorts": [6443]}}), "NetworkPolicy", f"ringfence-{name}-pods"
        )["spec"]
        assert closed["policyTypes"] == ["Ingress", "Egress"]
        assert [port["port"] for rule in closed["egress"] for port in rule["ports"]] == [6443, 53, 53]


def test_registries_are_for_the_controller_alone(render: chart.Render) -> None:
    rendered = render({"networkPolicy": {"apiServerPorts": [6443], "registryPorts": [443, 5000]}})
    for name, expected in (("controller", [6443, 53, 53, 443, 5000]), ("webhook", [6443, 53, 53])):
        spec = chart.only(rendered, "NetworkPolicy", f"ringfence-{name}-pods")["spec"]
        assert [port["port"] for rule in spec["egress"] for port in rule["ports"]] == expected


def test_metrics_are_open_to_those_named_only(render: chart.Render, default: list[chart.Manifest]) -> None:
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    named = render({"networkPolicy": {"metricsFrom": [peer]}})
    assert chart.only(default, "NetworkPolicy", "ringfence-controller-pods")["spec"]["ingress"] == []
    assert chart.only(named, "NetworkPolicy", "ringfence-controller-pods")["spec"]["ingress"] == [
        {"from": [peer], "ports": [{"protocol": "TCP", "port": "http"}]}
    ]
    webhook = chart.only(named, "NetworkPolicy", "ringfence-webhook-pods")["spec"]["ingress"]
    assert [[port["port"] for port in rule["ports"]] for rule in webhook] == [["webhook"], ["http"]]


def test_parts_can_be_left_out(render: chart.Render) -> None:
    rendered = render(
        {
            "networkPolicy": {"enabled": False},
            "rbac": {"aggregate": False},
            "crds": {"install": False},
            "uninstall": {"enabled": False},
        }
    )
    assert not {"NetworkPolicy", "CustomResourceDefinition", "Job"} & {each["kind"] for each in rendered}
    roles = {each["metadata"]["name"] for each in rendered if each["kind"] == "ClusterRole"}
    assert roles == {
        "ringfence-controller",
        "ringfence-certificates",
        "ringfence-secrets",
        "ringfence-webhook",
        "ringfence-platform",
        "ringfence-proxyd",
        "ringfence-node",
    }


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"imgae": {}}, "imgae"),
        ({"image": {"repo": "x"}}, "repo"),
        ({"image": {"repository": "r@sha256:1"}}, "/image/repository"),
        ({"image": {"digest": "sha256:short"}}, "/image/digest"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"trustDomain": "Corp.Example"}, "/trustDomain"),
        ({"trustDomain": ""}, "/trustDomain"),
        ({"defaultEnroll": "yes"}, "/defaultEnroll"),
        ({"exemptNamespaces": ["UPPER"]}, "/exemptNamespaces/0"),
        ({"network": {"podCIDRs": ["10.244.0.0"]}}, "/network/podCIDRs/0"),
        ({"network": {"podCIDRs": ["10.244.0.0/33"]}}, "/network/podCIDRs/0"),
        ({"network": {"openServices": [{"name": "dns"}]}}, "/network/openServices/0"),
        (
            {"network": {"openServices": [{"name": "d", "namespace": "d", "podLabels": {}, "ports": []}]}},
            "/network/openServices/0/podLabels",
        ),
        ({"network": {"apiServer": [{"address": "api.example", "port": 443}]}}, "/network/apiServer/0/address"),
        ({"network": {"apiServer": [{"address": "192.0.2.1", "port": 0}]}}, "/network/apiServer/0/port"),
        ({"log": {"level": "loud"}}, "/log/level"),
        ({"webhook": {"replicas": 0}}, "/webhook/replicas"),
        ({"webhook": {"podDisruptionBudget": {"maxUnavailable": 0}}}, "/webhook/podDisruptionBudget/maxUnavailable"),
        ({"controller": {"replicas": 0}}, "/controller/replicas"),
        ({"networkPolicy": {"metricsFrom": [{}]}}, "/networkPolicy/metricsFrom/0"),
        ({"uninstall": {"timeoutSeconds": 1}}, "/uninstall/timeoutSeconds"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(render: chart.Render, values: dict[str, Any], field: str) -> None:
    with pytest.raises(chart.Refused) as refused:
        render(values)
    assert field in str(refused.value)


def test_every_value_has_a_schema_and_the_other_way_round(render: chart.Render) -> None:
    values = yaml.safe_load((chart.CHART / "values.yaml").read_text())
    schema = yaml.safe_load((chart.CHART / "values.schema.json").read_text())
    assert set(schema["properties"]) - {"global"} == set(values)
    for name, each in schema["properties"].items():
        if name != "global" and "properties" in each:
            assert set(each["properties"]) == set(values[name]), name


def test_reports_bring_rights_and_on_request_their_kind(render: chart.Render) -> None:
    def rights(rendered: list[chart.Manifest]) -> set[str]:
        role = chart.only(rendered, "ClusterRole", "ringfence-controller")
        return {group for rule in role["rules"] for group in rule["apiGroups"] if group.endswith("wgpolicyk8s.io")}

    def kinds(rendered: list[chart.Manifest]) -> list[str]:
        return [
            each["metadata"]["name"]
            for each in rendered
            if each["kind"] == "CustomResourceDefinition" and "policyreports" in each["metadata"]["name"]
        ]

    default = render()
    assert rights(default) == {"wgpolicyk8s.io"}
    assert kinds(default) == []
    assert rights(render({"policyReports": {"enabled": False}})) == set()
    assert kinds(render({"policyReports": {"installCRD": True}})) == ["policyreports.wgpolicyk8s.io"]


def _rules(rendered: list[chart.Manifest], kind: str, name: str) -> set[tuple[str, str, str]]:
    """(resource, verb, name) of every grant."""
    return {
        (resource, verb, each)
        for rule in chart.only(rendered, kind, name)["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for each in rule.get("resourceNames", [""])
    }


def test_nobody_looks_after_the_ca_unless_named(render: chart.Render, default: list[chart.Manifest]) -> None:
    name = "ringfence-ca-admins"
    assert not [each for each in default if each["metadata"]["name"] == name]
    people = [{"kind": "Group", "name": "platform-team"}, {"kind": "User", "name": "jane@corp.example"}]
    account = {"kind": "ServiceAccount", "name": "backup", "namespace": "ops"}
    rendered = render({"ca": {"admins": [*people, account]}})
    group = {"apiGroup": "rbac.authorization.k8s.io"}
    for kind in ("RoleBinding", "ClusterRoleBinding"):
        bound = chart.only(rendered, kind, name)
        assert bound["subjects"] == [*({**each, **group} for each in people), account]
        assert bound["roleRef"] == {**group, "kind": kind.removesuffix("Binding"), "name": name}
    role = _rules(rendered, "Role", name)
    assert {each for each in role if each[0] == "secrets"} == {
        ("secrets", verb, "ringfence-ca") for verb in ("get", "update", "patch")
    }
    assert not [each for each in role if each[1] in {"create", "delete"}]
    assert {verb for _, verb, _ in _rules(rendered, "ClusterRole", name)} == {"get", "list"}


@pytest.mark.parametrize(
    "admin",
    [
        {"kind": "Group"},
        {"kind": "Everybody", "name": "x"},
        {"kind": "ServiceAccount", "name": "x"},
        {"kind": "Group", "name": "x", "namespace": "y"},
        {"kind": "Group", "name": ""},
        "platform-team",
    ],
)
def test_an_admin_that_is_no_subject_is_refused(render: chart.Render, admin: Any) -> None:
    with pytest.raises(chart.Refused, match="admins"):
        render({"ca": {"admins": [admin]}})


def test_secrets_are_kept_by_uninstalling_unless_asked(render: chart.Render, default: list[chart.Manifest]) -> None:
    name = "ringfence-uninstall"

    def arguments(rendered: list[chart.Manifest]) -> list[str]:
        job = chart.only(rendered, "Job", name)
        found: list[str] = job["spec"]["template"]["spec"]["containers"][0]["args"]
        return found

    assert arguments(default) == ["uninstall", "--yes"]
    assert not [each for each in _rules(default, "ClusterRole", name) if each[0] == "secrets"]
    asked = render({"uninstall": {"deleteSecrets": True}})
    assert arguments(asked) == ["uninstall", "--yes", "--delete-secrets"]
    granted = {each for each in _rules(asked, "ClusterRole", name) if each[0] == "secrets"}
    assert granted == {("secrets", "list", ""), ("secrets", "delete", "")}
