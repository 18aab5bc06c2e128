"""The webhook when things go wrong: outages, restarts, certificates that change or end, bodies nobody should send."""

import contextlib
import http.client
import json
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any, Self

import pytest
from ringfence.pki import serving

from tests.component import webhook_rig
from tests.component.webhook_rig import (
    CONTROLLER,
    IDENTITY,
    Rig,
    default_deny,
    floor,
    identity,
    pod,
    until,
)

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with webhook_rig.rig("operations", tmp_path_factory.mktemp("operations")) as made:
        made.enforced("shop")
        yield made


@pytest.fixture
def running(rig: Rig) -> Rig:
    """The rig with a webhook that answers, whatever the test before did to it."""
    assert rig.webhook is not None
    if rig.webhook.process.poll() is not None:
        rig.start_webhook()
    assert rig.ca is not None
    rig.certify(rig.ca)
    rig.configure()
    rig.webhook.wait_ready()
    until(lambda: rig.api.create(pod("p", "shop"), dry_run=True).ok, 15)
    return rig


class Load:
    """Creates pods as dry runs, over and over, and keeps what was not admitted."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(3)]
        self.done = 0
        self.failed: list[str] = []

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()

    def wait(self, more: int) -> None:
        """Until so many more were answered."""
        target = self.done + more
        until(lambda: self.done >= target, 30)

    def _run(self) -> None:
        while not self._stop.is_set():
            reply = self._rig.api.create(pod("p", "shop"), dry_run=True)
            if not reply.ok:
                self.failed.append(reply.message)
            self.done += 1


class TestCertificates:
    def test_rotation_under_load_breaks_nothing(self, running: Rig) -> None:
        """Prepare: both roots in the bundle; activate: a leaf of the new one; retire: the old root goes."""
        rig, old = running, running.ca
        assert rig.webhook is not None
        assert old is not None
        new = serving.make_ca(time.time(), secrets.randbits(120) | 1)
        log = rig.webhook.log
        taken = log.read_text().count("taken over")
        with Load(rig) as load:
            load.wait(20)
            rig.configure(serving.bundle(new.certificate, old.certificate))
            load.wait(40)
            rig.certify(new)
            rig.webhook.wait(lambda: log.read_text().count("taken over") > taken)
            load.wait(40)
            rig.configure(new.certificate)
            load.wait(40)
        rig.ca = new
        assert load.failed == []

    def test_a_wrong_bundle_closes(self, running: Rig) -> None:
        stranger = serving.make_ca(time.time(), secrets.randbits(120) | 1)
        running.configure(stranger.certificate)
        until(lambda: not running.api.create(pod("p", "shop"), dry_run=True).ok, 15)
        assert "pods.ringfence.dev" in running.api.create(pod("p", "shop"), dry_run=True).message

    def test_a_certificate_that_has_ended_closes_and_is_told(self, running: Rig) -> None:
        assert running.ca is not None
        assert running.webhook is not None
        running.certify(running.ca, life=1.0)
        webhook = running.webhook
        webhook.wait(lambda: "no serving certificate" in webhook.get("/readyz")[1])
        assert running.webhook.get("/healthz")[0] == 200

    def test_a_broken_secret_leaves_the_last_good_one(self, running: Rig) -> None:
        secret = "/api/v1/namespaces/ringfence-system/secrets/ringfence-webhook-tls"
        assert running.webhook is not None
        assert running.api.merge(secret, {"data": {"tls.crt": "bm90aGluZw=="}}).ok
        until(lambda: running.webhook is not None and "cannot be used" in running.webhook.log.read_text(), 10)
        assert running.api.create(pod("p", "shop"), dry_run=True).ok
        running.webhook.wait_ready()


class TestOutage:
    def test_killed_it_closes_what_it_guards_and_nothing_else(self, running: Rig) -> None:
        rig = running
        assert rig.webhook is not None
        assert rig.api.create(pod("living", "shop")).ok
        rig.namespace("plain")
        rig.webhook.stop(kill=True)
        assert not rig.api.create(pod("p", "shop"), dry_run=True).ok
        assert not rig.api.create(pod("p", "shop", labels={IDENTITY: "default"}), dry_run=True).ok
        assert not rig.api.create(floor("f", "baseline"), dry_run=True).ok
        living = "/api/v1/namespaces/shop/pods/living"
        assert rig.api.merge(f"{living}/status", {"status": {"phase": "Running"}}).ok
        assert rig.api.create(pod("p", "plain"), dry_run=True).ok
        assert rig.api.merge("/api/v1/namespaces/shop", {"metadata": {"labels": {"team": "a"}}}).ok
        assert rig.api.create(
            default_deny("shop") | {"metadata": {"name": "x", "namespace": "shop"}},
            dry_run=True,
            user=CONTROLLER,
            groups=["system:masters"],
        ).ok
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "living", "namespace": "shop"}}
        assert rig.api.request("POST", f"{living}/eviction", eviction).ok
        until(lambda: rig.api.request("DELETE", f"{living}?gracePeriodSeconds=0").status in {200, 404}, 5)
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod("", "")["spec"]},
            },
        }
        assert rig.api.create(deployment, dry_run=True).ok

    def test_a_namespace_can_end_without_it(self, running: Rig) -> None:
        running.enforced("ending")
        assert running.api.create(pod("p", "ending")).ok
        assert running.webhook is not None
        running.webhook.stop(kill=True)
        assert running.api.request("DELETE", "/api/v1/namespaces/ending").ok
        running.api.request("DELETE", "/api/v1/namespaces/ending/pods/p?gracePeriodSeconds=0")
        left = "/api/v1/namespaces/ending"
        until(
            lambda: running.api.request("GET", left).status == 404,
            30,
            lambda: (
                str(running.api.request("GET", left).body["status"])
                + str(running.api.request("GET", left + "/pods").body)
            ),
        )

    def test_without_configuration_and_webhook_the_backstop_stands(self, running: Rig) -> None:
        assert running.webhook is not None
        running.webhook.stop(kill=True)
        for kind in ("mutating", "validating"):
            path = f"/apis/admissionregistration.k8s.io/v1/{kind}webhookconfigurations/ringfence"
            assert running.api.request("DELETE", path).ok
        until(lambda: "ringfence-pods" in running.api.create(pod("p", "shop"), dry_run=True).message, 10)
        forged = pod("p", "shop", labels={IDENTITY: "payments"})
        assert "ringfence-pods" in running.api.create(forged, dry_run=True).message

    def test_it_ends_in_good_order(self, running: Rig) -> None:
        assert running.webhook is not None
        assert running.webhook.stop() == 0

    def test_the_api_server_goes_and_comes_back(self, running: Rig) -> None:
        running.plane.stop_apiserver()
        assert running.webhook is not None
        assert running.webhook.get("/healthz")[0] == 200
        running.plane.start_apiserver()
        until(lambda: running.api.create(pod("p", "shop"), dry_run=True).ok, 30)
        assert running.api.create(floor("after", "baseline")).ok
        until(lambda: not running.api.create(pod("p", "shop", hostPID=True), dry_run=True).ok, 30)
        assert running.api.request("DELETE", "/apis/ringfence.dev/v1alpha1/clustersecuritypolicies/after").ok

    def test_started_without_an_api_server_it_waits_and_lets_nothing_in(self, running: Rig) -> None:
        rig = running
        assert rig.webhook is not None
        rig.webhook.stop(kill=True)
        rig.plane.stop_apiserver()
        try:
            late = rig.start_webhook(wait=False)
            until(lambda: late.get("/healthz")[0] == 200, 20)
            said = 0
            while not said:  # a machine that is busy lets even this wait
                said = late.get("/readyz")[0]
            assert said == 503
        finally:
            rig.plane.start_apiserver()
        late.wait_ready()


class TestHeldOpen:
    def test_whoever_holds_hundreds_of_requests_open_keeps_nobody_out(self, running: Rig) -> None:
        assert running.webhook is not None
        assert running.ca is not None
        context = ssl.create_default_context(cadata=running.ca.certificate.decode())
        head = b"POST /validate?timeout=30s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        head += b"Content-Length: 9\r\n\r\nx"
        with contextlib.ExitStack() as held:
            for _ in range(600):
                raw = socket.create_connection(("127.0.0.1", running.webhook.port), source_address=("127.0.0.9", 0))
                tls = held.enter_context(context.wrap_socket(raw, server_hostname="localhost"))
                with contextlib.suppress(OSError):
                    tls.sendall(head)
            for _ in range(10):
                reply = running.api.create(pod("p", "shop"), dry_run=True)
                assert reply.ok, reply.message


class TestSameSecond:
    def test_a_namespace_and_its_first_pod(self, running: Rig) -> None:
        """Nothing may come in between a namespace's birth and its default deny, however quick its author is."""
        api = running.api
        for index in range(25):
            name = f"quick-{index}"
            labels = {"ringfence.dev/enroll": "enforce"}
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "mine", "namespace": name}}
            assert api.create(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
            ).ok
            assert api.create(account).ok
            reply = api.create(pod("p", name, serviceAccountName="mine", hostNetwork=True))
            assert not reply.ok
            assert "no ServiceIdentity" in reply.message or "is being closed" in reply.message, reply.message

    def test_once_everything_is_there_it_comes_in(self, running: Rig) -> None:
        api, name = running.api, "prompt"
        labels = {"ringfence.dev/enroll": "enforce"}
        assert api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}).ok
        assert api.create(default_deny(name), user=CONTROLLER, groups=["system:masters"]).ok
        assert api.create(identity(name, "mine")).ok
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "mine", "namespace": name}}
        assert api.create(account).ok
        until(lambda: api.create(pod("p", name, serviceAccountName="mine")).ok, 15)


