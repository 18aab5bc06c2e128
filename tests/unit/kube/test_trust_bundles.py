"""Which version of ClusterTrustBundle an API server has, if any, is found out and not assumed."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from ringfence.kube import errors, trust_bundles
from ringfence.kube.trust_bundles import TrustBundleWatch

from tests.unit.kube.fakes import FakeClock, Request, listing, obj

NAME = "ringfence.dev:identity:root"
GROUP = "/apis/certificates.k8s.io"


class Server:
    """Answers discovery by ``served`` (version to the plurals that it has) and lists ``held``."""

    def __init__(self, **served: list[str]) -> None:
        self.served = served
        self.held: list[dict[str, Any]] = []
        self.requests: list[Request] = []
        self.error: errors.KubeError | None = None

    async def request(self, method: str, path: str, **_: Any) -> Any:
        self.requests.append(Request(method, path, {}))
        if self.error is not None:
            raise self.error
        version = path.rpartition("/")[2]
        if version not in self.served:
            raise errors.NotFound(path)
        return {"resources": [{"name": each} for each in self.served[version]]}

    async def request_bytes(self, method: str, path: str, **rest: Any) -> bytes:
        import json

        self.requests.append(Request(method, path, rest["query"]))
        return json.dumps(listing(*self.held)).encode()

    async def watch(self, path: str, query: Any, *, silence: float, opened: Callable[[], None]) -> Any:
        opened()
        await asyncio.sleep(3600)
        yield "", b""

    def asked(self) -> list[str]:
        found = [each.path for each in self.requests if each.path.count("/") == 3]
        self.requests.clear()
        return found


def drive(server: Server, scenario: Callable[[TrustBundleWatch, FakeClock], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        clock = FakeClock()
        watch = TrustBundleWatch(server, clock=clock)  # type: ignore[arg-type]
        try:
            async with asyncio.timeout(5):
                await scenario(watch, clock)
        finally:
            await watch.aclose()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("served", "version"),
    [
        ({"v1": ["certificatesigningrequests"]}, None),
        ({}, None),
        ({"v1": ["certificatesigningrequests"], "v1alpha1": ["clustertrustbundles"]}, "v1alpha1"),
        ({"v1": ["certificatesigningrequests"], "v1beta1": ["others", "clustertrustbundles"]}, "v1beta1"),
        ({"v1beta1": ["clustertrustbundles"], "v1alpha1": ["clustertrustbundles"]}, "v1beta1"),
        ({"v1": ["clustertrustbundles"], "v1beta1": ["clustertrustbundles"]}, "v1"),
    ],
)  # fmt: skip
def test_the_newest_version_that_is_served(served: dict[str, list[str]], version: str | None) -> None:
    server = Server(**served)
    server.held = [obj(NAME, namespace="")]

    async def scenario(watch: TrustBundleWatch, _: FakeClock) -> None:
        found = await watch.open(NAME)
        if version is None:
            assert found is None
            assert list(watch.reflectors()) == []
            return
        assert found is not None
        assert found[0] == f"certificates.k8s.io/{version}"
        assert [each["metadata"]["name"] for each in found[1].list()] == [NAME]
        assert list(watch.reflectors()) == [found[1]]

    drive(server, scenario)
    lists = [each for each in server.requests if each.query]
    assert [each.query["fieldSelector"] for each in lists] == ([] if version is None else [f"metadata.name={NAME}"])


def test_an_answer_is_believed_for_a_while() -> None:
    server = Server()

    async def scenario(watch: TrustBundleWatch, clock: FakeClock) -> None:
        assert await watch.open(NAME) is None
        assert len(server.asked()) == 3
        clock.seconds += trust_bundles.ASK_SECONDS - 1
        assert await watch.open(NAME) is None
        assert server.asked() == []
        server.served = {"v1beta1": ["clustertrustbundles"]}
        clock.seconds += 1
        assert await watch.open(NAME) is not None

    drive(server, scenario)


def test_another_version_after_an_upgrade_and_none_after_the_kind_was_switched_off() -> None:
    server = Server(v1beta1=["clustertrustbundles"])

    async def scenario(watch: TrustBundleWatch, clock: FakeClock) -> None:
        first = await watch.open(NAME)
        server.served = {"v1": ["clustertrustbundles"]}
        clock.seconds += trust_bundles.ASK_SECONDS
        second = await watch.open(NAME)
        assert first is not None
        assert second is not None
        assert (first[0], second[0]) == ("certificates.k8s.io/v1beta1", "certificates.k8s.io/v1")
        assert first[1] is not second[1]
        # A watch in trouble is asked about at once.
        second[1].trouble = "404"
        server.served = {}
        assert await watch.open(NAME) is None

    drive(server, scenario)


def test_who_cannot_ask_does_not_take_it_for_a_no() -> None:
    server = Server(v1beta1=["clustertrustbundles"])

    async def scenario(watch: TrustBundleWatch, _: FakeClock) -> None:
        server.error = errors.Unreachable("no answer")
        with pytest.raises(errors.Unreachable):
            await watch.open(NAME)
        server.error = None
        assert await watch.open(NAME) is not None

    drive(server, scenario)


def test_changes_are_told_of() -> None:
    server = Server(v1beta1=["clustertrustbundles"])
    server.held = [obj(NAME, namespace="")]
    told: list[tuple[str, str]] = []

    async def scenario(watch: TrustBundleWatch, _: FakeClock) -> None:
        watch.callback = lambda *place: told.append(place)
        await watch.open(NAME)

    drive(server, scenario)
    assert told == [("", NAME)]
