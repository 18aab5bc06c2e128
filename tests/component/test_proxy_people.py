"""`ringfence proxy peers` and `proxy list` over a real API server: with which rights, and what is said without."""

import asyncio
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
