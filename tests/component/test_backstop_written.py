"""The controller writes what policies ask of pods into the backstop, as its own user, and takes it out as it ends."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from ringfence.kube import client, resources
from ringfence.model.names import LABEL_ENROLL
from ringfence.translate.backstop.requirements import PREFIX

from e2e.cluster.controlplane import ControlPlane
from tests.component import cluster
from tests.component.backstop_rig import cluster_policy, policy
from tests.component.controller_rig import Plane

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    with ControlPlane("written", controllers=["namespace-controller", "serviceaccount-controller"]) as running:
        prepared = Plane(running)
        prepared.prepare()
        yield prepared


def drive(plane: Plane, scenario: Callable[[client.Client], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with plane.writer() as api, asyncio.timeout(90):
            await scenario(api)

    asyncio.run(main())


async def held(api: client.Client) -> dict[str, set[str]]:
    """Where each policy for what is asked holds; one without a binding holds nowhere."""
    found: dict[str, set[str]] = {
        name: set() for name in await cluster.names(api, resources.ADMISSION_POLICIES) if name.startswith(PREFIX)
    }
    for item in (await api.request("GET", resources.ADMISSION_POLICY_BINDINGS.path()))["items"]:
        if item["metadata"]["name"].startswith(PREFIX):
            where = item["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
            assert where[0] == {"key": LABEL_ENROLL, "operator": "In", "values": ["enforce"]}
            # Between the two lists a policy may have come.
            found.setdefault(item["spec"]["policyName"], set()).update(where[1]["values"])
    return found


async def settled(api: client.Client, wanted: list[set[str]], what: str, within: float = 20.0) -> dict[str, set[str]]:
    """Wait until the policies hold in these namespaces, and in no others."""

    async def there() -> dict[str, set[str]] | None:
        found = await held(api)
        return found if sorted(map(sorted, found.values())) == sorted(map(sorted, wanted)) else None

    found: dict[str, set[str]] = await cluster.eventually(there, what, within)
    return found


def test_it_follows_namespaces_and_policies(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        for name in ("one", "two"):
            await cluster.apply(api, cluster.namespace(name, "enforce"))
        await cluster.apply(api, cluster.namespace("other", "audit"))
        async with plane.running():
            alike = await settled(api, [{"one", "two"}], "enrolment alone")
            await cluster.apply(api, policy("two", "level", admission={"podSecurity": "restricted"}))
            apart = await settled(api, [{"one"}, {"two"}], "a policy of one namespace")
            assert set(alike) < set(apart)
            await cluster.apply(
                api, cluster_policy("floor", namespaceSelector={}, admission={"podSecurity": "restricted"})
            )
            both = await settled(api, [{"one", "two"}], "a floor that asks for the same")
            await cluster.delete(api, resources.ADMISSION_POLICY_BINDINGS, "", next(iter(both)))
            assert await settled(api, [{"one", "two"}], "a binding that somebody deleted") == both
            await cluster.apply(api, cluster.namespace("one", "audit"))
            await settled(api, [{"two"}], "a namespace that is only audited now")
            await cluster.apply(api, cluster.namespace("other", "enforce"))
            await settled(api, [{"other", "two"}], "another one that is enforced now")
            await cluster.delete(api, resources.CLUSTER_SECURITY_POLICIES, "", "floor")
            await settled(api, [{"other"}, {"two"}], "the floor is gone")
        for name in ("two", "other"):
            await cluster.apply(api, cluster.namespace(name))

    drive(plane, scenario)


def test_an_exception_is_taken_out_when_it_ends(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        await cluster.apply(api, cluster.namespace("excepted", "enforce"))
        await cluster.apply(api, cluster.identity("excepted", "default"))
        async with plane.running():
            await settled(api, [{"excepted"}], "enrolment alone", within=40)
            end = time.time() + 20
            exception = {
                "name": "soon",
                "namespace": "excepted",
                "identities": ["default"],
                "controls": ["run-as-user"],
                "reason": "a test",
                "until": datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            asks = {"podSecurity": "restricted"}
            await cluster.apply(
                api, cluster_policy("ending", namespaceSelector={}, admission=asks, exceptions=[exception])
            )

            async def said() -> bool:
                (name,) = await settled(api, [{"excepted"}], "one policy")
                written = await cluster.get(api, resources.ADMISSION_POLICIES, "", name)
                return exception["until"] in str((written or {}).get("spec"))

            async def forgotten() -> bool:
                return not await said()

            await cluster.eventually(said, "the floor with its exception", within=15)
            await cluster.eventually(forgotten, "the exception is taken out", within=end - time.time() + 15)
            assert time.time() >= end - 1

    drive(plane, scenario)
