"""Pods that have no place for a proxy and call a container of their own one, before a real API server.

What a proxy is called by is left out where the containers of a pod are judged, and its volume holds the token by which
proxyd hands over keys. So whoever could use these names beside the network of a node would need no other exception.
"""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from ringfence.inject import sidecar
from ringfence.model import proxy

from tests.component import webhook_rig
from tests.component.test_injection import HOW, IMAGE, enrolled, pod
from tests.component.webhook_rig import IDENTITY, Rig, floor, until

pytestmark = pytest.mark.component

#: What the platform has signed for: the network of the node, and nothing else.
SIGNED = {
    "name": "agent",
    "namespace": "shop",
    "identities": ["default"],
    "controls": ["host-namespaces"],
    "reason": "OPS-1",
    "until": "2099-01-01T00:00:00Z",
}
FREE = {
    "name": proxy.CONTAINER,
    "image": "evil.example/anything",
    "restartPolicy": "Always",
    "securityContext": {"privileged": True, "runAsUser": 0},
}
NAME = "is ringfence-proxy, the proxy's"
AUDIENCE = "such tokens are for proxies"


def agent(namespace: str, **spec: Any) -> dict[str, Any]:
    """A pod in the network of its node, which satisfies `restricted` but for that."""
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    main = {"name": "main", "image": IMAGE, "securityContext": context}
    profile = {"runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    given = {"containers": [main], "securityContext": profile, "hostNetwork": True, **spec}
    return pod("agent", namespace, **given)


def with_token(obj: dict[str, Any]) -> dict[str, Any]:
    """The same pod with the volumes of a proxy, for its own container."""
    made = copy.deepcopy(obj)
    made["spec"]["volumes"] = sidecar.volumes()
    made["spec"]["containers"][0]["volumeMounts"] = [{"name": proxy.VOLUME, "mountPath": "/stolen"}]
    return made


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with webhook_rig.rig("as-proxy", tmp_path_factory.mktemp("as-proxy"), proxy=HOW) as made:
        enrolled(made, "shop")
        made.namespace("audited", "audit")
        reply = made.api.create(floor("floor", "restricted", [SIGNED]))
        assert reply.ok, reply.message
        until(lambda: refused(made, agent("shop")) == "", 20, lambda: refused(made, agent("shop")))
        yield made


def refused(rig: Rig, obj: dict[str, Any]) -> str:
    reply = rig.api.create(obj, dry_run=True)
    return "" if reply.ok else reply.message


@pytest.mark.parametrize("namespace", ["shop", "audited"])
def test_an_exception_for_the_nodes_network_frees_no_container_of_the_proxys_name(rig: Rig, namespace: str) -> None:
    assert refused(rig, agent(namespace)) == ""
    assert NAME in refused(rig, agent(namespace, initContainers=[FREE]))


@pytest.mark.parametrize("namespace", ["shop", "audited"])
def test_nor_gives_it_a_token_of_a_proxy(rig: Rig, namespace: str) -> None:
    assert AUDIENCE in refused(rig, with_token(agent(namespace)))


def test_nor_under_a_system_that_has_no_proxies(rig: Rig) -> None:
    """In an audited namespace, where nothing keeps such a pod out."""
    plain = {**agent("audited"), "spec": {"os": {"name": "windows"}, "containers": [{"name": "main", "image": IMAGE}]}}
    assert refused(rig, plain) == ""
    assert AUDIENCE in refused(rig, with_token(plain))
    plain["spec"]["initContainers"] = [{"name": proxy.CONTAINER, "image": IMAGE, "restartPolicy": "Always"}]
    assert NAME in refused(rig, plain)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """No webhook is asked."""
    with webhook_rig.rig("as-proxy-alone", tmp_path_factory.mktemp("alone"), webhook=False, proxy=HOW) as made:
        made.namespace("audited", "audit")
        made.namespace("plain")
        yield made


def labelled(obj: dict[str, Any]) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], "labels": {IDENTITY: "default"}}}


def test_without_webhooks_neither(alone: Rig) -> None:
    plain = labelled(agent("audited"))
    assert refused(alone, plain) == ""
    message = refused(alone, with_token(plain))
    assert "'ringfence-pods'" in message
    assert f"tokens for the audience {proxy.AUDIENCE}" in message
    message = refused(alone, labelled(agent("audited", initContainers=[FREE])))
    assert "'ringfence-pods'" in message
    assert "is for Ringfence's proxy" in message
    # Where nobody is enrolled nothing is anybody's, and proxyd serves nobody.
    assert refused(alone, with_token(agent("plain", initContainers=[FREE]))) == ""
