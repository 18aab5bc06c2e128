"""What people see of proxies on a real node: spans at a collector, who comes in plaintext, whether all is in force."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import backend
from e2e.demo import install, mesh
from e2e.demo.client import Client, Object, until
from e2e.scenarios.conftest import Sandboxes

pytestmark = [pytest.mark.node, pytest.mark.timeout(400)]

SETTLES = 30.0
SPACE, PORT = "collector", 4317
RECEIVER = Path(__file__).parents[1] / "demo" / "otlp_receiver.py"


def collector(image: str) -> list[Object]:
    """A namespace that is not enrolled, with a collector of spans in it."""
    place = {"name": "collector", "namespace": SPACE}
    labels = {"app": "collector"}
    container = {
        "name": "collector",
        "image": image,
        "command": [mesh.PYTHON, f"/program/{RECEIVER.name}", "0.0.0.0", str(PORT)],
        "volumeMounts": [{"name": "program", "mountPath": "/program", "readOnly": True}],
    }
    pod = {"containers": [container], "volumes": [{"name": "program", "configMap": {"name": "collector"}}]}
    template = {"metadata": {"labels": labels}, "spec": {**pod, "terminationGracePeriodSeconds": 1}}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": place, "data": {RECEIVER.name: RECEIVER.read_text()}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": place,
            "spec": {"selector": labels, "ports": [{"name": "otlp", "port": PORT}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": place,
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
    ]


@pytest.fixture(scope="module")
def traced(cluster: backend.Cluster, admin: Client, image: str, ringfence: None) -> Iterator[str]:
    """Ringfence with proxies that send their spans to a collector; the image that programs run on."""
    del ringfence
    admin.apply(collector(image))
    tracing = {"address": f"collector.{SPACE}.svc:{PORT}", "podLabels": {"app": "collector"}, "sampling": 100}
    try:
        install.install(cluster, image, {**install.with_proxies(cluster), "proxy.tracing": tracing})
        install.wait_ready(cluster)
        install.wait_proxies_ready(cluster)
        mesh.wait_running(admin, SPACE, "collector")
        yield image
    finally:
        install.install(cluster, image)
        install.wait_ready(cluster)
        admin.run("delete", "namespace", SPACE, "--wait=false")


def _ringfence(cluster: backend.Cluster, *words: str) -> tuple[int, Any]:
    command = [sys.executable, "-m", "ringfence", *words, "--kubeconfig", str(cluster.kubeconfig), "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def _spans(admin: Client) -> list[dict[str, Any]]:
    said = admin.run("logs", f"--namespace={SPACE}", "deployment/collector")
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def test_a_call_in_a_closed_namespace_has_a_span_at_each_end(
    cluster: backend.Cluster, admin: Client, traced: str, sandbox: Sandboxes
) -> None:
    space = sandbox("traced", enroll="enforce").name
    admin.apply([mesh.program(space), mesh.allow(space, "store", "web", mesh.HTTP)])
    for name in ("store", "web"):
        admin.apply(mesh.service(space, name, traced))
    mesh.wait_running(admin, space, "store", "web")
    until(lambda: mesh.call(admin, space, "web", "store", 80).outcome == "200", "web reaches store", SETTLES, every=1)

    def pairs() -> list[tuple[dict[str, Any], dict[str, Any]]]:
        found = [each for each in _spans(admin) if each["resource"].get("service.namespace") == space]
        clients = {each["span"]: each for each in found if each["kind"] == "client"}
        return [(clients[each["parent"]], each) for each in found if each["parent"] in clients]

    until(lambda: bool(pairs()), "the spans of both ends have come", SETTLES, every=1)
    client, server = pairs()[0]
    assert client["trace"] == server["trace"]
    assert (client["resource"]["service.name"], server["resource"]["service.name"]) == ("web", "store")
    assert client["attributes"]["ringfence.peer"] == f"spiffe://cluster.local/ns/{space}/sa/store"
    assert server["attributes"]["ringfence.peer"] == f"spiffe://cluster.local/ns/{space}/sa/web"
    assert f"{space}/store-web#web" in server["attributes"]["ringfence.policy"]
    assert re.match(rf"{space}/store-", server["attributes"]["node_id"])
    # What its proxies enforce is what is written.
    admin.run("wait", "--for=condition=Programmed", "secpol/store-web", f"--namespace={space}", "--timeout=30s")
    pod = server["attributes"]["node_id"].split("/")[1]

    def same() -> bool:
        shown = _ringfence(cluster, "proxy", "show", f"{space}/{pod}")[1]
        return bool(shown["proxy"]) and shown["revision"] == shown["proxy"]["revision"]

    until(same, "it uses what is worked out for it, the collector in it", SETTLES, every=1)


def test_who_comes_in_plaintext_is_told_by_the_logs_of_the_node(
    cluster: backend.Cluster, admin: Client, traced: str, sandbox: Sandboxes
) -> None:
    outside = sandbox("outside").name
    admin.apply([mesh.program(outside), *mesh.service(outside, "old", traced)])
    space = sandbox("permissive", enroll="audit").name
    rule = [{"name": "web", "from": [{"identity": {"namespace": space, "name": "web"}}], "ports": [mesh.HTTP]}]
    admin.apply([mesh.program(space), mesh.policy(space, "store", "store", rule, transport={"mtls": "Permissive"})])
    for name in ("store", "web"):
        admin.apply(mesh.service(space, name, traced))
    mesh.wait_running(admin, outside, "old")
    mesh.wait_running(admin, space, "store", "web")
    until(lambda: mesh.call(admin, space, "web", "store", 80).outcome == "200", "web reaches store", SETTLES, every=1)
    # A pod is ready before every node's kube-proxy has heard of it.
    call = (outside, "old", f"store.{space}", 80)
    until(lambda: mesh.call(admin, *call).outcome == "200", "old reaches store", SETTLES, every=1)

    def plain() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = _ringfence(cluster, "proxy", "peers", f"{space}/store")[1]["plaintext"]
        return found

    # Envoy keeps lines for up to ten seconds.
    until(lambda: bool(plain()), "the call without a proxy is told", SETTLES, every=2)
    (found,) = plain()
    assert found["peer"].startswith(f"{outside}/old (pod old-")
    assert (found["port"], found["strict"]) == (mesh.HTTP, "refused")
    status, told = _ringfence(cluster, "proxy", "peers", f"{space}/store")
    assert (status, told["safeForStrict"], told["unread"]) == (1, False, [])
