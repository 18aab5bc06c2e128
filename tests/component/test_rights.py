"""The chart grants what its processes use: every right is used, none is lacking, none is granted twice.

Both processes run with the chart's own roles through what they live through; the API server's audit log says what they
asked for. What cannot be provoked here is listed with its reason, and the list must be exact in both directions.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from ringfence.kube import client, resources
from ringfence.model.foreign_policies import FOREIGN
from ringfence.pki import store
from ringfence.reconcile import scan, secret_access, serving, trust_bundle
from ringfence.reconcile.ca_sight import ANNOTATION_ROTATE
from ringfence.translate import admission_policy, webhook_config
from ringfence.translate.network_policy import DEFAULT_DENY

from e2e.cluster import kubeconfig, ports, tools
from e2e.cluster.certificates import Authority
from e2e.cluster.controlplane import ControlPlane
from e2e.demo import client as demo
from e2e.demo import install
from tests.component import cluster, controller_rig, test_controller
from tests.component.certificates import ca_state, identity, reason
from tests.component.controller_rig import GUARDS, OWN, Plane
from tests.component.test_reports import CHART_CRD
from tests.component.webhook_rig import _PROGRAM as WEBHOOK
from tests.component.webhook_rig import floor

pytestmark = [pytest.mark.component, pytest.mark.timeout(300)]


class Right(NamedTuple):
    """One verb on one resource (``pods``, ``pods/status``) of a group; ``name`` "" means any."""

    group: str
    resource: str
    verb: str
    name: str = ""


class Request(NamedTuple):
    """What was asked, where, and whether it was allowed."""

    right: Right
    allowed: bool
    namespace: str = ""

    @property
    def by_binding(self) -> bool:
        """Whether it is about the Secrets of another namespace, where the controller binds a role to itself."""
        return self.right.resource == "secrets" and self.namespace != OWN


ADMISSION = "admissionregistration.k8s.io"
RBAC = "rbac.authorization.k8s.io"
POLICIES = ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
CONFIGURATIONS = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")

#: Granted to the controller and not seen in the log of this run, by why it is needed all the same.
CONTROLLER_UNSEEN: dict[str, set[Right]] = {
    "an apply that creates is authorized as create as well; the log calls it patch": {
        Right("networking.k8s.io", "networkpolicies", "create"),
        Right("", "configmaps", "create", store.MARKER_NAME),
        Right(RBAC, "rolebindings", "create", secret_access.SECRETS_BINDING),
        Right("certificates.k8s.io", "clustertrustbundles", "create", trust_bundle.CLUSTER_NAME),
        *(Right(ADMISSION, resource, "create") for resource in (*POLICIES, *CONFIGURATIONS)),
        Right("wgpolicyk8s.io", "policyreports", "create"),
    },
    "reports of another kind, for clusters that have that one": {
        Right("openreports.io", "reports", "list"),
        Right("openreports.io", "reports", "create"),
        Right("openreports.io", "reports", "patch", scan.NAME),
        Right("openreports.io", "reports", "delete", scan.NAME),
    },
    "fields that a stranger has added go away by replacing only; two of these four kinds show it here": {
        Right(ADMISSION, "validatingadmissionpolicies", "update"),
        Right(ADMISSION, "validatingwebhookconfigurations", "update", webhook_config.NAME),
    },
    "asked of the authorizer by the API server itself, when such a binding or bundle is written": {
        Right(RBAC, "clusterroles", "bind", secret_access.SECRETS_ROLE),
        Right("certificates.k8s.io", "signers", "attest", trust_bundle.SIGNER),
    },
    "certificates are renewed after 20 days": {
        Right("", "secrets", "update", name) for name in (serving.CA_SECRET, serving.LEAF_SECRET)
    },
    "an event that comes again is counted after five minutes": {Right("events.k8s.io", "events", "patch")},
    "the Lease is the chart's, until somebody deletes it": {Right("coordination.k8s.io", "leases", "create")},
    "this network has no kinds of its own: test_foreign_policies_told.py": {
        Right(each.group, each.plural, verb) for each in FOREIGN for verb in ("list", "watch")
    },
    "images are looked at where policies ask for signatures: test_signatures.py": {
        Right("ringfence.dev", "imageverdicts", "delete"),
        Right("ringfence.dev", "imageverdicts/status", "patch"),
    },
}
#: The same of what is bound in enrolled namespaces.
SECRETS_UNSEEN: dict[str, set[Right]] = {
    "the pull secrets of a ServiceAccount are looked up where policies ask for signatures: test_signatures.py": {
        Right("", "serviceaccounts", "get"),
    },
}
#: The same of the webhook.
WEBHOOK_UNSEEN: dict[str, set[Right]] = {
    "a namespace that the caches do not know yet is asked for while its first pod waits": {
        Right("", "namespaces", "get"),
        Right("networking.k8s.io", "networkpolicies", "get"),
    },
    "images are asked for where policies ask for signatures: test_signatures.py": {
        Right("ringfence.dev", "imageverdicts", "create"),
        Right("ringfence.dev", "imageverdicts", "patch"),
    },
    "no review is sent here: whose pod a session goes into, and Events, are for reviews (test_webhook_controls)": {
        Right("", "pods", "get"),
        *(Right("events.k8s.io", "events", verb) for verb in ("create", "patch")),
    },
}


def test_the_controller_uses_what_it_may_do(asked: dict[str, list[Request]], chart: list[dict[str, Any]]) -> None:
    granted = _granted(chart, "ringfence-controller") + _granted(chart, "ringfence-certificates")
    _compare(granted, [each for each in asked["ringfence-controller"] if not each.by_binding], CONTROLLER_UNSEEN)


def test_the_controller_uses_what_it_may_do_to_secrets_of_enrolled_namespaces(
    asked: dict[str, list[Request]], chart: list[dict[str, Any]]
) -> None:
    own = [each for each in asked["ringfence-controller"] if each.by_binding]
    # A binding takes the API server a moment; until then the first list of a namespace is refused.
    early = Right("", "secrets", "list")
    seen = [each for each in own if each.allowed or each.right != early]
    _compare(_rights(chart, secret_access.SECRETS_ROLE), seen, SECRETS_UNSEEN)


def test_the_webhook_uses_what_it_may_do(asked: dict[str, list[Request]], chart: list[dict[str, Any]]) -> None:
    _compare(_granted(chart, "ringfence-webhook"), asked["ringfence-webhook"], WEBHOOK_UNSEEN)


def _compare(granted: list[Right], asked: list[Request], unused: dict[str, set[Right]] | None = None) -> None:
    assert asked
    assert sorted({each.right for each in asked if not each.allowed}) == []
    twice = [right for right, count in Counter(granted).items() if count > 1 or (right.name and _any(right) in granted)]
    assert twice == []
    used = {each.right for each in asked}
    found = {right for right in granted if right not in used and not (not right.name and _some(right, used))}
    expected = {right for rights in (unused or {}).values() for right in rights}
    assert found == expected, (
        f"granted, and never used: {_told(found - expected)}\nsaid to be unused, and is not: {_told(expected - found)}"
    )


def _told(rights: set[Right]) -> str:
    return "".join(f"\n  {each!r}" for each in sorted(rights))


def _any(right: Right) -> Right:
    return right._replace(name="")


def _some(right: Right, used: set[Right]) -> bool:
    return right in {_any(each) for each in used}


def _granted(chart: list[dict[str, Any]], role: str) -> list[Right]:
    """Every single right of the Role and the ClusterRole of this name, bound by bindings of this name."""
    bound = {(each["roleRef"]["kind"], each["roleRef"]["name"]) for each in chart if each["kind"].endswith("Binding")}
    return _rights([each for each in chart if (each["kind"], role) in bound], role)


def _rights(chart: list[dict[str, Any]], role: str) -> list[Right]:
    """Every single right of the Role and the ClusterRole of this name."""
    return [
        Right(group, resource, verb, name)
        for each in chart
        if each["kind"] in {"Role", "ClusterRole"} and each["metadata"]["name"] == role
        for rule in each["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    ]


@pytest.fixture(scope="module")
def chart() -> list[dict[str, Any]]:
    """What the chart grants."""
    programs = tools.ensure(tools.CONTROL, tools.HELM)
    person = demo.Client(programs, Path("/nonexistent"))
    rendered = person.helm("template", install.RELEASE, str(install.CHART), f"--namespace={OWN}")
    kinds = {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}
    return [each for each in yaml.safe_load_all(rendered) if each and each["kind"] in kinds]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Request]]:
    """What each process has asked the API server in a run with everything in it, by its ServiceAccount."""
    place = tmp_path_factory.mktemp("rights")
    audit = place / "audit.log"
    wanted = ["namespace-controller", "serviceaccount-controller"]
    with ControlPlane("rights", controllers=wanted, audit_log=audit) as running:
        plane = Plane(running)
        plane.prepare()
        rendered = _webhook_roles(plane)
        assert rendered
        asyncio.run(_live(plane, place))
        return _read(audit)


def _webhook_roles(plane: Plane) -> str:
    person = demo.Client(tools.ensure(tools.CONTROL, tools.HELM), plane.admin_config)
    flags = (f"--namespace={OWN}", "--show-only=templates/rbac-webhook.yaml")
    rendered = person.helm("template", install.RELEASE, str(install.CHART), *flags)
    person.run("apply", "-f", "-", stdin=rendered)
    return rendered


async def _live(plane: Plane, place: Path) -> None:
    """Everything that a controller does: close, repair, tell, open; and the webhook gets ready beside it."""
    async with plane.writer() as api, asyncio.timeout(150):
        await cluster.apply(api, yaml.safe_load(CHART_CRD.read_text()))
        await cluster.eventually(lambda: cluster.served(api, resources.POLICY_REPORTS), "reports are served")
        await test_controller.shop(api, "drifting")
        await cluster.apply(api, cluster.policy("drifting", "checkout", "nobody"))
        await cluster.apply(api, floor("floor", "baseline"))
        with plane.process("controller-rights"), _webhook(plane, place):

            async def closed() -> bool:
                return await cluster.get(api, resources.NETWORK_POLICIES, "drifting", DEFAULT_DENY) is not None

            wanted = 2 * (len(admission_policy.NAMES) + 1)

            async def guarded() -> bool:
                found = [name for each in GUARDS for name in await cluster.names(api, each)]
                return {*admission_policy.NAMES, webhook_config.NAME} <= set(found) and len(found) >= wanted

            await cluster.eventually(closed, "the namespace is closed", 40)
            await cluster.eventually(guarded, "the guards are there", 40)
            wanted = await _calm(api)
            for what, drift in test_controller.DRIFTS.items():
                await asyncio.sleep(0.4)
                await drift(api)
                await cluster.eventually(lambda: _is(api, wanted), f"repaired: {what}")
            await _certificates(api, "drifting")
            await asyncio.sleep(3)
            await cluster.apply(api, cluster.namespace("drifting"))

            async def opened() -> bool:
                return not await closed()

            await cluster.eventually(opened, "the namespace is open")

            async def forgotten() -> bool:
                return await cluster.get(api, resources.POLICY_REPORTS, "drifting", scan.NAME) is None

            await cluster.eventually(forgotten, "its report is gone", 120)
            await asyncio.sleep(2)


async def _calm(api: client.Client) -> Any:
    """What the controller has written, once it writes nothing more."""
    before: Any = None
    while (now := await _written(api)) is None or now != before:
        before = now
        await asyncio.sleep(1)
    return now


async def _is(api: client.Client, wanted: Any) -> bool:
    return bool(await _written(api) == wanted)


async def _written(api: client.Client) -> Any:
    """None while something of it is missing."""
    with contextlib.suppress(AssertionError):
        return await controller_rig.snapshot(api, "drifting")
    return None


async def _certificates(api: client.Client, where: str) -> None:
    """Issue, mend, tell from others', clear away, and rotate the CA."""
    secrets, maps = resources.SECRETS, resources.CONFIG_MAPS

    async def there(name: str, key: str = "tls.key") -> dict[str, Any] | None:
        held = await cluster.get(api, secrets, where, name)
        return held if held and (held.get("data") or {}).get(key) else None

    async def changed(path: str, body: dict[str, Any]) -> None:
        await api.request("PATCH", path, body=body, content_type=client.MERGE)

    await cluster.apply(api, identity(where, "keeper"))
    await cluster.eventually(lambda: there("keeper-identity"), "a certificate is issued")
    await changed(secrets.path(where, "keeper-identity"), {"data": {"ca.crt": ""}})
    await cluster.eventually(lambda: there("keeper-identity", "ca.crt"), "a Secret is mended")
    await cluster.delete(api, secrets, where, "keeper-identity")
    await cluster.eventually(lambda: there("keeper-identity"), "a deleted Secret is back")
    await changed(maps.path(where, store.MARKER_NAME), {"data": {"ca.crt": "forged"}})
    await cluster.delete(api, resources.ROLE_BINDINGS, where, secret_access.SECRETS_BINDING)
    theirs = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs-identity", "namespace": where}}
    await api.request("POST", secrets.path(where), body=theirs)
    await cluster.apply(api, identity(where, "theirs"))
    await reason(api, where, "theirs", "SecretNotOurs")
    moved = identity(where, "keeper", secretName="another-identity")
    await cluster.apply(api, {**moved, "spec": {**moved["spec"], "serviceAccountName": "another"}})
    await cluster.eventually(lambda: there("another-identity"), "the other Secret is there")
    before = (await ca_state(api)).current.root
    await changed(
        secrets.path(OWN, store.SECRET_NAME), {"metadata": {"annotations": {ANNOTATION_ROTATE: "compromised"}}}
    )

    async def rotated() -> bool:
        return (await ca_state(api)).current.root != before and await there("keeper-identity") is None

    await cluster.eventually(rotated, "the CA is another one, the Secret that nobody wants is gone", 40)


