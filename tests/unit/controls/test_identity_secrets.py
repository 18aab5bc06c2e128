"""The Secret of an identity is for pods under its ServiceAccount only, by whatever way a pod may use a Secret."""

from typing import Any

import pytest
from ringfence.controls import evaluate, identity_secrets, pod
from ringfence.model.errors import InvalidResource
from ringfence.model.world import Enrolment

from tests.unit.controls.evaluating import context, create, labelled, made, update

SECRET = {"name": "checkout-identity"}
KEY = {"name": "K", "valueFrom": {"secretKeyRef": {"name": "checkout-identity", "key": "tls.key"}}}


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "main", **fields}


USES: dict[str, dict[str, Any]] = {
    "spec.volumes[0].secret.secretName": {"volumes": [{"name": "v", "secret": {"secretName": "checkout-identity"}}]},
    "spec.volumes[0].projected.sources[1].secret.name": {
        "volumes": [{"name": "v", "projected": {"sources": [{"configMap": {}}, {"secret": SECRET}]}}]
    },
    "spec.volumes[0].csi.nodePublishSecretRef.name": {
        "volumes": [{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": SECRET}}]
    },
    "spec.volumes[0].azureFile.secretName": {
        "volumes": [{"name": "v", "azureFile": {"secretName": "checkout-identity", "shareName": "s"}}]
    },
    **{
        f"spec.volumes[0].{kind}.secretRef.name": {"volumes": [{"name": "v", kind: {"secretRef": SECRET}}]}
        for kind in ("cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos")
    },
    "spec.containers[0].env[0].valueFrom.secretKeyRef.name": {"containers": [container(env=[KEY])]},
    "spec.initContainers[0].env[0].valueFrom.secretKeyRef.name": {"initContainers": [container(env=[KEY])]},
    "spec.containers[0].envFrom[0].secretRef.name": {"containers": [container(envFrom=[{"secretRef": SECRET}])]},
}


@pytest.mark.parametrize("enrolment", [Enrolment.AUDIT, Enrolment.ENFORCE])
@pytest.mark.parametrize("field", USES)
def test_every_way_to_use_anothers_secret_is_refused(field: str, enrolment: Enrolment) -> None:
    where = context(enrolment=enrolment)
    (violation,) = evaluate.create(pod.of(labelled(**USES[field])), where).violations
    assert (violation.control, violation.field) == (identity_secrets.CONTROL_ID, field)
    assert 'ServiceAccount "checkout"' in violation.message


@pytest.mark.parametrize("field", USES)
def test_the_identity_itself_may_use_it(field: str) -> None:
    assert create(labelled("checkout", **USES[field]), context()) == ([], [])


def test_other_secrets_are_nobodys_business() -> None:
    volumes = [
        {"name": "a", "secret": {"secretName": "password"}},
        {"name": "b", "secret": {"secretName": "default-identity"}},
        {"name": "e", "secret": {"secretName": "checkout-identity.old"}},
        {"name": "f", "configMap": {"name": "checkout-identity"}},
        {"name": "g", "iscsi": {"targetPortal": "192.0.2.1"}},
        {"name": "c", "secret": None},
        {"name": "d", "emptyDir": {}},
    ]
    assert create(labelled(volumes=volumes), context()) == ([], [])


@pytest.mark.parametrize("name", ["-identity", "default-identity-identity", "x.default-identity"])
def test_names_are_compared_whole(name: str) -> None:
    volumes = [{"name": "v", "secret": {"secretName": name}}]
    assert create(labelled(volumes=volumes), context()) == ([identity_secrets.CONTROL_ID], [])


def test_an_ephemeral_container_may_not_begin_to_use_it() -> None:
    old = labelled()
    new = labelled(ephemeralContainers=[{"name": "debug", "env": [KEY]}])
    where = context()
    assert update(old, new, where) == ([identity_secrets.CONTROL_ID], [])
    assert update(new, new, where) == ([], [])


def test_a_volume_that_nobody_can_read_is_an_error_of_the_pod() -> None:
    broken = made(volumes=[{"name": "v", "secret": "checkout-identity"}])
    with pytest.raises(InvalidResource):
        evaluate.admit(broken, context())
