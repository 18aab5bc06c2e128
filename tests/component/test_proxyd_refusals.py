"""What a real Envoy refuses: the last good configuration stays in force, and policies' statuses say what and why."""

import ssl
import time
from collections.abc import Hashable, Iterator
from typing import Any

import pytest
from ringfence.kube import resources
from ringfence.model.mesh import Mesh
from ringfence.model.proxy import ProxyConfig
from ringfence.pki import store

from e2e.cluster import ports
from e2e.envoy import binary
from tests.component import cluster, controller_rig, proxyd_controller
from tests.component.proxyd_controller import run, together
from tests.component.proxyd_envoy import Direct, Envoy
from tests.component.proxyd_rig import OWN, Plane, Tiny, named
from tests.component.test_proxyd import call, tls_of_a_caller
from tests.unit.proxyd import xds

pytestmark = pytest.mark.component

OWNERS = ("ClusterSecurityPolicy floor", "SecurityPolicy refused/web")
FLOOR = {
    "apiVersion": "ringfence.dev/v1alpha1",
    "kind": "ClusterSecurityPolicy",
    "metadata": {"name": "floor"},
    "spec": {"namespaceSelector": {}, "ingress": [{"name": "no-telnet", "action": "Deny", "ports": [23]}]},
}


class Same(Tiny):
    """A compiler to which every policy is the same."""

    def configure(self, subject: Hashable, mesh: Mesh) -> ProxyConfig:
        """One of each."""
        del subject, mesh
        one = (xds.resource("one"),)
        return ProxyConfig(one, one, one, one, OWNERS, "same")


@pytest.fixture(scope="module")
def rig() -> Iterator[controller_rig.Plane]:
    with proxyd_controller.rig("proxyd-refusals", _populate) as made:
        yield made


async def _populate(plane: Plane) -> None:
    await plane.enrol("refused", "web", "other")
    await plane.pod("refused", "web-1", "web")
    await cluster.apply(plane.api, cluster.identity("refused", "web"))
    await cluster.apply(plane.api, cluster.identity("refused", "other"))


def test_what_a_proxy_refuses_is_said_where_the_policys_author_looks(rig: controller_rig.Plane) -> None:
    async def test(plane: Plane) -> None:
        for each in (FLOOR, cluster.policy("refused", "web", "other")):
            await cluster.apply(plane.api, each)
        pod = await cluster.get(plane.api, resources.PODS, "refused", "web-1")
        assert pod is not None
        (port,) = ports.free(1)
        compiler = Direct(port)
        compiler.owners = OWNERS
        async with together(rig, plane, compiler) as (_, serving):
            envoy = Envoy.start(binary(), serving, await plane.token(pod), named(pod))
            try:
                await envoy.ready()
                await _says(plane, "True", "InUse", ready="True")
                secret = await cluster.get(plane.api, resources.SECRETS, OWN, store.SECRET_NAME)
                assert secret is not None
                plane.state = store.read(secret["data"])
                caller = await tls_of_a_caller(plane, serving)
                assert await call(port, caller) == "hello"

                compiler.bad_route, compiler.body = True, "bad"
                serving.parts.classes.changed("")
                for policy in await _says(plane, "False", "RefusedByProxies", ready="False"):
                    message = policy["Programmed"]["message"]
                    assert message.startswith("1 of 1 proxies refuse")
                    assert "routes route: " in message
                    assert "Only a single wildcard domain" in message
                    assert len(message) < 1200
                    assert policy["Ready"]["reason"] == "RefusedByProxies"
                assert await call(port, caller) == "hello"
                await cluster.eventually(lambda: _told(plane), "both are told of by Events")
                assert await _events(plane) == {"ClusterSecurityPolicy": 1, "SecurityPolicy": 1}

                compiler.bad_route, compiler.body = False, "mended"
                serving.parts.classes.changed("")
                await _says(plane, "True", "InUse", ready="True")
                await cluster.eventually(lambda: _answers(port, caller, "mended"), "what is mended is in force")
            finally:
                envoy.stop()

    run(rig, test)


def test_a_new_version_is_not_enforced_before_it_was_computed_and_taken(rig: controller_rig.Plane) -> None:
    """An edit after which the proxies' configuration is the same counts too, at once."""

    async def test(plane: Plane) -> None:
        for each in (FLOOR, cluster.policy("refused", "web", "other")):
            await cluster.apply(plane.api, each)
        pod = await cluster.get(plane.api, resources.PODS, "refused", "web-1")
        assert pod is not None
        async with together(rig, plane, Same()) as (_, serving), serving.proxy(pod, await plane.token(pod)) as fake:
            await fake.start()
            await _says(plane, "True", "InUse", ready="True")
            started = time.monotonic()
            edited = cluster.policy("refused", "web", "web")
            generation = (await cluster.apply(plane.api, edited))["metadata"]["generation"]
            await cluster.eventually(lambda: _observed(plane, generation), "the new version is told of")
            await _says(plane, "True", "InUse", ready="True")
            assert time.monotonic() - started < 10

    run(rig, test)


async def _says(plane: Plane, status: str, reason: str, *, ready: str) -> list[dict[str, Any]]:
    """The conditions of both policies, by type, as soon as they say so."""

    found: list[dict[str, Any]] = []

    async def check() -> bool:
        found[:] = [await _conditions(plane, *each) for each in _POLICIES]
        return all(
            each.get("Programmed", {}).get("status") == status
            and each["Programmed"]["reason"] == reason
            and each["Ready"]["status"] == ready
            for each in found
        )

    try:
        await cluster.eventually(check, f"both say {reason}")
    except AssertionError as error:
        raise AssertionError(f"{error}, but {found}") from error
    return found


_POLICIES = ((resources.SECURITY_POLICIES, "refused", "web"), (resources.CLUSTER_SECURITY_POLICIES, "", "floor"))


async def _conditions(plane: Plane, resource: resources.Resource, namespace: str, name: str) -> dict[str, Any]:
    held = await cluster.get(plane.api, resource, namespace, name)
    return {each["type"]: each for each in ((held or {}).get("status") or {}).get("conditions") or ()}


async def _observed(plane: Plane, generation: int) -> bool:
    found = await _conditions(plane, *_POLICIES[0])
    return bool(found.get("Programmed", {}).get("observedGeneration") == generation)


async def _answers(port: int, caller: ssl.SSLContext, text: str) -> bool:
    return await call(port, caller) == text


async def _told(plane: Plane) -> bool:
    return len(await _events(plane)) == len(_POLICIES)


async def _events(plane: Plane) -> dict[str, int]:
    """How many Events tell of the refusal, by the kind of what they are about."""
    found: dict[str, int] = {}
    for each in (await plane.api.request("GET", "/apis/events.k8s.io/v1/events"))["items"]:
        if each["reason"] == "RefusedByProxies":
            kind = each["regarding"]["kind"]
            found[kind] = found.get(kind, 0) + 1
    return found