class TestDirect:
    """Posts by somebody who is not the API server: no authentication, so nothing may be learned or changed by them."""

    def post(self, rig: Rig, body: bytes, path: str = "/validate?timeout=3s", **headers: str) -> tuple[int, bytes]:
        assert rig.webhook is not None
        assert rig.ca is not None
        context = ssl.create_default_context(cadata=rig.ca.certificate.decode())
        connection = http.client.HTTPSConnection("localhost", rig.webhook.port, context=context, timeout=20)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def review(self, **fields: Any) -> bytes:
        request = {
            "uid": "u",
            "operation": "CREATE",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "shop",
            "object": pod("p", "shop"),
            **fields,
        }
        return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 400),
            (b"{", 400),
            (b"\xff\xff\xff", 400),
            (b"[" * 1_000_000, 400),
            (b'{"a":' * 100_000, 400),
            (b'{"request":{"object":"\xc3\x28"}}', 400),
        ],
    )
    def test_what_is_no_review_is_refused(self, running: Rig, body: bytes, status: int) -> None:
        assert self.post(running, body)[0] == status

    def test_other_types_and_paths_are_not_read(self, running: Rig) -> None:
        assert self.post(running, self.review(), **{"Content-Type": "text/plain"})[0] == 415
        assert self.post(running, self.review(), "/other")[0] == 404

    def test_a_missing_uid_and_a_null_object(self, running: Rig) -> None:
        assert self.post(running, self.review(uid=""))[0] == 400
        for fields in ({"object": None}, {"operation": "DELETE", "object": None}, {"operation": "UPDATE"}):
            status, answer = self.post(running, self.review(**fields))
            assert status == 200
            assert json.loads(answer)["response"]["allowed"] is False

    @pytest.mark.parametrize("mebibytes", [8, 20])
    def test_a_body_that_is_too_large_gets_an_answer(self, running: Rig, mebibytes: int) -> None:
        status, answer = self.post(running, self.review(name="x" * (mebibytes * 1024 * 1024)))
        assert status == 200
        response = json.loads(answer)["response"]
        assert (response["uid"], response["allowed"], response["status"]["code"]) == ("u", False, 413)

    def test_seven_mebibytes_are_judged(self, running: Rig) -> None:
        large = pod("p", "shop", labels={IDENTITY: "default"})
        large["metadata"]["annotations"] = {"a": "x" * 6_900_000}
        status, answer = self.post(running, self.review(object=large))
        assert status == 200
        assert json.loads(answer)["response"]["allowed"] is True

    def test_an_old_protocol_is_refused(self, running: Rig) -> None:
        assert running.webhook is not None
        assert running.ca is not None
        context = ssl.create_default_context(cadata=running.ca.certificate.decode())
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        connection = http.client.HTTPSConnection("localhost", running.webhook.port, context=context, timeout=5)
        with pytest.raises((ssl.SSLError, OSError)):
            connection.request("GET", "/validate")

    def test_afterwards_it_is_as_before(self, running: Rig) -> None:
        assert running.webhook is not None
        webhook = running.webhook
        webhook.wait_ready()
        webhook.wait(lambda: "ringfence_admission_in_flight 0.0" in webhook.get("/metrics")[1])
