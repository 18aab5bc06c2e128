"""What the chart installs when nobody sets a value."""

from collections import Counter
from typing import Any

import pytest
from ringfence.controls import evaluate
from ringfence.kube import lease
from ringfence.model.effective import AdmissionRequirement, EffectivePolicy, RuleRef
from ringfence.model.labels import LabelBox
from ringfence.model.names import LABEL_ENROLL
from ringfence.model.resources import Mode, PodSecurityLevel
from ringfence.model.world import Enrolment, Namespace
from ringfence.pki import store
from ringfence.reconcile import serving, trust_bundle
from ringfence.translate import admission_policy, webhook_config

from tests.unit.chart import conftest as chart

RESTRICTED_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def _rules(manifests: list[chart.Manifest], kind: str, name: str) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = chart.only(manifests, kind, name)["rules"]
    return rules


def _grants(rules: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """(resource, verb, name) of every grant; name "" for any."""
    return {
        (resource, verb, name)
        for rule in rules
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }


def test_no_object_stands_twice(default: list[chart.Manifest]) -> None:
    keys = Counter((each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in default)
    assert [key for key, count in keys.items() if count > 1] == []


def test_nothing_carries_a_reserved_label(default: list[chart.Manifest]) -> None:
    labelled = [each["metadata"] for each in default] + [each["metadata"] for each in chart.pod_templates(default)]
    for each in labelled:
        labels = each.get("labels", {})
        assert not [key for key in labels if key.startswith("ringfence.dev/")], each
        assert labels.get("app.kubernetes.io/managed-by") == "Helm", each  # never `ringfence`: that would be pruned


def test_every_pod_is_hardened(default: list[chart.Manifest]) -> None:
    # node has rights on the nodes, and a test of its own.
    templates = [each for each in chart.pod_templates(default) if not each["spec"].get("hostNetwork")]
    assert len(templates) == 4
    for template in templates:
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for volume in pod["volumes"]:
            assert "configMap" in volume or volume["emptyDir"]["medium"] == "Memory", volume
        for container in pod["containers"]:
            assert container["securityContext"] == RESTRICTED_CONTAINER
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]


def test_every_pod_passes_our_own_controls(default: list[chart.Manifest]) -> None:
    """As if Ringfence's own namespace were enrolled, with a floor of `restricted`."""
    owners = [each for each in default if each["kind"] in {"Deployment", "Job"}]
    assert len(owners) == 4
    accounts = [each["spec"]["template"]["spec"]["serviceAccountName"] for each in owners]
    asked = AdmissionRequirement(
        LabelBox(), PodSecurityLevel.RESTRICTED, Mode.ENFORCE, RuleRef("ClusterSecurityPolicy", "", "floor", "")
    )
    policy = EffectivePolicy(
        "ringfence-system",
        Enrolment.ENFORCE,
        closed=True,
        service_accounts=tuple(sorted((name, name) for name in accounts)),
        admission=(asked,),
    )
    labels = {LABEL_ENROLL: Enrolment.ENFORCE.value}
    context = evaluate.Context(Namespace.of("ringfence-system", labels), policy, now=0.0)
    for owner in owners:
        assert evaluate.admit(owner, context).violations == ()
    [container] = owners[0]["spec"]["template"]["spec"]["containers"]
    container = {**container, "securityContext": {"privileged": True}}
    template = {"spec": {**owners[0]["spec"]["template"]["spec"], "containers": [container]}}
    assert evaluate.admit({**owners[0], "spec": {**owners[0]["spec"], "template": template}}, context).violations


def test_processes_are_probed_where_they_answer(default: list[chart.Manifest]) -> None:
    for name in ("controller", "webhook"):
        container = chart.only(default, "Deployment", f"ringfence-{name}")["spec"]["template"]["spec"]["containers"][0]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports["http"] == 8081
        for probe, path in (
            ("startupProbe", "/healthz"),
            ("livenessProbe", "/healthz"),
            ("readinessProbe", "/readyz"),
        ):
            assert container[probe]["httpGet"] == {"path": path, "port": "http"}


@pytest.mark.parametrize("name", ["ringfence-controller", "ringfence-webhook"])
def test_a_process_survives_the_loss_of_a_node(default: list[chart.Manifest], name: str) -> None:
    process = chart.only(default, "Deployment", name)["spec"]
    assert process["replicas"] == 2
    assert process["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    selector = process["selector"]["matchLabels"]
    spread = process["template"]["spec"]["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    assert all(each["labelSelector"]["matchLabels"] == selector for each in spread)
    budget = chart.only(default, "PodDisruptionBudget", name)["spec"]
    assert budget["selector"]["matchLabels"] == selector
    assert budget["maxUnavailable"] < process["replicas"]


def test_the_lease_is_there_and_nobody_holds_it(default: list[chart.Manifest]) -> None:
    """A missing one would delay the first write; one with a spec would be taken from its holder at each upgrade."""
    held = chart.only(default, "Lease", lease.NAME)
    assert "spec" not in held
    assert held["metadata"]["namespace"] == "ringfence-system"


def test_services_budgets_and_policies_select_one_process_each(default: list[chart.Manifest]) -> None:
    pods = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"]
        for each in default
        if each["kind"] == "Deployment"
    }
    policy = chart.only(default, "NetworkPolicy", "ringfence-controller-pods")["spec"]
    selectors = {
        "ringfence-webhook": chart.only(default, "Service", "ringfence-webhook")["spec"]["selector"],
        "ringfence-controller": policy["podSelector"]["matchLabels"],
    }
    for owner, selector in selectors.items():
        matched = [name for name, labels in pods.items() if selector.items() <= labels.items()]
        assert matched == [owner]


def test_the_webhook_can_write_nothing_but_events_and_what_it_asks_for(default: list[chart.Manifest]) -> None:
    written = {
        (resource, verb)
        for kind in ("ClusterRole", "Role")
        for resource, verb, _ in _grants(_rules(default, kind, "ringfence-webhook"))
        if verb not in {"get", "list", "watch"}
    }
    # Not the status of ImageVerdicts: what comes of the question it cannot write.
    assert written == {
        ("events", "create"),
        ("events", "patch"),
        ("imageverdicts", "create"),
        ("imageverdicts", "patch"),
    }
    assert {(resource, name) for resource, _, name in _grants(_rules(default, "Role", "ringfence-webhook"))} == {
        ("secrets", "ringfence-webhook-tls")
    }


def test_secrets_are_in_no_cluster_wide_role(default: list[chart.Manifest]) -> None:
    for each in default:
        # This one is bound namespace by namespace, by the controller.
        if each["kind"] == "ClusterRole" and each["metadata"]["name"] != "ringfence-secrets":
            assert "secrets" not in {resource for resource, _, _ in _grants(each["rules"])}, each["metadata"]["name"]


def test_there_are_no_wildcards_and_no_ways_up(default: list[chart.Manifest]) -> None:
    for each in default:
        if each["kind"] in {"ClusterRole", "Role"}:
            for resource, verb, _ in _grants(each["rules"]):
                assert "*" not in {resource, verb}
                assert verb not in {"escalate", "impersonate"}


def test_the_controller_may_bind_the_role_for_secrets_only(default: list[chart.Manifest]) -> None:
    binds = {
        (each["metadata"]["name"], resource, name)
        for each in default
        if each["kind"] in {"ClusterRole", "Role"}
        for resource, verb, name in _grants(each["rules"])
        if verb == "bind"
    }
    assert binds == {("ringfence-certificates", "clusterroles", "ringfence-secrets")}
    bound = {each["roleRef"]["name"] for each in default if each["kind"].endswith("RoleBinding")}
    assert "ringfence-secrets" not in bound
    grants = _grants(_rules(default, "ClusterRole", "ringfence-certificates"))
    assert {name for resource, _, name in grants if resource == "rolebindings"} == {"ringfence-secrets"}
    assert {name for resource, _, name in grants if resource == "configmaps"} == {store.MARKER_NAME}
    assert {name for resource, _, name in grants if resource == "clustertrustbundles"} == {trust_bundle.CLUSTER_NAME}
    assert {name for resource, _, name in grants if resource == "signers"} == {trust_bundle.SIGNER}
    secrets = _grants(_rules(default, "Role", "ringfence-certificates"))
    assert {(verb, name) for _, verb, name in secrets if name} == {
        (verb, store.SECRET_NAME) for verb in ("get", "list", "watch", "update")
    }


def test_webhook_configurations_are_written_by_name(default: list[chart.Manifest]) -> None:
    for resource, verb, name in _grants(_rules(default, "ClusterRole", "ringfence-controller")):
        if resource.endswith("webhookconfigurations") and verb in {"patch", "update", "delete"}:
            assert name.startswith("ringfence"), (resource, verb)


def test_the_controller_cannot_enrol(default: list[chart.Manifest]) -> None:
    grants = _grants(_rules(default, "ClusterRole", "ringfence-controller"))
    assert {verb for resource, verb, _ in grants if resource == "namespaces"} == {"list", "watch"}
    assert not [verb for _, verb, _ in grants if verb == "enroll"]


def test_names_are_those_that_the_code_knows(default: list[chart.Manifest]) -> None:
    controller = _grants(_rules(default, "ClusterRole", "ringfence-controller"))
    named = {name for resource, verb, name in controller if resource.endswith("webhookconfigurations") and name}
    assert named == {webhook_config.NAME}
    assert chart.only(default, "Service", webhook_config.SERVICE)["spec"]["ports"][0]["port"] == 443
    assert chart.only(default, "ServiceAccount", admission_policy.CONTROLLER)
    own = {
        (what, name)
        for what, verb, name in _grants(_rules(default, "Role", "ringfence-controller"))
        if verb == "update"
    }
    assert own == {("secrets", serving.CA_SECRET), ("secrets", serving.LEAF_SECRET), ("leases", lease.NAME)}


def test_teams_write_policies_but_whoever_deploys_does_not(default: list[chart.Manifest]) -> None:
    aggregated = {
        label.rpartition("-to-")[2]: each
        for each in default
        if each["kind"] == "ClusterRole"
        for label in each["metadata"]["labels"]
        if label.startswith("rbac.authorization.k8s.io/aggregate-to-")
    }
    assert set(aggregated) == {"admin", "view"}
    resources = {"securitypolicies", "serviceidentities"}
    assert {resource for resource, _, _ in _grants(aggregated["admin"]["rules"])} == resources
    assert {resource for resource, _, _ in _grants(aggregated["view"]["rules"])} == {*resources, "imageverdicts"}
    # `edit` aggregates `view`: whatever writes there would write for `edit` too.
    assert {verb for _, verb, _ in _grants(aggregated["view"]["rules"])} == {"get", "list", "watch"}


def test_only_the_platform_role_enrols(default: list[chart.Manifest]) -> None:
    who = {
        each["metadata"]["name"]
        for each in default
        if each["kind"] in {"ClusterRole", "Role"} and any(verb == "enroll" for _, verb, _ in _grants(each["rules"]))
    }
    assert who == {"ringfence-platform", "ringfence-uninstall"}


def test_what_uninstalls_lives_no_longer_than_that(default: list[chart.Manifest]) -> None:
    temporary = [each for each in default if each["metadata"]["name"] == "ringfence-uninstall"]
    assert Counter(each["kind"] for each in temporary) == Counter(
        ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Job"]
    )
    for each in temporary:
        annotations = each["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "pre-delete"
        assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
    job = chart.only(default, "Job", "ringfence-uninstall")["spec"]
    assert job["activeDeadlineSeconds"] == 120
    assert job["backoffLimit"] <= 3
    assert not [volume for volume in job["template"]["spec"]["volumes"] if "configMap" in volume]
