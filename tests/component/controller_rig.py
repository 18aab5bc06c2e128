"""The controller on a real API server: as its own user, with the rights that the chart gives it and no others."""

import asyncio
import copy
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from ringfence import wiring
from ringfence.controller import core
from ringfence.kube import client, lease, resources
from ringfence.model.names import LABEL_MANAGED_BY
from ringfence.model.ports import Clock
from ringfence.model.world import Installation
from ringfence.pki import store
from ringfence.reconcile.secret_access import SECRETS_BINDING
from ringfence.settings import Settings

from e2e.cluster import kubeconfig, tools
from e2e.cluster.certificates import Authority
from e2e.cluster.controlplane import ControlPlane
from e2e.demo import client as demo
from e2e.demo import install
from tests.component import cluster

OWN = install.NAMESPACE
USER = f"system:serviceaccount:{OWN}:ringfence-controller"
SETTINGS = Settings(installation=Installation(namespace=OWN), http_host="127.0.0.1", http_port=0)

GUARDS = (
    resources.MUTATING_WEBHOOKS,
    resources.VALIDATING_WEBHOOKS,
    resources.ADMISSION_POLICIES,
    resources.ADMISSION_POLICY_BINDINGS,
)
MANAGED = {"labelSelector": f"{LABEL_MANAGED_BY}=ringfence"}

#: Ends by SIGKILL when it is about to make the write after the one with this number; 0 never.
_PROGRAM = """
import os, signal, sys
from pathlib import Path
from ringfence import settings
from ringfence.controller import main
from ringfence.kube.client import Client

limit, writes, send = int(sys.argv[1]), 0, Client._send

async def counted(self, method, *rest):
    global writes
    if method != "GET":
        if limit and writes == limit:
            os.kill(os.getpid(), signal.SIGKILL)
        writes += 1
    return await send(self, method, *rest)

Client._send = counted
set_up = settings.parse(sys.argv[3], {"POD_NAMESPACE": sys.argv[4], "POD_NAME": sys.argv[5]})
sys.exit(main.run(set_up, Path(sys.argv[2])))
"""


class Plane:
    """A control plane where the chart's rights are in place, and ways in."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self.control_plane = control_plane
        self.admin_config = control_plane.kubeconfig
        self.controller_config = self.config("controller", ["system:authenticated"])
        # Requests by the controller's user pass the webhooks (which nobody serves here); with these groups they have
        # every right. So tests write as this one.
        self.writer_config = self.config("writer", ["system:masters"])

    def config(self, name: str, groups: list[str], user: str = USER) -> Path:
        authority = Authority(self.control_plane.directory / "pki", "ca")
        return kubeconfig.write(
            self.control_plane.directory / f"{name}.kubeconfig",
            server=self.control_plane.server,
            authority=authority.pair.certificate,
            user=authority.issue(name, user=user, groups=groups),
            name=name,
        )

    def prepare(self, setting: str = "proxy.enabled=false", *templates: str) -> None:
        """Install CRDs, the own namespace and the rights from the chart, those of more ``templates`` too."""
        cluster.install_crds(self.control_plane)
        person = demo.Client(tools.ensure(tools.CONTROL, tools.HELM), self.admin_config)
        person.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OWN}}])
        rendered = person.helm(
            "template",
            install.RELEASE,
            str(install.CHART),
            f"--namespace={OWN}",
            "--show-only=templates/rbac-controller.yaml",
            "--show-only=templates/rbac-certificates.yaml",
            "--show-only=templates/lease.yaml",
            f"--set={setting}",
            *(f"--show-only={each}" for each in templates),
        )
        person.run("apply", "-f", "-", stdin=rendered)

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[client.Client]:
        """Somebody who may do everything."""
        api = await client.Client.connect(self.writer_config, component="test")
        try:
            yield api
        finally:
            await api.close()

    @asynccontextmanager
    async def controller(self, settings: Settings = SETTINGS, clock: Clock | None = None) -> AsyncIterator[core.Core]:
        """The controller's core in this process, without Kopf, when it has nothing left to do."""
        async with wiring.operator(settings, self.controller_config, clock=clock) as operator:
            heart = core.Core(operator)
            async with core.running(heart):
                await asyncio.wait_for(core.settled(heart), 60)
                yield heart

    @asynccontextmanager
    async def running(self, settings: Settings = SETTINGS) -> AsyncIterator[core.Core]:
        """The same, without waiting for anything."""
        async with wiring.operator(settings, self.controller_config) as operator:
            heart = core.Core(operator)
            async with core.running(heart):
                yield heart

    @contextmanager
    def process(
        self, name: str = "controller-test", *, kill_after: int = 0, port: int = 0
    ) -> Iterator[subprocess.Popen[str]]:
        """The whole controller as a process; ``name`` is its pod's; ``kill_after`` so many writes it is killed."""
        text = f"httpHost: 127.0.0.1\nhttpPort: {port}\nlogFormat: text\n"
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(kill_after), str(self.controller_config), text, OWN, name],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


