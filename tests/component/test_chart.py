"""The chart on a real API server: accepted, hardened, upgraded with its CRDs, and giving nobody more than they need."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from e2e.cluster import controlplane, tools
from e2e.demo import client, install

pytestmark = pytest.mark.component

NAMESPACE = install.NAMESPACE
CRD = "securitypolicies.ringfence.dev"
CONTROLLERS = ("namespace-controller", "clusterrole-aggregation-controller")


@pytest.fixture(scope="module")
def admin() -> Iterator[client.Client]:
    """A cluster where the chart is installed, in a namespace that admits restricted pods only."""
    programs = tools.ensure(tools.CONTROL, tools.NODE, tools.HELM)
    with controlplane.ControlPlane("chart", controllers=CONTROLLERS) as cluster:
        person = client.Client(programs, cluster.kubeconfig)
        labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        metadata = {"name": NAMESPACE, "labels": labels}
        person.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}])
        _helm_install(person)
        yield person


def _helm_install(person: client.Client, chart: Path = install.CHART, *flags: str) -> None:
    person.helm("upgrade", "--install", install.RELEASE, str(chart), f"--namespace={NAMESPACE}", *flags)


def test_its_pods_pass_the_restricted_standard(admin: client.Client) -> None:
    flags = (f"--namespace={NAMESPACE}", "--set=proxy.enabled=true")
    rendered = yaml.safe_load_all(admin.helm("template", install.RELEASE, str(install.CHART), *flags))
    running = [each for each in rendered if each and "template" in each.get("spec", {})]
    # `node` has a namespace of its own because it cannot.
    templates = [each["spec"]["template"] for each in running if each["metadata"]["namespace"] == NAMESPACE]
    assert len(running) == len(templates) + 1 == 5
    for template in templates:
        account = {"apiVersion": "v1", "kind": "ServiceAccount"}
        name = template["spec"]["serviceAccountName"]
        admin.apply([{**account, "metadata": {"name": name, "namespace": NAMESPACE}}])
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**template["metadata"], "name": "attempt", "namespace": NAMESPACE},
            "spec": template["spec"],
        }
        done = admin.create(pod, "--dry-run=server")
        assert done.ok, done.message
        assert "Warning" not in done.error


def test_an_upgrade_changes_the_crds_and_an_uninstall_keeps_them(admin: client.Client, tmp_path: Path) -> None:
    newer = tmp_path / "ringfence"
    shutil.copytree(install.CHART, newer)
    files = (newer / "files" / "crds").glob("*.yaml")
    [file] = [each for each in files if yaml.safe_load(each.read_text())["metadata"]["name"] == CRD]
    crd = yaml.safe_load(file.read_text())
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["fromTheFuture"] = {"type": "string", "maxLength": 10}
    file.write_text(yaml.safe_dump(crd))

    assert "fromTheFuture" not in _fields(admin)
    _helm_install(admin, newer)
    assert "fromTheFuture" in _fields(admin)
    _helm_install(admin)
    assert "fromTheFuture" not in _fields(admin)

    # The hook needs a node; it is tried in e2e.
    admin.helm("uninstall", install.RELEASE, f"--namespace={NAMESPACE}", "--no-hooks")
    _node_gone(admin)
    assert _fields(admin)
    assert not admin.attempt("get", "deployment", "ringfence-webhook", f"--namespace={NAMESPACE}").ok
    _helm_install(admin)
    assert admin.attempt("get", "deployment", "ringfence-webhook", f"--namespace={NAMESPACE}").ok


def test_it_installs_with_proxies_and_without_them_again(admin: client.Client) -> None:
    # Made by hand for the test of its pods.
    admin.run("delete", "serviceaccount", "ringfence-proxyd", f"--namespace={NAMESPACE}", "--ignore-not-found")
    _helm_install(admin, install.CHART, "--set=proxy.enabled=true")
    names = ("deployment/ringfence-proxyd", "service/ringfence-proxyd", "poddisruptionbudget/ringfence-proxyd")
    assert all(admin.attempt("get", name, f"--namespace={NAMESPACE}").ok for name in names)
    assert admin.attempt("get", "daemonset/ringfence-node", "--namespace=ringfence-node").ok
    account = admin.acting_as(f"system:serviceaccount:{NAMESPACE}:ringfence-proxyd")
    client.until(
        lambda: _may(account, "create", "tokenreviews.authentication.k8s.io", "--all-namespaces"), "its rights"
    )
    client.until(lambda: _may(account, "watch", "secrets/ringfence-ca", f"--namespace={NAMESPACE}"), "its rights")
    assert not _may(account, "watch", "secrets", f"--namespace={NAMESPACE}")
    assert not _may(account, "patch", "securitypolicies.ringfence.dev", "--all-namespaces")
    node = admin.acting_as("system:serviceaccount:ringfence-node:ringfence-node")
    client.until(lambda: _may(node, "watch", "pods", "--all-namespaces"), "its rights")
    assert not _may(node, "get", "secrets", "--all-namespaces")
    _helm_install(admin, install.CHART, "--set=proxy.enabled=false")
    assert not admin.attempt("get", "deployment/ringfence-proxyd", f"--namespace={NAMESPACE}").ok
    _node_gone(admin)


def _node_gone(admin: client.Client) -> None:
    """Wait until the namespace of `node` is no more: it cannot be made again before."""
    admin.run("wait", "--for=delete", "namespace/ringfence-node", "--timeout=60s")


def _fields(admin: client.Client) -> set[str]:
    version = admin.get("crd", CRD)["spec"]["versions"][0]
    return set(version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])


@pytest.mark.parametrize(
    ("process", "verb", "what", "allowed"),
    [
        ("controller", "patch", "securitypolicies.ringfence.dev/status", True),
        ("controller", "patch", "securitypolicies.ringfence.dev", False),
        ("controller", "create", "networkpolicies.networking.k8s.io", True),
        ("controller", "patch", "namespaces", False),
        ("controller", "patch", "namespaces/status", True),
        ("controller", "get", "secrets", False),
        ("controller", "create", "pods", False),
        ("controller", "patch", "validatingwebhookconfigurations/ringfence", True),
        ("controller", "patch", "validatingwebhookconfigurations/another", False),
        # Their names follow from what policies ask, and nobody knows them before.
        ("controller", "delete", "validatingadmissionpolicies/ringfence-asked-0123456789abcdef", True),
        ("controller", "delete", "validatingwebhookconfigurations/ringfence", False),
        ("webhook", "watch", "securitypolicies.ringfence.dev", True),
        ("webhook", "patch", "securitypolicies.ringfence.dev/status", False),
        ("webhook", "get", "secrets", False),
        ("webhook", "create", "networkpolicies.networking.k8s.io", False),
        # Without proxies there is nobody with their rights.
        ("proxyd", "watch", "pods", False),
        ("proxyd", "create", "tokenreviews.authentication.k8s.io", False),
    ],
)
def test_a_process_may_do_its_work_and_no_more(
    admin: client.Client, process: str, verb: str, what: str, allowed: bool
) -> None:
    group = f"system:serviceaccounts:{NAMESPACE}"
    account = admin.acting_as(f"system:serviceaccount:{NAMESPACE}:ringfence-{process}", group)
    client.until(lambda: _may(account, verb, what, "--all-namespaces") is allowed, f"{allowed}")


def test_only_the_controller_reads_the_serving_ca(admin: client.Client) -> None:
    def reads(process: str, secret: str) -> bool:
        account = admin.acting_as(f"system:serviceaccount:{NAMESPACE}:ringfence-{process}")
        return _may(account, "watch", f"secrets/{secret}", f"--namespace={NAMESPACE}")

    client.until(lambda: reads("controller", "ringfence-serving-ca"), "its rights")
    client.until(lambda: reads("webhook", "ringfence-webhook-tls"), "its rights")
    assert not reads("webhook", "ringfence-serving-ca")
    assert not reads("controller", "sh.helm.release.v1.ringfence.v1")


@pytest.mark.parametrize(
    ("role", "verb", "what", "allowed"),
    [
        ("admin", "create", "securitypolicies.ringfence.dev", True),
        ("admin", "delete", "serviceidentities.ringfence.dev", True),
        ("admin", "patch", "securitypolicies.ringfence.dev/status", False),
        ("edit", "create", "securitypolicies.ringfence.dev", False),
        ("edit", "get", "securitypolicies.ringfence.dev", True),
        ("view", "list", "serviceidentities.ringfence.dev", True),
        ("view", "create", "serviceidentities.ringfence.dev", False),
    ],
)
def test_people_get_what_their_role_says(admin: client.Client, role: str, verb: str, what: str, allowed: bool) -> None:
    group = "rbac.authorization.k8s.io"
    admin.apply(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tenant"}},
            {
                "apiVersion": f"{group}/v1",
                "kind": "RoleBinding",
                "metadata": {"name": role, "namespace": "tenant"},
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "User", "name": f"{role}@example", "apiGroup": group}],
            },
        ]
    )
    person = admin.acting_as(f"{role}@example")
    # Aggregation is a controller's work, so it takes a moment.
    client.until(lambda: _may(person, "get", "securitypolicies.ringfence.dev", "--namespace=tenant"), "roles aggregate")
    client.until(lambda: _may(person, verb, what, "--namespace=tenant") is allowed, f"{allowed}")
    assert not _may(person, "enroll", "clustersecuritypolicies.ringfence.dev")
    assert not _may(person, "create", "clustersecuritypolicies.ringfence.dev")


def test_the_platform_role_enrols(admin: client.Client) -> None:
    group = "rbac.authorization.k8s.io"
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "platform"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "ringfence-platform"},
        "subjects": [{"kind": "Group", "name": "platform", "apiGroup": group}],
    }
    admin.apply([binding])
    person = admin.acting_as("pat@example", "platform")
    client.until(lambda: _may(person, "enroll", "clustersecuritypolicies.ringfence.dev"), "the right to enrol")
    assert not _may(person, "delete", "networkpolicies.networking.k8s.io")


def _may(person: client.Client, verb: str, what: str, *flags: str) -> bool:
    resource, _, rest = what.partition("/")
    subresource = [f"--subresource={rest}"] if rest == "status" else []
    named = f"{resource}/{rest}" if rest and not subresource else resource
    return person.attempt("auth", "can-i", verb, named, *subresource, *flags).out.strip() == "yes"


def test_what_is_installed_says_so(admin: client.Client) -> None:
    config = admin.get("configmap", "ringfence-config", f"--namespace={NAMESPACE}")
    assert config["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
    listed = json.loads(admin.helm("list", f"--namespace={NAMESPACE}", "--output=json"))
    assert [each["name"] for each in listed] == [install.RELEASE]
