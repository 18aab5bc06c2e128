"""Every kind of traffic through two proxies works for who is allowed, as it would without them, and for nobody else."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from e2e.traffic.__main__ import FRAMES, WEB
from e2e.traffic.place import REFUSED, Place

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

LASTING = 40.0
"""Seconds for which streams go on, while the other tests run beside them."""
GIGABYTE = 1 << 30
MOST = 24 << 20
"""Bytes of memory that a proxy may take more while it carries a gigabyte: buffers, not bodies."""


@pytest.fixture(scope="module")
def lasting(traffic: Place) -> Iterator[dict[str, "Future[dict[str, Any]]"]]:
    """Streams that were begun before the first test here."""
    calls = {"streams": ("server", 82), "websocket": ("server", 80), "lines": ("server", 9000)}
    with ThreadPoolExecutor(len(calls)) as pool:
        yield {
            kind: pool.submit(traffic.ask, "friend", kind, *where, f"--seconds={LASTING}")
            for kind, where in calls.items()
        }


@pytest.mark.usefixtures("lasting")
def test_http1_keeps_its_connection_and_its_trailers(traffic: Place) -> None:
    found = traffic.ask("friend", "kept", "server", 80)
    assert found["outcome"] == "200"
    assert found["taken"] == str(len("hello world")), "a chunked body"
    assert found["trailers"] == {"x-sum": "abc"}, "the program had the request's trailers, and the caller the answer's"
    assert traffic.ask("stranger", "kept", "server", 80)["outcome"] in REFUSED


def test_http2_with_prior_knowledge_keeps_its_trailers(traffic: Place) -> None:
    assert traffic.ask("friend", "frames", "server", 81)["whole"] == 20
    assert traffic.ask("stranger", "frames", "server", 81)["outcome"] in REFUSED


def test_grpc_speaks_both_ways(traffic: Place) -> None:
    found = traffic.ask("friend", "streams", "server", 82)
    assert (found["outcome"], found["counted"]) == ("OK", found["echoed"])
    assert traffic.ask("stranger", "streams", "server", 82)["outcome"] in REFUSED


def test_a_websocket_is_one(traffic: Place) -> None:
    assert traffic.ask("friend", "websocket", "server", 80)["outcome"] == "101"
    assert traffic.ask("stranger", "websocket", "server", 80)["outcome"] in REFUSED


@pytest.mark.parametrize(
    ("port", "what", "size"),
    [(80, "HTTP", GIGABYTE), (8080, "bytes, to the pod's own address", GIGABYTE // 4)],
    ids=["HTTP", "bytes"],
)
def test_a_gigabyte_each_way_takes_no_memory(traffic: Place, port: int, what: str, size: int) -> None:
    [server], [friend] = traffic.pods("server"), traffic.pods("friend")
    host = "server" if port == 80 else server["status"]["podIP"]
    before = [traffic.memory(each) for each in (server, friend)]
    found = traffic.ask("friend", "large", host, port, f"--size={size}", timeout=280)
    after = [traffic.memory(each) for each in (server, friend)]
    grown = [then.grown(now) for now, then in zip(before, after, strict=True)]
    print(f"  {what}: {found['seconds']} s up and down; memory before {before}, after {after}")
    assert (found["outcome"], found["up"], found["down"]) == ("200", size, size)
    assert max(grown) < MOST


def test_what_lasts_goes_on_through_changes_of_policy(
    traffic: Place, lasting: dict[str, "Future[dict[str, Any]]"]
) -> None:
    """A policy that changes something else ends nothing; one about a TCP port itself would end its connections."""
    traffic.admin.apply([traffic.allow("server", "worker", WEB, FRAMES)])
    ended = {kind: call.result() for kind, call in lasting.items()}
    assert {kind: each["outcome"] for kind, each in ended.items()} == {
        "streams": "OK",
        "websocket": "101",
        "lines": "greeted",
    }
    assert min(each["echoed"] for each in ended.values()) > LASTING
    traffic.admin.apply([traffic.allow("server", "worker", WEB)])