async def snapshot(api: client.Client, *namespaces: str) -> dict[tuple[str, str, str], Any]:
    """What the controller is answerable for, without what differs from run to run."""
    found: dict[tuple[str, str, str], Any] = {}
    for resource in GUARDS:
        for item in (await api.request("GET", resource.path(), query=MANAGED))["items"]:
            found[resource.kind, "", item["metadata"]["name"]] = _without_certificates(item)
    for namespace in namespaces:
        for item in (await api.request("GET", resources.NETWORK_POLICIES.path(namespace)))["items"]:
            found["NetworkPolicy", namespace, item["metadata"]["name"]] = item["spec"]
        for resource in (resources.SERVICE_IDENTITIES, resources.SECURITY_POLICIES):
            for item in (await api.request("GET", resource.path(namespace)))["items"]:
                found[resource.kind, namespace, item["metadata"]["name"]] = _told(item)
        own = await api.request("GET", resources.NAMESPACES.path("", namespace))
        found["Namespace", "", namespace] = _told(own)
    for name in await cluster.names(api, resources.SECRETS, OWN):
        found["Secret", OWN, name] = "there"
    return found


def _told(obj: dict[str, Any]) -> Any:
    status = copy.deepcopy(obj.get("status") or {})
    for condition in status.get("conditions", ()):
        condition.pop("lastTransitionTime", None)
    return status


def _without_certificates(obj: dict[str, Any]) -> Any:
    content = {key: copy.deepcopy(obj[key]) for key in ("spec", "webhooks") if key in obj}
    for webhook in content.get("webhooks", ()):
        assert webhook["clientConfig"].pop("caBundle")
    return content


async def unguard(api: client.Client) -> None:
    """Take away the webhooks and admission policies that a controller has left: nobody answers for them now."""
    for resource in GUARDS:
        await api.request("DELETE", resource.path(), query=MANAGED)


async def reset(api: client.Client, *namespaces: str) -> None:
    """Take away all that the controller has written, and whoever holds the Lease."""
    free = {"spec": {"holderIdentity": ""}}
    await api.request("PATCH", resources.LEASES.path(OWN, lease.NAME), body=free, content_type=client.MERGE)
    await unguard(api)
    await api.request("DELETE", resources.SECRETS.path(OWN))
    for namespace in (OWN, *namespaces):
        await cluster.delete(api, resources.CONFIG_MAPS, namespace, store.MARKER_NAME)
    for namespace in namespaces:
        await cluster.delete(api, resources.ROLE_BINDINGS, namespace, SECRETS_BINDING)
        await api.request("DELETE", resources.NETWORK_POLICIES.path(namespace))
        own = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}, "status": {}}
        await _status(api, resources.NAMESPACES, own)
        for resource in (resources.SERVICE_IDENTITIES, resources.SECURITY_POLICIES):
            for name in await cluster.names(api, resource, namespace):
                metadata = {"name": name, "namespace": namespace}
                empty = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "status": {}}
                await _status(api, resource, empty)


async def _status(api: client.Client, resource: resources.Resource, obj: dict[str, Any]) -> None:
    metadata = obj["metadata"]
    path = resource.path(metadata.get("namespace", ""), metadata["name"], "status")
    query = {"fieldManager": "ringfence", "force": "true"}
    await api.request("PATCH", path, query=query, body=obj, content_type=client.APPLY)
