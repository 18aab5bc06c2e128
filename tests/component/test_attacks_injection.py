"""Attacks on injection, each before a real API server: opt-outs, reserved names, and webhooks that come later."""

import base64
import http.server
import itertools
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ringfence.inject import check, sidecar
from ringfence.model import proxy
from ringfence.pki import serving

from e2e.cluster import ports
from tests.component import webhook_rig
from tests.component.test_injection import HOW, IMAGE, enrolled, pod
from tests.component.webhook_rig import Rig, until

pytestmark = pytest.mark.component

Change = Callable[[dict[str, Any]], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with webhook_rig.rig("attacks", tmp_path_factory.mktemp("attacks"), proxy=HOW) as made:
        enrolled(made, "shop")
        yield made


def refused(rig: Rig, obj: dict[str, Any]) -> str:
    reply = rig.api.create(obj, dry_run=True)
    assert not reply.ok
    return reply.message


@pytest.mark.parametrize(
    "words",
    [
        {"sidecar.istio.io/inject": "false"},
        {"linkerd.io/inject": "disabled"},
        {"proxy.example/inject": "false", "kubernetes.io/config.source": "file"},
    ],
)
@pytest.mark.parametrize("where", ["labels", "annotations"])
def test_no_word_of_the_author_opts_a_pod_out(rig: Rig, where: str, words: dict[str, str]) -> None:
    obj = pod()
    obj["metadata"][where] = words
    reply = rig.api.create(obj, dry_run=True)
    assert reply.ok, reply.message
    assert check.problems(reply.body, HOW) == []


def test_nobody_but_a_kubelet_shows_a_static_pod(rig: Rig) -> None:
    obj = pod()
    obj["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    obj["spec"]["nodeName"] = "n"
    refused(rig, obj)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"containers": [{"name": proxy.CONTAINER, "image": IMAGE}]}, "choose another"),
        (
            {"initContainers": [{"name": proxy.CONTAINER, "image": IMAGE}]},
            "choose another",
        ),
        (
            {
                "containers": [
                    {"name": "a", "image": IMAGE, "volumeMounts": [{"name": proxy.VOLUME, "mountPath": "/x"}]}
                ]
            },
            "mount another",
        ),
        ({"containers": [{"name": "a", "image": IMAGE, "ports": [{"containerPort": 15021}]}]}, "which is the proxy's"),
        (
            {"containers": [{"name": "a", "image": IMAGE, "livenessProbe": {"tcpSocket": {"port": 15020}}}]},
            "which is the proxy's",
        ),
        ({"shareProcessNamespace": True}, "spec.shareProcessNamespace"),
        ({"hostNetwork": True}, "spec.hostNetwork"),
        ({"hostPID": True}, "spec.hostPID"),
        (
            {"containers": [{"name": "a", "image": IMAGE, "securityContext": {"privileged": True}}]},
            "securityContext.privileged",
        ),
        (
            {
                "containers": [
                    {"name": "a", "image": IMAGE, "securityContext": {"capabilities": {"add": ["net_admin"]}}}
                ]
            },
            "which leads past its proxy",
        ),
        ({"containers": [{"name": "a", "image": "registry.example/x"}], "securityContext": {}}, "runAsUser is not set"),
        *(
            (
                {"containers": [{"name": "a", "image": IMAGE, "securityContext": {"capabilities": {"add": [name]}}}]},
                "which leads past its proxy",
            )
            for name in ("SYS_MODULE", "cap_dac_read_search", "SYS_RAWIO", "PERFMON", "SYS_TIME", "MAC_ADMIN")
        ),
        ({"hostUsers": False, "securityContext": {}}, "one of the few users that its proxy may have"),
    ],
)
def test_nobody_takes_what_is_the_proxys(rig: Rig, spec: dict[str, Any], message: str) -> None:
    assert message in refused(rig, pod(**spec))


def test_a_sidecar_of_the_authors_own_is_not_taken_over(rig: Rig) -> None:
    """Whoever could choose its user could have an image that runs as it; whoever could choose its image, anything."""
    own = {**sidecar.container(HOW, 2_000_000_001), "image": "evil.example/envoy", "command": ["/bin/true"]}
    reply = rig.api.create(pod(initContainers=[own]), dry_run=True)
    assert reply.ok, reply.message
    assert check.problems(reply.body, HOW) == []
    assert check.user(reply.body["spec"]["initContainers"][0]) != 2_000_000_001


# --- other webhooks ---------------------------------------------------------------------------------------------------


