"""Signed images from a real registry to a real API server: what is admitted, what is refused, and how it gets known.

The webhook runs with the rights of the chart and nothing else, and so does what asks the registry.
"""

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ringfence import verification, wiring
from ringfence.controller.verifying import Verifying
from ringfence.kube import client
from ringfence.model.signatures import verdict_name
from ringfence.model.world import Installation
from ringfence.pki import serving
from ringfence.reconcile import secret_access
from ringfence.settings import RegistrySetting, Settings, SignatureSettings

from e2e.cluster import kubeconfig, tools
from e2e.cluster.certificates import Authority
from e2e.demo import client as demo
from e2e.demo import install
from tests.component import oci, webhook_rig
from tests.component.requests_as import Reply
from tests.component.webhook_rig import CONTROLLER, OWN, Rig, container, pod, until
from tests.unit.signatures import authority as a
from tests.unit.signatures.authority import ISSUER

pytestmark = [pytest.mark.component, pytest.mark.timeout(300)]

KEY = a.new_key()
WEBHOOK = f"system:serviceaccount:{OWN}:ringfence-webhook"
_CHART = ("rbac-controller", "rbac-certificates", "rbac-webhook")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[oci.Registry]:
    with oci.registry(tmp_path_factory.mktemp("registry")) as made:
        yield made


@dataclass
class Verifier:
    """What asks registries, in a thread of its own, as the controller's user."""

    config: Path
    settings: Settings
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(20)

    async def _run(self) -> None:
        async with wiring.operator(self.settings, self.config) as operator, operator.caches.running() as caches:
            await caches.wait_synced()
            assert operator.verdicts is not None
            verifying = Verifying(caches, operator.verdicts)
            verifying.connect()
            task = asyncio.create_task(verifying.run())
            await asyncio.to_thread(self._stop.wait)
            task.cancel()


@dataclass
class World:
    """An API server with the webhook, a registry, and who asks it."""

    rig: Rig
    registry: oci.Registry
    verifier: Verifier
    trusted: a.Authority

    def ref(self, digest: str, repository: str = "shop/app") -> str:
        return f"{self.registry.host}/{repository}@{digest}"

    def verdict(self, namespace: str, image: str) -> dict[str, Any]:
        """Nothing while there is none: the API server's answer then has a ``status`` of its own."""
        path = f"/apis/ringfence.dev/v1alpha1/namespaces/{namespace}/imageverdicts/{verdict_name(image)}"
        reply = self.rig.api.request("GET", path)
        return reply.body if reply.ok else {}

    def admitted(self, name: str, image: str, namespace: str = "shop", **spec: Any) -> Reply:
        return self.rig.api.create(running(name, namespace, image, **spec))

    def becomes_admitted(self, name: str, image: str, namespace: str = "shop", **spec: Any) -> None:
        """Tried again and again, as the controller of a pod does."""
        replies: list[Reply] = []

        def tried() -> bool:
            replies.append(self.admitted(name, image, namespace, **spec))
            return replies[-1].ok

        until(tried, 30, lambda: f"{replies[-1].message} {self.verdict(namespace, image)}")


def running(name: str, namespace: str, image: str, **spec: Any) -> dict[str, Any]:
    return pod(name, namespace, **{"containers": [container("main", image=image)], **spec})


def deployment(name: str, image: str) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": running(name, "shop", image)["spec"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template},
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, registry: oci.Registry) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("signatures")
    trusted = a.Authority()
    with webhook_rig.rig("signatures", directory, webhook=False) as rig:
        person = demo.Client(tools.ensure(tools.CONTROL, tools.HELM), rig.plane.kubeconfig)
        shown = [f"--show-only=templates/{each}.yaml" for each in _CHART]
        flags = (f"--namespace={OWN}", *shown)
        person.run("apply", "-f", "-", stdin=person.helm("template", install.RELEASE, str(install.CHART), *flags))
        rig.ca = serving.make_ca(time.time(), 1 << 100)
        rig.certify(rig.ca)
        rig.start_webhook(kubeconfig=_config(rig, directory, "webhook", WEBHOOK))
        rig.configure()
        rig.enforced("shop", "default")
        binding = secret_access.binding("shop", OWN)
        # The API server learns of the enrolment by a watch of its own.
        until(lambda: rig.api.apply(binding, user=CONTROLLER, groups=["system:masters"]).ok, 20)
        settings = Settings(
            installation=Installation(),
            signatures=SignatureSettings(
                trusted.trusted_root().decode(), (RegistrySetting(registry.host, private=True, plain_http=True),)
            ),
        )
        verifier = Verifier(_config(rig, directory, "controller", CONTROLLER), settings)
        made = World(rig, registry, verifier, trusted)
        assert rig.api.create(_policy(registry.host)).ok
        until(lambda: not made.rig.api.create(running("p", "shop", f"{registry.host}/shop/a:1"), dry_run=True).ok, 10)
        verifier.start()
        yield made
        verifier.stop()