@contextlib.contextmanager
def _webhook(plane: Plane, place: Path) -> Iterator[None]:
    """The webhook as its own user."""
    authority = Authority(plane.control_plane.directory / "pki", "ca")
    user = f"system:serviceaccount:{OWN}:ringfence-webhook"
    config = kubeconfig.write(
        place / "webhook.kubeconfig",
        server=plane.control_plane.server,
        authority=authority.pair.certificate,
        user=authority.issue("webhook", user=user, groups=["system:authenticated"]),
        name="webhook",
    )
    (port,) = ports.free()
    text = "httpHost: 127.0.0.1\nhttpPort: 0\nlogFormat: text\n"
    command = [sys.executable, "-c", WEBHOOK, text, str(port), str(config), "0.2"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
        assert process.poll() is None
    finally:
        process.kill()
        process.wait(10)


def _read(audit: Path) -> dict[str, list[Request]]:
    found: dict[str, list[Request]] = {}
    *lines, _ = audit.read_text().split("\n")
    for line in lines:
        entry = json.loads(line)
        user, about = entry["user"]["username"], entry.get("objectRef")
        # The tests' own hand is the controller's user too, with other groups.
        if about is None or "system:masters" in entry["user"].get("groups", ()):
            continue
        resource = "/".join(part for part in (about["resource"], about.get("subresource")) if part)
        right = Right(about.get("apiGroup", ""), resource, entry["verb"], about.get("name", ""))
        allowed = entry.get("annotations", {}).get("authorization.k8s.io/decision") != "forbid"
        request = Request(right, allowed, about.get("namespace", ""))
        found.setdefault(user.rpartition(":")[2], []).append(request)
    return found
