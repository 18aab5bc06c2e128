"""The backstop around identities, with nothing of Ringfence's running: who may use an identity's Secret.

The attacks are those of somebody who may do everything in a namespace but enrol it.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.component import webhook_rig
from tests.component.requests_as import Reply
from tests.component.webhook_rig import ENROLL, IDENTITY, Rig, container, pod, until

pytestmark = pytest.mark.component

TENANT = "tenant"
EVERYTHING = ["create", "update", "patch", "delete", "deletecollection", "get", "list"]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    place = tmp_path_factory.mktemp("backstop-secrets")
    with webhook_rig.rig("backstop-secrets", place, webhook=False) as made:
        made.namespace("shop", "enforce")
        made.namespace("audited", "audit")
        made.namespace("plain")
        made.grant(TENANT, [("", ["pods", "pods/ephemeralcontainers"], EVERYTHING)])
        for namespace in ("shop", "audited", "plain"):
            account = {"name": "payments", "namespace": namespace}
            assert made.api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}).ok
        yield made


def held(reply: Reply, policy: str) -> bool:
    """Refused by this policy and by nothing else."""
    return not reply.ok and f"'{policy}'" in reply.message


NAMED = "payments-identity"
REFERENCE = {"name": NAMED}
KEY = {"name": "K", "valueFrom": {"secretKeyRef": {"name": NAMED, "key": "tls.key", "optional": True}}}


def volume(**source: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "v", **source}]}


def contained(where: str = "containers", **fields: Any) -> dict[str, Any]:
    spec = {"containers": [container("main")]}
    return {**spec, where: [container("it", **fields)]}


#: Every field of a pod that can name a Secret, by its path, with a spec that does.
USES: dict[str, dict[str, Any]] = {
    "volumes.secret.secretName": volume(secret={"secretName": NAMED, "optional": True}),
    "volumes.projected.sources.secret.name": volume(projected={"sources": [{"secret": REFERENCE}]}),
    "volumes.csi.nodePublishSecretRef.name": volume(csi={"driver": "d", "nodePublishSecretRef": REFERENCE}),
    "volumes.azureFile.secretName": volume(azureFile={"secretName": NAMED, "shareName": "s"}),
    "volumes.cephfs.secretRef.name": volume(cephfs={"monitors": ["192.0.2.1"], "secretRef": REFERENCE}),
    "volumes.cinder.secretRef.name": volume(cinder={"volumeID": "x", "secretRef": REFERENCE}),
    "volumes.flexVolume.secretRef.name": volume(flexVolume={"driver": "d/e", "secretRef": REFERENCE}),
    "volumes.iscsi.secretRef.name": volume(
        iscsi={
            "targetPortal": "192.0.2.1",
            "iqn": "iqn.2001-04.com.example:storage",
            "lun": 0,
            "chapAuthSession": True,
            "secretRef": REFERENCE,
        }
    ),
    "volumes.rbd.secretRef.name": volume(rbd={"monitors": ["192.0.2.1"], "image": "i", "secretRef": REFERENCE}),
    "volumes.scaleIO.secretRef.name": volume(
        scaleIO={"gateway": "https://192.0.2.1", "system": "s", "volumeName": "v", "secretRef": REFERENCE}
    ),
    "volumes.storageos.secretRef.name": volume(storageos={"volumeName": "v", "secretRef": REFERENCE}),
    **{
        f"{where}.env.valueFrom.secretKeyRef.name": contained(where, env=[KEY])
        for where in ("containers", "initContainers")
    },
    **{
        f"{where}.envFrom.secretRef.name": contained(where, envFrom=[{"secretRef": REFERENCE}])
        for where in ("containers", "initContainers")
    },
}
#: By `/ephemeralcontainers` only; the test is below.
EPHEMERAL = {f"ephemeralContainers.{each}" for each in ("env.valueFrom.secretKeyRef.name", "envFrom.secretRef.name")}
#: A kubelet takes nothing from it but a registry's credentials.
HARMLESS = {"imagePullSecrets.name"}


def labelled(name: str, namespace: str, account: str = "default", **spec: Any) -> dict[str, Any]:
    labels = {IDENTITY: account} if namespace != "plain" else None
    return pod(name, namespace, labels=labels, serviceAccountName=account, **spec)


class TestUse:
    @pytest.mark.parametrize("namespace", ["shop", "audited"])
    @pytest.mark.parametrize("field", USES)
    def test_nobody_elses_pod_may_by_any_field(self, rig: Rig, namespace: str, field: str) -> None:
        """There is no such Secret, nor an identity that wants one: a pod that waits for it must not get it later."""
        reply = rig.api.create(labelled("p", namespace, **USES[field]), dry_run=True)
        assert held(reply, "ringfence-pods"), reply.message
        assert f'"{NAMED}"' in reply.message
        assert 'runs under "default"' in reply.message

    @pytest.mark.parametrize("field", USES)
    def test_the_pods_of_the_identity_may(self, rig: Rig, field: str) -> None:
        reply = rig.api.create(labelled("p", "shop", "payments", **USES[field]), dry_run=True)
        assert reply.ok, reply.message

    @pytest.mark.parametrize("field", USES)
    def test_where_nothing_is_enrolled_nobody_is_asked(self, rig: Rig, field: str) -> None:
        reply = rig.api.create(labelled("p", "plain", **USES[field]), dry_run=True)
        assert reply.ok, reply.message

    def test_other_names_are_free(self, rig: Rig) -> None:
        names = ("password", "payments-identity.old", "identity", "default-identity")
        sources = [{"secret": {"name": name}} for name in names]
        env = {"name": "K", "valueFrom": {"secretKeyRef": {"name": "password", "key": "k"}}}
        spec = {**volume(projected={"sources": sources}), **contained(env=[env, {"name": "L", "value": NAMED}])}
        assert rig.api.create(labelled("p", "shop", **spec), dry_run=True).ok

    @pytest.mark.parametrize("name", ["a-identity", "default-identity-identity", "x.default-identity"])
    def test_names_are_compared_whole(self, rig: Rig, name: str) -> None:
        reply = rig.api.create(labelled("p", "shop", **volume(secret={"secretName": name})), dry_run=True)
        assert held(reply, "ringfence-pods")

    def test_one_among_many_is_found(self, rig: Rig) -> None:
        sources = [{"secret": {"name": f"s{number}"}} for number in range(100)]
        many = [container(f"c{number}", envFrom=[{"secretRef": {"name": "s"}}] * 10) for number in range(100)]
        volumes = [{"name": f"v{number}", "projected": {"sources": sources}} for number in range(10)]
        good = labelled("p", "shop", containers=many, volumes=volumes)
        assert rig.api.create(good, dry_run=True).ok
        for change in (
            lambda bad: bad["spec"]["containers"][99]["envFrom"].append({"secretRef": REFERENCE}),
            lambda bad: bad["spec"]["volumes"][9]["projected"]["sources"].append({"secret": REFERENCE}),
        ):
            bad = copy.deepcopy(good)
            change(bad)
            assert held(rig.api.create(bad, dry_run=True), "ringfence-pods")

    @pytest.mark.parametrize("use", [{"env": [KEY]}, {"envFrom": [{"secretRef": REFERENCE}]}])
    def test_no_ephemeral_container_brings_it_in(self, rig: Rig, use: dict[str, Any]) -> None:
        name = f"debugged-{next(iter(use)).lower()}"
        assert rig.api.create(labelled(name, "shop")).ok
        assert held(self.debug(rig, name, "bad", **use), "ringfence-pods")
        assert self.debug(rig, name, "good").ok

    def test_a_pod_from_before_keeps_what_it_has(self, rig: Rig) -> None:
        rig.namespace("late")
        assert rig.api.create(pod("old", "late", **contained(env=[KEY]))).ok
        assert rig.api.merge("/api/v1/namespaces/late", {"metadata": {"labels": {ENROLL: "audit"}}}).ok
        until(lambda: held(rig.api.create(pod("new", "late"), dry_run=True), "ringfence-pods"), 10)
        path = "/api/v1/namespaces/late/pods/old"
        assert rig.api.merge(path, {"metadata": {"labels": {"a": "b"}}}).ok
        assert self.debug(rig, "old", "good", namespace="late").ok
        assert held(self.debug(rig, "old", "bad", namespace="late", env=[KEY]), "ringfence-pods")

    def debug(self, rig: Rig, name: str, container: str, *, namespace: str = "shop", **fields: Any) -> Reply:
        body = {"spec": {"ephemeralContainers": [{"name": container, "image": "x", **fields}]}}
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/ephemeralcontainers"
        return rig.api.request("PATCH", path, body, media="application/strategic-merge-patch+json", user=TENANT)

    def test_no_field_is_forgotten(self, rig: Rig) -> None:
        """Asked of the API server itself, so that a Kubernetes with a new one is noticed."""
        schemas = rig.api.request("GET", "/openapi/v3/api/v1").body["components"]["schemas"]
        found = set(_secrets_in(schemas, "io.k8s.api.core.v1.PodSpec", ()))
        assert found == {*USES, *EPHEMERAL, *HARMLESS}


def _secrets_in(schemas: Mapping[str, Any], name: str, path: tuple[str, ...]) -> Iterator[str]:
    """The paths of the fields of a schema that hold the name of a Secret: by their own name or their parents'."""
    for field, schema in schemas[name].get("properties", {}).items():
        here = (*path, field)
        below = schema.get("items", schema)
        reference = below.get("$ref") or next((each["$ref"] for each in below.get("allOf", ()) if "$ref" in each), "")
        if reference:
            yield from _secrets_in(schemas, reference.rpartition("/")[2], here)
        elif field == "secretName" or (field == "name" and path and "secret" in path[-1].lower()):
            yield ".".join(here)
