"""proxyd with the real compiler and real Envoys: what a policy says is what they acknowledge."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ringfence.kube import client, resources
from ringfence.model import proxy
from ringfence.proxyd.compiler import EnvoyCompiler
from ringfence.reconcile import staging

from e2e.cluster.controlplane import ControlPlane
from e2e.envoy import binary
from tests.component import cluster, people
from tests.component.proxyd_envoy import Envoy
from tests.component.proxyd_rig import SETTINGS, Plane, named, running
from tests.unit.api.corpus_making import ROOT

pytestmark = pytest.mark.component

#: Of an installation in which pods get proxies.
PROXIES = replace(SETTINGS, installation=replace(SETTINGS.installation, proxies=True))


def test_envoys_acknowledge_all_that_policies_make_of_them(control_plane: ControlPlane) -> None:
    async def test(plane: Plane) -> None:
        await plane.enrol("shop", "web", "pay")
        ports = [{"name": "http", "containerPort": 8080}, {"name": "db", "containerPort": 5432}]
        web = await plane.pod("shop", "web-1", "web", ports=ports, address="10.9.0.1")
        pay = await plane.pod("shop", "pay-1", "pay", ports=ports, address="10.9.0.2")
        for name in ("web", "pay"):
            await cluster.apply(plane.api, cluster.identity("shop", name))
            await cluster.apply(plane.api, _service("shop", name))
            await cluster.apply(plane.api, _slice("shop", name, "10.9.0.1" if name == "web" else "10.9.0.2"))
        await cluster.apply(plane.api, cluster.policy("shop", "pay", "web", 8080))
        async with plane.proxyd(EnvoyCompiler()) as serving:
            envoys = [await Envoy.alone(binary(), serving, await plane.token(pod), named(pod)) for pod in (web, pay)]
            try:
                for each in envoys:
                    await each.ready()
                fleet = serving.parts.fleet
                await cluster.eventually(lambda: _all(fleet), "both acknowledge everything")
                owners = {each.caller.pod: each.talk.offer.owners for each in fleet if each.talk.offer}
                assert "SecurityPolicy shop/pay" in owners["pay-1"]
                before = {each.caller.pod: each.acknowledged for each in fleet}

                # A change of policy, a Service more, and a policy less: each is acknowledged in full again.
                await cluster.apply(plane.api, cluster.policy("shop", "pay", "web", 5432))
                await cluster.eventually(lambda: _moved(fleet, "pay-1", before), "the changed policy is in force")
                for name in ("late", "later"):
                    await cluster.apply(plane.api, _service("shop", name, selects="pay"))
                    await cluster.apply(plane.api, _slice("shop", name, "10.9.0.2", pod="pay-1"))
                await cluster.eventually(lambda: _all(fleet), "Services more")
                assert [each.nacks for each in fleet] == [0, 0]
                for each in fleet:
                    await cluster.eventually(
                        lambda pod=each.caller.pod: _shown(control_plane, pod), "people are shown what it uses"
                    )
                assert not any("rejected" in each.log() for each in envoys), envoys[0].log()[-3000:]
            finally:
                for each in envoys:
                    each.stop()

    running(control_plane, test)


def test_envoys_take_hosts_by_name_and_lose_them(control_plane: ControlPlane) -> None:
    async def test(plane: Plane) -> None:
        await plane.enrol("outside", "web")
        await _close(plane, "outside")
        web = await plane.pod("outside", "web-1", "web", address="10.9.0.1")
        await cluster.apply(plane.api, cluster.identity("outside", "web"))
        async with plane.proxyd(EnvoyCompiler(), settings=PROXIES) as serving:
            with _run_directory():
                envoy = await Envoy.alone(binary(), serving, await plane.token(web), named(web))
                try:
                    await envoy.ready()
                    fleet = serving.parts.fleet

                    async def says(path: str, text: str, *, there: bool = True) -> None:
                        async def told() -> bool:
                            return (text in await envoy.get(path)) is there and all(e.acknowledged for e in fleet)

                        await cluster.eventually(told, f"{text} is at {path}: {there}")

                    routes = "/config_dump?resource=dynamic_route_configs"
                    for names, text in (
                        (["api.example.com"], "api.example"),
                        (["api.example.com", "*.wide.example"], "wide"),
                        (["other.example"], "other.example"),
                    ):
                        await cluster.apply(plane.api, _named(*names))
                        await says(routes, text)
                    await says("/listeners", proxy.NAMES_SOCKET)
                    await plane.api.request("DELETE", resources.SECURITY_POLICIES.path("outside", "web"))
                    await says("/listeners", proxy.NAMES_SOCKET, there=False)
                    await cluster.apply(plane.api, _named("again.example"))
                    await says("/listeners", proxy.NAMES_SOCKET)
                    await says(routes, "again.example")
                    assert [each.nacks for each in fleet] == [0]
                    assert "rejected" not in envoy.log(), envoy.log()[-3000:]
                finally:
                    envoy.stop()

    running(control_plane, test)


def test_envoys_take_the_way_to_keys_and_lose_it(control_plane: ControlPlane) -> None:
    """Whether or not somebody is there who serves them: nothing else waits for that."""
    known = replace(PROXIES, installation=replace(PROXIES.installation, jwks_hosts=("*.corp.example",)))

    async def test(plane: Plane) -> None:
        await plane.enrol("keys", "web")
        await _close(plane, "keys")
        ports = [{"name": "http", "containerPort": 8080}]
        web = await plane.pod("keys", "web-1", "web", ports=ports, address="10.9.0.1")
        await cluster.apply(plane.api, cluster.identity("keys", "web"))
        await cluster.apply(plane.api, _service("keys", "web"))
        async with plane.proxyd(EnvoyCompiler(), settings=known) as serving:
            with _run_directory():
                envoy = await Envoy.alone(binary(), serving, await plane.token(web), named(web))
                try:
                    await envoy.ready()
                    fleet = serving.parts.fleet

                    async def says(text: str, *, there: bool = True) -> None:
                        async def told() -> bool:
                            found = [text in await envoy.get(path) for path in ("/listeners", "/clusters")]
                            return found == [there] * 2 and all(e.acknowledged for e in fleet)

                        await cluster.eventually(told, f"{text}: {there}")

                    for host in ("login", "other"):
                        await cluster.apply(plane.api, _fetching(f"https://{host}.corp.example/keys"))
                        await says(f"to-keys|{host}.corp.example:443|")
                    await says("to-keys|login.corp.example:443|", there=False)
                    await cluster.apply(plane.api, _fetching("https://login.evil.example/keys"))
                    await says("to-keys|", there=False)
                    await cluster.apply(plane.api, _fetching("https://login.corp.example/keys"))
                    await says("to-keys|login.corp.example:443|")
                    assert [each.nacks for each in fleet] == [0]
                    assert "rejected" not in envoy.log(), envoy.log()[-3000:]
                finally:
                    envoy.stop()

    running(control_plane, test)


async def _close(plane: Plane, namespace: str) -> None:
    """As the controller records that a namespace is enforced."""
    await cluster.apply(plane.api, cluster.namespace(namespace, "enforce"))
    told = {"type": staging.CONDITION_ENFORCED, "status": "True", "reason": "Closed", "message": "closed"}
    body = {"status": {"conditions": [told | {"lastTransitionTime": "2026-01-01T00:00:00Z"}]}}
    path = resources.NAMESPACES.path("", namespace, "status")
    await plane.api.request("PATCH", path, body=body, content_type=client.MERGE)


@contextlib.contextmanager
def _run_directory() -> Iterator[None]:
    """Where a proxy has its sockets; in a pod it is a volume."""
    place = Path(proxy.RUN_MOUNT)
    place.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(place)


def _named(*names: str) -> dict[str, Any]:
    rule = {"name": "hosts", "to": [{"host": each} for each in names], "ports": [80, 443]}
    return {
        "apiVersion": cluster.API_VERSION,
        "kind": "SecurityPolicy",
        "metadata": {"name": "web", "namespace": "outside"},
        "spec": {"egress": [rule]},
    }


def _fetching(uri: str) -> dict[str, Any]:
    issuer = {"name": "corp", "issuer": "https://corp.example", "audiences": ["pay"], "jwksUri": uri}
    rule = {"name": "in", "from": [{"identity": {"name": "web"}}], "ports": [8080], "jwt": {"issuer": "corp"}}
    return {
        "apiVersion": cluster.API_VERSION,
        "kind": "SecurityPolicy",
        "metadata": {"name": "web", "namespace": "keys"},
        "spec": {"jwtIssuers": [{**issuer, "caBundle": ROOT}], "ingress": [rule]},
    }


async def _shown(control_plane: ControlPlane, pod: str) -> bool:
    """Whether `ringfence proxy show` comes to the very bytes that the proxy says to use."""
    status, out, err = await people.ringfence(control_plane.kubeconfig, "proxy", "show", f"shop/{pod}", "-o", "json")
    if status != 0:
        print(err)
        return False
    shown = json.loads(out)
    return bool(shown["proxy"]) and shown["proxy"]["revision"] == shown["revision"] != ""


async def _all(fleet: Any) -> bool:
    return len(fleet) == 2 and all(each.acknowledged and each.certified and each.bundle for each in fleet)


async def _moved(fleet: Any, pod: str, before: dict[str, str]) -> bool:
    return all(each.acknowledged not in {"", before[pod]} for each in fleet if each.caller.pod == pod)


def _service(namespace: str, name: str, selects: str = "") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"ringfence.dev/identity": selects or name},
            "ports": [
                {"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"},
                {"name": "db", "port": 5432, "targetPort": 5432, "protocol": "TCP"},
            ],
        },
    }


def _slice(namespace: str, name: str, address: str, pod: str = "") -> dict[str, Any]:
    reference = {"kind": "Pod", "name": pod or f"{name}-1", "namespace": namespace}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-x", "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}, "targetRef": reference}],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }
