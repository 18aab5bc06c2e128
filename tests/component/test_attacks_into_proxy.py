"""Ways into a proxy that runs, before a real API server: sessions, and debug containers that share its processes."""

from collections.abc import Iterator

import pytest
from ringfence.model import proxy

from tests.component import webhook_rig
from tests.component.test_injection import HOW, IMAGE, STARTED, enrolled, injected, pod
from tests.component.webhook_rig import Rig, until

pytestmark = pytest.mark.component

#: How far the API server gets with a session that nobody refuses: there are no nodes.
NO_NODE = "does not have a host assigned"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """No webhook is asked: neither is one, about sessions, where no policy closes them."""
    with webhook_rig.rig("into", tmp_path_factory.mktemp("into"), webhook=False, proxy=HOW) as made:
        made.namespace("plain")
        for name in ("shop", "audited"):
            made.namespace(name, "enforce" if name == "shop" else "audit")
            obj = injected()
            obj["metadata"]["namespace"] = name
            reply = made.api.create(obj)
            assert reply.ok, reply.message
            assert made.api.merge(f"/api/v1/namespaces/{name}/pods/p/status", STARTED).ok
        assert made.api.create({**pod("p", "plain"), "metadata": {"name": "p", "namespace": "plain"}}).ok
        until(lambda: "ringfence-proxy-sessions" in opened(made, "shop", "exec", proxy.CONTAINER), 30)
        yield made


def opened(rig: Rig, namespace: str, way: str, container: str = "") -> str:
    query = f"?container={container}" if container else "?"
    query += "&command=sh" if way == "exec" else "&stdout=true"
    return rig.api.request("POST", f"/api/v1/namespaces/{namespace}/pods/p/{way}{query}").message


@pytest.mark.parametrize("way", ["exec", "attach"])
@pytest.mark.parametrize("namespace", ["shop", "audited"])
def test_nobody_opens_a_session_into_a_proxy(alone: Rig, namespace: str, way: str) -> None:
    """Not even a cluster's administrator, as whom all this is asked."""
    message = opened(alone, namespace, way, proxy.CONTAINER)
    assert "'ringfence-proxy-sessions'" in message
    assert "open no session into it" in message


@pytest.mark.parametrize("way", ["exec", "attach"])
def test_sessions_into_programs_wait_for_nobody(alone: Rig, way: str) -> None:
    assert NO_NODE in opened(alone, "shop", way, "main")
    assert NO_NODE in opened(alone, "shop", way)
    assert "ringfence" not in opened(alone, "plain", way, proxy.CONTAINER).replace(proxy.CONTAINER, "")


def debug(rig: Rig, namespace: str, target: str, *, user: int = 1000, **fields: object) -> str:
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsUser": user}
    one = {"name": "debugger", "image": IMAGE, "securityContext": context, "targetContainerName": target, **fields}
    path = f"/api/v1/namespaces/{namespace}/pods/p/ephemeralcontainers?dryRun=All"
    patch = {"spec": {"ephemeralContainers": [one]}}
    return rig.api.request("PATCH", path, patch, media="application/strategic-merge-patch+json").message


@pytest.mark.parametrize("namespace", ["shop", "audited"])
def test_without_webhooks_no_debug_container_shares_a_proxys_processes(alone: Rig, namespace: str) -> None:
    assert debug(alone, namespace, "main") == ""
    message = debug(alone, namespace, proxy.CONTAINER)
    assert "'ringfence-pods'" in message
    assert "target another container" in message


@pytest.mark.parametrize("namespace", ["shop", "audited"])
def test_without_webhooks_no_debug_container_takes_what_is_the_proxys(alone: Rig, namespace: str) -> None:
    """Its user, past whom the redirect does not lead, and the volume with its token."""
    held = alone.api.request("GET", f"/api/v1/namespaces/{namespace}/pods/p").body["spec"]
    user = held["initContainers"][0]["securityContext"]["runAsUser"]
    message = debug(alone, namespace, "main", user=user)
    assert "'ringfence-pods'" in message
    assert "use another user" in message
    mount = {"name": proxy.VOLUME, "mountPath": "/stolen"}
    message = debug(alone, namespace, "main", volumeMounts=[mount])
    assert "'ringfence-pods'" in message
    assert "mount another" in message


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with webhook_rig.rig("debugged", tmp_path_factory.mktemp("debugged"), proxy=HOW) as made:
        enrolled(made, "shop")
        reply = made.api.create(pod())
        assert reply.ok, reply.message
        assert made.api.merge("/api/v1/namespaces/shop/pods/p/status", STARTED).ok
        yield made


def test_no_debug_container_shares_a_proxys_processes(rig: Rig) -> None:
    assert debug(rig, "shop", "main") == ""
    message = debug(rig, "shop", proxy.CONTAINER)
    assert "spec.ephemeralContainers[0].targetContainerName" in message
    assert "target another container" in message


PROXYD = f"system:serviceaccount:{webhook_rig.OWN}:ringfence-proxyd"


def config_map(name: str) -> dict[str, object]:
    metadata = {"name": name, "namespace": webhook_rig.OWN}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"config.yaml": "proxy: {}"}}


def test_whoever_has_proxyds_token_writes_its_reports_and_not_what_ringfence_is_set_to(alone: Rig) -> None:
    """As RBAC lets it write every ConfigMap there: the names of reports, which are those of pods, it cannot say."""
    alone.grant(PROXYD, [("", ["configmaps"], ["get", "create", "patch", "update", "delete"])])
    assert alone.api.create(config_map("ringfence-config")).ok
    place = f"/api/v1/namespaces/{webhook_rig.OWN}/configmaps"
    for reply in (
        alone.api.merge(f"{place}/ringfence-config", {"data": {"config.yaml": "evil"}}, user=PROXYD),
        alone.api.create(config_map("ringfence-trust-bundle"), user=PROXYD),
        alone.api.request("DELETE", f"{place}/ringfence-config", user=PROXYD),
    ):
        assert "'ringfence-proxy-reports'" in reply.message
    for _ in range(2):
        reply = alone.api.apply(config_map("ringfence-proxyd-abc"), user=PROXYD)
        assert reply.ok, reply.message
    assert alone.api.merge(f"{place}/ringfence-config", {"data": {"config.yaml": "ours"}}).ok
