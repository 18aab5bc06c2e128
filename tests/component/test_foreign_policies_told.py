"""Policies in networks' own kinds from before enrolment are told: with the chart's rights, kinds that come and go."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from ringfence import wiring
from ringfence.controller import core
from ringfence.kube import client, errors, resources
from ringfence.kube.foreign_policies import ForeignPolicies
from ringfence.model.foreign_policies import FOREIGN
from ringfence.translate.network_policy import DEFAULT_DENY

from e2e.cluster.controlplane import ControlPlane
from tests.component import cluster, foreign_kinds
from tests.component.controller_rig import SETTINGS, Plane
from tests.component.test_controller import enforced, shop

pytestmark = pytest.mark.component

CILIUM = FOREIGN[0]
CRDS = resources.CUSTOM_RESOURCE_DEFINITIONS


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    with ControlPlane("foreign-told", controllers=["namespace-controller"]) as running:
        prepared = Plane(running)
        prepared.prepare()
        yield prepared


async def write(api: client.Client, namespace: str, name: str) -> None:
    """One of Cilium's, as soon as the kind is served."""

    async def written() -> bool:
        try:
            await api.request(
                "POST", foreign_kinds.path(CILIUM, namespace), body=foreign_kinds.allow_all(CILIUM, namespace, name)
            )
        except errors.NotFound:
            return False
        return True

    await cluster.eventually(written, f"{name} is written")


def test_they_are_named_wherever_the_kind_comes_from_and_the_network_is_closed(plane: Plane) -> None:
    async def scenario() -> None:
        async with plane.writer() as api, asyncio.timeout(90):
            await cluster.apply(api, cluster.namespace("before"))
            await shop(api, "shop")
            async with wiring.operator(SETTINGS, plane.controller_config) as operator:
                operator.foreign._ask_seconds = 0.5
                async with core.running(core.Core(operator)):
                    await _follow(api)

    async def _follow(api: client.Client) -> None:
        async def said(namespace: str) -> str:
            return str((await enforced(api, namespace)).get("message", ""))

        async def closed() -> bool:
            return DEFAULT_DENY in await cluster.names(api, resources.NETWORK_POLICIES, "shop")

        await cluster.eventually(closed, "the network is closed")
        await cluster.apply(api, foreign_kinds.definition(CILIUM))
        await write(api, "before", "allow-all")
        assert await said("before") == ""
        await shop(api, "before")

        async def named() -> bool:
            return "CiliumNetworkPolicy.cilium.io allow-all" in await said("before")

        await cluster.eventually(named, "it is named once the namespace is enforced")
        assert (await enforced(api, "before"))["status"] == "True"
        assert "CiliumNetworkPolicy" not in await said("shop")
        await api.request("DELETE", CRDS.path("", f"{CILIUM.plural}.{CILIUM.group}"))

        async def forgotten() -> bool:
            return "CiliumNetworkPolicy" not in await said("before")

        await cluster.eventually(forgotten, "it is not named when the kind is gone")
        assert await closed()

    asyncio.run(scenario())


def test_every_one_of_these_kinds_may_be_read(plane: Plane) -> None:
    async def scenario() -> None:
        async with plane.writer() as admin, asyncio.timeout(60):
            for kind in FOREIGN:
                await cluster.apply(admin, foreign_kinds.definition(kind))
            api = await client.Client.connect(plane.controller_config, component="test")
            found = ForeignPolicies(api, ask_seconds=0.5)
            async with asyncio.TaskGroup() as group:
                task = group.create_task(found.run())

                async def read() -> bool:
                    followed: dict[Any, Any] = found._followed
                    caches = [each.cache for each in followed.values()]
                    return len(caches) == len(FOREIGN) and all(each.synced and each._open for each in caches)

                await cluster.eventually(read, "every kind is listed and watched", 30)
                task.cancel()
            await api.close()

    asyncio.run(scenario())