def _config(rig: Rig, directory: Path, name: str, user: str) -> Path:
    authority = Authority(rig.plane.directory / "pki", "ca")
    return kubeconfig.write(
        directory / f"{name}.kubeconfig",
        server=rig.plane.server,
        authority=authority.pair.certificate,
        user=authority.issue(name, user=user, groups=["system:authenticated"]),
        name=name,
    )


def _policy(host: str) -> dict[str, Any]:
    rules = [
        {"name": "release", "images": [f"{host}/shop/*"], "keys": [a.pem(KEY)]},
        {
            "name": "builds",
            "images": [f"{host}/built/*"],
            "keyless": [{"issuer": ISSUER, "identity": "https://code.example/shop/app/.release@refs/tags/*"}],
        },
    ]
    return {
        "apiVersion": "ringfence.dev/v1alpha1",
        "kind": "SecurityPolicy",
        "metadata": {"name": "signed", "namespace": "shop"},
        "spec": {"admission": {"images": {"signatures": rules}}},
    }


def test_a_signed_image_is_refused_until_it_is_known_and_then_admitted(world: World) -> None:
    digest = world.registry.image("shop/app", b"one")
    world.registry.sign("shop/app", digest, a.key_simple(KEY, a.simple_payload(digest)))
    image = world.ref(digest)
    first = world.admitted("first", image)
    assert first.status == 403
    assert "verification pending" in first.message
    world.becomes_admitted("first", image)
    (answer,) = world.verdict("shop", image)["status"]["answers"]
    assert answer["reason"] == "Verified"
    assert "signed" in answer["names"]
    # Known from now on: nobody waits again.
    assert world.admitted("second", image).ok


def test_checking_starts_with_the_deployment_so_that_its_pods_do_not_wait(world: World) -> None:
    digest = world.registry.image("built/app", b"deployed")
    bundle = world.trusted.bundle(world.trusted.certify(), a.statement(digest))
    world.registry.attach("built/app", digest, a.document(bundle), by_tag=True)
    image = world.ref(digest, "built/app")
    reply = world.rig.api.create(deployment("built", image))
    assert reply.ok
    assert reply.warnings == ()
    until(lambda: world.verdict("shop", image).get("status"), 30, lambda: str(world.verdict("shop", image)))
    # Its answer was there before any pod; the webhook hears of it by its watch.
    until(lambda: world.admitted("built", image).ok, 10)


def test_what_is_not_signed_as_it_must_be_is_refused_with_the_reason(world: World) -> None:
    unsigned = world.ref(world.registry.image("shop/app", b"unsigned"))
    digest = world.registry.image("shop/app", b"by another")
    world.registry.sign("shop/app", digest, a.key_simple(a.new_key(), a.simple_payload(digest)))
    for image, why in ((unsigned, "holds no signature"), (world.ref(digest), "not by this key")):
        world.admitted("bad", image)
        until(lambda image=image: world.verdict("shop", image).get("status"), 30)
        until(lambda image=image, why=why: why in world.admitted("bad", image).message, 10)
        told = world.rig.api.create(deployment("bad", image), dry_run=True)
        assert told.ok
        assert "is not signed as it must be" in told.warnings[0]


def test_a_signature_that_comes_after_its_image_is_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence.reconcile.verdicts.BAD_LIFE", 2)
    digest = world.registry.image("shop/app", b"signed later")
    image = world.ref(digest)
    world.admitted("late", image)
    until(lambda: world.verdict("shop", image).get("status"), 30)
    world.registry.sign("shop/app", digest, a.key_simple(KEY, a.simple_payload(digest)))
    # Requests are told to the minute, so the next one may count from the next minute only.
    path = f"/apis/ringfence.dev/v1alpha1/namespaces/shop/imageverdicts/{verdict_name(image)}"
    later = {"spec": {"requested": "2099-01-01T00:00:00Z"}}
    assert world.rig.api.merge(path, later, user=WEBHOOK, groups=["system:masters"]).ok
    world.becomes_admitted("late", image)


def test_a_tag_is_refused_with_the_fix(world: World) -> None:
    reply = world.admitted("tagged", f"{world.registry.host}/shop/app:v1")
    assert f"{world.registry.host}/shop/app@sha256:…" in reply.message


def test_every_image_of_a_pod_counts(world: World) -> None:
    digest = world.registry.image("shop/app", b"init")
    image = f"{world.registry.host}/shop/app@{digest}"
    reply = world.admitted("init", "registry.example/free", initContainers=[container("init", image=image)])
    assert "spec.initContainers[0].image" in reply.message


def test_a_dry_run_asks_for_nothing(world: World) -> None:
    image = world.ref("sha256:" + "d" * 64)
    assert "pending" in world.rig.api.create(running("dry", "shop", image), dry_run=True).message
    world.admitted("wet", world.ref("sha256:" + "e" * 64))
    until(lambda: "spec" in world.verdict("shop", world.ref("sha256:" + "e" * 64)), 10)
    assert "spec" not in world.verdict("shop", image)


