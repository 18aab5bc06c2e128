"""Ways around limits, tried on a real Envoy."""

from collections.abc import Iterator

import pytest

from tests.component import traffic_rig
from tests.component.proxy_net import Identities
from tests.component.traffic_rig import Call, Rig, config, lines, nobody

pytestmark = pytest.mark.component

_HEAD = "POST / HTTP/1.1\r\nHost: x\r\n"
_CHUNKS = "14\r\n" + "x" * 20 + "\r\n0\r\n\r\n"
_ASKS = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
#: Twenty bytes to a port that takes ten, in every way in which a body's length can be said, or not.
BODIES = {
    "as it should be": f"Content-Length: 20\r\n\r\n{'x' * 20}",
    "in chunks": f"Transfer-Encoding: chunked\r\n\r\n{_CHUNKS}",
    "in chunks and short": f"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n{_CHUNKS}",
    "long": f"Content-Length: 99999999999999999999999\r\n\r\n{'x' * 20}",
    "about as much as there can be": f"Content-Length: 9223372036854775807\r\n\r\n{'x' * 20}",
    "more than there can be": f"Content-Length: 18446744073709551615\r\n\r\n{'x' * 20}",
    "below nothing": f"Content-Length: -1\r\n\r\n{'x' * 20}",
    "with a sign": f"Content-Length: +5\r\n\r\n{'x' * 20}",
    "in another base": f"Content-Length: 0x5\r\n\r\n{'x' * 20}",
    "twice": f"Content-Length: 5\r\nContent-Length: 20\r\n\r\n{'x' * 20}",
    "in a list": f"Content-Length: 5, 20\r\n\r\n{'x' * 20}",
    "with an upgrade": f"{_ASKS}Content-Length: 20\r\n\r\n{'x' * 20}",
    "with an upgrade, in chunks": f"{_ASKS}Transfer-Encoding: chunked\r\n\r\n{_CHUNKS}",
    "with half an upgrade": f"Upgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n{_CHUNKS}",
    "with another upgrade": f"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n{_CHUNKS}",
    "with a space before the colon": f"Content-Length : 5\r\n\r\n{'x' * 20}",
    "with another coding": f"Transfer-Encoding: gzip, chunked\r\n\r\n{_CHUNKS}",
}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with traffic_rig.network(tmp_path_factory.mktemp("net")) as net:
        yield Rig(net, Identities(net.directory, "cluster.local"))


def test_no_body_gets_by_its_bound(rig: Rig) -> None:
    with rig.running(config("[{name: small, maxBody: '10'}]")):
        fits = rig.answers([Call(raw=f"{_HEAD}Content-Length: 10\r\n\r\n{'x' * 10}")])[0][0]
        found = rig.answers(*([Call(raw=_HEAD + rest)] for rest in BODIES.values()))
        seen = rig.answers([Call(path="/seen")])[0][0].came["seen"]
    assert (fits.status, '"body": 10' in fits.body) == (200, True)
    for name, (answer,) in zip(BODIES, found, strict=True):
        # Of an upgrade Envoy passes on the head alone until the program agrees to it.
        assert answer.status in ({200} if name == "with an upgrade, in chunks" else {400, 403, 413, 501}), (
            name,
            answer,
        )
    assert sorted(map(tuple, seen)) == [("/", 0), ("/", 10), ("/seen", 0)]


def test_what_follows_an_upgrade_that_the_program_ignores_is_no_request(rig: Rig) -> None:
    """Else it would pass unjudged and uncounted."""
    upgrade = f"GET / HTTP/1.1\r\nHost: x\r\n{_ASKS}\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    with rig.running(config("[{name: few, rateLimits: {all: {requests: 9, per: 1h}}}]")):
        (answer,) = rig.answers([Call(raw=upgrade)])[0]
        seen = rig.answers([Call(path="/seen")])
    assert answer.body.lower().count("x-program") == 1
    assert "/smuggled" not in seen[0][0].body


def test_values_that_change_all_the_time_fill_no_memory_and_callers_keep_their_buckets(rig: Rig) -> None:
    """By header alone such a caller is not held; the bucket of the caller holds it."""
    limits = "perCaller: {requests: 40, per: 1h}, perHeader: [{header: x-tenant, requests: 1, per: 1h}]"
    with rig.running(config(f"[{{name: some, rateLimits: {{{limits}}}}}]")):
        statuses = rig.statuses(*(Call(headers={"x-tenant": str(n)}) for n in range(60)))
    assert statuses == [200] * 40 + [429] * 20


def test_a_header_that_comes_twice_is_one_value(rig: Rig) -> None:
    raw = "GET / HTTP/1.1\r\nHost: x\r\nX-Tenant: a\r\nX-Tenant: b\r\nConnection: close\r\n\r\n"
    with rig.running(
        config("[{name: some, rateLimits: {perHeader: [{header: x-tenant, requests: 2, per: 1h}]}}]")
    ) as log:
        statuses = [rig.answers([Call(raw=raw)])[0][0].status for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert len(lines(log)) == 3


def test_no_header_gives_a_caller_another_bucket(rig: Rig) -> None:
    """Neither by an address that it says it has, nor by one it says it has not."""
    said = (
        "x-forwarded-for",
        "x-real-ip",
        "true-client-ip",
        "x-envoy-external-address",
        "forwarded",
        "x-cluster-client-ip",
    )
    names = (
        "x-envoy-internal",
        "x-forwarded-client-cert",
        "via",
        "x-ringfence-limit",
        "x-envoy-downstream-service-node",
    )
    for who in (nobody, Call):
        with rig.running(config("[{name: each, rateLimits: {perCaller: {requests: 3, per: 1h}}}]")):
            calls = [who(headers=dict.fromkeys((*said, *names), f"198.51.100.{n}")) for n in range(1, 9)]
            assert rig.statuses(*calls) == [200] * 3 + [429] * 5


def test_no_header_lengthens_what_a_request_may_take(rig: Rig) -> None:
    headers = {
        **{f"x-envoy-{name}": "60000" for name in ("upstream-rq-timeout-ms", "expected-rq-timeout-ms")},
        "x-envoy-upstream-rq-per-try-timeout-ms": "60000",
        "grpc-timeout": "60S",
        "keep-alive": "timeout=60",
    }
    with rig.running(config("[{name: t, timeouts: {request: 1s}}]")):
        found = rig.answers(*([who(path="/slow/20", headers=headers)] for who in (Call, nobody)))
    assert [each[0].status for each in found] == [504, 504]
    assert max(each[0].seconds for each in found) < 10


def test_a_header_that_is_changed_has_no_other_spelling(rig: Rig) -> None:
    """CGI and WSGI know no dash: the caller's own would be the one that the program reads."""
    traffic = "[{name: h, headers: {toProgram: {remove: [x-debug-all], set: [{name: x-tier-of, value: gold}]}}}]"
    spelt = (
        "x-tier_of",
        "x_tier-of",
        "X_Tier_Of",
        "X-Debug_All",
        "x_debug-all",
        "x_debug_all",
        "x-tier-of",
        "x-debug-all",
    )
    with rig.running(config(traffic)):
        for call in (Call(headers=dict.fromkeys(spelt, "mine")), nobody(headers=dict.fromkeys(spelt, "mine"))):
            (answer,) = rig.answers([call])[0]
            read = {name.replace("_", "-"): value for name, value in answer.came["headers"].items()}
            assert len(read) == len(answer.came["headers"])
            assert (read["x-tier-of"], "x-debug-all" in read) == ("gold", False)
