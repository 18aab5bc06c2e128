"""Probes and metrics, over a real socket."""

import asyncio
import http.client
from collections.abc import Callable

from ringfence import plain_http as served


def ask(why_not_ready: Callable[[], str], *requests: tuple[str, str]) -> list[tuple[int, str]]:
    async def main() -> list[tuple[int, str]]:
        listener = served.listen("127.0.0.1", 0)
        port = listener.getsockname()[1]
        async with served.serving(served.app(why_not_ready), listener):
            return [await asyncio.to_thread(_one, port, method, path) for method, path in requests]

    return asyncio.run(main())


def _one(port: int, method: str, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_alive_although_not_ready() -> None:
    answers = ask(lambda: "first lists are not complete", ("GET", "/healthz"), ("GET", "/readyz"))
    assert answers == [(200, "ok\n"), (503, "first lists are not complete\n")]


def test_ready() -> None:
    assert ask(lambda: "", ("GET", "/readyz")) == [(200, "ok\n")]


def test_metrics_are_prometheus_text() -> None:
    ((status, text),) = ask(lambda: "", ("GET", "/metrics"))
    assert status == 200
    assert "# TYPE ringfence_queue_depth gauge" in text


def test_nothing_else_is_served() -> None:
    answers = ask(lambda: "", ("GET", "/"), ("POST", "/metrics"), ("HEAD", "/healthz"))
    assert [status for status, _ in answers] == [404, 405, 200]
    assert answers[2] == (200, "")


def test_an_empty_host_is_every_address() -> None:
    listener = served.listen("", 0)
    try:
        assert listener.getsockname()[0] in {"::", "0.0.0.0"}
    finally:
        listener.close()


def test_an_ipv6_address_is_listened_on_as_such() -> None:
    listener = served.listen("::1", 0)
    try:
        assert listener.getsockname()[0] == "::1"
    finally:
        listener.close()
