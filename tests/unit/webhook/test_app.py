"""HTTP without sockets: what is read, what is refused before it is read, and that nothing stays behind."""

import asyncio
import dataclasses
import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from prometheus_client import generate_latest
from ringfence.webhook.app import App, Limits, timeout
from ringfence.webhook.metrics import Metrics
from ringfence.webhook.review import Purpose
from ringfence.webhook.wire import BadReview

from tests.unit.webhook.reviews import encoded, pod

SMALL = Limits(body=1000, drained=4000, buffered=1500, small=0, reading_requests=2)


class Answers:
    """Remembers what it was asked."""

    def __init__(self, seconds: float = 0.0, error: Exception | None = None) -> None:
        self.asked: list[tuple[Purpose, bytes, float]] = []
        self._seconds, self._error = seconds, error

    async def answer(self, purpose: Purpose, body: bytes, deadline: float) -> bytes:
        self.asked.append((purpose, body, deadline))
        await asyncio.sleep(self._seconds)
        if self._error:
            raise self._error
        return b"{}"


class Reply:
    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.body += message["body"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def request(
    app: App,
    body: bytes | Iterable[bytes] = b"{}",
    *,
    path: str = "/validate",
    method: str = "POST",
    query: bytes = b"",
    media: bytes | None = b"application/json",
    length: bytes | None = None,
    gone: bool = False,
    client: str = "10.0.0.1",
) -> Reply:
    pieces: Iterator[bytes] = iter([body] if isinstance(body, bytes) else body)
    following = next(pieces, None)

    async def receive() -> dict[str, Any]:
        nonlocal following
        if following is None:
            return {"type": "http.disconnect"}
        piece, following = following, next(pieces, None)
        return {"type": "http.request", "body": piece, "more_body": following is not None or gone}

    headers = [(b"content-type", media)] if media is not None else []
    headers += [(b"content-length", length)] if length is not None else []
    reply = Reply()
    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": headers}
    await app({**scope, "client": (client, 1)}, receive, reply)
    return reply


def run(app: App, *args: Any, **kwargs: Any) -> Reply:
    return asyncio.run(request(app, *args, **kwargs))


def app_of(answers: Answers | None = None, limits: Limits = SMALL) -> App:
    return App(answers or Answers(), Metrics(), limits)


@pytest.mark.parametrize(
    ("path", "purpose"), [("/mutate", Purpose.MUTATE), ("/validate", Purpose.VALIDATE), ("/warn", Purpose.WARN)]
)
def test_each_path_has_its_purpose(path: str, purpose: Purpose) -> None:
    answers = Answers()
    reply = run(app_of(answers), b"review", path=path)
    assert (reply.status, reply.body) == (200, b"{}")
    assert answers.asked[0][:2] == (purpose, b"review")
    assert reply.headers[b"content-length"] == b"2"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"path": "/"}, 404),
        ({"path": "/validate/"}, 404),
        ({"path": "/VALIDATE"}, 404),
        ({"method": "GET"}, 405),
        ({"method": "PUT"}, 405),
        ({"media": None}, 415),
        ({"media": b"text/plain"}, 415),
        ({"media": b"application/x-www-form-urlencoded"}, 415),
        ({"media": b"application/jsonx"}, 415),
    ],
)
def test_what_is_no_review_is_not_read(fields: dict, status: int) -> None:
    answers = Answers()
    reply = run(app_of(answers), **fields)
    assert reply.status == status
    assert reply.json["error"]
    assert reply.headers[b"connection"] == b"close"
    assert answers.asked == []


def test_a_charset_is_no_obstacle() -> None:
    assert run(app_of(), media=b"Application/JSON; charset=utf-8").status == 200


def test_a_body_in_pieces_is_put_together() -> None:
    answers = Answers()
    run(app_of(answers), [b"re", b"", b"view"])
    assert answers.asked[0][1] == b"review"


@pytest.mark.parametrize("length", [None, b"2000"])
def test_a_larger_one_is_refused_with_its_uid(length: bytes | None) -> None:
    answers = Answers()
    body = encoded(pod(containers=[{"name": "x" * 2000}]))
    pieces = [body[i : i + 300] for i in range(0, len(body), 300)]
    reply = run(app_of(answers), pieces, length=length)
    assert reply.status == 200
    assert reply.json["response"]["uid"] == "705ab4f5-6393-11e8-b7cc-42010a800002"
    assert reply.json["response"]["allowed"] is False
    assert reply.json["response"]["status"]["code"] == 413
    assert answers.asked == []


def test_one_without_a_uid_is_refused_by_status() -> None:
    assert run(app_of(), [b"x" * 600] * 3).status == 413


def test_not_even_to_refuse_is_everything_read() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 100

    assert run(app_of(), endless()).status == 413
    assert taken < 60


def test_seven_mebibytes_are_read() -> None:
    answers = Answers()
    assert run(app_of(answers, Limits()), b"x" * (7 * 1024 * 1024)).status == 200
    assert run(app_of(answers, Limits()), b"x" * (7 * 1024 * 1024 + 1)).status == 413
    assert len(answers.asked) == 1


async def stalled(app: App, client: str, release: asyncio.Event) -> int:
    """A request whose body begins and then stands still until released."""
    pieces = iter([{"type": "http.request", "body": b"x", "more_body": True}])

    async def receive() -> dict[str, Any]:
        for each in pieces:
            return each
        await release.wait()
        return {"type": "http.request", "body": b"", "more_body": False}

    reply = Reply()
    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/validate", "query_string": b"timeout=30s", "headers": headers}
    await app({**scope, "client": (client, 1)}, receive, reply)
    if reply.status == 429:
        assert reply.headers[b"retry-after"] == b"1"
    return reply.status


