"""Upgrade and uninstall leave a working cluster behind. Ends with Ringfence installed, as it began."""

import shutil
from pathlib import Path

import pytest
import yaml

from e2e.cluster import backend
from e2e.cluster.errors import ClusterError
from e2e.demo import install
from e2e.demo.client import Client, until
from e2e.scenarios.conftest import Sandboxes
from e2e.scenarios.support import ENROLL, Sandbox, reaches, wait_cut, wait_reaches

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

CRD = "securitypolicies.ringfence.dev"
MANAGED = "app.kubernetes.io/managed-by=ringfence"


def test_an_upgrade_changes_the_crds_and_disturbs_nobody(
    cluster: backend.Cluster, admin: Client, image: str, sandbox: Sandboxes, tmp_path: Path
) -> None:
    space = sandbox("upgraded", enroll="enforce")
    client, server = space.run("client", "server")
    admin.apply([space.allow("server", "client")])
    wait_reaches(admin, client, server.address)
    uids = {name: each["metadata"]["uid"] for name, each in space.network_policies().items()}

    install.install(cluster, image, {"log.level": "debug"}, chart=_newer_chart(tmp_path))
    try:
        assert "fromTheFuture" in _fields(admin)
        _wait_rolled_out_while_pods_are_admitted(admin, cluster, space)
        assert reaches(admin, client, server.address)
        assert not reaches(admin, server, client.address)
        assert {name: each["metadata"]["uid"] for name, each in space.network_policies().items()} == uids
    finally:
        install.install(cluster, image)
        install.wait_ready(cluster)
    assert "fromTheFuture" not in _fields(admin)


def test_new_namespaces_are_enrolled_as_the_platform_wants(
    cluster: backend.Cluster, admin: Client, image: str, sandbox: Sandboxes
) -> None:
    install.install(cluster, image, {"defaultEnroll": "enforce"})
    try:
        install.wait_ready(cluster)
        until(lambda: _default_is_registered(admin), "new namespaces are asked about", 60)
        space = sandbox("newcomer")
        assert admin.get("namespace", space.name)["metadata"]["labels"][ENROLL] == "enforce"
        space.wait_closed()
    finally:
        install.install(cluster, image)
        install.wait_ready(cluster)
    until(lambda: not _default_is_registered(admin), "new namespaces are nobody's business again", 60)
    assert ENROLL not in admin.get("namespace", sandbox("later").name)["metadata"]["labels"]


def _default_is_registered(admin: Client) -> bool:
    webhooks = admin.get("mutatingwebhookconfiguration", "ringfence")["webhooks"]
    return any(each["name"].startswith("namespaces.") for each in webhooks)


def test_uninstalling_opens_and_leaves_nothing_that_blocks(
    cluster: backend.Cluster, admin: Client, image: str, sandbox: Sandboxes
) -> None:
    space = sandbox("uninstalled", enroll="enforce")
    client, server = space.run("client", "server")
    space.wait_closed()
    assert not reaches(admin, client, server.address)

    install.uninstall(cluster)
    try:
        _nothing_is_left(admin)
        assert _fields(admin), "CRDs are kept"
        assert admin.get("serviceidentities", f"--namespace={space.name}")["items"], "and what people wrote"
        assert not reaches(admin, client, server.address), "pods that have a proxy go on with it"
        # Labels that are left behind mean nothing: pods come, labels change, namespaces go.
        assert admin.create(space.pod("later", "client")).ok
        _restart(admin, space, "client", "server")
        wait_reaches(admin, client, server.address)
        assert space.condition() == {}
        admin.run("delete", "namespace", sandbox("gone", enroll="enforce").name, timeout=60)
    finally:
        install.install(cluster, image)
        install.wait_ready(cluster)
    # Installed again it takes up what it finds, and cuts off no pod that came meanwhile without a label.
    until(lambda: bool(space.condition()), "the namespace is taken up again", 30)
    assert space.condition()["reason"] == "Staged"
    admin.run("delete", "pod", "later", f"--namespace={space.name}")
    _restart(admin, space, "client", "server")
    space.wait_closed()
    wait_cut(admin, client, server.address)


def _restart(admin: Client, space: Sandbox, *names: str) -> None:
    for name in names:
        admin.run("rollout", "restart", f"deployment/{name}", f"--namespace={space.name}")
    for name in names:
        space.wait_running(name)


