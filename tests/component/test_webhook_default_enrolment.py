"""New namespaces where the platform says what they get: labelled by the webhook, held by the backstop."""

from collections.abc import Iterator
from typing import Any

import pytest
from ringfence.model.world import Enrolment

from tests.component import webhook_rig
from tests.component.requests_as import Reply
from tests.component.webhook_rig import ENROLL, IDENTITY, Rig, pod, until

pytestmark = pytest.mark.component

TENANT = "tenant"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    directory = tmp_path_factory.mktemp("default")
    with webhook_rig.rig("default", directory, default_enrolment=Enrolment.AUDIT) as made:
        made.grant(TENANT, [("", ["namespaces"], ["create", "update", "patch", "get"])])
        yield made


def create(rig: Rig, metadata: dict[str, Any], **who: Any) -> Reply:
    return rig.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}, **who)


@pytest.mark.parametrize(
    "metadata", [{"name": "new"}, {"generateName": "new-"}, {"name": "team", "labels": {"a": "b"}}]
)
@pytest.mark.parametrize("user", [{"user": TENANT}, {}])
def test_a_new_namespace_gets_the_default_whoever_makes_it(
    rig: Rig, metadata: dict[str, Any], user: dict[str, Any]
) -> None:
    reply = create(rig, metadata, dry_run=True, **user)
    assert reply.ok, reply.message
    assert reply.body["metadata"]["labels"][ENROLL] == "audit"


def test_its_author_gets_no_other(rig: Rig) -> None:
    for value in ("enforce", "none", ""):
        assert not create(rig, {"name": "new", "labels": {ENROLL: value}}, dry_run=True, user=TENANT).ok
    assert create(rig, {"name": "new", "labels": {ENROLL: "enforce"}}, dry_run=True).ok


def test_its_first_pod_has_an_identity(rig: Rig) -> None:
    assert create(rig, {"name": "prompt"}, user=TENANT).ok
    account = "/api/v1/namespaces/prompt/serviceaccounts/default"
    until(lambda: rig.api.request("GET", account).ok, 20)
    reply = rig.api.create(pod("p", "prompt"))
    assert reply.ok, reply.message
    assert reply.body["metadata"]["labels"] == {IDENTITY: "default"}


def test_the_clusters_own_stay_as_they_are(rig: Rig) -> None:
    reply = rig.api.merge("/api/v1/namespaces/kube-system", {"metadata": {"labels": {"a": "b"}}})
    assert ENROLL not in reply.body["metadata"]["labels"]