def test_a_registry_that_nobody_named_is_not_reached(world: World) -> None:
    assert world.rig.api.apply(_named("elsewhere", "127.0.0.1:1/app")).ok
    image = "127.0.0.1:1/app@sha256:" + "f" * 64
    until(lambda: "pending" in world.admitted("elsewhere", image).message, 10)
    until(lambda: "signatures.registries" in world.admitted("elsewhere", image).message, 20)


def _named(name: str, image: str) -> dict[str, Any]:
    rules = [{"name": "any", "images": [image], "keys": [a.pem(KEY)]}]
    return {
        "apiVersion": "ringfence.dev/v1alpha1",
        "kind": "SecurityPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"admission": {"images": {"signatures": rules}}},
    }


class TestWhoWritesVerdicts:
    @staticmethod
    def forged(world: World) -> dict[str, Any]:
        image = world.ref("sha256:" + "9" * 64)
        return {
            "apiVersion": "ringfence.dev/v1alpha1",
            "kind": "ImageVerdict",
            "metadata": {"name": verdict_name(image), "namespace": "shop"},
            "spec": {"image": image, "requested": "2026-01-01T00:00:00Z"},
        }

    def test_nobody_else_makes_one(self, world: World) -> None:
        world.rig.grant("owner", [("ringfence.dev", ["*"], ["*"])])
        for who in ({}, {"user": "owner"}):
            reply = world.rig.api.create(self.forged(world), **who)
            assert not reply.ok
            assert "ImageVerdicts are Ringfence's" in reply.message

    def test_the_webhook_asks_and_does_not_answer(self, world: World) -> None:
        world.rig.grant("owner", [("ringfence.dev", ["*"], ["*"])])
        digest = world.registry.image("shop/app", b"asked")
        image = world.ref(digest)
        world.admitted("asked", image)
        until(lambda: "spec" in world.verdict("shop", image), 10)
        path = f"/apis/ringfence.dev/v1alpha1/namespaces/shop/imageverdicts/{verdict_name(image)}"
        answer = {"rule": "0" * 32, "reason": "Verified", "until": "2099-01-01T00:00:00Z"}
        for who in ({}, {"user": WEBHOOK, "groups": ["system:masters"]}, {"user": "owner"}):
            reply = world.rig.api.merge(f"{path}/status", {"status": {"answers": [answer]}}, **who)
            assert not reply.ok, who
            assert "ImageVerdicts are Ringfence's" in reply.message

    def test_a_namespace_takes_its_verdicts_along(self, world: World) -> None:
        world.rig.enforced("leaving", "default")
        assert world.rig.api.apply(
            {**_named("signed", "localhost:1/x"), "metadata": {"name": "s", "namespace": "leaving"}}
        ).ok
        image = "localhost:1/x@sha256:" + "1" * 64
        until(lambda: "pending" in world.admitted("p", image, "leaving").message, 10)
        until(lambda: "spec" in world.verdict("leaving", image), 10)
        assert world.rig.api.request("DELETE", "/api/v1/namespaces/leaving").ok
        until(lambda: world.rig.api.request("GET", "/api/v1/namespaces/leaving").status == 404, 30)


def test_credentials_of_the_pod_and_of_its_service_account_are_read_and_no_others(world: World) -> None:
    text = json.dumps({"auths": {"registry.example": {"auth": base64.b64encode(b"user:secret").decode()}}}).encode()
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "pull", "namespace": "shop"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(text).decode()},
    }
    assert world.rig.api.apply(secret).ok

    async def entries(namespace: str, secrets: tuple[str, ...]) -> int:
        api = await client.Client.connect(world.verifier.config)
        inspector = verification.Inspector(api, world.verifier.settings.signatures)
        try:
            wanted = verification.Wanted(namespace, "registry.example/app@sha256:" + "0" * 64, "default", secrets)
            return len(await inspector._entries(wanted))
        finally:
            await inspector.close()
            await api.close()

    assert asyncio.run(entries("shop", ("pull", "absent"))) == 1
    account = "/api/v1/namespaces/shop/serviceaccounts/default"
    assert world.rig.api.merge(account, {"imagePullSecrets": [{"name": "pull"}]}).ok
    assert asyncio.run(entries("shop", ())) == 1
    # Where nobody enrolled, it may read nothing.
    assert asyncio.run(entries("default", ("pull",))) == 0


def test_a_registry_that_is_away_keeps_nobody_waiting_whose_image_is_known(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringfence.reconcile.verdicts.FIRST_RETRY", 1)
    digest = world.registry.image("shop/app", b"last")
    world.registry.sign("shop/app", digest, a.key_simple(KEY, a.simple_payload(digest)))
    world.becomes_admitted("known", world.ref(digest))
    world.registry.process.kill()
    world.registry.process.wait(10)
    assert world.admitted("again", world.ref(digest)).ok
    unknown = world.ref("sha256:" + "7" * 64)
    until(lambda: "cannot be reached" in world.admitted("new", unknown).message, 20)
    with oci.registry(tmp_path, world.registry.port):
        until(lambda: "holds no signature" in world.admitted("new", unknown).message, 30)
