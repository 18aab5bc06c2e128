"""proxyd and the controller together, on an API server of their own."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from ringfence.controller.core import Core
from ringfence.kube import resources
from ringfence.model.proxy_settings import ProxySettings
from ringfence.proxyd.assembly import Compiler
from ringfence.reconcile import proxy_reports
from ringfence.settings import CaSettings

from e2e.cluster.controlplane import ControlPlane
from tests.component import cluster, controller_rig
from tests.component.proxyd_rig import OWN, SETTINGS, Plane, Server

FAST = dataclasses.replace(
    SETTINGS, ca=CaSettings(propagation=0, reissue_within=0, max_ttl=600), proxy=ProxySettings(enabled=True)
)


@contextlib.contextmanager
def rig(name: str, populate: Callable[[Plane], Awaitable[None]]) -> Iterator[controller_rig.Plane]:
    """An API server with the chart's rights.

    ``populate`` makes every pod before a controller runs, whose guards would want them injected as in earnest.
    """

    async def main(found: controller_rig.Plane) -> None:
        async with found.writer() as api:
            plane = Plane(api, found.control_plane)
            await plane.prepare(secrets_too=False)
            await populate(plane)

    with ControlPlane(name, controllers=["namespace-controller"]) as control_plane:
        found = controller_rig.Plane(control_plane)
        found.prepare("proxy.enabled=true", "templates/rbac-proxyd.yaml")
        asyncio.run(main(found))
        yield found


def run(rig: controller_rig.Plane, test: Callable[[Plane], Awaitable[None]]) -> None:
    """As somebody whom no admission policy stops."""

    async def main() -> None:
        async with rig.writer() as api:
            await controller_rig.reset(api)
            # Proxies of other tests would be waited for, as they should.
            query = {"labelSelector": proxy_reports.SELECTOR}
            await api.request("DELETE", resources.CONFIG_MAPS.path(OWN), query=query)
            await test(Plane(api, rig.control_plane))

    asyncio.run(main())


@contextlib.asynccontextmanager
async def together(
    rig: controller_rig.Plane, plane: Plane, compiler: Compiler | None = None
) -> AsyncIterator[tuple[Core, Server]]:
    """Both processes' parts, each under its own user with the chart's rights; the Secrets are the controller's."""
    proxyd = rig.config("proxyd", ["system:authenticated"], f"system:serviceaccount:{OWN}:ringfence-proxyd")
    async with rig.controller(FAST) as heart, plane.proxyd(compiler, settings=FAST, kubeconfig=proxyd) as serving:
        held = await cluster.get(plane.api, resources.SECRETS, OWN, "ringfence-serving-ca")
        assert held is not None
        plane.trust(held)
        yield heart, serving
