"""What the chart grants for proxies: proxyd uses all of it and asks for nothing else, nor does the controller.

Both run with the chart's rights through what they live through; the API server's audit log says what they asked for.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ringfence.kube import resources
from ringfence.model.acknowledgements import Report
from ringfence.reconcile import proxy_reports

from e2e.cluster import tools
from e2e.cluster.controlplane import ControlPlane
from e2e.demo import client as demo
from e2e.demo import install
from tests.component import cluster, controller_rig, test_rights
from tests.component.proxyd_rig import OWN, Plane
from tests.component.test_proxyd_rotation import run, together
from tests.component.test_rights import Request, Right

pytestmark = [pytest.mark.component, pytest.mark.timeout(300)]

ENABLED = "proxy.enabled=true"
#: Granted to proxyd and not seen in the log of this run, by why it is needed all the same.
PROXYD_UNSEEN: dict[str, set[Right]] = {
    "an apply that creates is authorized as create as well; the log calls it patch": {
        Right("", "configmaps", "create")
    },
}
#: The same of what the controller may do for proxyd.
CONTROLLER_UNSEEN: dict[str, set[Right]] = {
    "certificates are renewed after 20 days": {Right("", "secrets", "update", "ringfence-proxyd-tls")},
}


@pytest.fixture(scope="module")
def chart() -> list[dict[str, Any]]:
    """What the chart grants where there are proxies."""
    person = demo.Client(tools.ensure(tools.CONTROL, tools.HELM), Path("/nonexistent"))
    flags = (f"--namespace={OWN}", f"--set={ENABLED}")
    rendered = person.helm("template", install.RELEASE, str(install.CHART), *flags)
    kinds = {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}
    return [each for each in yaml.safe_load_all(rendered) if each and each["kind"] in kinds]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Request]]]:
    """What each process has asked, by its ServiceAccount."""
    audit = tmp_path_factory.mktemp("rights") / "audit.log"
    with ControlPlane("proxyd-rights", controllers=["namespace-controller"], audit_log=audit) as running:
        rig = controller_rig.Plane(running)
        rig.prepare(ENABLED, "templates/rbac-proxyd.yaml")
        asyncio.run(_populate(rig))
        run(rig, lambda plane: _live(rig, plane))
        yield test_rights._read(audit)


async def _populate(rig: controller_rig.Plane) -> None:
    async with rig.writer() as api:
        plane = Plane(api, rig.control_plane)
        await plane.prepare(secrets_too=False)
        await plane.enrol("rights", "web")
        await plane.pod("rights", "web-1", "web")


async def _live(rig: controller_rig.Plane, plane: Plane) -> None:
    """A proxy comes, follows a policy and goes; the report of a replica that is gone for good is cleared away."""
    pod = await cluster.get(plane.api, resources.PODS, "rights", "web-1")
    assert pod is not None
    async with together(rig, plane) as (_, serving):
        async with serving.proxy(pod, await plane.token(pod)) as fake:
            await fake.start()
            await cluster.apply(plane.api, cluster.policy("rights", "web", "other"))
            await fake.next()
            await cluster.eventually(lambda: _there("ringfence-proxyd-proxyd-a", plane), "the replica has reported")
            gone = proxy_reports.encode(Report("gone", time.time() - 3600), OWN)
            await cluster.apply(plane.api, gone)
            floor = {"namespaceSelector": {}, "ingress": [{"name": "no-telnet", "action": "Deny", "ports": [23]}]}
            await cluster.apply(
                plane.api,
                {
                    "apiVersion": "ringfence.dev/v1alpha1",
                    "kind": "ClusterSecurityPolicy",
                    "metadata": {"name": "floor"},
                    "spec": floor,
                },
            )

            async def cleared() -> bool:
                return not await _there(gone["metadata"]["name"], plane)

            await cluster.eventually(cleared, "the report of the replica that is gone is cleared away")
        await asyncio.sleep(2.5)


async def _there(name: str, plane: Plane) -> bool:
    return await cluster.get(plane.api, resources.CONFIG_MAPS, OWN, name) is not None


def test_proxyd_uses_what_it_may_do(asked: dict[str, list[Request]], chart: list[dict[str, Any]]) -> None:
    granted = test_rights._granted(chart, "ringfence-proxyd")
    test_rights._compare(granted, asked["ringfence-proxyd"], PROXYD_UNSEEN)


def test_the_controller_uses_what_it_may_do_for_proxyd(
    asked: dict[str, list[Request]], chart: list[dict[str, Any]]
) -> None:
    granted = test_rights._granted(chart, "ringfence-proxies")
    about = {each._replace(name="") for each in granted}
    asked_here = (each for each in asked["ringfence-controller"] if each.namespace == OWN)
    own = [each for each in asked_here if each.right._replace(name="") in about]
    test_rights._compare(granted, own, CONTROLLER_UNSEEN)
