"""The Secret of an identity is for pods under its ServiceAccount only, by whatever way a pod may use a Secret."""

from typing import Any

import pytest
from ringfence.controls import evaluate, identity_secrets, pod
from ringfence.model.errors import InvalidResource
from ringfence.model.world import Enrolment

from tests.unit.controls.test_evaluate import context, create, labelled, made, update

OWNERS = (("checkout-tls", "checkout"), ("shared", "checkout"), ("shared", "default"))
KEY = {"name": "K", "valueFrom": {"secretKeyRef": {"name": "checkout-tls", "key": "tls.key"}}}


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "main", **fields}


USES: dict[str, dict[str, Any]] = {
    "spec.volumes[0].secret.secretName": {"volumes": [{"name": "v", "secret": {"secretName": "checkout-tls"}}]},
    "spec.volumes[0].projected.sources[1].secret.name": {
        "volumes": [{"name": "v", "projected": {"sources": [{"configMap": {}}, {"secret": {"name": "checkout-tls"}}]}}]
    },
    "spec.volumes[0].csi.nodePublishSecretRef.name": {
        "volumes": [{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "checkout-tls"}}}]
    },
    "spec.containers[0].env[0].valueFrom.secretKeyRef.name": {"containers": [container(env=[KEY])]},
    "spec.initContainers[0].env[0].valueFrom.secretKeyRef.name": {"initContainers": [container(env=[KEY])]},
    "spec.containers[0].envFrom[0].secretRef.name": {
        "containers": [container(envFrom=[{"secretRef": {"name": "checkout-tls"}}])]
    },
}


@pytest.mark.parametrize("enrolment", [Enrolment.AUDIT, Enrolment.ENFORCE])
@pytest.mark.parametrize("field", USES)
def test_every_way_to_use_anothers_secret_is_refused(field: str, enrolment: Enrolment) -> None:
    where = context(enrolment=enrolment, identity_secrets=OWNERS)
    (violation,) = evaluate.create(pod.of(labelled(**USES[field])), where).violations
    assert (violation.control, violation.field) == (identity_secrets.CONTROL_ID, field)
    assert 'ServiceAccount "checkout"' in violation.message


@pytest.mark.parametrize("field", USES)
def test_the_identity_itself_may_use_it(field: str) -> None:
    assert create(labelled("checkout", **USES[field]), context(identity_secrets=OWNERS)) == ([], [])


def test_other_secrets_are_nobodys_business() -> None:
    volumes = [
        {"name": "a", "secret": {"secretName": "password"}},
        {"name": "b", "secret": {"secretName": "shared"}},
        {"name": "c", "secret": None},
        {"name": "d", "emptyDir": {}},
    ]
    assert create(labelled(volumes=volumes), context(identity_secrets=OWNERS)) == ([], [])


def test_an_ephemeral_container_may_not_begin_to_use_it() -> None:
    old = labelled()
    new = labelled(ephemeralContainers=[{"name": "debug", "env": [KEY]}])
    where = context(identity_secrets=OWNERS)
    assert update(old, new, where) == ([identity_secrets.CONTROL_ID], [])
    assert update(new, new, where) == ([], [])


def test_a_volume_that_nobody_can_read_is_an_error_of_the_pod() -> None:
    broken = made(volumes=[{"name": "v", "secret": "checkout-tls"}])
    with pytest.raises(InvalidResource):
        evaluate.admit(broken, context(identity_secrets=OWNERS))
