"""The controls beyond Pod Security, sessions and exceptions on a real API server with the webhook as a process."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.component import webhook_rig
from tests.component.requests_as import Reply
from tests.component.webhook_rig import Rig, container, pod, until

pytestmark = pytest.mark.component

DIGEST = "@sha256:" + "0123456789abcdef" * 4
GOOD = "registry.example/program" + DIGEST
SECRET = "hunter22-and-more"
EXCEPTION = {"namespace": "shop", "reason": "OPS-1", "until": "2099-01-01T00:00:00Z"}


def policy(kind: str, name: str, spec: dict[str, Any], namespace: str = "") -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "ringfence.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


FLOOR = policy(
    "ClusterSecurityPolicy",
    "floor",
    {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}},
        "admission": {
            "podSecurity": "baseline",
            "images": {"registries": ["registry.example", "docker.io/library/nginx"], "requireDigest": True},
            "credentials": {"forbidInEnvironment": True, "forbidInArguments": True, "forbidSecretVariables": True},
            "pods": {"forbidHostAliases": True, "forbidPrivilegedPorts": True},
            "sessions": {"forbidExec": True, "forbidAttach": True, "forbidPortForward": True},
        },
        "exceptions": [
            {**EXCEPTION, "name": "node", "identities": ["agent"], "controls": ["host-path"]},
            {**EXCEPTION, "name": "ports", "identities": ["agent"], "controls": ["privileged-ports"]},
            {**EXCEPTION, "name": "shell", "identities": ["agent"], "controls": ["exec"]},
            {**EXCEPTION, "name": "old", "identities": ["agent"], "controls": ["host-aliases"]}
            | {"until": "2020-01-01T00:00:00Z"},
        ],
    },
)
AUDIT = policy(
    "SecurityPolicy",
    "later",
    {"mode": "Audit", "admission": {"pods": {"requireReadOnlyRoot": True}}},
    "audited",
)
HOST_PATH = [{"name": "v", "hostPath": {"path": "/"}}]
LOW_PORT = [{"containerPort": 80}]


AUDIT_LOG = "audit.log"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    directory = tmp_path_factory.mktemp("controls")
    with webhook_rig.rig("controls", directory, audit_log=directory / AUDIT_LOG) as made:
        made.enforced("shop", "default", "agent")
        made.enforced("audited", "default")
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "agent", "namespace": "shop"}}
        assert made.api.create(account).ok
        # Without a mounted token, so that a merge patch can say all of its containers.
        bare = {"automountServiceAccountToken": False, "containers": [container("main", image=GOOD)]}
        for each in (pod("running", "shop", **bare), AUDIT):
            reply = made.api.create(each)
            assert reply.ok, reply.message
        reply = made.api.create(FLOOR)
        assert reply.ok, reply.message
        until(lambda: not create(made, image="nginx").ok, 10)
        until(lambda: made.api.create(pod("p", "audited"), dry_run=True).warnings, 10)
        yield made


def create(rig: Rig, account: str = "default", *, spec: dict[str, Any] | None = None, **fields: Any) -> Reply:
    """A dry run of a pod whose one container has these fields."""
    containers = [container("main", **{"image": GOOD, **fields})]
    return rig.api.create(
        pod("p", "shop", serviceAccountName=account, containers=containers, **(spec or {})), dry_run=True
    )


@pytest.mark.parametrize("own", [["127.0.0.1"], ["10.96.0.10", "::1"]])
def test_a_pod_has_no_name_servers_of_its_own(rig: Rig, own: list[str]) -> None:
    """A program in the pod may be one, and its proxy asks it by which address a host is reached."""
    reply = create(rig, spec={"dnsPolicy": "None", "dnsConfig": {"nameservers": own}})
    assert reply.status == 403
    assert "spec.dnsConfig.nameservers" in reply.message
    assert "[host-aliases, asked by ClusterSecurityPolicy floor]" in reply.message
    assert create(rig, spec={"dnsPolicy": "Default", "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}}).ok


def test_what_is_good_passes(rig: Rig) -> None:
    reply = create(rig, env=[{"name": "A", "value": "b"}], ports=[{"containerPort": 8080}])
    assert reply.ok, reply.message
    assert create(rig, image="nginx" + DIGEST).ok


@pytest.mark.parametrize(
    ("image", "control"),
    [
        (GOOD.partition("@")[0], "image-digest"),
        ("registry.example.evil.example/program" + DIGEST, "image-registries"),
        ("REGISTRY.evil/program" + DIGEST, "image-registries"),
        ("evil.example/registry.example/program" + DIGEST, "image-registries"),
        ("nginx-evil" + DIGEST, "image-registries"),
        ("registry.example:5000/program" + DIGEST, "image-registries"),
        ("r\u0435gistry.example/program" + DIGEST, "image-registries"),
        ("sha256:" + "0" * 64, "image-registries"),
    ],
)
@pytest.mark.parametrize("kind", ["containers", "initContainers", "sidecar"])
def test_images_of_every_kind_of_container(rig: Rig, image: str, control: str, kind: str) -> None:
    bad = container("bad", image=image, **({"restartPolicy": "Always"} if kind == "sidecar" else {}))
    reply = (
        create(rig, image=image)
        if kind == "containers"
        else create(rig, spec={"initContainers": [container("good", image=GOOD), bad]})
    )
    assert reply.status == 403
    assert f"[{control}, asked by ClusterSecurityPolicy floor]" in reply.message


@pytest.mark.parametrize(
    ("media", "patch"),
    [
        (
            "application/merge-patch+json",
            {"spec": {"containers": [container("main", image="evil.example/x" + DIGEST)]}},
        ),
        (
            "application/strategic-merge-patch+json",
            {"spec": {"containers": [{"name": "main", "image": "evil.example/x" + DIGEST}]}},
        ),
        (
            "application/json-patch+json",
            [{"op": "replace", "path": "/spec/containers/0/image", "value": "evil.example/x" + DIGEST}],
        ),
    ],
)
def test_the_image_of_a_running_pod_is_judged_by_every_patch(rig: Rig, media: str, patch: Any) -> None:
    path = "/api/v1/namespaces/shop/pods/running"
    reply = rig.api.request("PATCH", path, json.dumps(patch).encode(), media=media)
    assert reply.status == 403, reply.message
    assert "image-registries" in reply.message


def test_an_ephemeral_container_is_judged(rig: Rig) -> None:
    path = "/api/v1/namespaces/shop/pods/running/ephemeralcontainers"
    for image, ok in (("evil.example/debug" + DIGEST, False), (GOOD, True)):
        patch = {"spec": {"ephemeralContainers": [container("debug", image=image)]}}
        media = "application/strategic-merge-patch+json"
        reply = rig.api.request("PATCH", f"{path}?dryRun=All", json.dumps(patch).encode(), media=media)
        assert reply.ok == ok, reply.message


def test_credentials_are_refused_and_shown_nowhere(rig: Rig) -> None:
    assert rig.webhook is not None
    reply = create(
        rig,
        command=["run", f"--token={SECRET}"],
        env=[
            {"name": "DB_PASSWORD", "value": SECRET},
            {"name": "DB", "value": f"postgres://till:{SECRET}@db/shop"},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
    )
    assert reply.status == 403
    for field in ("command[1]", "env[0].value", "env[1].value", "env[2].valueFrom.secretKeyRef"):
        assert f"spec.containers[0].{field} " in reply.message
    assert SECRET not in reply.message
    until(lambda: "DB_PASSWORD" in rig.webhook.log.read_text(), 5)
    assert SECRET not in rig.webhook.log.read_text()


@pytest.mark.parametrize("way", ["exec?command=sh", "attach?stdout=true", "portforward?ports=8080"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_sessions_are_refused(rig: Rig, method: str, way: str) -> None:
    reply = rig.api.request(method, f"/api/v1/namespaces/shop/pods/running/{way}")
    assert reply.status == 403
    assert "into Pod shop/running" in reply.message
    # Where no policy closes them the API server goes on, and finds that no node runs this pod.
    assert rig.api.create(pod("open", "audited")).status in {201, 409}
    reply = rig.api.request(method, f"/api/v1/namespaces/audited/pods/open/{way}")
    assert "does not have a host assigned" in reply.message


def test_sessions_into_pods_that_do_not_exist(rig: Rig) -> None:
    assert rig.api.request("POST", "/api/v1/namespaces/shop/pods/nobody/exec?command=sh").status == 404


def test_an_exception_frees_its_identity_and_two_do_not_add_up(rig: Rig) -> None:
    assert create(rig, "agent", spec={"volumes": HOST_PATH}).ok
    assert create(rig, "agent", ports=LOW_PORT).ok
    both = create(rig, "agent", ports=LOW_PORT, spec={"volumes": HOST_PATH})
    assert both.status == 403
    assert "two never combine" in both.message
    assert not create(rig, "default", spec={"volumes": HOST_PATH}).ok
    ended = create(rig, "agent", spec={"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}]})
    assert "[host-aliases, " in ended.message


def test_an_exception_for_exec_opens_a_pod_that_needs_no_other(rig: Rig) -> None:
    made = {"serviceAccountName": "agent", "containers": [container("main", image=GOOD)]}
    for name, more in (("plain", {}), ("mounts", {"volumes": HOST_PATH})):
        reply = rig.api.create(pod(name, "shop", **made, **more))
        assert reply.ok, reply.message
    opened = rig.api.request("POST", "/api/v1/namespaces/shop/pods/plain/exec?command=sh")
    assert "does not have a host assigned" in opened.message
    closed = rig.api.request("POST", "/api/v1/namespaces/shop/pods/mounts/exec?command=sh")
    assert closed.status == 403
    assert "floor/shell does not cover all that the pod breaks" in closed.message
    attached = rig.api.request("POST", "/api/v1/namespaces/shop/pods/plain/attach?stdout=true")
    assert attached.status == 403


def test_audit_warns_and_tells_the_owner_once(rig: Rig) -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "0-1", "controller": True}
    for name in ("web-a", "web-b", "web-dry"):
        made = pod(name, "audited")
        made["metadata"]["ownerReferences"] = [owner if name != "web-dry" else {**owner, "name": "dry"}]
        reply = rig.api.create(made, dry_run=name == "web-dry")
        assert reply.ok, reply.message
        assert any("read-only-root, asked by SecurityPolicy audited/later" in each for each in reply.warnings)

    def events() -> list[dict[str, Any]]:
        found = rig.api.request("GET", "/apis/events.k8s.io/v1/namespaces/audited/events").body.get("items", [])
        return [each for each in found if each["regarding"]["kind"] == "ReplicaSet"]

    until(lambda: bool(events()), 10)
    (only,) = events()
    assert only["regarding"]["name"] == "web"
    assert (only["reason"], only["type"]) == ("PolicyViolated", "Warning")
    assert only["reportingController"] == "ringfence.dev/webhook"


def test_the_use_of_an_exception_is_told_and_counted(rig: Rig) -> None:
    assert rig.webhook is not None
    made = pod("counted", "shop", serviceAccountName="agent", containers=[container("main", image=GOOD)])
    made["spec"]["volumes"] = HOST_PATH
    assert rig.api.create(made).ok

    def events() -> list[dict[str, Any]]:
        found = rig.api.request("GET", "/apis/events.k8s.io/v1/namespaces/shop/events").body.get("items", [])
        return [each for each in found if each["regarding"]["name"] == "counted"]

    until(lambda: bool(events()), 10)
    assert events()[0]["reason"] == "ExceptionUsed"
    assert "floor/node until 2099-01-01T00:00:00Z (host-path): OPS-1" in events()[0]["note"]
    assert 'exceptions_used_total{exception="node",policy="floor"}' in rig.webhook.get("/metrics")[1]


def test_an_exception_for_a_control_that_does_not_exist_is_refused(rig: Rig) -> None:
    wrong = policy(
        "ClusterSecurityPolicy", "wrong", {**FLOOR["spec"], "exceptions": [{**FLOOR["spec"]["exceptions"][0]}]}
    )
    wrong["spec"]["exceptions"][0]["controls"] = ["image-registry"]
    reply = rig.api.create(wrong, dry_run=True)
    assert reply.status == 422
    assert "image-registry is no control" in reply.message


def test_the_audit_log_of_the_api_server_says_what_was_decided_and_why(rig: Rig) -> None:
    bare = [container("main", image=GOOD)]
    kept = pod("told-excepted", "shop", serviceAccountName="agent", containers=bare, volumes=HOST_PATH)
    refused = pod("told-refused", "shop", containers=bare, volumes=HOST_PATH)
    for made in (kept, refused, pod("told-reported", "audited")):
        rig.api.create(made)
    rig.api.request("POST", "/api/v1/namespaces/shop/pods/running/exec?command=sh")
    floor = "ClusterSecurityPolicy floor"
    assert _told(rig, "told-excepted") == {
        "pods.ringfence.dev/exception": "floor/node until 2099-01-01T00:00:00Z (host-path)"
    }
    assert _told(rig, "told-refused") == {
        "pods.ringfence.dev/violations": "host-path",
        "pods.ringfence.dev/policies": floor,
    }
    assert _told(rig, "told-reported") == {
        "pods.ringfence.dev/audit-violations": "read-only-root",
        "pods.ringfence.dev/policies": "SecurityPolicy audited/later",
    }
    assert _told(rig, "running", "exec") == {
        "sessions.ringfence.dev/violations": "exec",
        "sessions.ringfence.dev/policies": floor,
    }


def _told(rig: Rig, name: str, subresource: str = "") -> dict[str, str]:
    """What Ringfence's webhooks said to the audit log of the last write to a pod, once it is there."""
    found: dict[str, str] = {}

    def there() -> bool:
        found.update(_logged(rig, name, subresource))
        return bool(found)

    until(there, 10)
    return found


def _logged(rig: Rig, name: str, subresource: str) -> dict[str, str]:
    *lines, _ = (rig.directory / AUDIT_LOG).read_text().split("\n")
    found: dict[str, str] = {}
    for entry in map(json.loads, lines):
        about = entry.get("objectRef") or {}
        if (about.get("resource"), about.get("name"), about.get("subresource", "")) == ("pods", name, subresource):
            given = entry.get("annotations") or {}
            found = {key: value for key, value in given.items() if ".ringfence.dev/" in key} or found
    return found
