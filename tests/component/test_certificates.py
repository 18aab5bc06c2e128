"""Certificates against a real API server: issued, mended, renewed, rotated, and never re-rooted by mistake."""

import asyncio
import base64
import contextlib
import copy
import dataclasses
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from cryptography import x509
from ringfence.kube import client, errors, resources
from ringfence.model.ca import Phase
from ringfence.model.names import API_VERSION, LABEL_ENROLL
from ringfence.pki import bundle, store
from ringfence.reconcile.ca_sight import ANNOTATION_ROTATE
from ringfence.reconcile.secret_access import SECRETS_BINDING
from ringfence.settings import CaSettings

from e2e.cluster.controlplane import ControlPlane
from tests.component import cluster
from tests.component.controller_rig import OWN, SETTINGS, Plane

pytestmark = pytest.mark.component

#: A rotation that takes seconds; leaves get their usual lives all the same.
QUICK = dataclasses.replace(SETTINGS, ca=CaSettings(propagation=1, reissue_within=1))


class ShiftedClock:
    """The real clock, moved on by hand."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return time.time() + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    with ControlPlane("certificates", controllers=["namespace-controller"]) as running:
        prepared = Plane(running)
        prepared.prepare()
        yield prepared


def drive(plane: Plane, scenario: Callable[[client.Client], Coroutine[Any, Any, None]], seconds: float = 90) -> None:
    async def main() -> None:
        async with plane.writer() as api, asyncio.timeout(seconds):
            await scenario(api)

    asyncio.run(main())


def identity(namespace: str, name: str, **certificate: Any) -> dict[str, Any]:
    wanted = {"secretName": f"{name}-identity", **certificate}
    metadata = {"name": name, "namespace": namespace}
    spec = {"certificate": wanted}
    return {"apiVersion": API_VERSION, "kind": "ServiceIdentity", "metadata": metadata, "spec": spec}


async def secret(api: client.Client, namespace: str, name: str) -> dict[str, Any] | None:
    return await cluster.get(api, resources.SECRETS, namespace, name)


async def issued(api: client.Client, namespace: str, name: str) -> dict[str, Any]:
    """The Secret of the identity once there is one and the status speaks of the certificate in it."""

    async def check() -> dict[str, Any] | None:
        held = await secret(api, namespace, f"{name}-identity")
        if held is None:
            return None
        status = await told(api, namespace, name)
        return held if status.get("certificate", {}).get("serial") == f"{leaf(held).serial_number:x}" else None

    found: dict[str, Any] = await cluster.eventually(check, f"{namespace}/{name} has a certificate")
    return found


async def told(api: client.Client, namespace: str, name: str) -> dict[str, Any]:
    held = await cluster.get(api, resources.SERVICE_IDENTITIES, namespace, name)
    return (held or {}).get("status") or {}


async def reason(api: client.Client, namespace: str, name: str, wanted: str, within: float = 20) -> dict[str, Any]:
    """The condition CertificateReady once it has that reason."""

    async def check() -> dict[str, Any] | None:
        conditions = (await told(api, namespace, name)).get("conditions", ())
        return next((c for c in conditions if c["type"] == "CertificateReady" and c["reason"] == wanted), None)

    found: dict[str, Any] = await cluster.eventually(check, f"{namespace}/{name} says {wanted}", within)
    return found


def data(held: dict[str, Any], key: str) -> bytes:
    return base64.b64decode(held["data"][key])


def leaf(held: dict[str, Any]) -> x509.Certificate:
    return x509.load_pem_x509_certificate(data(held, "tls.crt"))


def dns_names(held: dict[str, Any]) -> list[str]:
    names = leaf(held).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName)


async def ca_state(api: client.Client) -> Any:
    held = await secret(api, OWN, store.SECRET_NAME)
    assert held is not None
    return store.read(held["data"])


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


async def rotate(api: client.Client, how: str = "requested") -> None:
    path = resources.SECRETS.path(OWN, store.SECRET_NAME)
    body = {"metadata": {"annotations": {ANNOTATION_ROTATE: how}}}
    await api.request("PATCH", path, body=body, content_type=client.MERGE)


async def idle_under_another_root(api: client.Client, old: str) -> bool:
    state = await ca_state(api)
    return state.phase is Phase.IDLE and state.current.root.fingerprint != old


def test_a_full_rotation_leaves_nobody_without_trust(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        clock = ShiftedClock()
        await cluster.apply(api, cluster.namespace("rotate", "enforce"))
        await cluster.apply(api, identity("rotate", "payments"))
        async with plane.controller(QUICK, clock):
            first = await issued(api, "rotate", "payments")
            old = (await ca_state(api)).current.root
            await rotate(api)

            async def activated() -> bool:
                return (await ca_state(api)).phase is Phase.ACTIVATED

            await cluster.eventually(activated, "the next root signs", 30)
            new = (await ca_state(api)).current.root

            async def reissued() -> dict[str, Any] | None:
                held = await secret(api, "rotate", "payments-identity")
                return held if held and leaf(held).serial_number != leaf(first).serial_number else None

            second = await cluster.eventually(reissued, "the certificate is one of the next root")
            # Who has not read the new Secret yet trusts the new leaf already, and is trusted still.
            assert bundle.same(data(second, "ca.crt"), old.certificate + new.certificate)
            clock.ahead += 25 * 3600
            await cluster.eventually(
                lambda: idle_under_another_root(api, old.fingerprint), "the old root is retired", 40
            )

            async def alone() -> bool:
                held = await secret(api, "rotate", "payments-identity")
                return held is not None and bundle.same(data(held, "ca.crt"), new.certificate)

            await cluster.eventually(alone, "the old root is in no Secret")
            annotations = ((await secret(api, OWN, store.SECRET_NAME)) or {})["metadata"].get("annotations") or {}
            assert ANNOTATION_ROTATE not in annotations

    drive(plane, scenario)


def test_killed_at_any_write_a_rotation_goes_on(plane: Plane) -> None:
    """A forced one, which needs no waiting for the end of leaves; every write of it in turn is the last."""

    async def scenario(api: client.Client) -> None:
        # Identities of other tests would only make the rotation longer.
        for item in (await api.request("GET", resources.NAMESPACES.path()))["items"]:
            if LABEL_ENROLL in item["metadata"]["labels"]:
                await cluster.apply(api, cluster.namespace(item["metadata"]["name"]))
        await cluster.apply(api, cluster.namespace("killed", "enforce"))
        await cluster.apply(api, identity("killed", "payments"))
        async with plane.controller(QUICK):
            await issued(api, "killed", "payments")
        for number in range(40):
            old = (await ca_state(api)).current.root.fingerprint
            await rotate(api, "compromised")
            if not await _cut_short(plane, api, old, number):
                assert number >= 5, "a rotation makes several writes"
                return
            async with plane.controller(QUICK):
                await cluster.eventually(lambda old=old: idle_under_another_root(api, old), f"cut at {number}", 30)
                state = await ca_state(api)

                async def settled(state: Any = state) -> bool:
                    held = await secret(api, "killed", "payments-identity")
                    return held is not None and data(held, "ca.crt") == state.bundle

                await cluster.eventually(settled, f"the Secret is of the new root, cut at {number}")
        raise AssertionError("a rotation that never ends")

    drive(plane, scenario, 400)


class _CutError(errors.Unreachable):
    retriable = False


async def _cut_short(plane: Plane, api: client.Client, old: str, number: int) -> bool:
    """Let a controller make so many writes of the rotation and not one more; whether it was cut short."""
    left, cut = number, False
    write = client.Client._send

    with pytest.MonkeyPatch.context() as patch:

        async def limited(self: client.Client, method: str, path: str, *rest: Any) -> Any:
            nonlocal left, cut
            if self is not api and method != "GET":
                if left <= 0:
                    cut = True
                    raise _CutError("the process is dead")
                left -= 1
            return await write(self, method, path, *rest)

        patch.setattr(client.Client, "_send", limited)
        with contextlib.suppress(TimeoutError):
            async with plane.running(QUICK):
                deadline = time.monotonic() + 20
                while not cut and time.monotonic() < deadline:
                    if await idle_under_another_root(api, old):
                        await asyncio.sleep(1)
                        break
                    await asyncio.sleep(0.05)
    return cut


def _corrupt(held: dict[str, Any]) -> dict[str, Any]:
    return {**held, "data": {**held["data"], "state.json": base64.b64encode(b"{").decode()}}


def _other_key(held: dict[str, Any]) -> dict[str, Any]:
    from ringfence.pki.root import make_root

    other = make_root("cluster.local", time.time(), 1 << 100)
    return {**held, "data": {**held["data"], "current.key": base64.b64encode(other.key).decode()}}


def _foreign(held: dict[str, Any]) -> dict[str, Any]:
    from ringfence.pki import slots
    from ringfence.pki.root import make_root

    other = make_root("cluster.local", time.time(), 1 << 100)
    return {**held, "data": store.encode(slots.first("cluster.local", other, time.time()))}


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (None, "CAMissing"),
        (_corrupt, "CACorrupt"),
        (_other_key, "CAForeign"),
        (_foreign, "CAForeign"),
    ],
    ids=["missing", "corrupt", "key of another", "another CA"],
)
def test_a_ca_that_cannot_be_used_is_never_replaced(plane: Plane, change: Any, wanted: str) -> None:
    async def scenario(api: client.Client) -> None:
        await cluster.apply(api, cluster.namespace("unusable", "enforce"))
        await cluster.apply(api, identity("unusable", "payments"))
        async with plane.controller():
            good = await secret(api, OWN, store.SECRET_NAME)
            before = await issued(api, "unusable", "payments")
            assert good is not None
            await api.request("DELETE", resources.SECRETS.path(OWN, store.SECRET_NAME))
            stored = None
            if change is not None:
                stored = await api.request("POST", resources.SECRETS.path(OWN), body=_bare(change(good)))
            said = await reason(api, "unusable", "payments", wanted)
            assert "ringfence ca restore" in said["message"]
            await asyncio.sleep(1)
        # Neither this process nor one that starts anew makes another root or touches what was issued.
        async with plane.controller():
            now = await secret(api, OWN, store.SECRET_NAME)
            assert (now and now["data"]) == (stored and stored["data"])
            assert await secret(api, "unusable", "payments-identity") == before
            if now is not None:
                await api.request("DELETE", resources.SECRETS.path(OWN, store.SECRET_NAME))
            await api.request("POST", resources.SECRETS.path(OWN), body=_bare(good))
            await reason(api, "unusable", "payments", "Issued")
            assert leaf(await issued(api, "unusable", "payments")).serial_number == leaf(before).serial_number

    drive(plane, scenario)


def _bare(held: dict[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(held)
    made["metadata"] = {
        key: made["metadata"][key] for key in ("name", "namespace", "labels") if key in made["metadata"]
    }
    return made


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
