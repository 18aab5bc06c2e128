"""Logs that are listened to: what counts, how far it reaches, and streams that die."""

import argparse
import asyncio
import io
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from ringfence.cli import live, proxy_listen, proxy_peers
from ringfence.cli.console import Console, Output
from ringfence.cli.live import NoCluster
from ringfence.cli.proxy_listen import Heard, Listening
from ringfence.cli.proxy_logs import Log
from ringfence.kube import errors

from tests.unit.cli import test_proxy_peers as peers
from tests.unit.cli.test_proxy_peers import NOW, line, pod

SECONDS = 0.2
PEER = "spiffe://cluster.local/ns/shop/sa/web"


def stamped(minute: int, **more: Any) -> str:
    """A line of a log at 07:MM:00, of a call in plaintext."""
    return f"2027-01-15T07:{minute:02}:00.000000000Z {json.dumps(line(**more))}"


class Api:
    """Logs by pod: lines that were there before, and those that come; ``tail`` is the last line at the end."""

    def __init__(self, before: str = "", coming: tuple[str, ...] = (), tail: str | None = None) -> None:
        self.before, self.coming = before, coming
        self.tail = tail if tail is not None else (coming[-1] if coming else before)
        self.gone = self.refused = self.ends = False
        self.opened = False

    async def lines(
        self, path: str, query: dict[str, str], *, silence: float | None, opened: Callable[[], None]
    ) -> AsyncGenerator[bytes, None]:
        assert (query["follow"], query["tailLines"], silence) == ("true", "0", None)
        if self.refused:
            raise errors.of_status(path, 403, {"message": "you may not"})
        self.opened = True
        opened()
        for each in self.coming:
            yield each.encode()
        if not self.ends:
            await asyncio.sleep(60)

    async def request_bytes(self, method: str, path: str, *, query: dict[str, str], timeout: float) -> bytes:  # noqa: ASYNC109
        assert query["tailLines"] == "1"
        if self.gone and self.opened:
            raise errors.of_status(path, 404, {"message": "gone"})
        return f"{self.tail if self.opened else self.before}\n".encode()


def listened(api: Api, most: int = 100) -> tuple[Log | None, list[str]]:
    remarks: list[str] = []
    listening = Listening(api, "shop", SECONDS, most, lambda: NOW)  # type: ignore[arg-type]
    found = asyncio.run(listening.to(["db-0"], remarks))
    return found["db-0"], remarks


def test_what_comes_counts_and_what_was_there_does_not() -> None:
    log, remarks = listened(Api(stamped(1), (stamped(2, source="10.0.0.9:2"), stamped(3, tls="TLSv1.3", peer=PEER))))
    assert remarks == []
    assert log is not None
    # Of mutual TLS that was let in nobody asks.
    assert [entry["source"] for _, entry in log.lines] == ["10.0.0.9:2"]
    assert (log.since, log.cut) == (NOW, False)


def test_silence_is_silence_only_where_nothing_was_written() -> None:
    assert listened(Api(stamped(1)))[0] == Log((), NOW)
    log, (remark,) = listened(Api(stamped(1), tail=stamped(2)))
    assert log is None
    assert remark == "the log of shop/db-0 was not heard to the end: lines were written that did not come"


def test_a_stream_that_ends_early_is_told_by_what_is_written_after_it() -> None:
    api = Api(stamped(1), (stamped(2),), tail=stamped(9))
    api.ends = True
    assert listened(api)[0] is None
    api = Api(stamped(1), (stamped(2),))
    api.ends = True
    assert listened(api)[0] is not None


def test_the_log_of_a_pod_that_has_gone_was_heard_to_its_end() -> None:
    api = Api(stamped(1), (stamped(2),))
    api.ends = api.gone = True
    log, remarks = listened(api)
    assert remarks == []
    assert log is not None
    assert len(log.lines) == 1


def test_who_may_not_read_it_is_told_which_right_is_missing() -> None:
    api = Api()
    api.refused = True
    log, (remark,) = listened(api)
    assert log is None
    assert "you need the right to get pods/log" in remark


def test_only_so_many_lines_are_kept_and_then_it_reaches_back_less() -> None:
    heard = Heard(2)
    heard.since = 0.0
    for minute in range(1, 5):
        heard.take(stamped(minute).encode())
    log = heard.log()
    assert len(log.lines) == 2
    assert log.cut
    assert log.since == log.lines[0][0] - 60


def test_more_than_can_be_listened_to_is_an_error_that_says_what_to_do() -> None:
    listening = Listening(Api(), "shop", SECONDS, 9, lambda: NOW)  # type: ignore[arg-type]
    with pytest.raises(NoCluster, match="name one workload"):
        asyncio.run(listening.to([f"db-{number}" for number in range(proxy_listen.MOST + 1)], []))


class Shop(peers.Api, Api):
    """All that the command asks for; another pod comes while it listens."""

    def __init__(self, coming: tuple[str, ...], new: dict[str, str]) -> None:
        peers.Api.__init__(self, peers.api({})._lists, {})
        Api.__init__(self, stamped(1), coming)
        self._new = new

    async def request(self, method: str, path: str, *, query: dict[str, str] | None = None) -> Any:
        found = await peers.Api.request(self, method, path, query=query)
        if path.endswith("/namespaces/shop/pods") and self.opened:
            found = {"items": [*found["items"], *(pod(name, "10.0.0.3", "db") for name in self._new)]}
        return found

    async def request_bytes(self, method: str, path: str, *, query: dict[str, str], timeout: float) -> bytes:  # noqa: ASYNC109
        name = path.split("/")[-2]
        if name in self._new:
            return self._new[name].encode()
        return await Api.request_bytes(self, method, path, query=query, timeout=timeout)


def told(monkeypatch: pytest.MonkeyPatch, using: Shop) -> tuple[int, dict[str, Any]]:
    async def connect(_: object) -> Shop:
        return using

    moments = iter([NOW, *[NOW + 300] * 9])
    monkeypatch.setattr(live, "connect", connect)
    monkeypatch.setattr(proxy_peers, "clock", lambda: next(moments))
    out, err = io.StringIO(), io.StringIO()
    arguments = argparse.Namespace(
        workload="shop/db",
        since=3600.0,
        listen=SECONDS,
        lines=500,
        kubeconfig=None,
        context=None,
        ringfence_namespace="ringfence-system",
    )
    status = proxy_peers.run(arguments, Console(out, err, {}, output=Output.JSON))
    assert "listening for" in err.getvalue()
    return status, json.loads(out.getvalue())


def test_safe_is_said_of_the_time_that_was_listened(monkeypatch: pytest.MonkeyPatch) -> None:
    status, said = told(monkeypatch, Shop((), {}))
    assert (status, said["safeForStrict"], said["seconds"]) == (0, True, 300)


def test_a_caller_in_plaintext_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    status, said = told(monkeypatch, Shop((stamped(2),), {}))
    assert (status, said["safeForStrict"]) == (1, False)
    assert [each["strict"] for each in said["plaintext"]] == ["refused"]


def test_a_pod_that_came_meanwhile_counts_with_all_of_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    status, said = told(monkeypatch, Shop((), {"db-1": f"{stamped(20)}\n"}))
    assert (status, said["safeForStrict"], said["proxies"]) == (1, False, 2)
