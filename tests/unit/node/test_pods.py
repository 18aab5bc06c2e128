"""Which pods have a proxy, and what a user could write to be taken for one."""

import copy
from typing import Any

import pytest
from ringfence.model import proxy
from ringfence.node import pods
from ringfence.node.pods import Refused, Target

UID = "6f1f9d9b-5a2e-4a55-9f63-0d9b1f0f7c11"


def pod(user: Any = proxy.FIRST_UID, group: Any = proxy.LAST_UID, **spec: Any) -> dict[str, Any]:
    context = {"runAsUser": user, "runAsGroup": group}
    sidecar = {"name": proxy.CONTAINER, "image": "envoy", "securityContext": context}
    return {
        "metadata": {"name": "web", "namespace": "shop", "uid": UID, "resourceVersion": "7", "labels": {"a": "b"}},
        "spec": {"initContainers": [sidecar, {"name": "setup"}], "containers": [{"name": "web"}], **spec},
        "status": {"phase": "Pending", "conditions": []},
    }


def test_a_pod_with_a_proxy_is_a_target() -> None:
    assert pods.target(pod()) == Target("shop", "web", UID, proxy.FIRST_UID, proxy.LAST_UID)
    assert pods.target(pod(proxy.LAST_UID)) == Target("shop", "web", UID, proxy.LAST_UID, proxy.LAST_UID)


def test_of_a_proxy_without_a_group_it_has_the_number_of_the_user() -> None:
    """As pods from before have it; where it does not run as that group, nothing is exempt."""
    made = pod(proxy.FIRST_UID)
    del made["spec"]["initContainers"][0]["securityContext"]["runAsGroup"]
    assert pods.target(made) == Target("shop", "web", UID, proxy.FIRST_UID, proxy.FIRST_UID)


def test_a_pod_without_one_is_none() -> None:
    assert pods.target(pod(initContainers=[])) is None
    without = pod()
    del without["spec"]["initContainers"]
    assert pods.target(without) is None
    # The name among the containers is a user's doing; admission refuses it, and it gets no redirect.
    assert pods.target(pod(initContainers=[], containers=[{"name": proxy.CONTAINER}])) is None


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_is_none(phase: str) -> None:
    assert pods.target({**pod(), "status": {"phase": phase}}) is None


@pytest.mark.parametrize("user", [None, 0, 1000, proxy.FIRST_UID - 1, proxy.LAST_UID + 1, True, "2000000000", 2e9])
def test_a_user_that_is_no_proxys_is_refused_with_a_fix(user: Any) -> None:
    refused = pods.target(pod(user))
    assert isinstance(refused, Refused)
    assert (refused.namespace, refused.name) == ("shop", "web")
    assert f"runs as user {user}" in refused.why
    assert "leave the container to Ringfence" in refused.why


@pytest.mark.parametrize("group", [None, 0, 1000, proxy.FIRST_UID - 1, proxy.LAST_UID + 1, True, "2000000000", 2e9])
def test_a_group_that_is_no_proxys_is_refused(group: Any) -> None:
    refused = pods.target(pod(group=group))
    assert isinstance(refused, Refused)
    assert f"runs as group {group}" in refused.why


def test_a_pod_with_users_of_its_own_has_a_proxy_with_an_id_of_theirs() -> None:
    first, last = proxy.FIRST_UID_OF_OWN_USERS, proxy.LAST_UID_OF_OWN_USERS
    for user in (first, last):
        assert pods.target(pod(user, user, hostUsers=False)) == Target("shop", "web", UID, user, user)
        for elsewhere in (pod(user, hostUsers=True), pod(user)):
            assert isinstance(pods.target(elsewhere), Refused)
    refused = pods.target(pod(proxy.FIRST_UID, hostUsers=False))
    assert isinstance(refused, Refused)
    assert f"a proxy's are {first} to {last}" in refused.why


def test_a_sidecar_without_a_security_context_is_refused() -> None:
    assert isinstance(pods.target(pod(initContainers=[{"name": proxy.CONTAINER}])), Refused)


def test_a_pod_on_the_nodes_network_is_refused() -> None:
    refused = pods.target(pod(hostNetwork=True))
    assert isinstance(refused, Refused)
    assert "node's network" in refused.why


@pytest.mark.parametrize(
    ("labels", "strict"),
    [({"ringfence.dev/enroll": "enforce"}, True), ({"ringfence.dev/enroll": "audit"}, False), ({}, False)],
)
def test_only_enforced_namespaces_are_strict(labels: dict[str, str], strict: bool) -> None:
    assert pods.is_strict({"metadata": {"name": "shop", "labels": labels}}) is strict


def test_an_unknown_namespace_is_strict_and_one_without_labels_is_not() -> None:
    assert pods.is_strict(None) is True
    assert pods.is_strict({"metadata": {"name": "shop"}}) is False


@pytest.mark.parametrize(
    "whole",
    [
        pod(),
        pod(None),
        pod(0),
        pod(hostNetwork=True),
        pod(proxy.FIRST_UID_OF_OWN_USERS, hostUsers=False),
        pod(initContainers=[]),
        {"metadata": {"name": "x", "uid": UID}},
    ],
)
def test_the_cache_keeps_what_decides(whole: dict[str, Any]) -> None:
    assert pods.target(pods.trim(copy.deepcopy(whole))) == pods.target(whole)
    kept = pods.trim(copy.deepcopy(whole))
    assert "containers" not in kept["spec"]
    assert "labels" not in kept["metadata"]
