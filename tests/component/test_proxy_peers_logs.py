"""`ringfence proxy peers` over what a real Envoy has logged, through an API server and a kubelet's form of logs."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ringfence.kube import client
from ringfence.model.proxy import CONTAINER

from e2e.cluster.controlplane import ControlPlane
from tests.component import cluster, kubelet, people, proxy_net
from tests.component.proxy_net import Identities, Net
from tests.component.test_proxy_envoy import API, POD, WEB, call, config
from tests.component.test_proxy_figures import permissive, written
from tests.unit.policy.making import allow, caller, policy

pytestmark = pytest.mark.component

NODE = "node-1"


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    with ControlPlane("proxy-logs", controllers=["namespace-controller"]) as running:
        cluster.install_crds(running)
        yield running


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with proxy_net.network(tmp_path_factory.mktemp("net")) as made:
        made.give("pod", [POD])
        made.give("callers", [WEB, API])
        yield made


@pytest.fixture(scope="module")
def svids(net: Net) -> Identities:
    return Identities(net.directory, "cluster.local")


def logged(net: Net, svids: Identities, calls: list[dict[str, Any]], outcomes: list[str], *policies: Any) -> list[str]:
    """The output of a proxy after these calls."""
    with proxy_net.running(net, config(*policies), svids.secrets("shop", "db")) as log:
        assert net.call(calls) == outcomes
    return kubelet.lines(log)


def test_what_a_real_proxy_has_logged_is_judged(control_plane: ControlPlane, net: Net, svids: Identities) -> None:
    web, api = svids.files("shop", "web"), svids.files("shop", "api")
    # A line that containerd cuts in parts.
    long = {**call(WEB, 8080, http=True), "path": f"/{'x' * 40_000}"}
    calls = [
        call(WEB, 8080, web, http=True),
        call(API, 8080, api, http=True),
        call(WEB, 8080, http=True),
        call(API, 8080, http=True),
        call(WEB, 5432, web),
        call(API, 5432, api),
        call(WEB, 5432),
        call(API, 5432),
        long,
    ]
    found = logged(net, svids, calls, [*(["allowed", "denied"] * 4), "allowed"], *written())
    assert max(map(len, found)) > 2 * kubelet.CUT
    assert sum(map(kubelet.is_access, found)) >= len(calls)
    status, told = asyncio.run(_peers(control_plane, found))
    assert status == 1
    assert told["safeForStrict"] is False
    assert 590 <= told["seconds"] <= 700
    assert _rows(told["plaintext"]) == {
        ("shop/web (pod web-0, 10.244.0.2)", 8080, "shop/p#web"): 2,
        ("shop/web (pod web-0, 10.244.0.2)", 5432, "shop/p#web"): 1,
    }
    assert {each["strict"] for each in told["plaintext"]} == {"refused"}
    assert _rows(told["denied"]) == {
        ("shop/api", 8080, "shop/p#api"): 1,
        ("shop/api", 5432, "TLS handshake"): 1,
        ("shop/api (pod api-0, 10.244.0.3)", 8080, "shop/p#api"): 1,
        ("shop/api (pod api-0, 10.244.0.3)", 5432, "shop/p#api"): 1,
    }
    assert _rows(told["auditDenied"]) == {
        ("shop/web", 8080, "shop/q#later"): 1,
        ("shop/web", 5432, "shop/q#later"): 1,
        ("shop/web (pod web-0, 10.244.0.2)", 8080, "shop/q#later"): 2,
        ("shop/web (pod web-0, 10.244.0.2)", 5432, "shop/q#later"): 1,
    }


def test_mutual_tls_alone_is_safe_for_strict(control_plane: ControlPlane, net: Net, svids: Identities) -> None:
    web = svids.files("shop", "web")
    calls = [call(WEB, 8080, web, http=True), call(WEB, 5432, web)]
    rules = (permissive(), policy("p", ingress=(allow("web", caller("web")),)))
    found = logged(net, svids, calls, ["allowed", "allowed"], *rules)
    status, told = asyncio.run(_peers(control_plane, found))
    assert (status, told["safeForStrict"], told["plaintext"], told["denied"]) == (0, True, [], [])


async def _peers(control_plane: ControlPlane, lines: list[str]) -> tuple[int, dict[str, Any]]:
    """Exit status and answer of the command, with these lines as the log of the one proxy."""
    now = time.time()
    # The first ten minutes ago, the others just now.
    stamped = [(now - 600 if place == 0 else now - 5 + place / 1000, line) for place, line in enumerate(lines)]
    logs = {f"shop/db-0/{CONTAINER}": kubelet.written(stamped)}
    with kubelet.serving(control_plane, logs) as port:
        async with cluster.connected(control_plane) as api:
            await _populate(api, port, now)
        config_ = control_plane.kubeconfig
        status, out, err = await people.ringfence(config_, "proxy", "peers", "shop/db", "-o", "json")
        assert err == ""
    return status, json.loads(out)


async def _populate(api: client.Client, port: int, now: float) -> None:
    await cluster.apply(api, cluster.namespace("shop", "audit"))
    transport = {"transport": {"mtls": "Permissive"}}
    await cluster.apply(api, cluster.policy("shop", "db", "web", **transport))
    await kubelet.register(api, NODE, port)
    for name, address in (("db", POD), ("web", WEB), ("api", API)):
        await people.service_account(api, "shop", name)
        pod = cluster.pod("shop", f"{name}-0", name)
        sidecar = {"name": CONTAINER, "image": "localhost/envoy:1", "restartPolicy": "Always"}
        pod["spec"] |= {"initContainers": [sidecar], "nodeName": NODE}
        await cluster.apply(api, pod)
        await kubelet.running(api, ("shop", f"{name}-0"), address, CONTAINER, now - 3600)


def _rows(rows: list[dict[str, Any]]) -> dict[tuple[str, int, str], int]:
    return {(each["peer"], each["port"], each["rule"]): each["connections"] for each in rows}