def test_too_many_bodies_on_their_way_are_told_to_come_back() -> None:
    async def all_at_once() -> list[int]:
        app, release = app_of(), asyncio.Event()
        tasks = [asyncio.create_task(stalled(app, "10.0.0.66", release)) for _ in range(5)]
        await asyncio.sleep(0.05)
        whole = await request(app, client="10.0.0.66")
        others = [asyncio.create_task(stalled(app, f"10.0.0.{index}", release)) for index in range(2)]
        await asyncio.sleep(0.05)
        release.set()
        return [whole.status, *await asyncio.gather(*tasks), *await asyncio.gather(*others)]

    assert asyncio.run(all_at_once()) == [200, 200, 200, 429, 429, 429, 200, 200]


def test_bodies_that_come_whole_are_never_turned_away_however_many_stand_still() -> None:
    async def all_at_once() -> list[int]:
        app, release = app_of(), asyncio.Event()
        tasks = [asyncio.create_task(stalled(app, f"10.0.1.{index}", release)) for index in range(100)]
        await asyncio.sleep(0.05)
        replies = await asyncio.gather(*(request(app) for _ in range(50)))
        release.set()
        await asyncio.gather(*tasks)
        return sorted({each.status for each in replies})

    assert asyncio.run(all_at_once()) == [200]


def test_large_bodies_do_not_keep_small_ones_out() -> None:
    async def all_at_once() -> list[int]:
        app = app_of(Answers(seconds=0.05), Limits(body=1000, buffered=800, small=100))
        bodies = [b"x" * 900, b"x" * 900, b"x" * 100, b"x" * 100]
        replies = [each.status for each in await asyncio.gather(*(request(app, body) for body in bodies))]
        return [*replies, (await request(app, b"x" * 900)).status]

    assert asyncio.run(all_at_once()) == [200, 429, 200, 200, 200]


def test_so_are_too_many_bytes() -> None:
    async def all_at_once() -> list[int]:
        app = app_of(Answers(seconds=0.05))
        replies = await asyncio.gather(request(app, b"x" * 800), request(app, [b"x" * 400, b"y" * 400]))
        again = await asyncio.gather(request(app, b"x" * 800), request(app, b"x" * 700))
        return [each.status for each in (*replies, *again)]

    assert asyncio.run(all_at_once()) == [200, 429, 200, 200]


def test_the_deadline_of_the_api_server_holds() -> None:
    start = time.monotonic()
    reply = run(app_of(Answers(seconds=60)), query=b"timeout=100ms")
    assert reply.status == 504
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    ("query", "limits"), [(b"timeout=50ms", SMALL), (b"timeout=30s", dataclasses.replace(SMALL, reading=0.05))]
)
def test_a_slow_sender_ends_with_it_too(query: bytes, limits: Limits) -> None:
    async def slow() -> int:
        app = app_of(limits=limits)
        forever = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await forever.wait()
            raise AssertionError

        reply = Reply()
        headers = [(b"content-type", b"application/json")]
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/validate",
            "query_string": query,
            "headers": headers,
        }
        await app(scope, receive, reply)
        return reply.status

    assert asyncio.run(slow()) == 504


def test_who_went_away_gets_no_answer() -> None:
    answers = Answers()
    assert run(app_of(answers), b"half", gone=True).status == 0
    assert answers.asked == []


@pytest.mark.parametrize("error", [BadReview("what is this"), BadReview("no uid", "")])
def test_a_review_without_a_uid_is_refused_by_status(error: BadReview) -> None:
    reply = run(app_of(Answers(error=error)))
    assert reply.status == 400
    assert str(error) in reply.json["error"]


def test_nothing_stays_counted_whatever_happened() -> None:
    async def everything() -> bytes:
        metrics = Metrics()
        app = App(Answers(), metrics, SMALL)
        await request(app, [b"x" * 600] * 3)
        await request(app, b"half", gone=True)
        await request(app, b"x" * 1001)
        app._answers = Answers(error=RuntimeError())
        with pytest.raises(RuntimeError):
            await request(app, b"x" * 900)
        app._answers = Answers()
        for _ in range(5):
            assert (await request(app, b"x" * 1000)).status == 200
        return generate_latest(metrics.registry)

    assert b"ringfence_admission_in_flight 0.0" in asyncio.run(everything())


def test_when_it_ends_every_answer_closes_its_connection() -> None:
    app = app_of()
    assert b"connection" not in run(app).headers
    app.draining = True
    assert run(app).headers[b"connection"] == b"close"


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        (b"", 10), (b"timeout=2s", 2), (b"timeout=30s", 30), (b"timeout=1m0s", 30), (b"timeout=500ms", 0.5),
        (b"timeout=1.5s", 1.5), (b"timeout=", 10), (b"timeout=x", 10), (b"timeout=-1s", 10), (b"timeout=2s\n", 10),
        (b"timeout=99999999s", 10), (b"x=1&timeout=3s", 3), (b"timeout=0s", 0), (b"\xff", 10),
    ],
)  # fmt: skip
def test_timeout(query: bytes, seconds: float) -> None:
    assert timeout(query) == seconds
