"""What tenants write that proxyd reads, what they show it, and what it tells others: tokens, slices, secrets."""

import asyncio
import json
import logging
import time
from typing import Any

import pytest
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2
from prometheus_client import REGISTRY, generate_latest
from ringfence.kube import resources
from ringfence.proxyd.compiler import EnvoyCompiler
from ringfence.proxyd.wire import Kind

from e2e.cluster import ports
from e2e.cluster.controlplane import ControlPlane
from e2e.envoy import binary
from tests.component import cluster
from tests.component.proxyd_envoy import Direct, Envoy, handed
from tests.component.proxyd_rig import OWN, Fake, Plane, named, running
from tests.component.proxyd_tokens import resigned

pytestmark = pytest.mark.component


# --- tokens


def test_tokens_out_of_their_time_are_refused_whoever_signed_them(control_plane: ControlPlane) -> None:
    """The API server takes one for a minute after its end, for clocks that differ; a proxy gets nothing in it."""

    async def test(plane: Plane) -> None:
        pod, token = await plane.proxied("times")
        now = int(time.time())
        cases = {
            "TokenRejected": {"exp": now - 600, "iat": now - 4200, "nbf": now - 4200},
            "TokenExpired": {"exp": now - 5, "iat": now - 3600, "nbf": now - 3600},
            "TokenRejected: not yet": {"exp": now + 3600, "iat": now + 600, "nbf": now + 600},
            "TokenRejected: of another issuer": {"iss": "https://elsewhere.example"},
        }
        async with plane.proxyd() as serving:
            async with serving.proxy(pod, resigned(control_plane, token)) as fake:
                assert set(await fake.start()) == set(Kind)
            for why, claims in cases.items():
                async with serving.proxy(pod, resigned(control_plane, token, **claims)) as fake:
                    assert why.partition(":")[0] in await fake.refused(), why

    running(control_plane, test)


# --- EndpointSlices


PAY = "out|shop/pay|80"
SERVED = [{"name": "http", "containerPort": 8080}]


