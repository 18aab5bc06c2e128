"""Attacks by what is sent: huge, repeated, out of range, or only looking like something else."""

import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.component import webhook_rig
from tests.component.requests_as import Reply
from tests.component.webhook_rig import IDENTITY, Rig, container, pod, until

pytestmark = pytest.mark.component

DIGEST = "@sha256:" + "0123456789abcdef" * 4
GOOD = "registry.example/program"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with webhook_rig.rig("payload", tmp_path_factory.mktemp("payload")) as made:
        made.enforced("shop")
        floor = webhook_rig.floor("floor", "restricted")
        floor["spec"]["admission"]["images"] = {"registries": ["registry.example", "registry.example:5000/shop"]}
        assert made.api.create(floor).ok
        until(lambda: not made.api.create(pod("p", "shop", hostPID=True), dry_run=True).ok, 10)
        yield made


def with_image(rig: Rig, image: str) -> Reply:
    return rig.api.create(pod("p", "shop", containers=[container("main", image=image)]), dry_run=True)


def posted(rig: Rig, obj: bytes) -> dict[str, Any]:
    """The webhook's own answer to a review of this Pod, without an API server that puts anything right before."""
    assert rig.webhook is not None
    assert rig.ca is not None
    pods = b'{"group": "", "version": "v1", "%s": "%s"}'
    head = b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u", "operation": '
    body = head + b'"CREATE", "namespace": "shop", "name": "p", "kind": %s, "resource": %s, "object": %s}}' % (
        pods % (b"kind", b"Pod"),
        pods % (b"resource", b"pods"),
        obj,
    )
    context = ssl.create_default_context(cadata=rig.ca.certificate.decode())
    connection = http.client.HTTPSConnection("localhost", rig.webhook.port, context=context, timeout=60)
    try:
        # As much as it ever takes: how long an answer takes on a machine with other work says nothing of the answer.
        connection.request("POST", "/validate?timeout=30s", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        return json.loads(text)["response"] if answer.status == 200 else {"allowed": False, "status": answer.status}
    finally:
        connection.close()


def working(rig: Rig, obj: bytes) -> float:
    """Seconds of a processor that the webhook needs for a review of this Pod, whatever else the machine does."""
    assert rig.webhook is not None

    def used() -> float:
        threads = Path(f"/proc/{rig.webhook.process.pid}/task").glob("*/schedstat")  # type: ignore[union-attr]
        return sum(int(each.read_text().split()[0]) for each in threads) / 1e9

    found = []
    for _ in range(3):
        before = used()
        posted(rig, obj)
        found.append(used() - before)
    return min(found)


def encoded(**spec: Any) -> str:
    return json.dumps(pod("p", "shop", labels={IDENTITY: "default"}, serviceAccountName="default", **spec))


class TestSize:
    def test_the_last_of_ten_thousand_containers(self, rig: Rig) -> None:
        """More than an API server takes in one pod of this shape, so straight to the webhook, as one review."""
        many = [container(f"c{number}") for number in range(10_000)]
        many[-1]["securityContext"]["capabilities"] = {"drop": ["ALL"], "add": ["SYS_ADMIN"]}
        body = encoded(containers=many).encode()
        answer = posted(rig, body)
        assert answer["allowed"] is False
        assert "spec.containers[9999].securityContext.capabilities.add" in answer["status"]["message"]
        few, all_of_them = working(rig, encoded(containers=many[-1000:]).encode()), working(rig, body)
        print(f"1,000 containers: {few:.3f} s of a processor; 10,000: {all_of_them:.3f} s")
        assert all_of_them < min(3, 2 * 10 * few), "what ten times as many cost is ten times as much, and in time"
        many[-1] = container("last")
        assert posted(rig, encoded(containers=many).encode())["allowed"] is True

    def test_the_last_of_ten_thousand_variables(self, rig: Rig) -> None:
        variables: list[dict[str, Any]] = [{"name": f"V{number}", "value": "x"} for number in range(10_000)]
        assert rig.api.create(pod("p", "shop", containers=[container("main", env=variables)]), dry_run=True).ok
        secret = {"name": "default2-identity", "key": "tls.key"}
        variables[-1] = {"name": "LAST", "valueFrom": {"secretKeyRef": secret}}
        reply = rig.api.create(pod("p", "shop", containers=[container("main", env=variables)]), dry_run=True)
        assert "default2-identity" in reply.message

    def test_an_update_that_carries_two_large_objects(self, rig: Rig) -> None:
        assert rig.webhook is not None
        large = pod("large", "shop", automountServiceAccountToken=False)
        large["metadata"]["annotations"] = {"a": "x" * 200_000}
        large["spec"]["containers"][0]["args"] = ["y" * 1_000_000]
        reply = rig.api.create(large)
        assert reply.ok, reply.message
        path = "/api/v1/namespaces/shop/pods/large"
        assert rig.api.merge(path, {"metadata": {"annotations": {"a": "z" * 200_000}}}).ok
        change = [{"op": "replace", "path": "/spec/containers/0/image", "value": "evil.example/x"}]
        bad = rig.api.request("PATCH", path, change, media="application/json-patch+json")
        assert "[image-registries" in bad.message
        rig.webhook.wait_ready()


class TestForm:
    def test_repeated_keys_are_judged_as_they_are_stored(self, rig: Rig) -> None:
        text = json.dumps(pod("p", "shop"))
        for first, last, ok in (("true", "false", True), ("false", "true", False)):
            body = text.replace('"spec": {', f'"spec": {{"hostPID": {first}, "hostPID": {last}, ', 1).encode()
            reply = rig.api.request("POST", "/api/v1/namespaces/shop/pods?dryRun=All&fieldValidation=Ignore", body)
            assert reply.ok is ok, reply.message
            assert not ok or not reply.body["spec"].get("hostPID")

    def test_repeated_keys_hide_nothing_from_the_webhook(self, rig: Rig) -> None:
        """Of two values the last one counts there too, as Go reads it."""
        text = encoded()
        for first, last, allowed in (("true", "false", True), ("false", "true", False)):
            body = text.replace('"spec": {', f'"spec": {{"hostPID": {first}, "hostPID": {last}, ', 1).encode()
            assert posted(rig, body)["allowed"] is allowed

    @pytest.mark.parametrize("number", ["18446744073709551616", "-1", "1e400", "0.5", '"0"', "1" + "0" * 5000])
    def test_numbers_out_of_range(self, rig: Rig, number: str) -> None:
        text = encoded(securityContext={"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}})
        body = text.replace('"runAsNonRoot": true', f'"runAsNonRoot": true, "runAsUser": {number}', 1).encode()
        reply = rig.api.request("POST", "/api/v1/namespaces/shop/pods?dryRun=All", body)
        assert reply.status in {400, 422}, reply.message
        answer = posted(rig, body)
        assert answer["allowed"] is False or number == "-1"

    def test_text_that_is_no_utf_8(self, rig: Rig) -> None:
        body = encoded().encode().replace(b'"main"', b'"ma\xc3\x28in"')
        assert posted(rig, body)["allowed"] is False

    def test_nesting_without_end(self, rig: Rig) -> None:
        for depth in (100, 100_000):
            deep = '{"a":' * depth + "1" + "}" * depth
            body = encoded().replace('"spec": {', f'"spec": {{"unknown": {deep}, ', 1).encode()
            reply = rig.api.request("POST", "/api/v1/namespaces/shop/pods?dryRun=All&fieldValidation=Ignore", body)
            assert reply.ok is (depth == 100)
            assert isinstance(posted(rig, body)["allowed"], bool)
        assert posted(rig, encoded(hostPID=True).encode())["allowed"] is False


class TestNames:
    @pytest.mark.parametrize(
        "image",
        [
            "registry.ex\u0430mple/program",  # a Cyrillic a
            "\uff52egistry.example/program",  # a full-width r
            "registry\u3002example/program",  # an ideographic full stop
            "registry.example\u2215program",  # a division slash
            "registry.example\u200b/program",  # a space without width
            "regi\u017ftry.example/program",  # a long s, which folds to s
        ],
    )
    def test_an_image_that_only_looks_like_one_of_ours(self, rig: Rig, image: str) -> None:
        reply = with_image(rig, image)
        assert not reply.ok
        assert "[image-registries" in reply.message

    @pytest.mark.parametrize(
        ("image", "ok"),
        [
            (GOOD + ":1" + DIGEST, True),
            (GOOD + DIGEST, True),
            ("registry.example:443/program", False),
            ("registry.example:5000/shop/program:1" + DIGEST, True),
            ("registry.example:5000/shopping/program", False),
            ("REGISTRY.example/program", True),
            ("registry.example/Program", False),
            ("registry.example@evil.example/program", False),
            ("program", False),
            ("registry.example", False),
            ("evil.example/registry.example/program", False),
            ("registry.example./program", False),
            ("registry.example/../program", False),
            ("https://registry.example/program", False),
        ],
    )
    def test_references_are_read_as_the_runtimes_read_them(self, rig: Rig, image: str, ok: bool) -> None:
        reply = with_image(rig, image)
        assert reply.ok is ok, reply.message

    @pytest.mark.parametrize("account", ["paym\u0435nts", "default\n", "default\u200b", "DEFAULT", "default."])
    def test_an_account_that_only_looks_like_one(self, rig: Rig, account: str) -> None:
        assert not rig.api.create(pod("p", "shop", serviceAccountName=account), dry_run=True).ok
        answer = posted(rig, encoded().replace('"default"', json.dumps(account)).encode())
        assert answer["allowed"] is False
