"""What a namespace's admin prepares before the namespace is enrolled, or enforced, on a real API server.

Who writes the trust bundle says whom the proxies of a namespace take for proxyd, and so what their rules are. Before
enrolment the ConfigMap of that name is anybody's; afterwards it says what Ringfence says, whatever was done to keep it.
And what others say in the namespace ``default`` of where the API server is.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from ringfence.inject import pods
from ringfence.inject.injection import Injection
from ringfence.kube import client, resources
from ringfence.model import proxy
from ringfence.model.names import LABEL_MANAGED_BY, LABEL_PURPOSE, MANAGED_BY
from ringfence.model.proxy_settings import ProxySettings
from ringfence.pki import store
from ringfence.reconcile import staging
from ringfence.reconcile.trust_bundle import PURPOSE

from e2e.cluster.controlplane import ControlPlane
from tests.component import cluster, people
from tests.component.certificates import identity, reason
from tests.component.controller_rig import OWN, Plane, unguard
from tests.component.test_cli import deployment

pytestmark = pytest.mark.component

FORGED = "-----BEGIN CERTIFICATE-----\nforged\n-----END CERTIFICATE-----\n"
HOW = Injection(ProxySettings(enabled=True, image="registry.example/envoy:v1.40.0"))
HELD = {"finalizers": ["tenant.example/keep"]}
OURS = {"labels": {LABEL_MANAGED_BY: MANAGED_BY, LABEL_PURPOSE: PURPOSE}}


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    with ControlPlane("before-enrolment") as running:
        prepared = Plane(running)
        prepared.prepare()
        yield prepared


def forged(namespace: str, **fields: Any) -> dict[str, Any]:
    metadata = {"name": store.MARKER_NAME, "namespace": namespace, **fields.pop("metadata", {})}
    data = {store.BUNDLE_KEY: FORGED, "proxyd-ca.crt": FORGED}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data, **fields}


def drive(plane: Plane, scenario: Callable[[client.Client], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with plane.writer() as api, asyncio.timeout(180):
            await scenario(api)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("name", "fields", "goes"),
    [
        ("plain", {}, False),
        ("labelled", {"metadata": OURS}, False),
        ("binary", {"binaryData": {"sds-ca.json": "eA=="}}, False),
        ("immutable", {"immutable": True}, False),
        ("held", {"metadata": HELD}, False),
        ("going", {"metadata": HELD}, True),
        ("immutable-and-held", {"immutable": True, "metadata": HELD}, False),
        ("immutable-and-going", {"immutable": True, "metadata": HELD | OURS}, True),
    ],
)
def test_whatever_was_there_before_enrolment_is_replaced(
    plane: Plane, name: str, fields: dict[str, Any], goes: bool
) -> None:
    async def scenario(api: client.Client) -> None:
        place = resources.CONFIG_MAPS.path(name, store.MARKER_NAME)
        await cluster.apply(api, cluster.namespace(name))
        await cluster.apply(api, identity(name, "payments"))
        await api.request("POST", resources.CONFIG_MAPS.path(name), body=forged(name, **fields))
        if goes:
            await api.request("DELETE", place)
        async with plane.controller():
            await cluster.apply(api, cluster.namespace(name, "enforce"))
            await reason(api, name, "payments", "Issued")
            found = await api.request("GET", place)
            assert FORGED not in found["data"].values()
            assert set(found["data"]) == {store.BUNDLE_KEY}
            assert "BEGIN CERTIFICATE" in found["data"][store.BUNDLE_KEY]
            assert not found.get("binaryData")
            assert not found.get("immutable")

    drive(plane, scenario)


def test_of_pods_from_an_audited_time_a_closed_namespace_says_that_they_could_go_past_their_proxy(plane: Plane) -> None:
    """They stay, as they came: with the capabilities that a runtime gives. Restarted they are as new ones."""

    def from_then(name: str, *, fill: bool) -> dict[str, Any]:
        plain = cluster.pod("audited", name, "payments")
        plain["spec"]["securityContext"] = {"runAsUser": 1000}
        return dict(pods.injected(plain, HOW, proxy.FIRST_UID, fill=fill))

    async def scenario(api: client.Client) -> None:
        await unguard(api)
        await cluster.apply(api, cluster.namespace("audited", "audit"))
        await cluster.apply(api, identity("audited", "payments"))
        account = {"name": "payments", "namespace": "audited"}
        await cluster.apply(api, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
        for name, fill in (("loose", False), ("held", True)):
            await api.request("POST", resources.PODS.path("audited"), body=from_then(name, fill=fill))

        async def said(words: str) -> bool:
            found = await api.request("GET", resources.NAMESPACES.path("", "audited"))
            held = staging.recorded(found)
            return held is not None and (held["status"], held["message"]) == ("True", words)

        async with plane.controller():
            await cluster.apply(api, cluster.namespace("audited", "enforce"))
            past = (
                f"{staging.CLOSED}; but pods have what leads past NetworkPolicies or their proxy, by an exception or "
                "from before the namespace was enforced: loose; the namespace's PolicyReport says what; restart those "
                "that no exception frees"
            )
            await cluster.eventually(lambda: said(past), "the pod is named")
            await cluster.delete(api, resources.PODS, "audited", "loose")
            await cluster.eventually(lambda: said(staging.CLOSED), "nothing is left to say")

    drive(plane, scenario)


def test_who_enrols_has_them_restarted(plane: Plane) -> None:
    """By the command, which says so before: of two Deployments the one whose pod is loose."""

    async def owned(api: client.Client, name: str, *, fill: bool) -> None:
        owner: dict[str, Any] = {}
        for kind in ("Deployment", "ReplicaSet"):
            made = deployment("before", name, "payments") | {"kind": kind}
            made["metadata"] |= {"ownerReferences": [owner]} if owner else {}
            made = await cluster.apply(api, made)
            owner = {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": made["metadata"]["uid"]}
            owner["controller"] = True
        plain = cluster.pod("before", name, "payments")
        plain["metadata"] |= {"ownerReferences": [owner]}
        obj = dict(pods.injected(plain, HOW, proxy.FIRST_UID, fill=fill))
        await api.request("POST", resources.PODS.path("before"), body=obj)

    async def scenario(api: client.Client) -> None:
        await unguard(api)
        own = {"name": "ringfence-config", "namespace": OWN}
        told = {"config.yaml": f"proxy: {{enabled: true, image: {HOW.settings.image!r}}}"}
        await cluster.apply(api, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": own, "data": told})
        await cluster.apply(api, cluster.namespace("before", "audit"))
        await people.service_account(api, "before", "payments")
        await cluster.apply(api, identity("before", "payments"))
        await owned(api, "loose", fill=False)
        await owned(api, "held", fill=True)
        status, out, err = await people.ringfence(plane.writer_config, "enroll", "before", "--force")
        assert status == 0, err
        assert "Deployment loose is restarted by rollout" in out
        assert "Deployment held" not in out
        found = await api.request("GET", resources.DEPLOYMENTS.path("before"))
        marks = {each["metadata"]["name"]: each["spec"]["template"]["metadata"] for each in found["items"]}
        assert "annotations" in marks["loose"]
        assert "annotations" not in marks["held"]

    drive(plane, scenario)


def api_server_slice(name: str, address: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
    }


def test_where_the_api_server_is_nobody_else_says(plane: Plane) -> None:
    """Who may write EndpointSlices in `default` would open what others allow to and from the API server."""

    async def scenario(api: client.Client) -> None:
        await cluster.apply(api, cluster.namespace("calls", "enforce"))
        await cluster.apply(api, identity("calls", "payments"))
        rule = {"name": "api", "to": [{"apiServer": True}], "ports": [6443]}
        hook = {"name": "hook", "from": [{"apiServer": True}], "ports": [8443]}
        await cluster.apply(api, cluster.policy("calls", "payments", "payments", egress=[rule], ingress=[hook]))
        await cluster.apply(api, api_server_slice("theirs", "203.0.113.66"))
        await cluster.apply(api, api_server_slice("kubernetes", "203.0.113.6"))
        async with plane.controller():

            async def written() -> str:
                found = await api.request("GET", resources.NETWORK_POLICIES.path("calls"))
                text = json.dumps(found["items"])
                return text if "203.0.113.6/32" in text else ""

            assert "203.0.113.66" not in await cluster.eventually(written, "the API server is known")

    drive(plane, scenario)
