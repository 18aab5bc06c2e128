"""While the webhook answers, nobody reads the few words of the backstop; and nothing is counted or told twice."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.component import backstop_rig, webhook_rig
from tests.component.backstop_rig import cluster_policy
from tests.component.requests_as import Reply
from tests.component.webhook_rig import ENROLL, IDENTITY, Rig, container, identity, pod, until

pytestmark = pytest.mark.component

PRIVILEGED = {"privileged": True, "allowPrivilegeEscalation": True}
STRATEGIC = "application/strategic-merge-patch+json"
EXCEPTION = {
    "name": "clock",
    "namespace": "shop",
    "identities": ["payments"],
    "controls": ["host-namespaces"],
    "reason": "a test",
    "until": "2099-01-01T00:00:00Z",
}
FLOOR = cluster_policy(
    "floor",
    namespaceSelector={},
    admission={"podSecurity": "restricted", "images": {"registries": ["registry.example"]}},
    exceptions=[EXCEPTION],
)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with webhook_rig.rig("speaks-first", tmp_path_factory.mktemp("speaks-first")) as made:
        made.enforced("shop", "default", "payments")
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "payments", "namespace": "shop"}}
        assert made.api.create(account).ok
        assert made.api.create(FLOOR).ok
        until(lambda: "[host-namespaces" in made.api.create(pod("p", "shop", hostPID=True), dry_run=True).message, 10)
        # The backstop alone: what no webhook looks at.
        resources = [FLOOR, identity("shop", "default"), identity("shop", "payments")]
        backstop_rig.hold(made, backstop_rig.world({"shop": {ENROLL: "enforce"}}, resources))
        configurations = _configurations(made)
        for each in configurations:
            assert made.api.request("DELETE", _path(each)).ok
        backstop_rig.wait_held(made, [pod("p", "shop", labels={IDENTITY: "default"}, hostPID=True)])
        made.configure()
        until(lambda: by_webhook(made.api.create(pod("p", "shop", hostPID=True), dry_run=True)), 10)
        yield made


def _configurations(rig: Rig) -> list[str]:
    kinds = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
    return [kind for kind in kinds if rig.api.request("GET", _path(kind)).ok]


def _path(kind: str) -> str:
    return f"/apis/admissionregistration.k8s.io/v1/{kind}/ringfence"


def by_webhook(reply: Reply) -> bool:
    return (
        reply.status == 403
        and "Ringfence refuses" in reply.message
        and "ValidatingAdmissionPolicy" not in reply.message
    )


def counted(rig: Rig, name: str) -> float:
    """The sum of a figure of the webhook over its other labels; ``name`` begins its lines."""
    assert rig.webhook is not None
    lines = [line for line in rig.webhook.get("/metrics")[1].splitlines() if re.match(name, line)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_a_new_pod(rig: Rig) -> None:
    bad = pod("p", "shop", hostNetwork=True, containers=[container("main", context=PRIVILEGED)])
    bad["spec"]["containers"][0]["image"] = "elsewhere.example/x"
    before = counted(rig, r'ringfence_admission_refusals_total{control="privileged"}')
    reply = rig.api.create(bad, dry_run=True)
    assert by_webhook(reply), reply.message
    for control in ("host-namespaces", "image-registries", "privileged"):
        assert f"[{control}" in reply.message
    assert "asked by ClusterSecurityPolicy floor" in reply.message
    assert counted(rig, r'ringfence_admission_refusals_total{control="privileged"}') == before + 1


def test_a_forged_label(rig: Rig) -> None:
    reply = rig.api.create(pod("p", "shop", labels={IDENTITY: "payments"}), dry_run=True)
    assert by_webhook(reply), reply.message
    assert "[identity-label]" in reply.message


def test_a_change(rig: Rig) -> None:
    assert rig.api.create(pod("changed", "shop")).ok
    where = "/api/v1/namespaces/shop/pods/changed"
    patch = [{"op": "replace", "path": "/spec/containers/0/image", "value": "elsewhere.example/x"}]
    image = rig.api.request("PATCH", where, patch, media="application/json-patch+json")
    debug: dict[str, Any] = {"name": "debug", "image": "registry.example/x", "securityContext": PRIVILEGED}
    body = {"spec": {"ephemeralContainers": [debug]}}
    ephemeral = rig.api.request("PATCH", f"{where}/ephemeralcontainers", body, media=STRATEGIC)
    for reply, said in ((image, "[image-registries"), (ephemeral, "[privileged")):
        assert by_webhook(reply), reply.message
        assert said in reply.message
    body["spec"]["ephemeralContainers"][0] = {**container("debug"), "image": "registry.example/x"}
    assert rig.api.request("PATCH", f"{where}/ephemeralcontainers", body, media=STRATEGIC).ok
    assert rig.api.merge(where, {"metadata": {"labels": {"a": "b"}, "finalizers": ["x.example/y"]}}).ok
    assert rig.api.merge(where, {"metadata": {"finalizers": None}}).ok


def test_an_exception_is_counted_once(rig: Rig) -> None:
    used = r"ringfence_admission_exceptions_used_total{"
    before, excepted = counted(rig, used), pod("excepted", "shop", serviceAccountName="payments", hostPID=True)
    assert rig.api.create(excepted, dry_run=True).ok
    assert counted(rig, used) == before
    assert rig.api.create(excepted).ok
    assert counted(rig, used) == before + 1
