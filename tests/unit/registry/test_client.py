"""Redirects, tokens and addresses: nothing inside is reached, and nobody's credentials go anywhere else."""

import asyncio
import base64
import socket
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from ringfence.model import image_reference
from ringfence.registry import addresses, challenge
from ringfence.registry.addresses import GuardedResolver, Named, Reach
from ringfence.registry.client import Client
from ringfence.registry.credentials import Credentials
from ringfence.registry.errors import Forbidden, Garbage, RegistryError
from ringfence.registry.finder import gather
from yarl import URL

from tests.unit.registry.server import Registry, gathered, serving
from tests.unit.registry.test_finder import KEY, put_older, verified
from tests.unit.signatures import authority as a
from tests.unit.signatures.authority import DIGEST

INSIDE = ("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd12::1", "0.0.0.0")
NEVER = (
    "169.254.169.254",
    "169.254.170.2",
    "fe80::1",
    "fe80::1%eth0",
    "100.100.100.200",
    "168.63.129.16",
    "fd00:ec2::254",
    "224.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
)


@pytest.mark.parametrize("address", [*INSIDE, *NEVER, "::ffff:10.0.0.1", "64:ff9b::a00:1"])
def test_addresses_inside_are_not_reached(address: str) -> None:
    with pytest.raises(Forbidden):
        Reach().check("registry.example", address)


def test_addresses_inside_are_reached_where_the_platform_says_so() -> None:
    reach = Reach({"registry.inside:5000": Named(private=True)})
    reach.check("registry.inside", "10.0.0.1")
    reach.check("elsewhere.example", "203.0.114.1")
    with pytest.raises(Forbidden, match=r"signatures\.registries"):
        reach.check("other.inside", "10.0.0.1")


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_never_reached(address: str) -> None:
    with pytest.raises(Forbidden):
        Reach({"registry.inside": Named(private=True)}).check("registry.inside", address)


class _Names(AbstractResolver):
    def __init__(self, *found: str) -> None:
        self._found = found

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        made: list[Any] = [
            {"hostname": host, "host": each, "port": port, "family": family, "proto": 0, "flags": 0}
            for each in self._found
        ]
        return made

    async def close(self) -> None:
        return None


def test_a_name_is_judged_by_the_addresses_that_are_connected_to() -> None:
    async def addresses_of(*found: str) -> list[str]:
        return [each["host"] for each in await GuardedResolver(Reach(), _Names(*found)).resolve("r.example", 443)]

    assert asyncio.run(addresses_of("203.0.114.1", "169.254.169.254")) == ["203.0.114.1"]
    with pytest.raises(Forbidden):
        asyncio.run(addresses_of("169.254.169.254", "10.0.0.1"))


@pytest.mark.parametrize("host", ["metadata.example", "127.1", "2130706433", "0x7f000001", "[::1]", "127.0.0.1"])
def test_no_spelling_of_a_host_leads_inside(host: str) -> None:
    async def ask() -> None:
        async with Client(Reach(), resolver=_Names("169.254.169.254")) as client:
            await client.get(URL(f"https://{host}/v2/"), {}, 10)

    with pytest.raises(Forbidden):
        asyncio.run(ask())


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("http://169.254.169.254/latest/meta-data/", "without TLS"),
        ("https://169.254.169.254/", "no registry is"),
        ("https://2852039166/", "no registry is"),
        ("http://127.0.0.1:1/", "without TLS"),
        ("https://10.96.0.1/api", "an address inside"),
        ("file:///etc/passwd", "redirects to"),
        ("https://user:password@registry.example/", "redirects to"),
        ("//169.254.169.254/", "without TLS"),
        ("https://[::ffff:169.254.169.254]/", "no registry is"),
        ("", "answers 307"),
    ],
)
def test_redirects_inside_are_not_followed(target: str, why: str) -> None:
    registry = Registry()

    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": target})

    registry.before = redirect
    found = gathered(registry)
    assert found.found == []
    assert [why in each for each in found.trouble] == [True, True]
    assert "password" not in str(found.trouble)