def test_uninstalling_ends_even_when_the_image_is_gone(
    cluster: backend.Cluster, admin: Client, image: str, ringfence: None
) -> None:
    broken = {"image.repository": f"{cluster.registry}/missing", "uninstall.timeoutSeconds": 15}
    try:
        install.install(cluster, image, broken)
        done = admin.attempt_helm("uninstall", install.RELEASE, f"--namespace={install.NAMESPACE}", timeout=120)
        assert not done.ok, "helm says that the Job failed"
        # What docs/uninstall.md says to do then.
        scale = ("scale", "deployment", "ringfence-controller", "--replicas=0", f"--namespace={install.NAMESPACE}")
        admin.run(*scale)
        ended = ("--for=delete", "--selector=app.kubernetes.io/component=controller", "--timeout=60s")
        admin.run("wait", "pod", *ended, f"--namespace={install.NAMESPACE}", timeout=90)
        admin.run("delete", "validatingwebhookconfiguration,mutatingwebhookconfiguration", "ringfence")
        kinds = "validatingadmissionpolicybinding,validatingadmissionpolicy"
        guards = "app.kubernetes.io/managed-by=ringfence,ringfence.dev/purpose=admission"
        admin.run("delete", kinds, f"--selector={guards}")
        admin.run("delete", "networkpolicies", "--all-namespaces", f"--selector={MANAGED}")
        ours = "app.kubernetes.io/managed-by=ringfence,ringfence.dev/purpose=certificates"
        admin.run("delete", "rolebindings,configmaps", "--all-namespaces", f"--selector={ours}")
        admin.attempt("delete", "clustertrustbundle", "ringfence.dev:identity:root")  # where there is the kind
        install.uninstall(cluster, "--no-hooks")
        _nothing_is_left(admin)
    finally:
        admin.attempt("delete", "job", "ringfence-uninstall", f"--namespace={install.NAMESPACE}")
        install.install(cluster, image)
        install.wait_ready(cluster)


def test_deleting_the_namespace_instead_blocks_nobody(
    cluster: backend.Cluster, admin: Client, image: str, sandbox: Sandboxes
) -> None:
    """What people do in a hurry. The guards go with the Namespace that owns them; what was closed stays closed."""
    space = sandbox("orphaned", enroll="enforce")
    client, server = space.run("client", "server")
    space.wait_closed()
    try:
        admin.run("delete", "namespace", install.NAMESPACE, timeout=180)
        until(lambda: not _guards(admin), "the garbage collector has taken the guards away", 60)
        admin.run("rollout", "restart", "deployment/server", f"--namespace={space.name}")
        space.wait_running("server")
        assert not reaches(admin, client, server.address)
        assert admin.attempt("label", "namespace", space.name, "ringfence.dev/enroll-").ok
    finally:
        install.install(cluster, image)
        install.wait_ready(cluster)
    until(lambda: space.network_policies() == {}, "a new installation opens what is no longer enrolled", 30)


def _wait_rolled_out_while_pods_are_admitted(admin: Client, cluster: backend.Cluster, space: Sandbox) -> None:
    refused: list[str] = []

    def done() -> bool:
        tried = admin.create(space.pod("attempt", "client"), "--dry-run=server")
        if not tried.ok:
            refused.append(tried.message)
        status = admin.get("deployment", "ringfence-webhook", f"--namespace={install.NAMESPACE}")
        wanted = status["metadata"]["generation"], 2, 2
        found = status["status"]
        return wanted == (
            found.get("observedGeneration"),
            found.get("updatedReplicas"),
            found.get("availableReplicas"),
        ) and found.get("replicas") == len(("old", "new"))

    until(done, "the webhook is rolled out", 120, every=0.1)
    install.wait_ready(cluster)
    assert refused == []


def _newer_chart(directory: Path) -> Path:
    newer = directory / "ringfence"
    shutil.copytree(install.CHART, newer)
    for file in (newer / "files" / "crds").glob("*.yaml"):
        crd = yaml.safe_load(file.read_text())
        if crd["metadata"]["name"] == CRD:
            spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
            spec["properties"]["fromTheFuture"] = {"type": "string", "maxLength": 10}
            file.write_text("---\n" + yaml.safe_dump(crd))
    return newer


def _fields(admin: Client) -> set[str]:
    version = admin.get("crd", CRD)["spec"]["versions"][0]
    return set(version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])


def _guards(admin: Client) -> list[str]:
    kinds = "validatingwebhookconfigurations,mutatingwebhookconfigurations"
    kinds += ",validatingadmissionpolicies,validatingadmissionpolicybindings"
    return admin.run("get", kinds, f"--selector={MANAGED}", "--output=name").split()


def _ours(admin: Client, kind: str) -> list[str]:
    found = admin.get(kind, "--all-namespaces", f"--selector={MANAGED}")["items"]
    return [f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in found]


def _nothing_is_left(admin: Client) -> None:
    assert _guards(admin) == []
    assert admin.get("networkpolicies", "--all-namespaces", f"--selector={MANAGED}")["items"] == []
    for kind in ("rolebindings", "configmaps"):
        # What proxies have acknowledged goes by garbage collection when proxyd is gone: 30 s as a rule, more where the
        # collector has just learned of new kinds.
        try:
            until(lambda kind=kind: not _ours(admin, kind), f"{kind} of Ringfence are gone", 180)  # type: ignore[misc]
        except ClusterError as error:
            raise AssertionError(f"{error}; left: {_ours(admin, kind)}") from None
    bundles = admin.attempt("get", "clustertrustbundles", f"--selector={MANAGED}", "--output=name")
    if bundles.ok:  # not every API server has the kind
        assert bundles.out.split() == []
    deployments = admin.get("deployments", f"--namespace={install.NAMESPACE}")["items"]
    assert deployments == []
    roles = admin.run("get", "clusterroles,clusterrolebindings", "--output=name").split()
    assert [each for each in roles if "ringfence" in each] == []
