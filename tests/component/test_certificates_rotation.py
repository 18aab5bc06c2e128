"""Certificates of a CA that rotates, is killed while it does, or cannot be used, on a real API server."""

import asyncio
import base64
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ringfence.kube import client, errors, resources
from ringfence.model.ca import Phase
from ringfence.model.names import LABEL_ENROLL
from ringfence.pki import bundle, store
from ringfence.reconcile.ca_sight import ANNOTATION_ROTATE

from e2e.cluster.controlplane import ControlPlane
from tests.component import cluster
from tests.component.certificates import (
    QUICK,
    ShiftedClock,
    bare,
    ca_state,
    data,
    drive,
    identity,
    idle_under_another_root,
    issued,
    leaf,
    reason,
    rotate,
    secret,
)
from tests.component.controller_rig import OWN, Plane

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    with ControlPlane("rotation", controllers=["namespace-controller"]) as running:
        prepared = Plane(running)
        prepared.prepare()
        yield prepared


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
                stored = await api.request("POST", resources.SECRETS.path(OWN), body=bare(change(good)))
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
            await api.request("POST", resources.SECRETS.path(OWN), body=bare(good))
            await reason(api, "unusable", "payments", "Issued")
            assert leaf(await issued(api, "unusable", "payments")).serial_number == leaf(before).serial_number

    drive(plane, scenario)
