"""Certificates against a real API server: issued, mended, renewed, rotated, and never re-rooted by mistake."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from ringfence.kube import client, resources
from ringfence.model.names import API_VERSION
from ringfence.pki import store
from ringfence.reconcile.secret_access import SECRETS_BINDING

from e2e.cluster.controlplane import ControlPlane
from tests.component import cluster
from tests.component.certificates import (
    ShiftedClock,
    ca_state,
    data,
    dns_names,
    drive,
    identity,
    issued,
    leaf,
    reason,
    secret,
    told,
)
from tests.component.controller_rig import SETTINGS, Plane

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    with ControlPlane("certificates", controllers=["namespace-controller"]) as running:
        prepared = Plane(running)
        prepared.prepare()
        yield prepared


def test_an_identity_gets_its_certificate_with_few_writes(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        # The webhook that would label the pod runs nowhere here: the pod comes before the enrolment.
        await cluster.apply(api, cluster.namespace("issue"))
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "payments", "namespace": "issue"}}
        await cluster.apply(api, account)
        pod = cluster.pod("issue", "payments-0", "payments", labelled=False)
        pod["metadata"]["labels"] = {"app": "pay"}
        await cluster.apply(api, pod)
        await cluster.apply(api, cluster.namespace("issue", "enforce"))
        async with plane.controller() as heart:
            service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "pay", "namespace": "issue"}}
            selector = {"app": "pay"}
            await cluster.apply(api, {**service, "spec": {"selector": selector, "ports": [{"port": 443}]}})
            await cluster.eventually(
                lambda: _known(heart.operator.caches["services"].get("issue", "pay")), "the Service is in the cache"
            )
            await cluster.apply(api, identity("issue", "payments", ttl="1h"))
            held = await issued(api, "issue", "payments")
            assert held["type"] == "kubernetes.io/tls"
            assert held["metadata"]["ownerReferences"][0]["kind"] == "ServiceIdentity"
            assert dns_names(held) == ["pay.issue.svc", "pay.issue.svc.cluster.local"]
            state = await ca_state(api)
            assert data(held, "ca.crt") == state.bundle
            status = await told(api, "issue", "payments")
            assert status["certificate"]["issuer"] == state.current.root.fingerprint
            assert cluster.ready({"status": status})["status"] == "True"
            trust = await cluster.get(api, resources.CONFIG_MAPS, "issue", store.MARKER_NAME)
            assert (trust or {})["data"] == {"ca.crt": state.bundle.decode()}
            assert await cluster.get(api, resources.ROLE_BINDINGS, "issue", SECRETS_BINDING)

    drive(plane, scenario)


async def _known(obj: Any) -> bool:
    return obj is not None


def test_many_identities_cost_at_most_three_writes_each(plane: Plane) -> None:
    count = 30

    async def scenario(api: client.Client) -> None:
        await cluster.apply(api, cluster.namespace("many", "enforce"))
        async with plane.controller() as heart:
            writes = 0
            send = client.Client._send

            async def counted(self: client.Client, method: str, *rest: Any) -> Any:
                nonlocal writes
                writes += self is heart.operator.api and method != "GET"
                return await send(self, method, *rest)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(client.Client, "_send", counted)
                names = [f"id-{number}" for number in range(count)]
                await asyncio.gather(*(cluster.apply(api, identity("many", name)) for name in names))
                for name in names:
                    await issued(api, "many", name)
            assert count <= writes <= 3 * count

    drive(plane, scenario)


def test_what_is_changed_or_deleted_by_hand_is_mended(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        await cluster.apply(api, cluster.namespace("drift", "enforce"))
        await cluster.apply(api, identity("drift", "payments"))
        async with plane.controller():
            first = await issued(api, "drift", "payments")
            path = resources.SECRETS.path("drift", "payments-identity")

            async def again(which: str) -> dict[str, Any]:
                async def check() -> dict[str, Any] | None:
                    held = await secret(api, "drift", "payments-identity")
                    bundle_ok = held is not None and data(held, "ca.crt") == (await ca_state(api)).bundle
                    return held if bundle_ok and held and _pairs(held) else None

                found: dict[str, Any] = await cluster.eventually(check, f"{which} is mended")
                return found

            await api.request("DELETE", path)
            second = await again("a deleted Secret")
            assert leaf(second).serial_number != leaf(first).serial_number
            await api.request(
                "PATCH", path, body={"data": {"tls.key": first["data"]["tls.key"]}}, content_type=client.MERGE
            )
            third = await again("a strange key")
            assert leaf(third).serial_number != leaf(second).serial_number
            await api.request("PATCH", path, body={"data": {"ca.crt": ""}}, content_type=client.MERGE)
            fourth = await again("an empty bundle")
            assert fourth["data"]["tls.key"] == third["data"]["tls.key"], "the leaf was good and must be kept"
            for resource, name in (
                (resources.CONFIG_MAPS, store.MARKER_NAME),
                (resources.ROLE_BINDINGS, SECRETS_BINDING),
            ):
                await cluster.delete(api, resource, "drift", name)
                await cluster.eventually(
                    lambda resource=resource, name=name: cluster.get(api, resource, "drift", name), f"{name} is back"
                )

    drive(plane, scenario)


def _pairs(held: dict[str, Any]) -> bool:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(data(held, "tls.key"), None).public_key() == leaf(held).public_key()


def test_a_new_wish_is_a_new_certificate_and_the_old_secret_goes(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        await cluster.apply(api, cluster.namespace("wish", "enforce"))
        await cluster.apply(api, identity("wish", "payments"))
        async with plane.controller():
            first = await issued(api, "wish", "payments")
            await cluster.apply(api, identity("wish", "payments", keyAlgorithm="ECDSA-P384"))

            async def stronger() -> bool:
                held = await secret(api, "wish", "payments-identity")
                return held is not None and leaf(held).public_key().key_size == 384  # type: ignore[union-attr]

            await cluster.eventually(stronger, "the key is a P-384 one")
            other = identity("wish", "payments", secretName="other-identity")
            other["spec"]["serviceAccountName"] = "other"
            await cluster.apply(api, other)
            await cluster.eventually(lambda: secret(api, "wish", "other-identity"), "the other Secret is there")

            async def gone() -> bool:
                return await secret(api, "wish", "payments-identity") is None

            await cluster.eventually(gone, "the first Secret is gone")
            assert first

    drive(plane, scenario)


def test_names_beyond_the_own_services_need_a_grant(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        await cluster.apply(api, cluster.namespace("grant", "enforce"))
        await cluster.apply(api, identity("grant", "payments", dnsNames=["pay.example.com"]))
        async with plane.controller():
            said = await reason(api, "grant", "payments", "NamesNotGranted")
            assert "pay.example.com" in said["message"]
            held = await issued(api, "grant", "payments")
            assert dns_names(held) == []
            grants = [{"namespace": "grant", "identities": ["payments"], "dnsNames": ["*.example.com"]}]
            metadata = {"name": "names"}
            policy = {"apiVersion": API_VERSION, "kind": "ClusterSecurityPolicy", "metadata": metadata}
            await cluster.apply(api, {**policy, "spec": {"namespaceSelector": {}, "grants": grants}})
            await reason(api, "grant", "payments", "Issued")
            assert dns_names(await issued(api, "grant", "payments")) == ["pay.example.com"]
            await cluster.delete(api, resources.CLUSTER_SECURITY_POLICIES, "", "names")
            await reason(api, "grant", "payments", "NamesNotGranted")
            assert dns_names(await issued(api, "grant", "payments")) == []

    drive(plane, scenario)


def test_a_secret_of_somebody_else_is_left_alone(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        await cluster.apply(api, cluster.namespace("theirs", "enforce"))
        metadata = {"name": "payments-identity", "namespace": "theirs"}
        theirs = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"a": "b"}}
        await api.request("POST", resources.SECRETS.path("theirs"), body=theirs)
        before = await secret(api, "theirs", "payments-identity")
        await cluster.apply(api, identity("theirs", "payments"))
        async with plane.controller():
            await reason(api, "theirs", "payments", "SecretNotOurs")
            assert cluster.ready({"status": await told(api, "theirs", "payments")})["status"] == "False"
        assert await secret(api, "theirs", "payments-identity") == before

    drive(plane, scenario)


def test_certificates_are_renewed_in_time_by_a_clock_that_moves_on(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        clock = ShiftedClock()
        await cluster.apply(api, cluster.namespace("renew", "enforce"))
        await cluster.apply(api, identity("renew", "payments", ttl="10m", renewAt=0.5))
        async with plane.controller(SETTINGS, clock) as heart:
            first = await issued(api, "renew", "payments")
            clock.ahead += 600 * 0.4
            await asyncio.sleep(0.5)
            assert leaf(await issued(api, "renew", "payments")).serial_number == leaf(first).serial_number
            clock.ahead += 600 * 0.2
            heart.alarms._changed.set()  # what the look every few seconds does

            async def renewed() -> bool:
                held = await secret(api, "renew", "payments-identity")
                return held is not None and leaf(held).serial_number != leaf(first).serial_number

            await cluster.eventually(renewed, "the certificate is renewed")

    drive(plane, scenario)


def test_a_namespace_that_leaves_loses_bundle_and_access(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        await cluster.apply(api, cluster.namespace("leaves", "audit"))
        await cluster.apply(api, identity("leaves", "payments"))
        async with plane.controller() as heart:
            await issued(api, "leaves", "payments")
            await cluster.apply(api, cluster.namespace("leaves"))

            async def gone() -> bool:
                held = await cluster.get(api, resources.ROLE_BINDINGS, "leaves", SECRETS_BINDING)
                return (
                    held is None and await cluster.get(api, resources.CONFIG_MAPS, "leaves", store.MARKER_NAME) is None
                )

            await cluster.eventually(gone, "bundle and binding are gone")
            assert "leaves" not in heart.operator.secrets.all()
            assert await secret(api, "leaves", "payments-identity"), "programs may still use it until it ends"

    drive(plane, scenario)
