"""Pods with their proxy before a real API server: its own admission plugins take them, and nobody gets one past it."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from ringfence.inject import check, pods, sidecar
from ringfence.inject.injection import Injection
from ringfence.model import proxy
from ringfence.model.demands import ControlId
from ringfence.model.proxy_settings import ProxySettings
from ringfence.model.resources import PodSecurityLevel
from ringfence.translate import admission_policy
from ringfence.translate.backstop.asked import Images, Level, Placed, Requirement

from tests.component import webhook_rig
from tests.component.webhook_rig import CONTROLLER, Rig, container, default_deny, identity, until

pytestmark = pytest.mark.component

#: What the kubelet says once the proxy has started.
STARTED = {
    "status": {
        "initContainerStatuses": [
            {
                "name": proxy.CONTAINER,
                "started": True,
                "ready": True,
                "image": "x",
                "imageID": "x",
                "restartCount": 0,
                "state": {},
                "lastState": {},
            }
        ]
    }
}

HOW = Injection(ProxySettings(enabled=True, image="registry.example/envoy:v1.40.0"))
IMAGE = "registry.example/program@sha256:" + "0" * 64
STANDARD = "pod-security.kubernetes.io"


def pod(name: str = "p", namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    """A pod that says nothing of security but its user."""
    given = {"containers": [{"name": "main", "image": IMAGE}], **spec}
    return webhook_rig.pod(name, namespace, **{"securityContext": {"runAsUser": 1000}, **given})


def labelled(rig: Rig, name: str, **labels: str) -> None:
    assert rig.api.merge(f"/api/v1/namespaces/{name}", {"metadata": {"labels": labels}}).ok


def enrolled(rig: Rig, name: str) -> None:
    rig.namespace(name, "enforce")
    assert rig.api.create(default_deny(name), user=CONTROLLER, groups=["system:masters"]).ok
    assert rig.api.create(identity(name, "default")).ok
    until(
        lambda: rig.api.create(pod("probe", name), dry_run=True).ok,
        15,
        lambda: str(rig.api.create(pod("x", name), dry_run=True)),
    )


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with webhook_rig.rig("injection", tmp_path_factory.mktemp("injection"), proxy=HOW) as made:
        enrolled(made, "shop")
        yield made


def made(rig: Rig, obj: dict[str, Any]) -> dict[str, Any]:
    reply = rig.api.create(obj, dry_run=True)
    assert reply.ok, reply.message
    return reply.body


def test_a_pod_gets_its_proxy_as_it_was_made(rig: Rig) -> None:
    """With all that this API server fills in, so that a field that it alone knows would be seen here."""
    found = made(rig, pod())
    uid = check.user(found["spec"]["initContainers"][0])
    assert pods.users({})[0] <= uid <= pods.users({})[1]
    assert check.problems(found, HOW) == []
    gid = check.group(found["spec"]["initContainers"][0])
    assert gid != uid
    ours = sidecar.container(HOW, uid, gid)
    assert {name: found["spec"]["initContainers"][0][name] for name in ours} == ours


def test_no_token_for_the_api_server_is_in_it(rig: Rig) -> None:
    found = made(rig, pod())
    (token,) = (each["name"] for each in found["spec"]["volumes"] if each["name"].startswith("kube-api-access"))
    mounted = {each["name"] for each in found["spec"]["initContainers"][0]["volumeMounts"]}
    assert mounted == {proxy.VOLUME, proxy.RUN_VOLUME}
    assert token in {each["name"] for each in found["spec"]["containers"][0]["volumeMounts"]}


@pytest.mark.parametrize("kind", ["probes", "jobs", "native sidecars", "users of its own"])
def test_pods_of_every_kind_get_one(rig: Rig, kind: str) -> None:
    spec: dict[str, Any] = {
        "probes": {
            "containers": [
                {
                    "name": "main",
                    "image": IMAGE,
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "livenessProbe": {"tcpSocket": {"port": "http"}},
                    "readinessProbe": {"httpGet": {"port": "http", "scheme": "HTTPS"}},
                    "startupProbe": {"grpc": {"port": 9000, "service": "a"}},
                    "lifecycle": {"preStop": {"httpGet": {"port": 8080, "path": "/bye"}}},
                }
            ]
        },
        "jobs": {"restartPolicy": "OnFailure", "initContainers": [{"name": "migrate", "image": IMAGE}]},
        "native sidecars": {"initContainers": [{"name": "log", "image": IMAGE, "restartPolicy": "Always"}]},
        "users of its own": {"hostUsers": False},
    }[kind]
    found = made(rig, pod(**spec))
    assert check.problems(found, HOW) == []
    ours = found["spec"]["initContainers"][0]
    again = pods.injected(found, HOW, check.user(ours), check.group(ours), fill=True)
    changed = pods.operations(found, again)
    assert [each["path"] for each in changed] in ([], ["/spec/initContainers"])
    for one, other in zip(found["spec"]["initContainers"], again["spec"]["initContainers"], strict=True):
        assert {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)} <= sidecar.FREE
    if kind == "probes":
        main = found["spec"]["containers"][0]
        asked = [main[name]["httpGet"]["path"] for name in ("livenessProbe", "readinessProbe", "startupProbe")]
        assert asked == [
            "/ringfence/probe/tcp/8080",
            "/ringfence/probe/https/8080/",
            "/ringfence/probe/grpc/9000/a",
        ]


def test_it_passes_the_restricted_standard_of_kubernetes_itself(rig: Rig) -> None:
    enrolled(rig, "restricted")
    labelled(rig, "restricted", **{f"{STANDARD}/enforce": "restricted", f"{STANDARD}/enforce-version": "latest"})
    strict = webhook_rig.pod("p", "restricted", containers=[container("main", image=IMAGE)])
    loose = pod("q", "restricted")
    until(lambda: "violates PodSecurity" in rig.api.create(loose, dry_run=True).message, 10)
    assert "ringfence-proxy" not in rig.api.create(loose, dry_run=True).message
    found = made(rig, strict)
    assert check.problems(found, HOW) == []


def test_it_satisfies_quotas_and_limit_ranges(rig: Rig) -> None:
    enrolled(rig, "bounded")
    rig.plane.start_controllers(["resourcequota-controller"], as_themselves=True)
    memory = dict.fromkeys(("requests.memory", "limits.memory"), "4Gi")
    hard = {"requests.cpu": "10", "limits.cpu": "10", "pods": "10", **memory}
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "all", "namespace": "bounded"},
        "spec": {"hard": hard},
    }
    limits = {
        "type": "Container",
        "max": {"cpu": "4", "memory": "1Gi"},
        "min": {"cpu": "10m", "memory": "16Mi"},
        "default": {"cpu": "500m", "memory": "128Mi", "ephemeral-storage": "1Gi"},
        "defaultRequest": {"cpu": "100m", "memory": "64Mi"},
    }
    limit = {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "all", "namespace": "bounded"},
        "spec": {"limits": [limits]},
    }
    for obj in (quota, limit):
        reply = rig.api.create(obj)
        assert reply.ok, reply.message
    until(lambda: rig.api.create(pod("p", "bounded"), dry_run=True).ok, 30)
    found = made(rig, pod("p", "bounded"))
    resources = found["spec"]["initContainers"][0]["resources"]
    assert resources["limits"]["memory"] == "256Mi"
    assert resources["requests"] == {"cpu": "20m", "memory": "40Mi"}
    assert found["spec"]["containers"][0]["resources"]["limits"]["memory"] == "128Mi"


def test_a_pod_copied_from_one_that_runs_gets_a_proxy_of_its_own(rig: Rig) -> None:
    first = made(rig, pod())
    copied = {**first, "metadata": {"name": "copy", "namespace": "shop"}}
    second = made(rig, copied)
    assert check.problems(second, HOW) == []
    assert check.user(first["spec"]["initContainers"][0]) != check.user(second["spec"]["initContainers"][0])


def test_a_debug_container_waits_and_says_its_user(rig: Rig) -> None:
    reply = rig.api.create(pod("debugged", securityContext={}))
    assert reply.ok, reply.message
    path = "/api/v1/namespaces/shop/pods/debugged"
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsUser": 1000}

    def debug(**security: Any) -> str:
        one = {"name": "debugger", "image": IMAGE, "securityContext": {**context, **security}}
        patch = {"spec": {"ephemeralContainers": [one]}}
        media = "application/strategic-merge-patch+json"
        return rig.api.request("PATCH", f"{path}/ephemeralcontainers?dryRun=All", patch, media=media).message

    assert "before the pod's proxy has started" in debug()
    assert rig.api.merge(f"{path}/status", STARTED).ok
    assert debug() == ""
    assert debug(allowPrivilegeEscalation=None, capabilities=None) == ""
    own = debug(runAsUser=check.user(reply.body["spec"]["initContainers"][0]))
    assert "the user of the proxy" in own
    assert "runAsUser is not set" in debug(runAsUser=None)


# --- with no webhook at all -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with webhook_rig.rig("alone", tmp_path_factory.mktemp("alone"), webhook=False, proxy=HOW) as made:
        made.namespace("shop", "enforce")
        made.namespace("audited", "audit")
        made.namespace("plain")
        yield made


def injected(**spec: Any) -> dict[str, Any]:
    obj = pod(**spec)
    obj["metadata"]["labels"] = {webhook_rig.IDENTITY: "default"}
    return copy.deepcopy(pods.injected(obj, HOW, 2_000_000_007, fill=True))


def test_without_webhooks_a_good_pod_passes_and_one_without_its_proxy_does_not(alone: Rig) -> None:
    assert alone.api.create(injected(), dry_run=True).ok, alone.api.create(injected(), dry_run=True).message
    bare = injected()
    bare["spec"].pop("initContainers")
    for namespace in ("shop", "audited"):
        bare["metadata"]["namespace"] = namespace
        assert "init container ringfence-proxy must come first" in alone.api.create(bare, dry_run=True).message
    bare["metadata"] = {"name": "p", "namespace": "plain"}
    assert alone.api.create(bare, dry_run=True).ok


def _wrong() -> Iterator[tuple[str, dict[str, Any], str]]:
    obj = injected()
    obj["spec"]["initContainers"][0]["image"] = "evil.example/envoy"
    yield "image", obj, "must come first"
    obj = injected()
    obj["spec"]["initContainers"][0]["command"] = ["/bin/true"]
    yield "program", obj, "must come first"
    obj = injected(initContainers=[{"name": "first", "image": IMAGE}])
    obj["spec"]["initContainers"].reverse()
    yield "order", obj, "must come first"
    obj = injected()
    obj["spec"]["initContainers"][0].pop("startupProbe")
    yield "gate", obj, "must come first"
    obj = injected()
    obj["spec"]["containers"][0]["securityContext"]["runAsUser"] = 2_000_000_007
    yield "user", obj, "runs as the user of its pod's proxy"
    obj = injected()
    obj["spec"]["securityContext"] = {"runAsUser": 2_000_000_007}
    yield "whole user", obj, "runs as the user of its pod's proxy"
    obj = injected()
    obj["spec"]["containers"][0]["volumeMounts"] = [{"name": proxy.VOLUME, "mountPath": "/x"}]
    yield "volume", obj, "mounts a volume of its pod's proxy"
    token = {"serviceAccountToken": {"audience": proxy.AUDIENCE, "path": "t"}}
    yield "token", injected(volumes=[{"name": "t", "projected": {"sources": [token]}}]), "are for proxies"


@pytest.mark.parametrize(("obj", "message"), [each[1:] for each in _wrong()], ids=[each[0] for each in _wrong()])
def test_without_webhooks_nobody_gets_past_the_proxy(alone: Rig, obj: dict[str, Any], message: str) -> None:
    reply = alone.api.create(obj, dry_run=True)
    assert message in reply.message
    assert "'ringfence-pods'" in reply.message


def test_what_policies_ask_of_images_the_backstop_asks_of_the_author_alone(alone: Rig) -> None:
    levels = (Level(PodSecurityLevel.RESTRICTED, -1, False),)
    images = (Images(ControlId.IMAGE_REGISTRIES, ("registry.example/program",), False),)
    placed = [Placed(Requirement(levels, images, enrolment=True), "shop")]
    for obj in admission_policy.objects(alone.installation, proxy=HOW, placed=placed):
        reply = alone.api.apply(obj)
        assert reply.ok, reply.message
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    whole = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}

    def strict(image: str) -> dict[str, Any]:
        return injected(
            securityContext=whole, containers=[{"name": "main", "image": image, "securityContext": context}]
        )

    evil = strict("evil.example/program")
    until(lambda: "image-registries" in alone.api.create(evil, dry_run=True).message, 15)
    reply = alone.api.create(strict(IMAGE), dry_run=True)
    assert reply.ok, reply.message
    other = strict(IMAGE)
    other["spec"]["initContainers"][0]["image"] = "evil.example/envoy"
    assert not alone.api.create(other, dry_run=True).ok
