"""The token of a user who has logged in at a real OpenID provider, before a real Envoy."""

import base64
import json
import time
from collections.abc import Iterator

import pytest
from ringfence.api.parser import parse
from ringfence.model.requests import Request
from ringfence.model.resources import SecurityPolicy
from ringfence.model.tokens import AUTHORIZATION

from tests.component import openid_provider, proxy_net, request_rig
from tests.component.openid_provider import CLIENT, ISSUER, Provider
from tests.component.proxy_net import Identities, Net
from tests.component.request_rig import WEB, Asked

pytestmark = pytest.mark.component

#: That of the fixture `net`.
NETWORK = request_rig.network


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with openid_provider.running() as made:
        yield made


def written(keys: str, audience: str = CLIENT, **claims: list[str]) -> SecurityPolicy:
    """As a team writes it, with the keys as the provider gives them."""
    rule = {
        "name": "users",
        "from": [{"identity": {"name": "web"}}],
        "ports": [request_rig.HTTP_PORT],
        "jwt": {"issuer": "login", "claims": claims},
    }
    found = parse(
        {
            "apiVersion": "ringfence.dev/v1alpha1",
            "kind": "SecurityPolicy",
            "metadata": {"name": "p0", "namespace": "shop"},
            "spec": {
                "jwtIssuers": [{"name": "login", "issuer": ISSUER, "audiences": [audience], "jwks": keys}],
                "ingress": [rule],
            },
        }
    )
    assert isinstance(found, SecurityPolicy)
    return found


def statuses(net: Net, policy: SecurityPolicy, *tokens: str) -> list[int]:
    svids = Identities(net.directory, "cluster.local")
    bearing = [Request(headers={AUTHORIZATION: (f"Bearer {each}",)} if each else {}) for each in tokens]
    with proxy_net.running(net, request_rig.config(request_rig.mesh(policy)), svids.secrets("shop", "db")):
        answers = request_rig.ask(net, svids, [Asked(each, WEB, True) for each in bearing])
    return [200 if program else status for status, program, _ in answers]


def claims_of(token: str) -> dict[str, object]:
    body = token.split(".")[1]
    found: dict[str, object] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


def test_who_has_logged_in_is_known_by_the_claims(net: Net, provider: Provider) -> None:
    token, keys = provider.logged_in(), provider.keys()
    said = claims_of(token)
    assert (said["iss"], said["sub"]) == (ISSUER, "id1")
    assert int(str(said["exp"])) > time.time()
    assert statuses(net, written(keys, sub=["id1"], amr=["pwd"]), token, "") == [200, 403]
    assert statuses(net, written(keys, sub=["id2"]), token) == [403]


def test_a_token_for_another_audience_or_of_another_provider_is_not_good(net: Net, provider: Provider) -> None:
    token, keys = provider.logged_in(), provider.keys()
    assert statuses(net, written(keys, audience="bank", sub=["id1"]), token) == [401]
    with openid_provider.running() as other:
        # The same issuer by its own word, with keys of its own.
        assert statuses(net, written(keys, sub=["id1"]), other.logged_in(), token) == [401, 200]
        assert statuses(net, written(other.keys(), sub=["id1"]), token) == [401]
