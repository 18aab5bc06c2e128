"""Signatures in a real registry, in every form, and what the libraries of cosign make."""

import asyncio
import base64
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from ringfence.model import image_reference
from ringfence.model.signatures import SignatureReason, SignatureRule, Signer
from ringfence.registry import finder
from ringfence.registry.addresses import Named, Reach
from ringfence.registry.client import Client
from ringfence.signatures import keyless, verify
from ringfence.signatures.found import SimpleSigning

from tests.component import oci, programs
from tests.unit.signatures import authority as a
from tests.unit.signatures.authority import IDENTITY, ISSUER

pytestmark = [pytest.mark.component, pytest.mark.timeout(300)]

KEY = a.new_key()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[oci.Registry]:
    with oci.registry(tmp_path_factory.mktemp("registry")) as made:
        yield made


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[oci.Registry]:
    """One that lists referrers."""
    with oci.registry(tmp_path_factory.mktemp("listing"), referrers=True) as made:
        yield made


def _answer(registry: oci.Registry, digest: str, rule: SignatureRule, root: verify.Root | None = None) -> Any:
    async def run() -> finder.Gathered:
        reach = Reach({registry.host: Named(private=True, plain_http=True)})
        async with Client(reach) as asking:
            return await finder.gather(asking, image_reference.parse(f"{registry.host}/app@{digest}"), None)

    gathered = asyncio.run(run())
    assert gathered.trouble == []
    return verify.verify(rule, digest, gathered.found, root).reason


def test_every_way_in_which_a_real_registry_holds_signatures(registry: oci.Registry, listing: oci.Registry) -> None:
    by_key = SignatureRule("key", ("*",), keys=(a.pem(KEY),))
    trusted = a.Authority()
    root = keyless.TrustRoot(trusted.trusted_root())
    by_signer = SignatureRule("signer", ("*",), keyless=(Signer(ISSUER, IDENTITY),))
    certified = trusted.certify()

    unsigned = registry.image("app", b"unsigned")
    assert _answer(registry, unsigned, by_key) is SignatureReason.NOT_SIGNED
    older = registry.image("app", b"older")
    registry.sign("app", older, a.key_simple(a.new_key(), a.simple_payload(older)))
    assert _answer(registry, older, by_key) is SignatureReason.NOT_TRUSTED
    payload = a.simple_payload(older)
    registry.sign("app", older, a.key_simple(KEY, payload), trusted.simple(certified, payload))
    assert _answer(registry, older, by_key) is SignatureReason.VERIFIED
    assert _answer(registry, older, by_signer, root) is SignatureReason.VERIFIED

    for where, by_tag in ((listing, False), (registry, True)):
        newer = where.image("app", f"newer {by_tag}".encode())
        bundle = a.document(trusted.bundle(certified, a.statement(newer)))
        where.attach("app", newer, bundle, by_tag=by_tag)
        assert _answer(where, newer, by_signer, root) is SignatureReason.VERIFIED
        assert _answer(where, newer, by_key) is SignatureReason.NOT_TRUSTED


def test_the_signature_of_another_image_does_not_count(listing: oci.Registry) -> None:
    rule = SignatureRule("key", ("*",), keys=(a.pem(KEY),))
    good, bad = listing.image("app", b"good"), listing.image("app", b"bad")
    listing.sign("app", bad, a.key_simple(KEY, a.simple_payload(good)))
    listing.attach("app", bad, a.key_bundle(KEY, a.statement(good)))
    assert _answer(listing, bad, rule) is SignatureReason.NOT_TRUSTED


def test_what_cosigns_own_libraries_sign_is_understood() -> None:
    command = [programs.signer(), f"registry.example/app@{a.DIGEST}", a.statement().decode()]
    made = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    simple = SimpleSigning(base64.b64decode(made["payload"]), base64.b64decode(made["signature"]))
    bundle = a.document({"mediaType": a.BUNDLE_TYPE, "dsseEnvelope": made["envelope"]})
    rule = SignatureRule("key", ("*",), keys=(made["key"],))
    for found in (simple, bundle):
        assert verify.verify(rule, a.DIGEST, [found], None).verified
        assert not verify.verify(rule, a.OTHER_DIGEST, [found], None).verified
