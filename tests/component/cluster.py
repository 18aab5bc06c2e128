"""Drives an API server from tests, by kube.client and without typed models."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from ringfence import wiring
from ringfence.api import v1alpha1
from ringfence.controller import core
from ringfence.kube import client, errors, resources
from ringfence.kube.apply import KubeApplier
from ringfence.model.names import API_VERSION, LABEL_ENROLL, LABEL_IDENTITY
from ringfence.settings import Settings

from e2e.cluster.controlplane import ControlPlane

TEST_MANAGER = "component-test"


def install_crds(control_plane: ControlPlane) -> None:
    """Apply the CustomResourceDefinitions and wait until they are served."""
    asyncio.run(_install_crds(control_plane))


async def _install_crds(control_plane: ControlPlane) -> None:
    async with connected(control_plane) as api:
        for crd in v1alpha1.crds():
            await apply(api, crd)
        for resource in (
            resources.SERVICE_IDENTITIES,
            resources.SECURITY_POLICIES,
            resources.CLUSTER_SECURITY_POLICIES,
        ):
            await eventually(lambda resource=resource: served(api, resource), f"{resource.plural} are served")


@asynccontextmanager
async def connected(control_plane: ControlPlane) -> AsyncIterator[client.Client]:
    """A client with all rights."""
    api = await client.Client.connect(control_plane.kubeconfig, component="test")
    try:
        yield api
    finally:
        await api.close()


@asynccontextmanager
async def controller(control_plane: ControlPlane, settings: Settings) -> AsyncIterator[core.Core]:
    """The controller's core in this process, without Kopf, ready."""
    async with wiring.operator(settings, control_plane.kubeconfig) as operator:
        heart = core.Core(operator)
        async with core.running(heart):
            yield heart


async def served(api: client.Client, resource: resources.Resource) -> bool:
    """Whether the API server serves the kind."""
    try:
        await api.request("GET", resource.path())
    except (errors.NotFound, errors.Throttled):
        return False
    return True


async def apply(api: client.Client, obj: dict[str, Any]) -> dict[str, Any]:
    """Server-side apply as somebody who is not Ringfence."""
    resource = resources.of(obj["apiVersion"], obj["kind"])
    path = resource.path(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
    query = {"fieldManager": TEST_MANAGER, "force": "true"}
    answer: dict[str, Any] = await api.request("PATCH", path, query=query, body=obj, content_type=client.APPLY)
    return answer


async def get(api: client.Client, resource: resources.Resource, namespace: str, name: str) -> dict[str, Any] | None:
    """The object as the API server has it, None when it has none."""
    try:
        found: dict[str, Any] = await api.request("GET", resource.path(namespace, name))
    except errors.NotFound:
        return None
    return found


async def names(api: client.Client, resource: resources.Resource, namespace: str = "") -> list[str]:
    """Names of the objects of a kind, sorted."""
    found = await api.request("GET", resource.path(namespace))
    return sorted(item["metadata"]["name"] for item in found["items"])


async def delete(api: client.Client, resource: resources.Resource, namespace: str, name: str) -> None:
    """Delete, as somebody who is not Ringfence."""
    await KubeApplier(api).delete(resource.api_version, resource.kind, namespace, name)


async def eventually(check: Callable[[], Awaitable[Any]], what: str, within: float = 20.0) -> Any:
    """The first true answer of ``check``; fails with ``what`` after ``within`` seconds."""
    deadline = time.monotonic() + within
    while True:
        answer = await check()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        await asyncio.sleep(0.02)


def namespace(name: str, enroll: str = "", **labels: str) -> dict[str, Any]:
    """A Namespace, enrolled if asked for."""
    all_labels = {**labels, **({LABEL_ENROLL: enroll} if enroll else {})}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": all_labels}}


def identity(namespace: str, name: str) -> dict[str, Any]:
    """A ServiceIdentity on the ServiceAccount of its name."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API_VERSION, "kind": "ServiceIdentity", "metadata": metadata, "spec": {}}


def policy(
    namespace: str, name: str, caller: str, port: int = 8080, *, caller_namespace: str | None = None, **spec: Any
) -> dict[str, Any]:
    """A SecurityPolicy that lets one identity call the pods of another, of the policy's name."""
    peer = {"identity": {"name": caller, "namespace": caller_namespace or namespace}}
    return {
        "apiVersion": API_VERSION,
        "kind": "SecurityPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "appliesTo": {"identities": [name]},
            "ingress": [{"name": f"from-{caller}", "from": [peer], "ports": [port]}],
            **spec,
        },
    }


def pod(namespace: str, name: str, account: str = "", *, labelled: bool = True) -> dict[str, Any]:
    """A pod that nothing runs (there is no kubelet)."""
    labels = {LABEL_IDENTITY: account} if account and labelled else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "serviceAccountName": account or "default",
            "automountServiceAccountToken": False,
            "containers": [{"name": "main", "image": "localhost/none:1"}],
        },
    }


def ready(obj: dict[str, Any] | None) -> dict[str, Any]:
    """The condition Ready of a resource; empty when it has none."""
    conditions = ((obj or {}).get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == "Ready"), {})
