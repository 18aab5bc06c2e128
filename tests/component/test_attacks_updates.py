"""Attacks on what exists already: changes by every way to write, other versions, names still to come, controllers."""

import json
import secrets
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from tests.component import webhook_rig
from tests.component.webhook_rig import IDENTITY, Rig, container, pod, until

pytestmark = pytest.mark.component

PODS = "/api/v1/namespaces/shop/pods"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/securitypolicies.ringfence.dev"
GOOD, BAD = "registry.example/program", "evil.example/program"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with webhook_rig.rig("updates", tmp_path_factory.mktemp("updates")) as made:
        made.enforced("shop", "default", "payments")
        made.plane.start_controllers(
            ["deployment-controller", "replicaset-controller", "job-controller"], name="workloads", as_themselves=True
        )
        floor = webhook_rig.floor("floor", "restricted")
        floor["spec"]["admission"]["images"] = {"registries": ["registry.example"]}
        assert made.api.create(floor).ok
        until(lambda: not made.api.create(pod("p", "shop", hostPID=True), dry_run=True).ok, 10)
        yield made


def living(rig: Rig, **spec: Any) -> str:
    """The path of a pod that is there, without a token mounted so that a patch can say all of its containers."""
    name = f"living-{secrets.token_hex(4)}"
    reply = rig.api.create(pod(name, "shop", automountServiceAccountToken=False, **spec))
    assert reply.ok, reply.message
    return f"{PODS}/{name}"


class TestChanges:
    @pytest.mark.parametrize("how", ["PUT", "apply"])
    def test_the_image_of_a_running_pod(self, rig: Rig, how: str) -> None:
        path = living(rig)
        for image, ok in ((BAD, False), (f"{GOOD}:2", True)):
            obj = rig.api.request("GET", path).body
            if how == "apply":
                obj["metadata"] = {"name": obj["metadata"]["name"], "namespace": "shop"}
                del obj["status"]
            obj["spec"]["containers"][0]["image"] = image
            reply = rig.api.request("PUT", path, obj) if how == "PUT" else rig.api.apply(obj)
            assert reply.ok is ok, reply.message
            assert ok or "[image-registries, asked by ClusterSecurityPolicy floor]" in reply.message

    def test_a_resize_brings_nothing_else_in(self, rig: Rig) -> None:
        path = living(rig)
        body = {"spec": {"containers": [{"name": "main", "image": BAD, "securityContext": {"privileged": True}}]}}
        media = "application/strategic-merge-patch+json"
        rig.api.request("PATCH", f"{path}/resize", body, media=media)
        (kept,) = rig.api.request("GET", path).body["spec"]["containers"]
        assert kept["image"] == GOOD
        assert "privileged" not in kept["securityContext"]

    def test_status_brings_no_label_in(self, rig: Rig) -> None:
        path = living(rig)
        reply = rig.api.merge(f"{path}/status", {"metadata": {"labels": {IDENTITY: "payments"}}})
        assert not reply.ok
        assert "ringfence-pods" in reply.message

    def test_an_ephemeral_container_cannot_come_with_the_pod(self, rig: Rig) -> None:
        bad = pod("early", "shop", ephemeralContainers=[{"name": "debug", "image": GOOD}])
        reply = rig.api.create(bad, dry_run=True)
        assert not reply.ok
        assert "ephemeral" in reply.message.lower()

    def test_a_subresource_that_does_not_exist(self, rig: Rig) -> None:
        assert rig.api.request("PUT", f"{living(rig)}/elevate", pod("x", "shop", hostPID=True)).status == 404


class TestOtherVersions:
    """A version of Ringfence's kinds that the webhook was not told of, as after an upgrade that stopped halfway."""

    @pytest.fixture(scope="class")
    @classmethod
    def served(cls, rig: Rig) -> Iterator[str]:
        """The path of the kind in a second version, served by the API server beside the first."""
        (known,) = rig.api.request("GET", CRD).body["spec"]["versions"]
        added = {**known, "name": "v1alpha9", "storage": False}
        patch = {"spec": {"versions": [known, added]}}
        assert rig.api.merge(CRD, patch).ok
        path = "/apis/ringfence.dev/v1alpha9/namespaces/shop/securitypolicies"
        until(lambda: rig.api.request("GET", path).ok, 20)
        yield path
        assert rig.api.merge(CRD, {"spec": {"versions": [known]}}).ok

    @pytest.mark.parametrize("level", ["baseline", "restricted"])
    def test_nothing_comes_in_by_it_unread(self, rig: Rig, served: str, level: str) -> None:
        body = {
            "apiVersion": "ringfence.dev/v1alpha9",
            "kind": "SecurityPolicy",
            "metadata": {"name": "p", "namespace": "shop"},
            "spec": {"admission": {"podSecurity": level}},
        }
        reply = rig.api.request("POST", f"{served}?dryRun=All", body)
        assert not reply.ok
        assert "resources.ringfence.dev" in reply.message
        assert "apiVersion" in reply.message