class Meddler(http.server.BaseHTTPRequestHandler):
    """A mutating webhook of somebody else's."""

    change: Change = staticmethod(lambda _: [])
    #: Where it changes something: what it said before is asked for elsewhere.
    place: ClassVar[str] = ""

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        response: dict[str, Any] = {"uid": review["request"]["uid"], "allowed": True}
        here = self.path.partition("?")[0] == type(self).place
        patch = type(self).change(review["request"]["object"]) if here else []
        if patch:
            response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
        body = json.dumps(
            {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def meddler(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Change, str], None]]:
    """Puts a webhook after Ringfence's: what it changes, and whether it insists (is asked again, too)."""
    ca = serving.make_ca(time.time(), 11)
    leaf = serving.issue(ca, ["localhost"], time.time(), 12)
    pem: Path = tmp_path_factory.mktemp("meddler") / "pem"
    pem.write_bytes(leaf.key + leaf.certificate)
    (port,) = ports.free(1)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Meddler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    numbers = itertools.count()

    def put(change: Change, reinvocation: str) -> None:
        seen = threading.Event()
        place = f"/{next(numbers)}"

        def noted(obj: dict[str, Any]) -> list[dict[str, Any]]:
            if obj["metadata"].get("name") == reinvocation.lower():
                seen.set()
            return change(obj)

        Meddler.change, Meddler.place = staticmethod(noted), place
        webhook = {
            "name": "meddler.example.com",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {
                "url": f"https://localhost:{port}{place}",
                "caBundle": base64.b64encode(ca.certificate).decode(),
            },
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            "sideEffects": "None",
            "reinvocationPolicy": reinvocation,
            "failurePolicy": "Fail",
        }
        configuration = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "zz-meddler"},
            "webhooks": [webhook],
        }
        path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zz-meddler"
        body = {**configuration}
        rig.api.request("DELETE", path)
        media = "application/apply-patch+yaml"
        assert rig.api.request("PATCH", f"{path}?fieldManager=test&force=true", body, media=media).ok
        probe = pod(reinvocation.lower())

        def asked() -> bool:
            rig.api.create(probe, dry_run=True)
            return seen.is_set()

        # Asked at the new place, so the configuration of before is none any more.
        until(asked, 15)

    yield put
    server.shutdown()


def _index(obj: dict[str, Any]) -> int:
    names = [each["name"] for each in obj["spec"].get("initContainers") or ()]
    return names.index(proxy.CONTAINER) if proxy.CONTAINER in names else -1


def strip(obj: dict[str, Any]) -> list[dict[str, Any]]:
    at = _index(obj)
    return [{"op": "remove", "path": f"/spec/initContainers/{at}"}] if at >= 0 else []


def reorder(obj: dict[str, Any]) -> list[dict[str, Any]]:
    names = [each["name"] for each in obj["spec"].get("initContainers") or ()]
    if names[:1] != [proxy.CONTAINER]:
        return []
    if "first" in names:
        return [
            {"op": "move", "from": f"/spec/initContainers/{names.index('first')}", "path": "/spec/initContainers/0"}
        ]
    return [{"op": "add", "path": "/spec/initContainers/0", "value": {"name": "first", "image": IMAGE}}]


def environment(obj: dict[str, Any]) -> list[dict[str, Any]]:
    at = _index(obj)
    if at < 0 or "LD_PRELOAD" in {each["name"] for each in obj["spec"]["initContainers"][at].get("env") or ()}:
        return []
    value = {"name": "LD_PRELOAD", "value": "/x"}
    return [{"op": "add", "path": f"/spec/initContainers/{at}/env/-", "value": value}]


def another_image(obj: dict[str, Any]) -> list[dict[str, Any]]:
    at = _index(obj)
    path = f"/spec/initContainers/{at}/image"
    return [{"op": "replace", "path": path, "value": "mirror.example/envoy"}] if at >= 0 else []


def the_proxys_user(obj: dict[str, Any]) -> list[dict[str, Any]]:
    at = _index(obj)
    if at < 0:
        return []
    uid = check.user(obj["spec"]["initContainers"][at])
    return [{"op": "add", "path": "/spec/securityContext", "value": {"runAsUser": uid}}]


@pytest.mark.parametrize("change", [strip, reorder, environment, another_image, the_proxys_user])
def test_a_webhook_that_comes_later_changes_nothing_or_has_the_pod_refused(
    rig: Rig, meddler: Callable[[Change, str], None], change: Change
) -> None:
    """One that is asked once is put right when Ringfence is asked again; one that insists is found out at the end."""
    meddler(change, "Never")
    reply = rig.api.create(pod(), dry_run=True)
    assert reply.ok, reply.message
    assert check.problems(reply.body, HOW) == []
    meddler(change, "IfNeeded")
    assert "proxy" in refused(rig, pod())
