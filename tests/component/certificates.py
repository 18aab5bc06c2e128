"""Short ways to identities, their Secrets and the CA on a real API server."""

import asyncio
import base64
import copy
import dataclasses
import time
from collections.abc import Callable, Coroutine
from typing import Any

from cryptography import x509
from ringfence.kube import client, resources
from ringfence.model.ca import Phase
from ringfence.model.names import API_VERSION
from ringfence.pki import store
from ringfence.reconcile.ca_sight import ANNOTATION_ROTATE
from ringfence.settings import CaSettings

from tests.component import cluster
from tests.component.controller_rig import OWN, SETTINGS, Plane

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


async def rotate(api: client.Client, how: str = "requested") -> None:
    path = resources.SECRETS.path(OWN, store.SECRET_NAME)
    body = {"metadata": {"annotations": {ANNOTATION_ROTATE: how}}}
    await api.request("PATCH", path, body=body, content_type=client.MERGE)


async def idle_under_another_root(api: client.Client, old: str) -> bool:
    state = await ca_state(api)
    return state.phase is Phase.IDLE and state.current.root.fingerprint != old


def bare(held: dict[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(held)
    made["metadata"] = {
        key: made["metadata"][key] for key in ("name", "namespace", "labels") if key in made["metadata"]
    }
    return made