class TestNames:
    def test_a_name_that_is_still_to_come_is_shown_and_logged_as_such(self, rig: Rig) -> None:
        assert rig.webhook is not None
        bad = pod("", "shop", hostPID=True)
        bad["metadata"] = {"generateName": "batch-", "namespace": "shop"}
        reply = rig.api.create(bad)
        assert "Pod shop/batch-" in reply.message
        lines = [json.loads(line) for line in rig.webhook.log.read_text().splitlines() if line.startswith("{")]
        told = [line for line in lines if "batch-" in json.dumps(line)]
        assert told, lines[-3:]

    def test_two_of_them_at_once_both_get_their_identity(self, rig: Rig) -> None:
        good = pod("", "shop")
        good["metadata"] = {"generateName": "twin-", "namespace": "shop"}
        made = [rig.api.create(good).body for _ in range(2)]
        assert len({each["metadata"]["name"] for each in made}) == 2
        assert {each["metadata"]["labels"][IDENTITY] for each in made} == {"default"}


class TestControllers:
    def deployment(self, name: str, replicas: int, **spec: Any) -> dict[str, Any]:
        template = {"metadata": {"labels": {"app": name}}, "spec": pod("", "", **spec)["spec"]}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
        }

    def pods(self, rig: Rig, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = rig.api.request("GET", f"{PODS}?labelSelector=app%3D{name}").body["items"]
        return found

    def failures(self, rig: Rig, name: str) -> list[str]:
        """What the ReplicaSets of a Deployment say of pods that they could not make."""
        sets = rig.api.request("GET", f"/apis/apps/v1/namespaces/shop/replicasets?labelSelector=app%3D{name}")
        return [
            condition["message"]
            for each in sets.body["items"]
            for condition in each["status"].get("conditions", ())
            if condition["type"] == "ReplicaFailure"
        ]

    def test_scaling_up_is_no_way_in(self, rig: Rig) -> None:
        assert rig.api.create(self.deployment("scaled", 0, hostPID=True)).ok
        scale = "/apis/apps/v1/namespaces/shop/deployments/scaled/scale"
        assert rig.api.merge(scale, {"spec": {"replicas": 3}}).ok
        until(lambda: any("[host-namespaces" in each for each in self.failures(rig, "scaled")), 20)
        assert self.pods(rig, "scaled") == []

    def test_pods_of_a_good_one_come_as_their_service_account(self, rig: Rig) -> None:
        assert rig.api.create(self.deployment("good", 2)).ok
        until(lambda: len(self.pods(rig, "good")) == 2, 20, lambda: str(self.failures(rig, "good")))
        assert {each["metadata"]["labels"][IDENTITY] for each in self.pods(rig, "good")} == {"default"}

    def test_a_job_ends_when_its_program_does(self, rig: Rig) -> None:
        spec = {**pod("", "")["spec"], "restartPolicy": "Never"}
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "once", "namespace": "shop"},
            "spec": {"template": {"metadata": {"labels": {"app": "once"}}, "spec": spec}},
        }
        assert rig.api.create(job).ok
        until(lambda: len(self.pods(rig, "once")) == 1, 20)
        (made,) = self.pods(rig, "once")
        assert [each["name"] for each in made["spec"]["containers"]] == ["main"]
        ended = {"status": {"phase": "Succeeded"}}
        assert rig.api.merge(f"{PODS}/{made['metadata']['name']}/status", ended).ok

        def complete() -> bool:
            status = rig.api.request("GET", "/apis/batch/v1/namespaces/shop/jobs/once").body["status"]
            return any(each["type"] == "Complete" for each in status.get("conditions", ()))

        until(complete, 20)


