"""From a request to an answer: what a registry does not tell is no "no", and what is broken is never a "yes"."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from ringfence.kube import errors
from ringfence.model.signatures import SignatureReason, SignatureRule, Signer, Wanted
from ringfence.settings import RegistrySetting, SignatureSettings
from ringfence.verification import Inspector

from tests.unit.registry.server import Registry, serving
from tests.unit.registry.test_finder import TAG, put_older
from tests.unit.signatures import authority as a
from tests.unit.signatures.authority import DIGEST, IDENTITY, ISSUER

KEY = a.new_key()
BY_KEY = SignatureRule("key", ("*",), keys=(a.pem(KEY),))
BY_SIGNER = SignatureRule("signer", ("*",), keyless=(Signer(ISSUER, IDENTITY),))
BROKEN = SignatureRule("broken", ("*",), keys=("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",))


class Api:
    """Stands for kube.client.Client: there is nothing, or nothing may be read."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error or errors.NotFound("none")
        self.asked: list[str] = []

    async def request(self, method: str, path: str) -> Any:
        self.asked.append(path)
        raise self.error


def answers(
    registry: Registry, *rules: SignatureRule, root: str = "", api: Api | None = None
) -> tuple[list[SignatureReason], list[str]]:
    async def run() -> Any:
        async with serving(registry):
            settings = SignatureSettings(root, (RegistrySetting(registry.host, private=True, plain_http=True),))
            inspector = Inspector(api or Api(), settings)  # type: ignore[arg-type]
            try:
                image = f"{registry.host}/app@{DIGEST}"
                return await inspector.inspect(Wanted("shop", image, "app", ("pull",)), rules)
            finally:
                await inspector.close()

    found = asyncio.run(run())
    return [each.reason for each in found], [each.message for each in found]


def test_each_rule_gets_its_answer() -> None:
    registry, trusted = Registry(), a.Authority()
    put_older(registry, a.key_simple(KEY), trusted.simple(trusted.certify()))
    reasons, _ = answers(registry, BY_KEY, BY_SIGNER, BROKEN, root=trusted.trusted_root().decode())
    assert reasons == [SignatureReason.VERIFIED, SignatureReason.VERIFIED, SignatureReason.NOT_TRUSTED]


def test_without_a_trust_root_that_can_be_used_no_signer_is_trusted() -> None:
    registry, trusted = Registry(), a.Authority()
    put_older(registry, trusted.simple(trusted.certify()))
    assert answers(registry, BY_SIGNER)[0] == [SignatureReason.NO_TRUST_ROOT]
    reasons, messages = answers(registry, BY_SIGNER, root='{"mediaType": "x"}')
    assert reasons == [SignatureReason.NO_TRUST_ROOT]
    assert "cannot be used" in messages[0]


@pytest.mark.parametrize("path", [f"manifests/{TAG}.sig", f"referrers/{DIGEST}"])
def test_what_a_registry_does_not_tell_is_no_answer(path: str) -> None:
    registry = Registry()

    async def fail(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    registry.handlers[f"/v2/app/{path}"] = fail
    reasons, messages = answers(registry, BY_KEY)
    assert reasons == [SignatureReason.REGISTRY_FAILED]
    assert "503" in messages[0]
    # A good signature that was found all the same is one.
    registry = Registry()
    registry.handlers["/v2/app/referrers/" + DIGEST] = fail
    put_older(registry, a.key_simple(KEY))
    assert answers(registry, BY_KEY)[0] == [SignatureReason.VERIFIED]


def test_pull_secrets_that_may_not_be_read_are_done_without() -> None:
    api = Api(errors.of_status("GET", 403, None, None))
    assert answers(Registry(), BY_KEY, api=api)[0] == [SignatureReason.NOT_SIGNED]
    assert api.asked == [
        "/api/v1/namespaces/shop/serviceaccounts/app",
        "/api/v1/namespaces/shop/secrets/pull",
    ]
