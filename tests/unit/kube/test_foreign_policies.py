"""Which networks' own kinds an API server has is found out, and kinds that come and go are followed."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from ringfence.kube import errors, watch
from ringfence.kube.foreign_policies import ForeignPolicies

from tests.unit.kube.fakes import listing

Served = dict[str, list[str]]


class Server:
    """Answers discovery by ``served`` (group and version to plurals) and lists the names in ``held`` (by path)."""

    def __init__(self, served: Served, held: dict[str, list[tuple[str, str]]] | None = None) -> None:
        self.served = served
        self.held = held or {}
        self.asked: list[str] = []
        self.broken: dict[str, errors.KubeError] = {}

    async def request(self, method: str, path: str, **_: Any) -> Any:
        self.asked.append(path)
        if path in self.broken:
            raise self.broken[path]
        if path == "/apis":
            groups: dict[str, list[str]] = {}
            for version in self.served:
                groups.setdefault(version.partition("/")[0], []).append(version)
            return {
                "groups": [
                    {"name": name, "versions": [{"groupVersion": each} for each in found]}
                    for name, found in groups.items()
                ]
            }
        version = path.removeprefix("/apis/")
        if version not in self.served:
            raise errors.NotFound(path)
        return {"resources": [{"name": each} for each in self.served[version]]}

    async def request_bytes(self, method: str, path: str, **_: Any) -> bytes:
        self.asked.append(path)
        if path in self.broken:
            raise self.broken[path]
        found = [
            {"metadata": {"namespace": namespace, "name": name, "resourceVersion": "1"}, "spec": {"large": "x"}}
            for namespace, name in self.held.get(path, ())
        ]
        return json.dumps(listing(*found)).encode()

    async def watch(self, path: str, query: Any, *, silence: float, opened: Callable[[], None]) -> Any:
        opened()
        await asyncio.sleep(3600)
        yield "", b""


def drive(server: Server, scenario: Callable[[ForeignPolicies], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        timing = watch.Timing(first_retry=0.01, longest_retry=0.01)
        found = ForeignPolicies(server, timing=timing, ask_seconds=0.02)  # type: ignore[arg-type]
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            task = group.create_task(found.run())
            await found.settled(1.0)
            await scenario(found)
            task.cancel()
        assert found.named("shop") == ()

    asyncio.run(main())


async def until(check: Callable[[], bool]) -> None:
    while not check():  # noqa: ASYNC110 (nothing tells of it)
        await asyncio.sleep(0.005)


CILIUM = "/apis/cilium.io/v2/ciliumnetworkpolicies"


def test_a_cluster_without_such_kinds_costs_one_request_a_look() -> None:
    server = Server({"apps/v1": ["deployments"]})

    async def scenario(found: ForeignPolicies) -> None:
        await until(lambda: len(server.asked) > 3)
        assert set(server.asked) == {"/apis"}
        assert found.named("shop") == ()

    drive(server, scenario)


def test_they_are_named_by_namespace_in_the_first_version_that_has_them() -> None:
    served = {
        "cilium.io/v2": ["ciliumnetworkpolicies"],
        "networking.gke.io/v1": ["managedcertificates"],
        "networking.gke.io/v1alpha1": ["fqdnnetworkpolicies"],
    }
    names = "/apis/networking.gke.io/v1alpha1/fqdnnetworkpolicies"
    server = Server(served, {CILIUM: [("shop", "b"), ("other", "c")], names: [("shop", "a")]})

    async def scenario(found: ForeignPolicies) -> None:
        told = ("CiliumNetworkPolicy.cilium.io b", "FQDNNetworkPolicy.networking.gke.io a")
        assert found.named("shop") == told
        assert found.named("other") == ("CiliumNetworkPolicy.cilium.io c",)

    drive(server, scenario)


def test_what_calico_shows_twice_is_named_once() -> None:
    stored, shown = ("/apis/crd.projectcalico.org/v1/networkpolicies", "/apis/projectcalico.org/v3/networkpolicies")
    served = {"crd.projectcalico.org/v1": ["networkpolicies"], "projectcalico.org/v3": ["networkpolicies"]}
    server = Server(served, {stored: [("shop", "default.a")], shown: [("shop", "a"), ("shop", "b")]})

    async def scenario(found: ForeignPolicies) -> None:
        assert [each.partition(" ")[2] for each in found.named("shop")] == ["default.a", "b"]

    drive(server, scenario)


def test_a_kind_that_comes_later_is_seen_and_one_that_goes_is_forgotten() -> None:
    server = Server({}, {CILIUM: [("shop", "a")]})
    told: list[tuple[str, str]] = []

    async def scenario(found: ForeignPolicies) -> None:
        found.callback = lambda namespace, name: told.append((namespace, name))
        server.served["cilium.io/v2"] = ["ciliumnetworkpolicies"]
        await until(lambda: told == [("shop", "a")])
        assert found.named("shop") == ("CiliumNetworkPolicy.cilium.io a",)
        del server.served["cilium.io/v2"]
        await until(lambda: len(told) == 2)
        assert found.named("shop") == ()

    drive(server, scenario)


def test_what_cannot_be_asked_keeps_what_is_known() -> None:
    server = Server({"cilium.io/v2": ["ciliumnetworkpolicies"]}, {CILIUM: [("shop", "a")]})

    async def scenario(found: ForeignPolicies) -> None:
        for path in ("/apis", "/apis/cilium.io/v2"):
            server.broken = {path: errors.ServerError("away")}
            server.asked.clear()
            await until(lambda path=path: server.asked.count(path) > 2)
            assert found.named("shop") == ("CiliumNetworkPolicy.cilium.io a",)
        server.broken = {}

    drive(server, scenario)


def test_nobody_waits_long_for_what_may_not_be_read() -> None:
    server = Server({"cilium.io/v2": ["ciliumnetworkpolicies"]}, {CILIUM: [("shop", "a")]})
    server.broken = {CILIUM: errors.Forbidden("no")}

    async def scenario(found: ForeignPolicies) -> None:
        assert found.named("shop") == ()
        server.broken = {}
        await until(lambda: found.named("shop") != ())

    drive(server, scenario)
