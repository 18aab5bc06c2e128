"""Whatever the policies, a real API server takes every NetworkPolicy that is compiled from them, as it is."""

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from ringfence.model.world import World

from e2e.cluster.controlplane import ControlPlane
from tests.component.raw_client import Answer, RawClient
from tests.property.judging import compiled
from tests.property.worlds import worlds
from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, policy

pytestmark = pytest.mark.component

NAMESPACE = "takes-compiled-policies"


@pytest.fixture(scope="module")
def api(api_server: ControlPlane) -> Iterator[RawClient]:
    """A connection, with a namespace to try things in."""
    with RawClient(api_server) as client:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        assert client.send("POST", "/api/v1/namespaces", body).status in {201, 409}
        yield client


def tried(api: RawClient, manifest: Any) -> Answer:
    """What the server says to creating it, without keeping it."""
    body = {**manifest, "metadata": {**manifest["metadata"], "namespace": NAMESPACE}}
    path = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies?dryRun=All&fieldValidation=Strict"
    return api.send("POST", path, body)


def check(api: RawClient, world: World) -> None:
    for manifest in compiled(world):
        answer = tried(api, manifest)
        assert answer.accepted, f"{answer.message}: {manifest}"
        assert answer.warnings == []
        assert answer.body["spec"] == manifest["spec"], "nothing was dropped or filled in"


@hypothesis.settings(max_examples=40)
@given(worlds())
def test_policies_of_random_worlds_are_accepted(api: RawClient, world: World) -> None:
    check(api, world)


@pytest.mark.parametrize("name", ["a", "a" * 253, "a." * 120 + "a" * 13, "1.2-3", "a" * 200 + "." + "b" * 52])
def test_names_at_the_limit_are_accepted(api: RawClient, name: str) -> None:
    rule = (allow("x", caller("web")),)
    check(api, making.world(policy(name, ingress=rule, egress=rule)))


def test_very_many_rules_are_accepted(api: RawClient) -> None:
    policies = [
        policy(
            f"p{number}", ingress=tuple(allow(f"{'r' * 60}{i:03}", caller("web"), ports=(i + 1,)) for i in range(100))
        )
        for number in range(20)
    ]
    check(api, making.world(*policies))


def test_an_entry_that_names_nobody_would_have_been_refused_or_open(api: RawClient) -> None:
    """What the guards are for: the API server takes an empty list of peers, and it means everyone."""
    rule = (allow("x", caller("web")),)
    (manifest,) = [
        each for each in compiled(making.world(policy("p", ingress=rule))) if "policy-p" in each["metadata"]["name"]
    ]
    manifest["spec"]["ingress"][0]["from"] = []  # type: ignore[index]
    assert tried(api, manifest).accepted
