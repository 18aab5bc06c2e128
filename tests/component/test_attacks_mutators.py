"""Attacks by others that answer the API server: mutators that undo, forge or add, and a second replica of our own."""

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ringfence.pki import serving

from tests.component import webhook_rig
from tests.component.requests_as import Reply
from tests.component.webhook_rig import IDENTITY, Rig, floor, identity, pod, until

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with webhook_rig.rig("mutators", tmp_path_factory.mktemp("mutators")) as made:
        made.enforced("shop", "default", "payments")
        assert made.api.create(floor("floor", "restricted")).ok
        until(lambda: not made.api.create(pod("p", "shop", hostPID=True), dry_run=True).ok, 10)
        yield made


def tried(rig: Rig, **spec: Any) -> Reply:
    return rig.api.create(pod("attack", "shop", **spec), dry_run=True)


class Mutator(BaseHTTPRequestHandler):
    """Somebody else's webhook, which changes what Ringfence has set."""

    patch: ClassVar[list[dict[str, Any]]] = []
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer with the patch, as far as it applies."""
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        labelled = IDENTITY in (review["request"]["object"]["metadata"].get("labels") or {})
        response: dict[str, Any] = {"uid": review["request"]["uid"], "allowed": True}
        if labelled and self.patch:
            response["patchType"] = "JSONPatch"
            response["patch"] = base64.b64encode(json.dumps(self.patch).encode()).decode()
        body = json.dumps(
            {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Quiet."""


class TestMutators:
    @pytest.fixture(scope="class")
    @classmethod
    def mutator(cls, rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[Mutator]]:
        """A mutating webhook whose name comes after Ringfence's, so that it has the last word but one."""
        ca = serving.make_ca(time.time(), 1)
        leaf = serving.issue(ca, ["localhost"], time.time(), 2)
        file: Path = tmp_path_factory.mktemp("mutator") / "leaf.pem"
        file.write_bytes(leaf.key + leaf.certificate)
        server = ThreadingHTTPServer(("127.0.0.1", 0), Mutator)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        webhook = {
            "name": "mutator.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "clientConfig": {
                "url": f"https://localhost:{server.server_port}/",
                "caBundle": base64.b64encode(ca.certificate).decode(),
            },
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        }
        configuration = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "zzz-mutator"},
            "webhooks": [webhook],
        }
        assert rig.api.apply(configuration).ok
        Mutator.patch = [{"op": "add", "path": "/metadata/annotations", "value": {"seen": "yes"}}]
        until(lambda: "annotations" in rig.api.create(pod("p", "shop"), dry_run=True).body["metadata"], 10)
        yield Mutator
        rig.api.request("DELETE", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zzz-mutator")
        server.shutdown()
        thread.join()
        server.server_close()

    POINTER = "/metadata/labels/" + IDENTITY.replace("/", "~1")

    def test_a_label_that_is_stripped_comes_back(self, rig: Rig, mutator: type[Mutator]) -> None:
        mutator.patch = [{"op": "remove", "path": self.POINTER}]
        reply = rig.api.create(pod("p", "shop"), dry_run=True)
        assert not reply.ok or reply.body["metadata"]["labels"] == {IDENTITY: "default"}

    def test_one_that_is_forged_is_refused(self, rig: Rig, mutator: type[Mutator]) -> None:
        mutator.patch = [{"op": "replace", "path": self.POINTER, "value": "payments"}]
        assert not rig.api.create(pod("p", "shop"), dry_run=True).ok

    def test_what_it_adds_is_judged(self, rig: Rig, mutator: type[Mutator]) -> None:
        mutator.patch = [{"op": "add", "path": "/spec/hostPID", "value": True}]
        assert "[host-namespaces" in rig.api.create(pod("p", "shop"), dry_run=True).message

    def test_asked_again_it_adds_nothing_twice(self, rig: Rig, mutator: type[Mutator]) -> None:
        mutator.patch = [{"op": "add", "path": "/metadata/labels/touched", "value": "yes"}]
        reply = rig.api.create(pod("p", "shop"), dry_run=True)
        assert reply.body["metadata"]["labels"] == {IDENTITY: "default", "touched": "yes"}


class TestReplicas:
    def test_they_agree_after_a_change(self, rig: Rig) -> None:
        """Two replicas see a change at different moments; both must end at the same answer."""
        assert rig.webhook is not None
        first, second = rig.webhook, rig.start_webhook()
        try:
            assert rig.api.create(identity("shop", "late")).ok
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "late", "namespace": "shop"}}
            assert rig.api.create(account).ok
            for each in (first, second):
                rig.webhook = each
                rig.configure()
                until(lambda: tried(rig, serviceAccountName="late").ok, 10)
                assert not tried(rig, serviceAccountName="late", hostPID=True).ok
        finally:
            rig.webhook = first
            rig.configure()
            second.stop(kill=True)
