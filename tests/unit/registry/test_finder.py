"""What is found beside an image, by every way that it is kept, and what a registry that means ill can do about it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from ringfence.model.signatures import SignatureRule
from ringfence.registry import finder
from ringfence.registry.addresses import Reach
from ringfence.registry.client import Limits
from ringfence.signatures import verify
from ringfence.signatures.found import Bundle, SimpleSigning

from tests.unit.registry.server import INDEX, Registry, gathered
from tests.unit.signatures import authority as a
from tests.unit.signatures.authority import DIGEST

KEY = a.new_key()
RULE = SignatureRule("mine", ("*",), keys=(a.pem(KEY),))
TAG = DIGEST.replace(":", "-")
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"


def simple_layer(registry: Registry, found: SimpleSigning) -> dict[str, Any]:
    annotations = {"dev.cosignproject.cosign/signature": a.b64(found.signature)}
    if found.certificate:
        annotations["dev.sigstore.cosign/certificate"] = found.certificate.decode()
        annotations["dev.sigstore.cosign/bundle"] = found.log.decode()
    return {"mediaType": SIMPLE, "digest": registry.blob(found.payload), "size": 1, "annotations": annotations}


def put_older(registry: Registry, *found: SimpleSigning) -> None:
    manifest = {"schemaVersion": 2, "layers": [simple_layer(registry, each) for each in found]}
    registry.put(f"manifests/{TAG}.sig", json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")


def bundle_descriptor(registry: Registry, found: Bundle, **annotations: str) -> dict[str, Any]:
    layer = {"mediaType": BUNDLE, "digest": registry.blob(found.document), "size": 1}
    digest = registry.manifest({"schemaVersion": 2, "artifactType": BUNDLE, "layers": [layer]})
    return {"mediaType": "x", "digest": digest, "size": 1, "artifactType": BUNDLE, "annotations": annotations}


def verified(registry: Registry, **more: Any) -> bool:
    return verify.verify(RULE, DIGEST, gathered(registry, **more).found, None).verified


def test_the_older_tag() -> None:
    registry = Registry()
    put_older(registry, a.key_simple(a.new_key()), a.key_simple(KEY))
    assert verified(registry)


def test_an_older_signature_keeps_its_certificate_and_log() -> None:
    registry, trusted = Registry(), a.authority()
    signed = trusted.simple(trusted.certify())
    put_older(registry, signed)
    assert gathered(registry).found == [signed]


def test_referrers() -> None:
    registry = Registry()
    registry.index(f"referrers/{DIGEST}", [bundle_descriptor(registry, a.key_bundle(KEY))])
    assert verified(registry)


def test_referrers_of_the_older_kind() -> None:
    registry = Registry()
    kind = "application/vnd.dev.cosign.artifact.sig.v1+json"
    digest = registry.manifest({"layers": [simple_layer(registry, a.key_simple(KEY))]})
    registry.index(f"referrers/{DIGEST}", [{"digest": digest, "artifactType": kind}])
    assert verified(registry)


@pytest.mark.parametrize("answer", [None, b"<html>", b"[]"])
def test_the_index_under_a_tag_where_referrers_are_not_listed(answer: bytes | None) -> None:
    registry = Registry()
    if answer is not None:
        registry.put(f"referrers/{DIGEST}", answer, "text/html")
    registry.index(f"manifests/{TAG}", [bundle_descriptor(registry, a.key_bundle(KEY))])
    assert verified(registry)


def test_pages_of_referrers() -> None:
    registry = Registry()
    following = f"/v2/app/referrers/{DIGEST}/2"
    registry.index(f"referrers/{DIGEST}", [], Link=f'<{following}>; rel="next"')
    registry.index(f"referrers/{DIGEST}/2", [bundle_descriptor(registry, a.key_bundle(KEY))])
    assert verified(registry)


def test_an_image_without_signatures() -> None:
    found = gathered(Registry())
    assert (found.found, found.trouble) == ([], [])


def test_attestations_do_not_use_up_what_is_looked_at() -> None:
    registry = Registry()
    attested = {finder._PREDICATE: "https://cyclonedx.org/bom"}
    others = [bundle_descriptor(registry, Bundle(b"%d" % n), **attested) for n in range(200)]
    registry.index(f"referrers/{DIGEST}", [*others, bundle_descriptor(registry, a.key_bundle(KEY))])
    assert verified(registry)


# --- a registry that means ill, or fails ----------------------------------------------------------------------------


def test_what_one_way_fails_at_does_not_hide_what_another_finds() -> None:
    registry = Registry()
    put_older(registry, a.key_simple(KEY))
    registry.index(f"referrers/{DIGEST}", [], Link='<http://127.0.0.1:1/elsewhere>; rel="next"')
    found = gathered(registry)
    assert verify.verify(RULE, DIGEST, found.found, None).verified
    assert "next page elsewhere" in found.trouble[0]


def test_endless_referrers_end() -> None:
    registry = Registry()

    async def more(request: web.Request) -> web.StreamResponse:
        page = int(request.query.get("page", "0")) + 1
        body = json.dumps({"manifests": [bundle_descriptor(registry, Bundle(b"%d" % page))]}).encode()
        link = f'<{request.path}?page={page}>; rel="next"'
        return web.Response(body=body, content_type=INDEX, headers={"Link": link})

    registry.handlers[f"/v2/app/referrers/{DIGEST}"] = more
    assert len(gathered(registry).found) == finder.MAX_PAGES
    assert len(registry.asked) < 20


def test_ten_thousand_referrers_are_not_all_read() -> None:
    registry = Registry()
    one = bundle_descriptor(registry, Bundle(b"garbage"))
    registry.index(f"referrers/{DIGEST}", [one] * 10_000)
    assert len(gathered(registry, limits=Limits()).found) == finder.MAX_FOUND
    assert len(registry.asked) < 300


def test_layers_that_are_not_there_are_not_all_asked_for() -> None:
    registry = Registry()
    layer = {"mediaType": SIMPLE, "digest": "sha256:" + "0" * 64, "annotations": {}}
    registry.put(f"manifests/{TAG}.sig", json.dumps({"layers": [layer] * 5000}).encode())
    assert gathered(registry).found == []
    assert len(registry.asked) < 200


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b"null", b"[" * 100_000, b'{"layers": 1}', b'{"layers": [1, {"digest": 1}]}']
)
def test_garbage_is_no_signature(content: bytes) -> None:
    registry = Registry()
    registry.put(f"manifests/{TAG}.sig", content)
    registry.put(f"referrers/{DIGEST}", content, INDEX)
    assert gathered(registry).found == []


def test_content_of_another_digest_is_refused() -> None:
    registry = Registry()
    put_older(registry, a.key_simple(KEY))
    path = next(path for path in registry.answers if "/blobs/" in path)
    registry.answers[path] = (b"something else", "x/y", {})
    assert gathered(registry).found == []


@pytest.mark.parametrize("declared", [True, False])
def test_a_huge_manifest_is_not_read(declared: bool) -> None:
    registry = Registry()
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        if declared:
            response.content_length = 1 << 40
        await response.prepare(request)
        for _ in range(1000):
            await response.write(bytes(1 << 20))
            sent += 1
        return response

    registry.handlers[f"/v2/app/manifests/{TAG}.sig"] = endless
    assert "bytes" in gathered(registry).trouble[0]
    assert sent < 50


def test_a_bundle_that_unfolds_is_not_unfolded() -> None:
    registry = Registry()
    put_older(registry, a.key_simple(KEY))
    path = f"/v2/app/manifests/{TAG}.sig"
    content, kind, _ = registry.answers[path]
    registry.answers[path] = content, kind, {"Content-Encoding": "gzip"}
    assert verified(registry)


async def _sleep(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


async def _drip(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(300):
        await response.write(b" ")
        await asyncio.sleep(0.1)
    return response


@pytest.mark.parametrize("slow", [_sleep, _drip])
def test_a_slow_registry_is_not_waited_for(slow: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
    registry = Registry()
    registry.handlers[f"/v2/app/manifests/{TAG}.sig"] = slow
    registry.handlers[f"/v2/app/referrers/{DIGEST}"] = slow
    found = gathered(registry, limits=Limits(seconds=0.3))
    assert found.trouble
    assert all("did not answer in time" in each for each in found.trouble)


def test_everything_together_takes_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finder, "SECONDS", 0.3)
    registry = Registry()
    registry.handlers[f"/v2/app/manifests/{TAG}.sig"] = _sleep
    assert "took more than" in gathered(registry, limits=Limits(seconds=10)).trouble[0]


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_a_registry_that_fails_leaves_the_question_open(status: int) -> None:
    registry = Registry()

    async def fail(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    registry.before = fail
    found = gathered(registry)
    assert found.found == []
    assert str(status) in found.trouble[0]


def test_a_registry_inside_that_nobody_has_named_is_not_asked() -> None:
    registry = Registry()
    found = gathered(registry, of=lambda _: Reach())
    assert all("signatures.registries" in each for each in found.trouble)
    assert registry.asked == []
