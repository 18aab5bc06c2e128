"""`ringfence ca` against real API servers: the CA survives the loss of its cluster, and rights count."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ringfence import wiring
from ringfence.controller import core
from ringfence.kube import client, resources
from ringfence.model.names import API_VERSION
from ringfence.model.world import Installation
from ringfence.pki import slots, store
from ringfence.pki.root import make_root
from ringfence.settings import CaSettings, Settings

from e2e.cluster import tools
from e2e.cluster.controlplane import ControlPlane
from e2e.demo import client as demo
from e2e.demo import install as helm
from tests.component import cluster, people

pytestmark = pytest.mark.component

OWN = "ringfence-system"
PASSPHRASE = "correct horse battery staple"
SECRET = resources.SECRETS.path(OWN, store.SECRET_NAME)
MARKER = resources.CONFIG_MAPS.path(OWN, store.MARKER_NAME)


async def install(api: client.Client) -> None:
    """What the chart brings, as far as the CA needs it."""
    await cluster.apply(api, cluster.namespace(OWN))
    config = {"config.yaml": yaml.safe_dump({"trustDomain": "mesh.example"})}
    metadata = {"name": "ringfence-config", "namespace": OWN}
    await cluster.apply(api, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": config})


async def says(control_plane: ControlPlane, expected: int, *arguments: object) -> str:
    """What the command says; its exit status must be the expected one."""
    status, out, err = await people.ringfence(control_plane.kubeconfig, "ca", *map(str, arguments))
    assert status == expected, f"{arguments}: {status}\n{out}{err}"
    assert "PRIVATE" not in out + err
    return out + err


@pytest.fixture
def phrase(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text(PASSPHRASE)
    path.chmod(0o600)
    return path


def test_the_ca_survives_its_cluster(tmp_path: Path, phrase: Path) -> None:
    more = (tmp_path / "ca.backup", "--passphrase-file", phrase)
    with ControlPlane("cli-ca-lost") as first:
        cluster.install_crds(first)
        lost = asyncio.run(_live_and_keep(first, more))
    with ControlPlane("cli-ca-new") as second:
        cluster.install_crds(second)
        asyncio.run(_bring_back(second, more, lost, tmp_path))


async def _live_and_keep(control_plane: ControlPlane, more: tuple[object, ...]) -> dict[str, Any]:
    """A CA, a change of it, and a backup; the Secret as it was."""
    async with cluster.connected(control_plane) as api:
        await install(api)
        assert "NoCA" in await says(control_plane, 1, "status")
        await says(control_plane, 0, "init", "--new-root", "--yes")
        assert "Idle since" in await says(control_plane, 0, "status")
        await says(control_plane, 1, "init", "--new-root", "--yes")
        await says(control_plane, 0, "backup", *more)
        await says(control_plane, 1, "backup", *more)
        # A request is an annotation, so it changes nothing of what a backup holds.
        await says(control_plane, 0, "rotate", "--yes")
        secret: dict[str, Any] = await api.request("GET", SECRET)
        assert secret["metadata"]["annotations"] == {"ringfence.dev/rotate": "requested"}
        await says(control_plane, 1, "rotate", "--yes")
        return secret


async def _bring_back(
    control_plane: ControlPlane, more: tuple[object, ...], lost: dict[str, Any], tmp_path: Path
) -> None:
    async with cluster.connected(control_plane) as api:
        assert "there is no namespace" in await says(control_plane, 2, "restore", *more)
        await install(api)
        await says(control_plane, 0, "restore", *more)
        found = await api.request("GET", SECRET)
        assert found["data"] == lost["data"]
        assert found["type"] == lost["type"]
        assert "ringfence.dev/rotate" not in found["metadata"].get("annotations", {})
        said = json.loads(await says(control_plane, 0, "status", "-o", "json"))
        assert (said["usable"], said["phase"], said["trustDomain"]) == (True, "Idle", "mesh.example")
        assert "exactly this CA already" in await says(control_plane, 0, "restore", *more)

        # Half of it is lost, then corrupt, then somebody else's.
        await api.request("DELETE", SECRET)
        assert "CAMissing" in await says(control_plane, 1, "status")
        await says(control_plane, 0, "restore", *more)
        broken = {**lost["data"], "current.key": lost["data"]["current.crt"]}
        await api.request("PATCH", SECRET, body={"data": broken}, content_type=client.MERGE)
        assert "CACorrupt" in await says(control_plane, 1, "status")
        await says(control_plane, 0, "restore", *more)
        await api.request("DELETE", SECRET)
        await says(control_plane, 0, "init", "--new-root", "--yes")
        assert "say --replace" in await says(control_plane, 1, "restore", *more)
        await says(control_plane, 0, "restore", *more, "--replace", "--yes")
        assert (await api.request("GET", SECRET))["data"] == lost["data"]

        await _foreign(control_plane, api, more)
        await _without_rights(control_plane, api, tmp_path)


async def _foreign(control_plane: ControlPlane, api: client.Client, more: tuple[object, ...]) -> None:
    """The backup does not fit a cluster of another trust domain."""
    path = resources.CONFIG_MAPS.path(OWN, "ringfence-config")
    for domain, status, message in (("other.example", 2, "another installation"), ("mesh.example", 0, "already")):
        body = {"data": {"config.yaml": yaml.safe_dump({"trustDomain": domain})}}
        await api.request("PATCH", path, body=body, content_type=client.MERGE)
        assert message in await says(control_plane, status, "restore", *more, "--replace", "--yes")


async def _without_rights(control_plane: ControlPlane, api: client.Client, tmp_path: Path) -> None:
    """Whoever may read what is public gets just that."""
    await people.service_account(api, OWN, "viewer")
    rules = [
        {"apiGroups": [""], "resources": ["configmaps", "namespaces"], "verbs": ["get", "list"]},
        {"apiGroups": ["ringfence.dev"], "resources": ["serviceidentities"], "verbs": ["get", "list"]},
    ]
    await people.bind(api, OWN, "viewer", rules)
    config = tmp_path / "viewer"
    config.write_text(people.kubeconfig(control_plane.kubeconfig, await people.token(api, OWN, "viewer")))

    async def known() -> tuple[int, str, str] | None:
        status, out, err = await people.ringfence(config, "ca", "status")
        return (status, out, err) if "trusted" in out else None

    # The authorizer takes a moment to learn of the binding.
    status, out, err = await cluster.eventually(known, "the viewer sees the bundle")
    marker = await api.request("GET", MARKER)
    assert status == 2
    assert marker["data"]["fingerprints"][:16] in out
    assert "you need the right to read the CA's Secret" in err
    for command in (["rotate", "--yes"], ["backup", str(tmp_path / "no")], ["init", "--new-root", "--yes"]):
        status, out, err = await people.ringfence(config, "ca", *command)
        assert (status, out) == (2, ""), command
        assert "cannot get resource" in err or "may not be read" in err
    assert not (tmp_path / "no").exists()


# --- whom the chart names -------------------------------------------------------------------------------------------


def test_whom_the_chart_names_can_do_all_but_make_a_secret(tmp_path: Path, phrase: Path) -> None:
    with ControlPlane("cli-ca-admins") as running:
        cluster.install_crds(running)
        asyncio.run(_as_an_administrator(running, tmp_path, ("--passphrase-file", phrase)))


async def _as_an_administrator(control_plane: ControlPlane, tmp_path: Path, phrase: tuple[object, ...]) -> None:
    file = tmp_path / "ca.backup"
    async with cluster.connected(control_plane) as api:
        await install(api)
        state = slots.first("mesh.example", make_root("mesh.example", time.time(), 1 << 100), time.time())
        metadata = {"name": store.SECRET_NAME, "namespace": OWN}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": store.SECRET_TYPE}
        await api.request("POST", resources.SECRETS.path(OWN), body={**secret, "data": store.encode(state)})
        marker = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": store.MARKER_NAME, "namespace": OWN}}
        await cluster.apply(api, {**marker, "data": store.marker(state)})
        await people.service_account(api, OWN, "keeper")
        _name_in_the_values(control_plane, tmp_path, {"kind": "ServiceAccount", "name": "keeper", "namespace": OWN})
        config = tmp_path / "keeper"
        config.write_text(people.kubeconfig(control_plane.kubeconfig, await people.token(api, OWN, "keeper")))

        async def keeper(*arguments: object) -> tuple[int, str]:
            status, out, err = await people.ringfence(config, "ca", *map(str, arguments))
            return status, out + err

        async def known() -> bool:
            # Nothing is missing: else it says what, and ends with 2.
            status, said = await keeper("status")
            return status == 0 and "you need the right" not in said

        await cluster.eventually(known, "the keeper has the rights", 60)
        assert (await keeper("backup", file, *phrase))[0] == 0
        assert (await keeper("rotate", "--yes"))[0] == 0
        assert (await api.request("GET", SECRET))["metadata"]["annotations"] == {"ringfence.dev/rotate": "requested"}
        await api.request("PATCH", SECRET, body={"data": {"current.key": ""}}, content_type=client.MERGE)
        assert (await keeper("restore", file, *phrase, "--yes"))[0] == 0
        assert store.read((await api.request("GET", SECRET))["data"]) == state
        await api.request("DELETE", SECRET)
        status, said = await keeper("restore", file, *phrase, "--yes")
        assert status == 2
        assert "cannot create resource" in said
        assert await cluster.get(api, resources.SECRETS, OWN, store.SECRET_NAME) is None


def _name_in_the_values(control_plane: ControlPlane, tmp_path: Path, subject: dict[str, str]) -> None:
    person = demo.Client(tools.ensure(tools.CONTROL, tools.HELM), control_plane.kubeconfig)
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({"ca": {"admins": [subject]}}))
    flags = (f"--namespace={OWN}", f"--values={values}", "--show-only=templates/rbac-ca-admins.yaml")
    person.run("apply", "-f", "-", stdin=person.helm("template", helm.RELEASE, str(helm.CHART), *flags))


# --- while a controller works -----------------------------------------------------------------------------------------

SETTINGS = Settings(
    installation=Installation(trust_domain="mesh.example", pod_cidrs=("10.244.0.0/16",)),
    ca=CaSettings(propagation=1, reissue_within=1),
)


def test_a_rotation_is_followed_and_a_loss_mended_while_the_controller_runs(tmp_path: Path, phrase: Path) -> None:
    more = (tmp_path / "ca.backup", "--passphrase-file", phrase)
    with ControlPlane("cli-ca-run", controllers=["clusterrole-aggregation-controller"]) as running:
        cluster.install_crds(running)
        asyncio.run(_rotate_and_lose(running, more))


async def _rotate_and_lose(control_plane: ControlPlane, more: tuple[object, ...]) -> None:
    async with cluster.connected(control_plane) as api:
        await install(api)
        await people.service_account(api, OWN, "ringfence-controller")
        await people.bind(api, OWN, "ringfence-controller", people.CONTROLLER_RULES)
        config = control_plane.directory / "controller.kubeconfig"
        config.write_text(
            people.kubeconfig(control_plane.kubeconfig, await people.token(api, OWN, "ringfence-controller"))
        )
        await cluster.apply(api, cluster.namespace("shop", "enforce"))
        spec = {"certificate": {"secretName": "web-identity"}}
        metadata = {"name": "web", "namespace": "shop"}
        await cluster.apply(
            api, {"apiVersion": API_VERSION, "kind": "ServiceIdentity", "metadata": metadata, "spec": spec}
        )
        async with wiring.operator(SETTINGS, config) as operator, core.running(core.Core(operator)):
            before = await cluster.eventually(lambda: _issuer(api), "the identity has a certificate")
            said = json.loads(await says(control_plane, 0, "status", "-o", "json"))
            assert [(each["fingerprint"], each["certificates"]) for each in said["roots"]] == [(before, 1)]

            told = await says(control_plane, 0, "rotate", "--compromised", "--yes", "--wait", "--timeout", "60")
            assert "it concerns the programs of shop/web (0 pods)" in told
            assert "signs and the old one is gone" in told
            after = await _issuer(api)
            assert after not in {None, before}
            said = json.loads(await says(control_plane, 0, "status", "-o", "json"))
            assert [(each["role"], each["fingerprint"]) for each in said["roots"]] == [("current", after)]

            await says(control_plane, 0, "backup", *more)
            kept = (await api.request("GET", SECRET))["data"]
            await api.request("DELETE", SECRET)
            await cluster.eventually(lambda: _reason(api, "CAMissing"), "the controller says that the CA is missing")
            await says(control_plane, 0, "restore", *more)
            await cluster.eventually(lambda: _reason(api, ""), "the controller works with the CA again")
            assert (await api.request("GET", SECRET))["data"] == kept
            assert await _issuer(api) == after


async def _issuer(api: client.Client) -> str | None:
    found = await cluster.get(api, resources.SERVICE_IDENTITIES, "shop", "web")
    issuer: str | None = (((found or {}).get("status") or {}).get("certificate") or {}).get("issuer")
    return issuer


async def _reason(api: client.Client, expected: str) -> bool:
    """Whether the identity is not ready for this reason; "": that it no longer speaks of the CA."""
    found = cluster.ready(await cluster.get(api, resources.SERVICE_IDENTITIES, "shop", "web"))
    reason = found.get("reason", "")
    return reason == expected if expected else not reason.startswith("CA")
