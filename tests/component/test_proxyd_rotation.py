"""proxyd and the controller together: a rotation waits for every proxy, statuses say how far policies have come."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ringfence.controller.core import Core
from ringfence.kube import client, resources
from ringfence.model import proxy
from ringfence.model.ca import Phase
from ringfence.pki import store
from ringfence.reconcile import proxy_reports

from tests.component import cluster, controller_rig, proxyd_controller
from tests.component.proxyd_controller import run, together
from tests.component.proxyd_rig import OWN, Plane, Server
from tests.unit.proxyd.xds import answer

pytestmark = pytest.mark.component

PODS = {"shop": ("web", "pay"), "killed": ("web",), "told": ("web",)}


@pytest.fixture(scope="module")
def rig() -> Iterator[controller_rig.Plane]:
    with proxyd_controller.rig("proxyd-rotation", _populate) as made:
        yield made


async def _populate(plane: Plane) -> None:
    for namespace, names in PODS.items():
        await plane.enrol(namespace, *names)
        for name in names:
            await plane.pod(namespace, f"{name}-1", name)
    await cluster.apply(plane.api, cluster.policy("told", "web", "other"))


async def _pod(plane: Plane, namespace: str, name: str) -> dict[str, Any]:
    held = await cluster.get(plane.api, resources.PODS, namespace, name)
    assert held is not None
    return held


def test_a_rotation_waits_for_every_proxy_by_name_and_then_all_have_new_certificates(
    rig: controller_rig.Plane,
) -> None:
    async def test(plane: Plane) -> None:
        web, pay = await _pod(plane, "shop", "web-1"), await _pod(plane, "shop", "pay-1")
        async with (
            together(rig, plane) as (heart, serving),
            serving.proxy(web, await plane.token(web)) as one,
            serving.proxy(pay, await plane.token(pay)) as two,
        ):
            await one.start()
            await two.start()
            await cluster.eventually(lambda: _reported(plane, 2), "the report names both")
            before = heart.operator.ca.state.current.root.fingerprint
            await _ask(plane, "requested")
            await cluster.eventually(lambda: _phase(heart, Phase.PREPARED), "a new root is prepared")
            bundle = await one.next(acknowledge=True)
            assert set(bundle.versions) == {proxy.SDS_BUNDLE}
            held_back = await two.next(acknowledge=False)
            await cluster.eventually(lambda: _waits_for(heart, "proxy shop/pay-1"), "it waits for the one by name")
            await asyncio.sleep(4)
            assert heart.operator.ca.state.phase is Phase.PREPARED
            assert heart.operator.ca.step.waiting_for == ("proxy shop/pay-1",)
            await two.stream.write(answer(held_back))
            await cluster.eventually(lambda: _phase(heart, Phase.ACTIVATED), "the new root signs")
            after = heart.operator.ca.state.current.root.fingerprint
            assert after != before
            for each in (one, two):
                renewed = await each.next(15.0)
                assert set(renewed.versions) == {proxy.SDS_IDENTITY}
            assert {each.svid.root for each in serving.parts.fleet} == {after}

    run(rig, test)


def test_a_proxy_whose_replica_was_killed_is_waited_for(rig: controller_rig.Plane) -> None:
    async def test(plane: Plane) -> None:
        web = await _pod(plane, "killed", "web-1")
        async with together(rig, plane) as (heart, serving):
            async with serving.proxy(web, await plane.token(web)) as fake:
                await fake.start()
                await cluster.eventually(lambda: _reported(plane, 1), "the report names it")
            await cluster.eventually(lambda: _left(serving), "it has left")
            await asyncio.sleep(2.5)
            await _ask(plane, "requested")
            await cluster.eventually(
                lambda: _waits_for(heart, "proxy killed/web-1 (not connected)"), "it waits for who is away", 30
            )
            # It comes back to whichever replica there is.
            async with serving.proxy(web, await plane.token(web)) as fake:
                await fake.start()
                await cluster.eventually(lambda: _phase(heart, Phase.ACTIVATED), "the new root signs")

    run(rig, test)


def test_a_policy_says_how_many_of_its_proxies_enforce_it(rig: controller_rig.Plane) -> None:
    async def test(plane: Plane) -> None:
        web = await _pod(plane, "told", "web-1")
        async with together(rig, plane) as (_, serving), serving.proxy(web, await plane.token(web)) as fake:
            await fake.start()
            await cluster.eventually(lambda: _programmed(plane, {"ready": 1, "total": 1}), "1 of 1")
            await cluster.apply(plane.api, cluster.policy("told", "web", "third"))
            changed = await fake.next(acknowledge=False)
            await cluster.eventually(lambda: _programmed(plane, {"ready": 0, "total": 1}), "0 of 1")
            await fake.stream.write(answer(changed))
            for _ in range(3):
                await fake.next()
            await cluster.eventually(lambda: _programmed(plane, {"ready": 1, "total": 1}), "1 of 1 again")
            assert len(serving.parts.classes) == 1
            status, listed = await _command(rig, "list", "-n", "told")
            assert status == 0
            assert [(each["pod"], each["newest"], each["bundle"]) for each in listed["proxies"]] == [
                ("web-1", True, "current")
            ]
            assert listed["proxies"][0]["identity"] == "spiffe://cluster.local/ns/told/sa/web"
            status, shown = await _command(rig, "show", "-n", "told", "web-1")
            assert (status, shown["proxy"]) == (0, listed["proxies"][0])
            assert (await _command(rig, "show", "-n", "told", "other"))[0] == 2

    run(rig, test)


async def _command(rig: controller_rig.Plane, *words: str) -> tuple[int, Any]:
    """Exit status and answer of `ringfence proxy`, as a person runs it."""
    command = [sys.executable, "-m", "ringfence", "proxy", *words, "-o", "json", "--kubeconfig", str(rig.admin_config)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout or "null")


async def _ask(plane: Plane, what: str) -> None:
    path = resources.SECRETS.path(OWN, store.SECRET_NAME)
    body = {"metadata": {"annotations": {"ringfence.dev/rotate": what}}}
    await plane.api.request("PATCH", path, body=body, content_type=client.MERGE)


async def _phase(heart: Core, phase: Phase) -> bool:
    state = heart.operator.ca.state
    return state is not None and state.phase is phase


async def _waits_for(heart: Core, name: str) -> bool:
    step = heart.operator.ca.step
    return step is not None and name in step.waiting_for


async def _left(serving: Server) -> bool:
    return len(serving.parts.fleet) == 0


async def _reported(plane: Plane, connected: int) -> bool:
    found = await plane.api.request(
        "GET", resources.CONFIG_MAPS.path(OWN), query={"labelSelector": proxy_reports.SELECTOR}
    )
    reports, bad = proxy_reports.readable(found["items"])
    assert not bad
    newest = proxy_reports.newest(reports, time.time())
    return sum(each[1] and bool(each[0].bundle) for each in newest.values()) == connected


async def _programmed(plane: Plane, wanted: dict[str, int]) -> bool:
    held = await cluster.get(plane.api, resources.SECURITY_POLICIES, "told", "web")
    return ((held or {}).get("status") or {}).get("programmed") == wanted