class TestContainersOfEveryKind:
    """Kinds of volumes beside those of the restricted standard, and settings for other systems."""

    VOLUMES: ClassVar[dict[str, dict[str, Any]]] = {
        "awsElasticBlockStore": {"volumeID": "v"},
        "azureDisk": {"diskName": "d", "diskURI": "https://x.blob.core.windows.net/vhds/d.vhd"},
        "azureFile": {"secretName": "s", "shareName": "x"},
        "cephfs": {"monitors": ["m"]},
        "cinder": {"volumeID": "v"},
        "fc": {"targetWWNs": ["w"], "lun": 0},
        "flexVolume": {"driver": "a/b"},
        "flocker": {"datasetName": "d"},
        "gcePersistentDisk": {"pdName": "p"},
        "gitRepo": {"repository": "r"},
        "glusterfs": {"endpoints": "e", "path": "p"},
        "hostPath": {"path": "/"},
        "iscsi": {"targetPortal": "1.2.3.4", "iqn": "iqn.2001-04.com.example:storage", "lun": 0},
        "nfs": {"server": "s", "path": "/"},
        "photonPersistentDisk": {"pdID": "p"},
        "portworxVolume": {"volumeID": "v"},
        "quobyte": {"registry": "r:1", "volume": "v"},
        "rbd": {"monitors": ["m"], "image": "i"},
        "scaleIO": {"gateway": "g", "system": "s", "volumeName": "v", "secretRef": {"name": "s"}},
        "storageos": {"volumeName": "v"},
        "vsphereVolume": {"volumePath": "p"},
    }

    @pytest.mark.parametrize("kind", VOLUMES)
    def test_a_volume_that_restricted_does_not_know(self, rig: Rig, kind: str) -> None:
        volumes = [{"name": "v", kind: self.VOLUMES[kind]}]
        reply = rig.api.create(pod("p", "shop", volumes=volumes), dry_run=True)
        assert not reply.ok
        assert "[volume-types" in reply.message, reply.message

    def test_an_image_as_a_volume_is_an_image(self, rig: Rig) -> None:
        for image, ok in ((BAD, False), (GOOD, True)):
            volumes = [{"name": "v", "image": {"reference": image}}]
            reply = rig.api.create(pod("p", "shop", volumes=volumes), dry_run=True)
            assert reply.ok is ok, reply.message
            assert ok or "spec.volumes[0].image.reference" in reply.message

    def test_csi_with_the_secret_of_another_identity(self, rig: Rig) -> None:
        for secret, ok in (("payments-identity", False), ("default-identity", True)):
            csi = {"driver": "d.example.com", "nodePublishSecretRef": {"name": secret}}
            reply = rig.api.create(pod("p", "shop", volumes=[{"name": "v", "csi": csi}]), dry_run=True)
            assert reply.ok is ok, reply.message

    def test_seccomp_by_the_annotation_of_old_means_nothing(self, rig: Rig) -> None:
        """Kubernetes reads it no more: it can neither loosen what the fields say nor stand for them."""
        note = "seccomp.security.alpha.kubernetes.io/pod"
        profile = {"seccompProfile": {"type": "RuntimeDefault"}}
        for value, context, says in (
            ("unconfined", {"runAsNonRoot": True, **profile}, "must match"),
            ("runtime/default", {"runAsNonRoot": True}, "[seccomp"),
        ):
            made = pod("p", "shop", securityContext=context)
            made["metadata"]["annotations"] = {note: value}
            reply = rig.api.create(made, dry_run=True)
            assert not reply.ok
            assert says in reply.message

    @pytest.mark.parametrize("system", ["linux", "windows", ""])
    def test_a_host_process_whatever_the_system_is_said_to_be(self, rig: Rig, system: str) -> None:
        spec: dict[str, Any] = {
            "securityContext": {"runAsNonRoot": True, "windowsOptions": {"hostProcess": True}},
            "containers": [{"name": "main", "image": GOOD}],
            "hostNetwork": True,
        }
        if system:
            spec["os"] = {"name": system}
        reply = rig.api.create(pod("p", "shop", **spec), dry_run=True)
        assert not reply.ok
        assert "[host-process" in reply.message or "cannot be set for a linux pod" in reply.message, reply.message

    def test_settings_for_windows_free_a_linux_pod_of_nothing(self, rig: Rig) -> None:
        options = {"runAsNonRoot": True, "windowsOptions": {"runAsUserName": "ContainerUser"}}
        bare = pod("p", "shop", securityContext=options, containers=[container("main")])
        assert "[seccomp" in rig.api.create(bare, dry_run=True).message
