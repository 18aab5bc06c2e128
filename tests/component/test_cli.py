"""The command against a real API server, with the controller running: what people see and what it changes."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from ringfence import wiring
from ringfence.controller import core
from ringfence.kube import client, resources
from ringfence.kube.apply import KubeApplier
from ringfence.model.names import LABEL_ENROLL, LABEL_IDENTITY
from ringfence.model.signatures import Answer, Held, SignatureReason, Wanted
from ringfence.model.world import Installation
from ringfence.reconcile import verdict_objects
from ringfence.reconcile.verdict_objects import Kept
from ringfence.settings import Settings

from e2e.cluster.controlplane import ControlPlane
from tests.component import cluster, people

pytestmark = pytest.mark.component

ROOT = Path(__file__).parents[2]
SETTINGS = Settings(installation=Installation(pod_cidrs=("10.244.0.0/16",)))
CONTROLLER = "ringfence-controller"
ADMISSION_POLICIES = {
    "apiGroups": ["admissionregistration.k8s.io"],
    "resources": ["validatingadmissionpolicies", "validatingadmissionpolicybindings"],
    "verbs": ["*"],
}


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    """An API server of its own: uninstalling is about all of it."""
    with ControlPlane("cli", controllers=["namespace-controller", "clusterrole-aggregation-controller"]) as running:
        cluster.install_crds(running)
        yield running


@asynccontextmanager
async def running(control_plane: ControlPlane) -> AsyncIterator[client.Client]:
    """A client with all rights, while the controller works: as its ServiceAccount, whom the backstop lets write."""
    async with cluster.connected(control_plane) as api:
        own = SETTINGS.installation.namespace
        await cluster.apply(api, cluster.namespace(own))
        await people.service_account(api, own, CONTROLLER)
        await people.bind(api, own, CONTROLLER, [*people.CONTROLLER_RULES, ADMISSION_POLICIES])
        config = control_plane.directory / "controller.kubeconfig"
        config.write_text(people.kubeconfig(control_plane.kubeconfig, await people.token(api, own, CONTROLLER)))
        async with wiring.operator(SETTINGS, config) as operator, core.running(core.Core(operator)):
            yield api


async def closed(api: client.Client, name: str) -> bool:
    found = await api.request("GET", resources.NAMESPACES.path("", name))
    conditions = found["status"].get("conditions") or []
    return any(each["type"] == "ringfence.dev/Enforced" and each["status"] == "True" for each in conditions)


def deployment(namespace: str, name: str, account: str) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"serviceAccountName": account, "containers": [{"name": "main", "image": "localhost/none:1"}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template},
    }


class Rollouts:
    """What the Deployment controller would do, as far as enrolling needs it: pods follow their template."""

    def __init__(self, api: client.Client, namespace: str, name: str, account: str) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._account = account
        self.restarts = 0

    async def start(self) -> None:
        """The Deployment, its ReplicaSet and a pod from before enrolment."""
        made = await cluster.apply(self._api, deployment(self._namespace, self._name, self._account))
        reference = self._reference("Deployment", "apps/v1", self._name, made["metadata"]["uid"])
        replica_set = deployment(self._namespace, f"{self._name}-1", self._account)
        replica_set |= {"kind": "ReplicaSet"}
        replica_set["metadata"] |= {"ownerReferences": [reference]}
        made = await cluster.apply(self._api, replica_set)
        self._owner = self._reference("ReplicaSet", "apps/v1", f"{self._name}-1", made["metadata"]["uid"])
        await self._pod("old", labelled=False)

    async def follow(self) -> None:
        """Replace the pod when the template changes."""
        path = resources.DEPLOYMENTS.path(self._namespace, self._name)
        while True:
            found = await self._api.request("GET", path)
            if "annotations" in found["spec"]["template"]["metadata"]:
                break
            await asyncio.sleep(0.1)
        self.restarts += 1
        await self._pod("new", labelled=True)
        await cluster.delete(self._api, resources.PODS, self._namespace, f"{self._name}-old")

    async def _pod(self, suffix: str, *, labelled: bool) -> None:
        pod = cluster.pod(self._namespace, f"{self._name}-{suffix}", self._account, labelled=labelled)
        pod["metadata"] |= {"ownerReferences": [self._owner]}
        pod["spec"] |= {"terminationGracePeriodSeconds": 0}
        await cluster.apply(self._api, pod)

    @staticmethod
    def _reference(kind: str, version: str, name: str, uid: str) -> dict[str, Any]:
        return {"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": True}


def test_enrolling_a_namespace_from_nothing_to_closed(control_plane: ControlPlane) -> None:
    asyncio.run(_enrol(control_plane))


async def _enrol(control_plane: ControlPlane) -> None:
    config = control_plane.kubeconfig
    async with running(control_plane) as api:
        await cluster.apply(api, cluster.namespace("en"))
        await people.service_account(api, "en", "web")
        rollouts = Rollouts(api, "en", "web", "web")
        await rollouts.start()

        # Its pods would be refused: nothing is changed.
        status, out, err = await people.ringfence(config, "enroll", "en", "--wait")
        assert status == 1
        assert "not enrolled -> enforce" in out
        assert 'is "web", which no ServiceIdentity in namespace "en" names' in err
        assert "nothing was changed" in err
        found = await api.request("GET", resources.NAMESPACES.path("", "en"))
        assert LABEL_ENROLL not in found["metadata"]["labels"]

        await cluster.apply(api, cluster.identity("en", "web"))
        status, out, err = await people.ringfence(config, "enroll", "en", "--dry-run")
        assert (status, err) == (0, "")
        assert "web-old" in out
        assert "Deployment web is restarted by rollout" in out
        assert "this was a dry run" in out
        assert rollouts.restarts == 0

        follower = asyncio.create_task(rollouts.follow())
        status, out, err = await people.ringfence(config, "enroll", "en", "--wait", "--timeout", "60")
        await follower
        assert status == 0, err
        assert "restarted Deployment web" in out
        assert "its network is closed" in out
        assert await closed(api, "en")
        assert await cluster.names(api, resources.NETWORK_POLICIES, "en")

        status, out, err = await people.ringfence(config, "unenroll", "en", "--wait", "--timeout", "30")
        assert status == 0, err
        assert await cluster.names(api, resources.NETWORK_POLICIES, "en") == []


def test_what_stands_in_the_way_is_told_when_the_time_is_up(control_plane: ControlPlane) -> None:
    asyncio.run(_in_the_way(control_plane))


async def _in_the_way(control_plane: ControlPlane) -> None:
    config = control_plane.kubeconfig
    async with running(control_plane) as api:
        await cluster.apply(api, cluster.namespace("way"))
        await people.service_account(api, "way", "web")
        await cluster.apply(api, cluster.identity("way", "web"))
        await cluster.apply(api, cluster.pod("way", "bare", "web", labelled=False))
        stranger = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "theirs", "namespace": "way"},
            "spec": {"podSelector": {}},
        }
        await cluster.apply(api, stranger)
        status, out, err = await people.ringfence(config, "enroll", "way", "--wait", "--timeout", "10")
        assert status == 1
        assert "Pod bare (bare) cannot be restarted by rollout" in err
        assert "keep the network from closing: theirs" in err
        assert "still waiting: 1 pod without identity: bare" in err
        assert "labelled namespace way" in out

        status, out, err = await people.ringfence(config, "status", "-o", "json")
        assert status == 0, err
        (told,) = (each for each in json.loads(out)["namespaces"] if each["name"] == "way")
        assert (told["enrolment"], told["network"], told["unenrolled"]) == ("enforce", "staged", ["bare"])
        assert told["reason"] == "StrangersNetworkPolicies"


def test_status_tells_what_is_known_of_images(control_plane: ControlPlane) -> None:
    asyncio.run(_images(control_plane))


async def _verdicts(api: client.Client, control_plane: ControlPlane) -> None:
    """One of each kind, written as the controller: where it has run before, nobody else may."""
    own = SETTINGS.installation.namespace
    await cluster.apply(api, cluster.namespace(own))
    await people.service_account(api, own, CONTROLLER)
    rule = {"apiGroups": ["ringfence.dev"], "resources": ["imageverdicts", "imageverdicts/status"], "verbs": ["*"]}
    await people.bind(api, own, CONTROLLER, [*people.CONTROLLER_RULES, ADMISSION_POLICIES, rule])
    config = control_plane.directory / "verdicts.kubeconfig"
    config.write_text(people.kubeconfig(control_plane.kubeconfig, await people.token(api, own, CONTROLLER)))
    writer = await client.Client.connect(config, component="test")
    try:
        for number, reason in enumerate(("Verified", "NotSigned", "")):
            wanted = Wanted("img", f"registry.example/app@sha256:{number:064x}")
            await KubeApplier(writer).apply(verdict_objects.request(wanted, time.time()))
            if reason:
                answer = Answer(SignatureReason(reason), "there is none" if reason != "Verified" else "")
                kept = Kept(wanted, 0, {"0" * 32: Held(answer, time.time() + 600)}, time.time(), 0, "")
                told = verdict_objects.answered(kept, {"0" * 32: "a rule"})
                await KubeApplier(writer).apply(told, subresource="status")
    finally:
        await writer.close()


async def _images(control_plane: ControlPlane) -> None:
    config = control_plane.kubeconfig
    async with cluster.connected(control_plane) as api:
        await cluster.apply(api, cluster.namespace("img"))
        await _verdicts(api, control_plane)
        status, out, err = await people.ringfence(config, "status", "-o", "json")
        assert status == 0, err
        (told,) = (each for each in json.loads(out)["images"] if each["namespace"] == "img")
        assert (told["verified"], told["failed"], told["pending"]) == (1, 1, 1)
        (failure,) = told["failures"]
        assert (failure["reason"], failure["message"], failure["rule"]) == ("NotSigned", "there is none", "a rule")

        # A viewer of the namespace sees them; one who may not see these is shown the rest, and told.
        kinds = ["namespaces", "pods", "serviceidentities", "securitypolicies", "clustersecuritypolicies"]
        for name, resources_, sees in (("viewer", [*kinds, "imageverdicts"], True), ("narrow", kinds, False)):
            await people.service_account(api, "img", name)
            rule = {"apiGroups": ["", "ringfence.dev"], "resources": resources_, "verbs": ["get", "list"]}
            await people.bind(api, "img", name, [rule])
            viewer = control_plane.directory / f"{name}.kubeconfig"
            viewer.write_text(people.kubeconfig(config, await people.token(api, "img", name)))
            status, out, err = await people.ringfence(viewer, "status", "-n", "img", "-v")
            assert status == 0, err
            assert ("IMAGES OF" in out) is sees
            assert ("there is none" in out) is sees
            assert ("what is known of images is not shown" in err) is not sees


def test_compile_says_what_the_controller_writes(control_plane: ControlPlane) -> None:
    asyncio.run(_compile(control_plane))


async def _compile(control_plane: ControlPlane) -> None:
    config = control_plane.kubeconfig
    async with running(control_plane) as api:
        await cluster.apply(api, cluster.namespace("say", "enforce", **{"ringfence.dev/zone": "a"}))
        await people.service_account(api, "say", "web")
        for name in ("web", "db"):
            await cluster.apply(api, cluster.identity("say", name))
        await cluster.apply(
            api, cluster.policy("say", "db", "web", 5432, egress=[{"name": "out", "to": [{"zone": "a"}]}])
        )
        await cluster.apply(api, cluster.pod("say", "web-1", "web"))
        await cluster.eventually(lambda: closed(api, "say"), "say closes")
        status, out, err = await people.ringfence(
            config, "compile", "--kind", "NetworkPolicy", "-o", "json", "--pod-cidr", "10.244.0.0/16"
        )
        assert status == 0, err
        compiled = {
            item["metadata"]["name"]: item["spec"]
            for item in json.loads(out)["items"]
            if item["metadata"]["namespace"] == "say"
        }

        async def written() -> bool:
            return await _specs(api, "say", "ringfence-policy-db-egress") == compiled

        # The controller may have come to the policies one by one.
        await cluster.eventually(written, f"the controller has written {sorted(compiled)}")

        status, out, err = await people.ringfence(config, "can-i", "say/web", "say/db", "--port", "5432")
        assert status == 0, err
        assert "SecurityPolicy say/db rule from-web" in out
        status, out, err = await people.ringfence(config, "can-i", "say/db", "say/web", "--port", "80", "-o", "yaml")
        assert status == 1, err
        assert yaml.safe_load(out)["ports"][0]["answers"][0]["ingress"]["reason"] == "NoRuleAllows"

        status, out, err = await people.ringfence(config, "status", "-n", "say")
        assert status == 0, err
        assert "closed" in out
        assert "say/db" in out


async def _specs(api: client.Client, namespace: str, last: str) -> dict[str, Any] | None:
    found = (await api.request("GET", resources.NETWORK_POLICIES.path(namespace)))["items"]
    specs = {each["metadata"]["name"]: each["spec"] for each in found}
    return specs if last in specs else None


def test_admit_asks_the_cluster_when_the_files_hold_no_policy(control_plane: ControlPlane, tmp_path: Path) -> None:
    asyncio.run(_admit(control_plane, tmp_path))


async def _admit(control_plane: ControlPlane, tmp_path: Path) -> None:
    config = control_plane.kubeconfig
    async with cluster.connected(control_plane) as api:
        await cluster.apply(api, cluster.namespace("ad", "enforce"))
        await cluster.apply(api, cluster.identity("ad", "web"))
        file = tmp_path / "pod.yaml"
        file.write_text(yaml.safe_dump_all([cluster.pod("ad", "good", "web"), cluster.pod("ad", "bad", "other")]))
        status, out, err = await people.ringfence(config, "admit", "-f", str(file))
        assert status == 1, err
        assert "Pod ad/good: admitted" in out
        assert "Pod ad/bad: rejected" in out
        file.write_text(yaml.safe_dump(cluster.pod("nowhere", "a", "web")))
        status, _, err = await people.ringfence(config, "admit", "-f", str(file))
        assert status == 2
        assert "the cluster has no namespace nowhere" in err


def test_who_may_not_enrol_is_told_what_is_missing(control_plane: ControlPlane, tmp_path: Path) -> None:
    asyncio.run(_forbidden(control_plane, tmp_path))


async def _forbidden(control_plane: ControlPlane, tmp_path: Path) -> None:
    async with running(control_plane) as api:
        await cluster.apply(api, cluster.namespace("tenant"))
        await people.service_account(api, "tenant", "editor")
        # Everything that enrolling reads, and to patch Namespaces; not the verb.
        rules = [
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]},
            {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["patch"]},
        ]
        await people.bind(api, "tenant", "editor", rules)
        config = tmp_path / "config"
        config.write_text(people.kubeconfig(control_plane.kubeconfig, await people.token(api, "tenant", "editor")))

        async def refused() -> tuple[int, str] | None:
            # Until then it is enrolled, which is undone.
            undone = {"metadata": {"labels": {LABEL_ENROLL: None}}}
            path = resources.NAMESPACES.path("", "tenant")
            await api.request("PATCH", path, body=undone, content_type=client.MERGE)
            status, _, err = await people.ringfence(config, "enroll", "tenant", "--mode", "audit")
            return (status, err) if status else None

        # A ValidatingAdmissionPolicy takes the controller and the API server a moment.
        status, err = await cluster.eventually(refused, "the backstop is in force", 40)
        assert status == 2
        assert "the verb `enroll` on clustersecuritypolicies.ringfence.dev" in err


def test_uninstalling_leaves_nothing_that_binds(control_plane: ControlPlane) -> None:
    asyncio.run(_uninstall(control_plane))


WEBHOOK = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingWebhookConfiguration",
    "metadata": {"name": "ringfence", "labels": {"app.kubernetes.io/managed-by": "ringfence"}},
}


async def _uninstall(control_plane: ControlPlane) -> None:
    async with running(control_plane) as api:
        await cluster.apply(api, cluster.namespace("gone", "enforce"))
        await cluster.apply(api, cluster.identity("gone", "web"))
        await cluster.eventually(lambda: closed(api, "gone"), "gone closes")
    # The controller has ended; in a cluster the command scales it down first.
    async with cluster.connected(control_plane) as api:
        await cluster.apply(api, WEBHOOK)
        status, out, err = await people.ringfence(control_plane.kubeconfig, "uninstall")
        assert (status, out, "--yes" in err, await closed(api, "gone")) == (2, "", True, True)
        status, out, err = await people.ringfence(control_plane.kubeconfig, "uninstall", "--yes")
        assert status == 0, err
        assert "no longer binds this cluster" in out
        for kind in (resources.ADMISSION_POLICIES, resources.ADMISSION_POLICY_BINDINGS, resources.VALIDATING_WEBHOOKS):
            assert [name for name in await cluster.names(api, kind) if name.startswith("ringfence")] == []
        assert await cluster.names(api, resources.NETWORK_POLICIES, "gone") == []
        assert not await closed(api, "gone")
        assert await cluster.get(api, resources.SERVICE_IDENTITIES, "gone", "web") is not None
        assert (await people.ringfence(control_plane.kubeconfig, "uninstall", "--yes"))[0] == 0


def test_a_cluster_without_ringfence_is_told_apart(tmp_path: Path) -> None:
    with ControlPlane("cli-bare") as bare:
        for arguments in (["status"], ["compile"], ["enroll", "default"], ["status", "-n", "default"]):
            status, out, err = asyncio.run(people.ringfence(bare.kubeconfig, *arguments))
            assert (status, out) == (2, "")
            assert "does not know" in err
            assert LABEL_IDENTITY not in err
        config = tmp_path / "config"
        config.write_text(bare.kubeconfig.read_text())
    status, _, err = asyncio.run(people.ringfence(config, "status"))
    assert status == 2
    assert err.count("\n") == 1
