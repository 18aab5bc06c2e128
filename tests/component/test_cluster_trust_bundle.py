"""The ClusterTrustBundle on real API servers that have the kind and that have not, with the chart's rights alone."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import yaml
from ringfence.cli.uninstall import _Cluster
from ringfence.kube import client, errors, resources
from ringfence.kube.apply import KubeApplier
from ringfence.model.ca import Phase
from ringfence.pki import bundle, store
from ringfence.pki.root import make_root
from ringfence.reconcile import trust_bundle, uninstall

from e2e.cluster import tools
from e2e.cluster.controlplane import ControlPlane
from e2e.demo import client as demo
from e2e.demo import install
from tests.component import cluster
from tests.component.certificates import QUICK, ca_state, identity, issued, rotate, secret
from tests.component.controller_rig import OWN, USER, Plane

pytestmark = pytest.mark.component

KIND = next(each for each in resources.CLUSTER_TRUST_BUNDLES if each.api_version.endswith("/v1beta1"))
NAME = trust_bundle.CLUSTER_NAME


def drive(plane: Plane, scenario: Callable[[client.Client], Coroutine[Any, Any, None]], seconds: float = 60) -> None:
    async def main() -> None:
        async with plane.writer() as api, asyncio.timeout(seconds):
            await scenario(api)

    asyncio.run(main())


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    """One that has the kind."""
    with ControlPlane("trust-bundles") as running:
        prepared = Plane(running)
        prepared.prepare()
        yield prepared


async def held(api: client.Client) -> dict[str, Any] | None:
    return await cluster.get(api, KIND, "", NAME)


async def as_it_shall_be(api: client.Client) -> bool:
    there = await held(api)
    wanted = {"signerName": "ringfence.dev/identity", "trustBundle": (await ca_state(api)).bundle.decode()}
    return there is not None and there["spec"] == wanted


def test_it_holds_the_bundle_and_is_mended(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        async with plane.controller():
            await cluster.eventually(lambda: as_it_shall_be(api), "the ClusterTrustBundle holds the CA's bundle")
            version = (await held(api) or {})["metadata"]["resourceVersion"]
            await cluster.delete(api, KIND, "", NAME)
            await cluster.eventually(lambda: as_it_shall_be(api), "a deleted one is back")
            strange = make_root("cluster.local", 1_700_000_000.0, 1 << 100).root.certificate.decode()
            spec = {"signerName": "ringfence.dev/identity", "trustBundle": strange}
            body = {"apiVersion": KIND.api_version, "kind": KIND.kind, "metadata": {"name": NAME}, "spec": spec}
            await cluster.apply(api, body)
            await cluster.eventually(lambda: as_it_shall_be(api), "a forged one is mended")
            assert (await held(api) or {})["metadata"]["resourceVersion"] != version

    drive(plane, scenario)


def test_it_is_the_bundle_of_every_phase_before_the_next_root_signs(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        seen: set[Phase] = set()
        async with plane.controller(QUICK):
            old = (await ca_state(api)).current.root.fingerprint
            await rotate(api, "compromised")
            while True:
                state = await ca_state(api)
                there = (await held(api) or {})["spec"]["trustBundle"].encode()
                # Read later than the state: whoever signs now is trusted by now.
                assert bundle.carries(there, state.current.root.certificate)
                seen.add(state.phase)
                if state.phase is Phase.IDLE and state.current.root.fingerprint != old:
                    break
            await cluster.eventually(lambda: as_it_shall_be(api), "the old root has left it")
            assert old not in bundle.fingerprints((await held(api) or {})["spec"]["trustBundle"].encode())
        assert Phase.PREPARED in seen

    drive(plane, scenario)


def test_a_rotation_waits_for_one_that_cannot_be_written(plane: Plane) -> None:
    """The right to attest is taken away, and given back."""

    async def scenario(api: client.Client) -> None:
        path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/ringfence-certificates"
        role = await api.request("GET", path)
        less = [rule for rule in role["rules"] if "signers" not in rule["resources"]]
        assert len(less) == len(role["rules"]) - 1
        await cluster.apply(api, cluster.namespace("waits", "enforce"))
        await cluster.apply(api, identity("waits", "payments"))
        async with plane.controller(QUICK) as heart:
            first = (await ca_state(api)).current.root.fingerprint
            await api.request("PATCH", path, body={"rules": less}, content_type=client.MERGE)
            await cluster.eventually(lambda: _may_not_attest(api), "the API server knows that the right is gone")
            await rotate(api)

            async def complained() -> bool:
                step = heart.operator.ca.step
                return step is not None and step.waiting_for == (f"ClusterTrustBundle {NAME}",)

            await cluster.eventually(complained, "the rotation waits for the ClusterTrustBundle alone")
            await issued(api, "waits", "payments")
            await asyncio.sleep(2.5)
            state = await ca_state(api)
            assert (state.phase, state.current.root.fingerprint) == (Phase.PREPARED, first)
            events = await api.request("GET", resources.EVENTS.path(OWN))
            notes = [each["note"] for each in events["items"] if each["reason"] == "TrustBundleNotWritten"]
            assert notes
            assert "attest" in notes[0]
            await api.request("PATCH", path, body={"rules": role["rules"]}, content_type=client.MERGE)

            async def activated() -> bool:
                return (await ca_state(api)).phase is Phase.ACTIVATED

            await cluster.eventually(activated, "the next root signs")
            await cluster.eventually(lambda: as_it_shall_be(api), "both roots are in it")

    drive(plane, scenario)


async def _may_not_attest(api: client.Client) -> bool:
    attributes = {"group": "certificates.k8s.io", "resource": "signers", "verb": "attest", "name": trust_bundle.SIGNER}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": USER, "resourceAttributes": attributes},
    }
    answer = await api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=body)
    return not answer["status"]["allowed"]


def test_uninstalling_takes_it_away_and_then_the_secrets_if_asked(plane: Plane) -> None:
    async def scenario(api: client.Client) -> None:
        await cluster.apply(api, cluster.namespace("leaving", "audit"))
        await cluster.apply(api, identity("leaving", "payments"))
        async with plane.controller():
            await issued(api, "leaving", "payments")
            assert await held(api)
        rendered = _job_rights(plane)
        assert rendered
        job = await client.Client.connect(
            plane.config("uninstall", ["system:authenticated"], f"system:serviceaccount:{OWN}:ringfence-uninstall"),
            component="test",
        )
        try:
            await uninstall.uninstall(_Cluster(job, OWN), KubeApplier(job))
            assert await held(api) is None
            assert await secret(api, "leaving", "payments-identity")
            assert await secret(api, OWN, store.SECRET_NAME)
            await uninstall.uninstall(_Cluster(job, OWN), KubeApplier(job), secrets=True)
        finally:
            await job.close()
        assert await secret(api, "leaving", "payments-identity") is None
        assert await cluster.names(api, resources.SECRETS, OWN) == []
        async with plane.controller():
            await cluster.eventually(lambda: as_it_shall_be(api), "a later installation begins anew")

    drive(plane, scenario)


def _job_rights(plane: Plane) -> str:
    """The rights of the uninstall hook with everything that it can be told to do, and nothing else of it."""
    person = demo.Client(tools.ensure(tools.CONTROL, tools.HELM), plane.admin_config)
    flags = (f"--namespace={OWN}", "--show-only=templates/uninstall.yaml", "--set=uninstall.deleteSecrets=true")
    rendered = person.helm("template", install.RELEASE, str(install.CHART), *flags)
    kept = [each for each in yaml.safe_load_all(rendered) if each["kind"].endswith(("Role", "RoleBinding"))]
    person.apply(kept)
    return rendered


def test_where_there_is_no_such_kind_nothing_is_missing_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    without = "--runtime-config=certificates.k8s.io/v1beta1/clustertrustbundles=false"
    with ControlPlane("no-trust-bundles", arguments=[without]) as running:
        plane = Plane(running)
        plane.prepare()

        async def scenario(api: client.Client) -> None:
            for resource in resources.CLUSTER_TRUST_BUNDLES:
                with pytest.raises(errors.NotFound):
                    await api.request("GET", resource.path())
            await cluster.apply(api, cluster.namespace("shop", "enforce"))
            await cluster.apply(api, identity("shop", "payments"))
            with caplog.at_level(logging.INFO):
                async with plane.controller(QUICK):
                    await issued(api, "shop", "payments")
                    old = (await ca_state(api)).current.root.fingerprint
                    await rotate(api, "compromised")

                    async def rotated() -> bool:
                        state = await ca_state(api)
                        return state.phase is Phase.IDLE and state.current.root.fingerprint != old

                    await cluster.eventually(rotated, "a rotation is not kept up")

        drive(plane, scenario)
    said = [record for record in caplog.records if "ClusterTrustBundle" in record.getMessage()]
    assert [(record.levelname, "has no ClusterTrustBundles" in record.getMessage()) for record in said] == [
        ("INFO", True)
    ]