def service(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    http = {"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}
    wanted = {"selector": {"ringfence.dev/identity": name}, "ports": [http], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": wanted}


def pod_slice(namespace: str, name: str, of: str, *endpoints: dict[str, Any], family: str = "IPv4") -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": of}},
        "addressType": family,
        "endpoints": list(endpoints),
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


def endpoint(address: str, pod: str = "", namespace: str = "shop", *, ready: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = {"addresses": [address], "conditions": {"ready": ready}}
    return {**found, "targetRef": {"kind": "Pod", "name": pod, "namespace": namespace}} if pod else found


#: Where the API server is, as its own slice says; it makes none for an address of loopback.
API_SERVER = "192.0.2.6"
#: Slices that whoever may write them in `shop` and `bank` could make of the Service `pay`.
LIES = [
    pod_slice("shop", "another-pod", "pay", endpoint("10.9.0.3", "web-1")),
    pod_slice("shop", "another-pods-address", "pay", endpoint("10.9.0.3", "pay-1")),
    pod_slice("shop", "no-pods-address", "pay", endpoint("203.0.113.9", "pay-1"), endpoint("203.0.113.10")),
    pod_slice("shop", "ghost", "pay", endpoint("10.9.0.2", "ghost-1"), endpoint("10.9.0.9", "ghost-1")),
    pod_slice("shop", "api-server", "pay", endpoint(API_SERVER), endpoint(API_SERVER, "pay-1")),
    pod_slice("shop", "other-namespace", "pay", endpoint("10.9.0.4", "vault-1", "bank")),
    pod_slice("shop", "once-more", "pay", endpoint("10.9.0.2", "pay-1")),
    pod_slice("shop", "not-ready", "pay", endpoint("10.9.0.2", "pay-1", ready=False)),
    pod_slice("shop", "sixth", "pay", endpoint("fd00::3", "web-1"), family="IPv6"),
    pod_slice("bank", "from-elsewhere", "pay", endpoint("10.9.0.4", "vault-1", "bank")),
    pod_slice("bank", "of-elsewhere", "pay", endpoint("10.9.0.2", "pay-1", "shop")),
]


async def assigned(fake: Fake, name: str, within: float = 20.0) -> list[str]:
    """The next assignment of endpoints of a cluster that is not empty."""
    async with asyncio.timeout(within):
        while True:
            response = await fake.next(within)
            if response.kind is Kind.ENDPOINTS and name in response.bodies:
                found = endpoint_pb2.ClusterLoadAssignment()
                assert response.bodies[name].Unpack(found)
                places = [each for place in found.endpoints for each in place.lb_endpoints]
                addresses = [each.endpoint.address.socket_address.address for each in places]
                if addresses:
                    return addresses


def test_slices_that_lie_lead_nowhere(control_plane: ControlPlane) -> None:
    async def test(plane: Plane) -> None:
        await plane.enrol("shop", "web", "pay")
        await plane.enrol("bank", "vault")
        web = await plane.pod("shop", "web-1", "web", ports=SERVED, address="10.9.0.3")
        await plane.pod("shop", "pay-1", "pay", ports=SERVED, address="10.9.0.2")
        await plane.pod("shop", "pay-2", "pay", ports=SERVED, address="10.9.0.5")
        await plane.pod("bank", "vault-1", "vault", ports=SERVED, address="10.9.0.4")
        for namespace, name in (("shop", "web"), ("shop", "pay"), ("bank", "vault")):
            await cluster.apply(plane.api, cluster.identity(namespace, name))
        await cluster.apply(plane.api, cluster.policy("shop", "pay", "web", 8080))
        await cluster.apply(plane.api, service("shop", "pay"))
        await cluster.apply(plane.api, pod_slice("default", "kubernetes", "kubernetes", endpoint(API_SERVER)))
        for each in LIES:
            await cluster.apply(plane.api, each)
        # The truth comes last, so what was made of the lies is there when it is.
        await cluster.apply(plane.api, pod_slice("shop", "true", "pay", endpoint("10.9.0.5", "pay-2")))
        async with plane.proxyd(EnvoyCompiler()) as serving, serving.proxy(web, await plane.token(web)) as fake:
            for kind in (Kind.CLUSTERS, Kind.LISTENERS):
                await fake.ask(kind)
            await fake.ask(Kind.ENDPOINTS, PAY)
            assert await assigned(fake, PAY) == ["10.9.0.2", "10.9.0.5"]
            # A lie more while it runs, and another truth.
            late = pod_slice("shop", "late", "pay", endpoint("10.9.0.4", "pay-1"), endpoint("10.9.0.3", "pay-2"))
            await cluster.apply(plane.api, late)
            await plane.pod("shop", "pay-3", "pay", ports=SERVED, address="10.9.0.6")
            await cluster.apply(plane.api, pod_slice("shop", "true-2", "pay", endpoint("10.9.0.6", "pay-3")))
            assert await assigned(fake, PAY) == ["10.9.0.2", "10.9.0.5", "10.9.0.6"]

    running(control_plane, test)


# --- secrets


def test_no_key_and_no_token_is_in_what_others_may_read(
    control_plane: ControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    """Logs of proxyd and of a proxy, the figures of both, reports, and what Envoy's admin interface shows."""
    caplog.set_level(logging.DEBUG, logger="ringfence")

    async def test(plane: Plane) -> None:
        pod, token = await plane.proxied("hidden")
        (port,) = ports.free(1)
        async with plane.proxyd(Direct(port)) as serving:
            envoy = Envoy.start(binary(), serving, token, named(pod))
            try:
                await envoy.ready()
                (member,) = serving.parts.fleet
                await cluster.eventually(lambda: _certified(member), "it has its certificate")
                assert member.svid is not None
                own = secret_pb2.Secret()
                sent = discovery_pb2.DeltaDiscoveryResponse.FromString(member.svid.item.field)
                assert sent.resources[0].resource.Unpack(own)
                async with serving.proxy(pod, token) as fake:
                    given = await fake.start()
                keys = (own.tls_certificate.private_key.inline_bytes, handed(given[Kind.SECRETS])[1])
                path = resources.CONFIG_MAPS.path(OWN, "ringfence-proxyd-proxyd-a")
                shown = {
                    "the report": json.dumps(await plane.api.request("GET", path)),
                    "proxyd's log": "\n".join(str(each.__dict__) for each in caplog.records),
                    "proxyd's figures": generate_latest(REGISTRY).decode(),
                    "the proxy's log": envoy.log(),
                    "the proxy's figures": await envoy.get("/stats/prometheus"),
                    "the proxy's configuration": await envoy.get("/config_dump?include_eds"),
                    "the proxy's certificates": await envoy.get("/certs"),
                }
            finally:
                envoy.stop()
        assert "redacted" in shown["the proxy's configuration"]
        assert "hidden/web-1" in shown["proxyd's log"]
        secret = [token, token.rpartition(".")[2], "PRIVATE KEY"]
        secret += [line for key in keys for line in key.decode().splitlines()[1:-1]]
        assert len(secret) >= 7
        for where, text in shown.items():
            assert text, where
            assert not [each for each in secret if each in text], where

    running(control_plane, test)


async def _certified(member: Any) -> bool:
    return bool(member.acknowledged and member.certified)