def test_redirects_of_one_registry_are_followed_without_credentials_for_another() -> None:
    store, registry = Registry(), Registry()
    put_older(store, a.key_simple(KEY))

    async def run() -> tuple[bool, list[str], list[str]]:
        async with serving(store), serving(registry):

            async def redirect(request: web.Request) -> web.StreamResponse:
                if not request.headers.get("Authorization"):
                    return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="r"'})
                return web.Response(status=307, headers={"Location": f"http://{store.host}{request.path}"})

            registry.before = redirect
            reach = Reach({each.host: Named(private=True, plain_http=True) for each in (store, registry)})
            async with Client(reach) as client:
                image = image_reference.parse(f"{registry.host}/app@{DIGEST}")
                found = await gather(client, image, Credentials("user", "secret"))
                return bool(found.found), store.authorizations, registry.authorizations

    found, elsewhere, here = asyncio.run(run())
    assert found
    assert set(elsewhere) == {""}
    assert Credentials("user", "secret").basic in here


def test_redirects_in_a_circle_end() -> None:
    registry = Registry()

    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": request.path})

    registry.before = redirect
    assert "answers 302" in gathered(registry).trouble[0]
    assert len(registry.asked) == 8


def _with_tokens(registry: Registry, accepted: str = "") -> None:
    async def token(request: web.Request) -> web.StreamResponse:
        if accepted and request.headers.get("Authorization") != accepted:
            return web.Response(status=401)
        return web.json_response({"token": f"token for {request.query['scope']}"})

    async def demand(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") == "Bearer token for repository:app:pull":
            return web.Response(status=204)
        realm = f'Bearer realm="http://{registry.host}/token",service="s",scope="repository:app:pull,push,delete"'
        return web.Response(status=401, headers={"WWW-Authenticate": realm})

    registry.handlers["/token"] = token
    registry.before = demand


def test_a_token_is_asked_for_pulling_and_nothing_more() -> None:
    registry = Registry()
    put_older(registry, a.key_simple(KEY))
    _with_tokens(registry)
    assert verified(registry)
    assert registry.asked.count("/token") == 1


def test_credentials_get_the_token() -> None:
    registry = Registry()
    put_older(registry, a.key_simple(KEY))
    credentials = Credentials("user", "secret")
    _with_tokens(registry, credentials.basic)
    assert verified(registry, credentials=credentials)
    refused = gathered(registry, credentials=Credentials("user", "wrong"))
    assert "imagePullSecrets" in refused.trouble[0]
    assert "wrong" not in str(refused.trouble)


@pytest.mark.parametrize(
    ("realm", "error"),
    [
        ("http://auth.registry.example/token", Forbidden),
        ("https://auth.evil.example2/token", Forbidden),
        ("https://169.254.169.254/token", Forbidden),
        ("https://user@registry.example/token", Garbage),
        ("/token", Garbage),
        ("", Garbage),
        ("https://[/", Garbage),
    ],
)
def test_tokens_are_asked_for_at_the_registrys_own_site_only(realm: str, error: type[RegistryError]) -> None:
    wanted = challenge.parse(f'Bearer realm="{realm}",service="s"')
    with pytest.raises(error):
        challenge.token_url(wanted, URL("https://registry.example/v2/"), "app", Reach())


def test_the_token_service_of_docker_hub() -> None:
    wanted = challenge.parse('Bearer realm="https://auth.docker.io/token",service="registry.docker.io"')
    url = challenge.token_url(wanted, URL("https://registry-1.docker.io/v2/"), "library/nginx", Reach())
    assert str(url) == "https://auth.docker.io/token?scope=repository:library/nginx:pull&service=registry.docker.io"


@pytest.mark.parametrize("header", ["", "Negotiate", "Digest realm=x", "x" * 100_000])
def test_other_ways_to_authenticate_are_refused(header: str) -> None:
    with pytest.raises(Garbage):
        challenge.parse(header)


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": "a\\nb"}'])
def test_a_token_service_that_answers_garbage(answer: bytes) -> None:
    registry = Registry()
    _with_tokens(registry)

    async def garbage(request: web.Request) -> web.StreamResponse:
        return web.Response(body=answer)

    registry.handlers["/token"] = garbage
    assert "token service" in gathered(registry).trouble[0]


def test_hosts_that_are_addresses_are_known_as_such() -> None:
    assert addresses.literal("registry.example") is None
    assert addresses.literal("127.1") == "127.0.0.1"
    assert addresses.host_of("[::1]:5000") == "::1"


def test_credentials_are_not_shown() -> None:
    assert "secret" not in repr(Credentials("user", "secret"))
    assert base64.b64decode(Credentials("user", "secret").basic.partition(" ")[2]) == b"user:secret"
