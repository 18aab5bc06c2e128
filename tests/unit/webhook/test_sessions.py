"""Sessions into running pods: when the API server is asked whose pod it is, and what happens when it cannot be."""

import asyncio
import time
from typing import Any

import pytest
from ringfence.webhook.review import Purpose
from ringfence.webhook.view import Missing

from tests.unit.webhook.fakes import FakeCluster, floor, shop
from tests.unit.webhook.reviews import decoded, encoded, pod

CLOSED = floor("floor", "privileged", admission={"sessions": {"forbidExec": True, "forbidPortForward": True}})
KINDS = {"exec": "PodExecOptions", "attach": "PodAttachOptions", "portforward": "PodPortForwardOptions"}


def connect(cluster: FakeCluster, subresource: str = "exec", **request: Any) -> dict[str, Any]:
    options = {"apiVersion": "v1", "kind": KINDS.get(subresource, "PodProxyOptions")}
    asked = {"name": "web", "namespace": "shop", **request}
    body = encoded(options, operation="CONNECT", subresource=subresource, **asked)
    return decoded(asyncio.run(cluster.answering().answer(Purpose.VALIDATE, body, time.monotonic() + 3)))


@pytest.mark.parametrize(("policies", "subresource"), [((), "exec"), ((CLOSED,), "attach")])
def test_nobody_is_asked_where_no_policy_closes_it(policies: tuple[dict[str, Any], ...], subresource: str) -> None:
    cluster = FakeCluster(shop(*policies))
    assert connect(cluster, subresource)["allowed"]
    assert cluster.reads == []


@pytest.mark.parametrize("subresource", ["exec", "portforward"])
def test_it_is_refused_where_one_does(subresource: str) -> None:
    cluster = FakeCluster(shop(CLOSED), live=[pod()])
    response = connect(cluster, subresource)
    assert not response["allowed"]
    assert response["status"]["message"].startswith(f"Ringfence refuses {subresource} into Pod shop/web: ")
    assert "asked by ClusterSecurityPolicy floor" in response["status"]["message"]
    assert cluster.reads == [Missing("Pod", "shop", "web")]


def test_a_pod_that_does_not_exist_is_said_so() -> None:
    response = connect(FakeCluster(shop(CLOSED)))
    assert (response["allowed"], response["status"]["code"]) == (False, 404)


def test_an_api_server_that_does_not_answer_means_no() -> None:
    cluster = FakeCluster(shop(CLOSED), live=[pod()])
    cluster.unreachable = True
    response = connect(cluster)
    assert (response["allowed"], response["status"]["code"]) == (False, 503)


def test_a_review_without_a_name_or_with_an_unknown_subresource_is_refused() -> None:
    cluster = FakeCluster(shop(CLOSED), live=[pod()])
    assert connect(cluster, name="")["status"]["code"] == 400
    assert connect(cluster, "shell")["status"]["code"] == 400
    assert connect(cluster, "")["status"]["code"] == 400


def test_the_proxy_of_the_api_server_is_left_to_the_network() -> None:
    assert connect(FakeCluster(shop(CLOSED), live=[pod()]), "proxy")["allowed"]


def test_the_policies_of_the_pods_labels_count() -> None:
    own = {
        "apiVersion": "ringfence.dev/v1alpha1",
        "kind": "SecurityPolicy",
        "metadata": {"name": "own", "namespace": "shop"},
        "spec": {"appliesTo": {"identities": ["payments"]}, "admission": {"sessions": {"forbidExec": True}}},
    }
    theirs = pod("theirs", labels={"ringfence.dev/identity": "payments"}, serviceAccountName="payments")
    cluster = FakeCluster(shop(own), live=[pod(), theirs])
    assert connect(cluster)["allowed"]
    assert not connect(cluster, name="theirs")["allowed"]
