"""The controller against a real API server: what it makes, what it repairs, and what it lives through."""

import asyncio
import contextlib
import json
import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from ringfence.kube import client, errors, resources, watch
from ringfence.kube.apply import KubeApplier
from ringfence.model.names import LABEL_ENROLL
from ringfence.translate.admission_policy import CONDITION_ENFORCED
from ringfence.translate.network_policy import DEFAULT_DENY

from e2e.cluster import ports
from e2e.cluster.controlplane import ControlPlane
from tests.component import cluster, controller_rig
from tests.component.controller_rig import GUARDS, OWN, Plane
from tests.component.drifts import ALLOW, DRIFTS

pytestmark = pytest.mark.component

NP = resources.NETWORK_POLICIES
DRIFT_SECONDS = 5.0


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    with ControlPlane("controller", controllers=["namespace-controller", "serviceaccount-controller"]) as running:
        prepared = Plane(running)
        prepared.prepare()
        yield prepared


def drive(plane: Plane, scenario: Callable[[client.Client], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario with somebody's client, at most a minute and a half."""

    async def main() -> None:
        async with plane.writer() as api, asyncio.timeout(90):
            await scenario(api)

    asyncio.run(main())


async def shop(api: client.Client, namespace: str, enroll: str = "enforce") -> None:
    """A namespace with two identities, one of which may call the other."""
    await cluster.apply(api, cluster.namespace(namespace, enroll))
    for name in ("payments", "checkout"):
        await cluster.apply(api, cluster.identity(namespace, name))
    await cluster.apply(api, cluster.policy(namespace, "payments", "checkout"))


async def enforced(api: client.Client, namespace: str) -> dict[str, Any]:
    """The condition of the Namespace, empty when it has none."""
    found = await cluster.get(api, resources.NAMESPACES, "", namespace)
    conditions = (found or {})["status"].get("conditions", ())
    return next((each for each in conditions if each["type"] == CONDITION_ENFORCED), {})


def test_a_namespace_closes_and_everybody_is_told(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        await shop(api, "closing")
        async with plane.controller():
            names = await cluster.names(api, resources.NETWORK_POLICIES, "closing")
            assert {DEFAULT_DENY, ALLOW, "ringfence-allow-dns"} <= set(names)
            assert (await enforced(api, "closing"))["status"] == "True"
            held = await cluster.get(api, resources.SECURITY_POLICIES, "closing", "payments")
            assert cluster.ready(held)["reason"] == "InForce"
            assert (held or {})["status"]["networkPolicies"] == 1
            for resource in GUARDS:
                assert await cluster.names(api, resource), resource.kind
            secrets = await cluster.names(api, resources.SECRETS, OWN)
            assert secrets == ["ringfence-ca", "ringfence-serving-ca", "ringfence-webhook-tls"]

    drive(plane, scenario)


def test_what_is_as_it_shall_be_is_not_written_again(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        await shop(api, "quiet")
        async with plane.controller():
            before = await controller_rig.snapshot(api, "quiet")
        versions = await _versions(api)
        async with plane.controller():
            assert await _versions(api) == versions
            assert await controller_rig.snapshot(api, "quiet") == before

    drive(plane, scenario)


async def _versions(api: client.Client) -> dict[str, str]:
    """resourceVersions of everything that the controller may write."""
    found = {}
    for resource in (
        *GUARDS,
        resources.NETWORK_POLICIES,
        resources.SECURITY_POLICIES,
        resources.SERVICE_IDENTITIES,
        resources.NAMESPACES,
        resources.SECRETS,
        resources.EVENTS,
    ):
        for item in (await api.request("GET", resource.path()))["items"]:
            metadata = item["metadata"]
            found[f"{resource.kind} {metadata.get('namespace')}/{metadata['name']}"] = metadata["resourceVersion"]
    return found


def test_drift_is_repaired_within_seconds(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        await shop(api, "drifting")
        async with plane.controller():
            wanted = await controller_rig.snapshot(api, "drifting")
            for what, drift in DRIFTS.items():
                await drift(api)

                async def repaired() -> bool:
                    with contextlib.suppress(AssertionError):
                        return await controller_rig.snapshot(api, "drifting") == wanted
                    return False

                await cluster.eventually(repaired, what, within=DRIFT_SECONDS)

    drive(plane, scenario)


def test_pods_from_before_enrolment_keep_a_namespace_open(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        await shop(api, "staged", enroll="")

        async def created() -> bool:
            with contextlib.suppress(errors.Forbidden):
                await cluster.apply(api, cluster.pod("staged", "old"))
                return True
            return False

        await cluster.eventually(created, "the namespace has its default ServiceAccount")
        async with plane.controller():
            await cluster.apply(api, cluster.namespace("staged", "enforce"))

            async def said(reason: str) -> bool:
                return (await enforced(api, "staged")).get("reason") == reason

            await cluster.eventually(lambda: said("Staged"), "it says that it waits")
            assert "old" in (await enforced(api, "staged"))["message"]
            assert await cluster.names(api, NP, "staged") == []
            await api.request(
                "DELETE",
                resources.PODS.path("staged", "old"),
                body={"gracePeriodSeconds": 0, "kind": "DeleteOptions", "apiVersion": "v1"},
            )
            await cluster.eventually(lambda: said("Closed"), "it closes when the last is gone")

            async def closed() -> bool:
                return DEFAULT_DENY in await cluster.names(api, NP, "staged")

            await cluster.eventually(closed, "its network is closed")
            await cluster.apply(api, cluster.namespace("staged"))

            async def opened() -> bool:
                return not await cluster.names(api, NP, "staged") and not await enforced(api, "staged")

            await cluster.eventually(opened, "un-enrolled, it opens and nothing is left")

    drive(plane, scenario)


def test_a_policy_about_nobody_is_told_on_the_policy_and_by_an_event(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        await shop(api, "typo")
        await cluster.apply(api, cluster.policy("typo", "payments", "chekout"))
        async with plane.controller():
            held = await cluster.get(api, resources.SECURITY_POLICIES, "typo", "payments")
            said = cluster.ready(held)
            assert (said["status"], said["reason"]) == ("False", "UnknownIdentity")
            assert "chekout" in said["message"]
            events = (await api.request("GET", resources.EVENTS.path("typo")))["items"]
            about = [each for each in events if each["regarding"]["name"] == "payments"]
            assert [(each["type"], each["reason"]) for each in about] == [("Warning", "UnknownIdentity")]
            # The identity comes: the policy of the other resource is looked at again.
            await cluster.apply(api, cluster.identity("typo", "chekout"))

            async def mended() -> bool:
                return (
                    cluster.ready(await cluster.get(api, resources.SECURITY_POLICIES, "typo", "payments"))["status"]
                    == "True"
                )

            await cluster.eventually(mended, "it is in force once the identity exists")

    drive(plane, scenario)


def test_after_expiry_what_vanished_is_noticed(plane: Plane) -> None:
    """The API server forgets the version that a watch stood at, while the watch is away and objects vanish."""

    async def scenario(api: client.Client) -> None:
        await shop(api, "expiring")
        told: list[tuple[str, str]] = []
        reflector = watch.Reflector(api, resources.SERVICE_IDENTITIES, watch.Selection("expiring"))
        first = asyncio.create_task(reflector.run())
        await reflector.wait_synced()
        await asyncio.sleep(0.2)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        reflector.subscribe(lambda *key: told.append(key))
        await cluster.delete(api, resources.SERVICE_IDENTITIES, "expiring", "checkout")
        await cluster.apply(api, cluster.identity("expiring", "ledger"))
        await asyncio.to_thread(plane.control_plane.stop_apiserver)
        await asyncio.to_thread(plane.control_plane.start_apiserver)
        second = asyncio.create_task(reflector.run())

        async def noticed() -> bool:
            return [each["metadata"]["name"] for each in reflector.list()] == ["ledger", "payments"]

        await cluster.eventually(noticed, "the cache is what a fresh list would give")
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        assert {("expiring", "checkout"), ("expiring", "ledger")} <= set(told)

    drive(plane, scenario)


def test_it_lives_through_a_restart_of_the_api_server(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        await shop(api, "restarting")
        async with plane.controller() as heart:
            await asyncio.to_thread(plane.control_plane.stop_apiserver)
            await asyncio.sleep(1.5)
            assert heart.operator.caches.stale_for(asyncio.get_running_loop().time()) > 1
            assert heart.operator.caches["policies"].get("restarting", "payments")
            await asyncio.to_thread(plane.control_plane.start_apiserver)

            async def changed() -> bool:
                with contextlib.suppress(errors.KubeError):
                    await cluster.apply(api, cluster.policy("restarting", "payments", "checkout", port=9999))
                    return True
                return False

            await cluster.eventually(changed, "the API server takes writes again")

            async def written() -> bool:
                held = await cluster.get(api, NP, "restarting", ALLOW)
                return held is not None and held["spec"]["ingress"][0]["ports"][0]["port"] == 9999

            await cluster.eventually(written, "the change is in force")

            async def ready() -> bool:
                return heart.why_not_ready() == ""

            await cluster.eventually(ready, "its other watches are back as well")

    drive(plane, scenario)


def test_the_process_answers_probes_ends_when_told_and_leaves_no_trace_of_kopf(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        await shop(api, "process")
        (port,) = ports.free()
        with plane.process(port=port) as process:

            async def ready() -> bool:
                assert process.poll() is None, (process.stderr or "").read()  # type: ignore[union-attr]
                return await asyncio.to_thread(_get, port, "/readyz") == (200, "ok\n")

            await cluster.eventually(ready, "the process is ready")
            assert await asyncio.to_thread(_get, port, "/healthz") == (200, "ok\n")

            async def done() -> bool:
                held = await cluster.get(api, resources.SECURITY_POLICIES, "process", "payments")
                return cluster.ready(held).get("status") == "True"

            await cluster.eventually(done, "its policy is in force")
            # Long enough for Kopf to have listed everything.
            await asyncio.sleep(3)
            status, metrics = await asyncio.to_thread(_get, port, "/metrics")
            assert status == 200
            assert 'ringfence_resources{kind="SecurityPolicy",ready="True",reason="InForce"}' in metrics
            assert "ringfence_front_restarts_total 0.0" in metrics
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 20) == 0
        for resource in (resources.SERVICE_IDENTITIES, resources.SECURITY_POLICIES, resources.NAMESPACES):
            for item in (await api.request("GET", resource.path()))["items"]:
                assert "finalizers" not in item["metadata"]
                assert "kopf" not in json.dumps(item)

    drive(plane, scenario)


def _get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


@pytest.mark.timeout(1800)
def test_killed_after_any_write_the_next_controller_ends_in_the_same_state(plane: Plane) -> None:
    async def scenario() -> None:
        async with plane.writer() as api:
            await shop(api, "killed")
            # Other tests' namespaces would only make this longer.
            for name in await cluster.names(api, resources.NAMESPACES):
                if name not in {"killed", OWN, "default"} and not name.startswith("kube-"):
                    await cluster.apply(api, cluster.namespace(name))
            async with plane.controller():
                pass
            await controller_rig.reset(api, "killed")
            async with plane.controller():
                wanted = await controller_rig.snapshot(api, "killed")
            number = 0
            while await _killed(api, plane, number := number + 1, wanted):
                async with plane.controller():
                    assert await controller_rig.snapshot(api, "killed") == wanted, f"after {number} writes"
            # Secrets, guards, the latch, NetworkPolicies, statuses: fewer writes than these cannot be all.
            assert number > 15

    asyncio.run(scenario())


async def _killed(api: client.Client, plane: Plane, number: int, wanted: Any) -> bool:
    """Start from nothing and have it killed after ``number`` writes; False when it was done before."""
    await controller_rig.reset(api, "killed")
    with plane.process(kill_after=number) as process:
        for _ in range(600):
            await asyncio.sleep(0.05)
            if process.poll() is not None:
                assert process.returncode == -signal.SIGKILL, (process.stderr or "").read()  # type: ignore[union-attr]
                return True
            with contextlib.suppress(AssertionError):
                if await controller_rig.snapshot(api, "killed") == wanted:
                    return False
    raise AssertionError(f"neither killed nor done after {number} writes")


def test_leaving_takes_everything_that_binds_away(plane: Plane) -> None:
    from ringfence.cli.uninstall import _Cluster
    from ringfence.reconcile import uninstall

    async def scenario(api: client.Client) -> None:
        await shop(api, "leaving")
        async with plane.controller():
            assert (await enforced(api, "leaving"))["status"] == "True"
        for _ in range(2):
            await uninstall.uninstall(_Cluster(api, OWN), KubeApplier(api))
        for resource in GUARDS:
            assert await cluster.names(api, resource) == []
        assert await cluster.names(api, NP, "leaving") == []
        assert await enforced(api, "leaving") == {}
        # What is people's stays, and so do Secrets.
        assert await cluster.names(api, resources.SECURITY_POLICIES, "leaving") == ["payments"]
        held = await cluster.get(api, resources.NAMESPACES, "", "leaving")
        assert (held or {})["metadata"]["labels"][LABEL_ENROLL] == "enforce"
        assert "ringfence-serving-ca" in await cluster.names(api, resources.SECRETS, OWN)

    drive(plane, scenario)
