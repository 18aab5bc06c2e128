"""Bounds, timeouts and changes of headers on a real Envoy."""

import sys
from collections.abc import Iterator

import pytest

from tests.component import proxy_net, traffic_rig
from tests.component.proxy_net import POD, WEB, Identities
from tests.component.traffic_rig import TCP_PORT, Call, Rig, config, lines, nobody, written

pytestmark = pytest.mark.component

KI, MI = 1 << 10, 1 << 20


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with traffic_rig.network(tmp_path_factory.mktemp("net")) as net:
        yield Rig(net, Identities(net.directory, "cluster.local"))


def post(size: int, **more: object) -> Call:
    return Call(method="POST", size=size, **more)  # type: ignore[arg-type]


def test_bodies_are_bounded_whether_they_say_their_length_or_not(rig: Rig) -> None:
    with rig.running(config("[{name: small, maxBody: 100Ki}]")) as log:
        told = rig.answers([post(100 * KI)], [post(100 * KI + 1)], [post(5 * MI)])
        untold = rig.answers(
            [post(100 * KI, chunked=True)], [post(100 * KI + 1, chunked=True)], [post(5 * MI, chunked=True)]
        )
        strangers = rig.statuses(post(5 * MI, account="api"))
    for answers in (told, untold):
        assert [group[0].status for group in answers][:2] == [200, 413]
        # Who goes on sending to a proxy that has answered may see the connection's end before the answer.
        assert answers[2][0].status in {0, 413}
    assert [group[0].came["body"] for group in (told[0], untold[0])] == [100 * KI] * 2
    assert told[1][0].body.startswith("too large, decision ")
    assert strangers in ([403], [0])
    found = [line for line in lines(log) if line["code"] == 413]
    assert {line.get("body") for line in found} == {"shop/p#small.maxBody", None}
    assert "request_payload_too_large" in {line["details"] for line in found}


def test_a_body_that_says_its_length_streams_and_one_that_does_not_is_held(rig: Rig) -> None:
    """The program sees the first half of the one before the second half is sent."""
    with rig.running(config("[{name: big, maxBody: 1Gi}]", ingress=traffic_rig.FRIENDS)):
        told, untold = (_halves(rig, chunked) for chunked in ("", "chunked"))
        over = rig.statuses(post(2 * MI, chunked=True))
    assert (told, untold) == ("streams", "held")
    assert over in ([413], [0])


def _halves(rig: Rig, chunked: str) -> str:
    arguments = (*rig.svids.files("shop", "web"), POD, WEB, chunked)
    return proxy_net.run(*rig.net.command("callers", sys.executable, "-c", _HALVES, *arguments)).strip()


#: Sends the head and one half, and looks whether the program's answer comes.
_HALVES = """
import socket, ssl, sys, time
chain, key, roots, pod, source, chunked = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.load_verify_locations(roots)
context.load_cert_chain(chain, key)
context.set_alpn_protocols(["ringfence"])
head = b"POST /early HTTP/1.1\\r\\nHost: x\\r\\n"
head += b"Transfer-Encoding: chunked\\r\\n\\r\\n5\\r\\n" if chunked else b"Content-Length: 10\\r\\n\\r\\n"
with context.wrap_socket(socket.create_connection((pod, 8080), 10, (source, 0))) as connection:
    connection.sendall(head + b"hello")
    connection.settimeout(4)
    try:
        print("streams" if b"early" in connection.recv(4096) else "?")
    except TimeoutError:
        print("held")
"""


def test_a_body_in_audit_passes_and_is_written_down(rig: Rig) -> None:
    audit = written("[{name: small, maxBody: 10Ki}]", "later", "Audit")
    with rig.running(config("[{name: big, maxBody: 100Ki}]", audit)) as log:
        assert [rig.statuses(post(size))[0] for size in (KI, 50 * KI, 200 * KI)] == [200, 200, 413]
    assert [line.get("body") for line in lines(log)] == [
        None,
        "audit shop/later#small.maxBody",
        "shop/p#big.maxBody",
    ]


def test_headers_are_bounded_in_size_and_number(rig: Rig) -> None:
    with rig.running(config("[{name: few, requestHeaders: {maxSize: 4Ki, maxCount: 20}}]")):
        many = {f"x-{n}": "1" for n in range(30)}
        assert rig.statuses(Call(), Call(headers={"x-a": "b" * 3000})) == [200, 200]
        assert rig.statuses(Call(headers={"x-a": "b" * 5000})) == [431]
        assert rig.statuses(Call(headers=many)) == [431]


def test_timeouts(rig: Rig) -> None:
    traffic = "[{name: t, timeouts: {request: 20s, idle: 2s, stream: 15s}}]"
    with rig.running(config(traffic)) as log:
        quick, idle, fine = rig.answers([Call(path="/slow/0.2")], [Call(path="/slow/25")], [Call(path="/trickle/0.5")])
    assert (quick[0].status, fine[0].status) == (200, 200)
    assert idle[0].status in {408, 504}
    assert idle[0].seconds < 10
    with rig.running(config("[{name: t, timeouts: {request: 1s}}]")) as log:
        (late,) = rig.answers([Call(path="/slow/20")])
    assert (late[0].status, lines(log)[0]["details"]) == (504, "response_timeout")
    assert late[0].seconds < 10


def test_headers_are_removed_and_set_on_both_ways(rig: Rig) -> None:
    traffic = """[{name: h, headers: {
        toProgram: {remove: [x-debug], set: [{name: x-tier, value: "100% %REQ(:path)% gold"}]},
        toCaller: {remove: [x-powered-by], set: [{name: x-content-type-options, value: nosniff}]}}}]"""
    audit = written("[{name: h, headers: {toCaller: {remove: [x-program]}}}]", "later", "Audit")
    with rig.running(config(traffic, audit, ingress=traffic_rig.FRIENDS)):
        (answers,) = rig.answers([Call(headers={"X-Debug": "1", "X-Tier": "mine"})])
        (denied,) = rig.answers([Call(account="api")])
    came, said = answers[0].came["headers"], answers[0].headers
    assert came["x-tier"] == "100% %REQ(:path)% gold"
    assert "x-debug" not in came
    assert came["x-forwarded-client-cert"].endswith(";URI=spiffe://cluster.local/ns/shop/sa/web")
    assert "x-powered-by" not in said
    assert said["x-program"] == "yes"
    assert said["x-content-type-options"] == "nosniff"
    assert denied[0].status == 403


def test_connections_are_bounded_for_each_port(rig: Rig) -> None:
    traffic = f"[{{name: few, ports: [8080, {TCP_PORT}], maxConnections: 2}}]"
    with rig.running(config(traffic)):
        process = rig.started(*[[Call(path="/slow/4")]] * 4)
        found = sorted(group[0].status for group in traffic_rig.ended(process))
        assert found == [0, 0, 200, 200]
        assert rig.statuses(Call()) == [200]
        assert rig.statuses(nobody()) == [200]
        figures = rig.metrics()
    assert 'limited_connections{limit="shop/p#few"} 2' in figures
