"""`ringfence proxy peers` and `proxy list` over a real API server: with which rights, and what is said without."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from ringfence.kube import client, resources
from ringfence.model.proxy import CONTAINER

from e2e.cluster.controlplane import ControlPlane
from tests.component import cluster, people

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    with ControlPlane("proxy-people", controllers=["namespace-controller"]) as running:
        cluster.install_crds(running)
        yield running


def pod(name: str, account: str) -> dict[str, Any]:
    found = cluster.pod("shop", name, account)
    sidecar = {"name": CONTAINER, "image": "localhost/envoy:1", "restartPolicy": "Always"}
    found["spec"] |= {"initContainers": [sidecar]}
    return found


async def running(api: client.Client, name: str, address: str) -> None:
    """Say that a pod runs, as its kubelet would."""
    status = {"phase": "Running", "podIPs": [{"ip": address}], "podIP": address}
    path = resources.PODS.path("shop", name, "status")
    await api.request("PATCH", path, body={"status": status}, content_type=client.MERGE)


def test_what_cannot_be_read_is_never_called_safe(control_plane: ControlPlane) -> None:
    asyncio.run(_peers(control_plane))


async def _peers(control_plane: ControlPlane) -> None:
    async with cluster.connected(control_plane) as api:
        await cluster.apply(api, cluster.namespace("shop", "audit"))
        # A policy may ask for Permissive, which is where this begins.
        await cluster.apply(api, cluster.policy("shop", "db", "web", transport={"mtls": "Permissive"}))
        for name, account, address in (("db-0", "db", "10.0.0.1"), ("web-0", "web", "10.0.0.9")):
            await people.service_account(api, "shop", account)
            await cluster.apply(api, pod(name, account))
            await running(api, name, address)
        # No kubelet has these pods: the API server answers with nothing, and of nothing it is not known since when.
        status, out, err = await people.ringfence(control_plane.kubeconfig, "proxy", "peers", "shop/db")
        assert (status, err) == (2, "")
        assert "cannot tell whether it is safe for transport Strict: the logs reach back 0s" in out
        status, _, err = await people.ringfence(control_plane.kubeconfig, "proxy", "peers", "shop/nobody")
        assert status == 2
        assert "there are pods of db, web" in err
        await _without_proxyd(control_plane)
        await _viewer(api, control_plane)


async def _without_proxyd(control_plane: ControlPlane) -> None:
    """Pods with a proxy, and nobody who serves them."""
    status, out, _ = await people.ringfence(control_plane.kubeconfig, "proxy", "list", "-n", "shop")
    assert status == 1
    assert out.count("absent") == 2
    assert "no replica of proxyd says anything" in out


async def _viewer(api: client.Client, control_plane: ControlPlane) -> None:
    """Who may see pods and not their logs is told which right is missing."""
    await people.service_account(api, "shop", "viewer")
    rules = [
        {"apiGroups": [""], "resources": ["namespaces", "pods"], "verbs": ["get", "list"]},
        {"apiGroups": ["ringfence.dev"], "resources": ["*"], "verbs": ["get", "list"]},
    ]
    await people.bind(api, "shop", "viewer", rules)
    config = control_plane.directory / "viewer.kubeconfig"
    config.write_text(people.kubeconfig(control_plane.kubeconfig, await people.token(api, "shop", "viewer")))
    status, out, err = await people.ringfence(config, "proxy", "peers", "shop/db")
    assert status == 2
    assert "you need the right to get pods/log" in err
    assert "cannot tell" in out
    status, _, err = await people.ringfence(config, "proxy", "list", "-n", "shop")
    assert status == 2
    assert "you need the right to list configmaps in namespace ringfence-system" in err


IMAGE = "docker.io/envoyproxy/envoy:distroless-v1.40.0"


def test_old_proxies_are_told_and_rolled_on_request(control_plane: ControlPlane) -> None:
    asyncio.run(_roll(control_plane))


async def _roll(control_plane: ControlPlane) -> None:
    async with cluster.connected(control_plane) as api:
        config = control_plane.kubeconfig
        await cluster.apply(api, cluster.namespace("ringfence-system"))
        await _settings(api, "proxy: {enabled: false}")
        await cluster.apply(api, cluster.namespace("roll"))
        status, _, err = await people.ringfence(config, "proxy", "roll", "roll")
        assert (status, "set proxy.enabled in the chart" in err) == (2, True)
        await _settings(api, f"proxy: {{enabled: true, image: '{IMAGE}'}}")
        status, _, err = await people.ringfence(config, "proxy", "roll", "roll")
        assert (status, "namespace roll is not enrolled" in err) == (2, True)
        await cluster.apply(api, cluster.namespace("roll", "audit"))
        await people.service_account(api, "roll", "db")
        owner = await _stateful_set(api)
        for name, image, controlled in (
            ("db-0", "localhost/envoy:before", owner),
            ("db-1", "", owner),
            ("db-2", IMAGE, owner),
            ("bare", "localhost/envoy:before", None),
        ):
            await cluster.apply(api, _proxied(name, image, controlled))
        await _told(control_plane)
        # A pod that follows the template has the present proxy.
        for name in ("bare", "db-0", "db-1"):
            path = resources.PODS.path("roll", name)
            await api.request("DELETE", path, query={"gracePeriodSeconds": "0"})
        await cluster.apply(api, _proxied("db-0", IMAGE, owner))
        status, out, err = await people.ringfence(config, "proxy", "roll", "roll", "--wait", "--timeout", "20")
        assert (status, err) == (0, "")
        assert "every pod of namespace roll has the present proxy" in out


async def _told(control_plane: ControlPlane) -> None:
    """What status and roll say, and that a dry run changes nothing."""
    config = control_plane.kubeconfig
    status, out, _ = await people.ringfence(config, "status", "-o", "json")
    (found,) = [each for each in json.loads(out)["namespaces"] if each["name"] == "roll"]
    assert (status, found["proxies"]) == (0, {"missing": ["db-1"], "old": ["bare", "db-0"]})
    _, out, _ = await people.ringfence(config, "status", "-n", "roll")
    assert "1 without proxy, 2 with an old proxy" in out
    assert "ringfence proxy roll" in out
    status, out, err = await people.ringfence(config, "proxy", "roll", "roll", "--dry-run")
    assert status == 0
    assert "pods without a proxy: db-1" in out
    assert "pods with an old proxy: bare, db-0" in out
    assert "StatefulSet db is restarted by rollout" in out
    assert "Pod bare (bare) cannot be restarted by rollout" in err
    async with cluster.connected(control_plane) as api:
        assert not await _restarted(api)
        status, out, _ = await people.ringfence(config, "proxy", "roll", "roll")
        assert (status, "restarted StatefulSet db" in out) == (1, True)
        assert await _restarted(api)
    status, _, err = await people.ringfence(config, "proxy", "roll", "roll", "--wait", "--timeout", "1")
    assert (status, "still waiting: 3 pods without the present proxy" in err) == (1, True)


async def _settings(api: client.Client, text: str) -> None:
    metadata = {"name": "ringfence-config", "namespace": "ringfence-system"}
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"config.yaml": text}}
    await cluster.apply(api, obj)


async def _stateful_set(api: client.Client) -> dict[str, Any]:
    """A StatefulSet; what its pods say of it."""
    template = {
        "metadata": {"labels": {"app": "db"}},
        "spec": {"containers": [{"name": "main", "image": "localhost/none:1"}]},
    }
    spec = {"serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template}
    metadata = {"name": "db", "namespace": "roll"}
    made = await cluster.apply(
        api, {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec}
    )
    uid = made["metadata"]["uid"]
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": uid, "controller": True}


def _proxied(name: str, image: str, owner: dict[str, Any] | None) -> dict[str, Any]:
    """A pod with a proxy of this image, "" for none."""
    found = cluster.pod("roll", name, "db")
    found["metadata"] |= {"ownerReferences": [owner] if owner else []}
    sidecar = {"name": CONTAINER, "image": image, "restartPolicy": "Always"}
    found["spec"] |= {"initContainers": [sidecar] if image else []}
    return found


async def _restarted(api: client.Client) -> bool:
    found = await cluster.get(api, resources.STATEFUL_SETS, "roll", "db")
    assert found is not None
    return "ringfence.dev/restarted-at" in (found["spec"]["template"]["metadata"].get("annotations") or {})
