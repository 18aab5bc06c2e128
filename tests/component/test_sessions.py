"""When the API server asks about sessions into pods: with no webhook to answer, who asks is plain to see.

The controller is real and the API server too; nobody answers its webhooks, as when every replica is away.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from ringfence.kube import client, errors, resources
from ringfence.model.names import API_VERSION

from e2e.cluster.controlplane import ControlPlane
from tests.component import cluster
from tests.component.controller_rig import Plane

pytestmark = pytest.mark.component

CLOSING = {"sessions": {"forbidExec": True}}


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    with ControlPlane("sessions", controllers=["namespace-controller", "serviceaccount-controller"]) as up:
        prepared = Plane(up)
        prepared.prepare()
        # Before any guard is there, so that the pods need no webhook to come.
        drive(prepared, lambda api: running(api, "shut", "open", "before", "elsewhere", "kept"))
        yield prepared


def drive(plane: Plane, scenario: Callable[[client.Client], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario with somebody's client, at most a minute and a half."""

    async def main() -> None:
        async with plane.writer() as api, asyncio.timeout(90):
            await scenario(api)

    asyncio.run(main())


async def running(api: client.Client, *namespaces: str) -> None:
    """Closed namespaces, each with a pod from before."""

    async def created(namespace: str) -> bool:
        try:
            await cluster.apply(api, cluster.pod(namespace, "web", "web"))
        except errors.Forbidden:
            return False
        return True

    for name in namespaces:
        await cluster.apply(api, cluster.namespace(name))
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "web", "namespace": name}}
        await cluster.apply(api, account)
        await cluster.eventually(lambda name=name: created(name), "its ServiceAccount is there")
        await cluster.apply(api, cluster.identity(name, "web"))
        await cluster.apply(api, cluster.namespace(name, "enforce"))


async def opening(api: client.Client, namespace: str) -> str:
    """What somebody is told who opens a shell: of the webhook, or (there are no nodes) of the node."""
    path = resources.of("v1", "Pod").path(namespace, "web", "exec")
    with pytest.raises(errors.KubeError) as told:
        await api.request("POST", path, query={"command": "sh"})
    return str(told.value)


def asked(message: str) -> bool:
    """Whether the API server asked the webhook; otherwise it got as far as looking for the node."""
    assert ("does not have a host assigned" in message) != ("sessions.ringfence.dev" in message), message
    return "sessions.ringfence.dev" in message


async def in_force(api: client.Client, namespace: str, name: str) -> bool:
    resource = resources.SECURITY_POLICIES if namespace else resources.CLUSTER_SECURITY_POLICIES
    return bool(cluster.ready(await cluster.get(api, resource, namespace, name)).get("reason") == "InForce")


async def becomes(api: client.Client, namespace: str, wanted: bool) -> None:
    async def so() -> bool:
        return asked(await opening(api, namespace)) == wanted

    await cluster.eventually(so, f"{namespace} asked about: {wanted}")


def own(namespace: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": "shut", "namespace": namespace}
    return {"apiVersion": API_VERSION, "kind": "SecurityPolicy", "metadata": metadata, "spec": spec}


def test_only_where_a_namespaces_policy_closes_them_and_only_while_it_does(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        async with plane.controller():
            assert not asked(await opening(api, "shut"))
            await cluster.apply(api, own("shut", admission=CLOSING))
            await cluster.eventually(lambda: in_force(api, "shut", "shut"), "the policy is in force")

            async def written() -> bool:
                held = await cluster.get(api, resources.VALIDATING_WEBHOOKS, "", "ringfence")
                return "sessions.ringfence.dev" in [each["name"] for each in (held or {})["webhooks"]]

            await cluster.eventually(written, "the webhook is asked about sessions")
            await becomes(api, "shut", True)
            assert not asked(await opening(api, "open"))

            await cluster.apply(api, own("shut", mode="Audit", admission=CLOSING))
            await becomes(api, "shut", False)
            await cluster.apply(api, own("shut", admission=CLOSING))
            await becomes(api, "shut", True)
            await cluster.delete(api, resources.SECURITY_POLICIES, "shut", "shut")
            await becomes(api, "shut", False)

    drive(plane, scenario)


def test_under_a_floor_at_once_in_namespaces_that_come_later(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        selector = {"matchLabels": {"env": "prod"}}
        floor = {"apiVersion": API_VERSION, "kind": "ClusterSecurityPolicy", "metadata": {"name": "shut"}}
        async with plane.controller():
            await cluster.apply(api, {**floor, "spec": {"namespaceSelector": selector, "admission": CLOSING}})
            await cluster.eventually(lambda: in_force(api, "", "shut"), "the floor is in force")
            assert not asked(await opening(api, "before"))
            # No write of Ringfence's is needed: the labels alone decide.
            await cluster.apply(api, cluster.namespace("before", "enforce", env="prod"))
            await becomes(api, "before", True)
            assert not asked(await opening(api, "elsewhere"))
            await cluster.delete(api, resources.CLUSTER_SECURITY_POLICIES, "", "shut")
            await becomes(api, "before", False)

    drive(plane, scenario)


def test_what_was_written_is_left_alone_by_the_next_controller(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        await cluster.apply(api, own("kept", admission=CLOSING))

        async def version() -> str:
            held = await cluster.get(api, resources.VALIDATING_WEBHOOKS, "", "ringfence")
            return str((held or {})["metadata"]["resourceVersion"])

        async with plane.controller():
            await becomes(api, "kept", True)
            before = await version()
        async with plane.controller():
            assert await version() == before
            assert asked(await opening(api, "kept"))

    drive(plane, scenario)
