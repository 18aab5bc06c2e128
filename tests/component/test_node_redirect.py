"""What the redirect does to real packets: a pod and a stranger, both families, every way in and out."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from ringfence.model import proxy

from e2e.cluster import debian
from tests.component.redirect_rig import (
    PEER4,
    PEER6,
    POD4,
    POD6,
    PROGRAM,
    PROXY,
    Flood,
    Wire,
    own_rules,
    users_of_its_own,
)

pytestmark = pytest.mark.component

OUT, IN, STATUS, GATE = proxy.OUTBOUND_PORT, proxy.INBOUND_PORT, proxy.STATUS_PORT, proxy.GATE_PORT
#: A pod's address and its peer's, of each family.
BOTH = pytest.mark.parametrize(("pod", "peer"), [(POD4, PEER4), (POD6, PEER6)], ids=["IPv4", "IPv6"])
LOOPBACK = {POD4: "127.0.0.1", POD6: "::1"}
INBOUND_SOURCE = {POD4: proxy.INBOUND_SOURCE_V4, POD6: proxy.INBOUND_SOURCE_V6}


@pytest.fixture(scope="module", autouse=True)
def untouched() -> Iterator[None]:
    """Nothing here touches the network of the machine."""
    debian.ensure(("nft", "ip"))
    before = own_rules()
    yield
    assert own_rules() == before


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as made:
        yield made


@BOTH
def test_a_pod_with_users_of_its_own_is_known_by_its_own_ids(pod: str, peer: str) -> None:
    """``hostUsers: false``: the proxy's id is what the pod says; outside it is another, which is nobody's in there."""
    outside, inside = 3_000_000, proxy.FIRST_UID_OF_OWN_USERS + 5
    with users_of_its_own(outside) as network, Wire(network) as wire:
        wire.pod.redirect(user=inside)
        with wire.pod.listening(OUT, IN) as doors, wire.peer.listening(8080) as strangers:
            with wire.pod.connect(peer, 8080, user=outside + inside) as client:
                assert strangers.arrived(client).port == 8080
            for other in (inside, outside + inside + 1, outside):
                with wire.pod.connect(peer, 8080, user=other) as client:
                    assert doors.arrived(client).port == OUT
            with wire.peer.connect(pod, 8080) as client:
                assert doors.arrived(client).port == IN


@BOTH
def test_whatever_comes_in_goes_to_the_proxy(wire: Wire, pod: str, peer: str) -> None:
    wire.pod.redirect()
    with wire.pod.listening(IN, 8080) as doors:
        for port in (8080, 1, 22, 15000, 65535):
            with wire.peer.connect(pod, port) as client:
                arrival = doors.arrived(client)
            assert (arrival.port, arrival.meant, arrival.source) == (IN, (pod, port), peer)
        # Who asks does not matter: no user and no source port of a caller is exempt.
        with wire.peer.connect(pod, 8080, user=PROXY) as client:
            assert doors.arrived(client).port == IN


@BOTH
def test_whatever_goes_out_goes_to_the_proxy_and_the_proxys_own_does_not(wire: Wire, pod: str, peer: str) -> None:
    wire.pod.redirect()
    with wire.pod.listening(OUT) as caught, wire.peer.listening(9000) as outside:
        for user in (PROGRAM, 0, PROXY - 1, PROXY + 1):
            with wire.pod.connect(peer, 9000, user=user) as client:
                arrival = caught.arrived(client)
            assert (arrival.port, arrival.meant) == (OUT, (peer, 9000))
        with wire.pod.connect(peer, 9000, user=PROXY) as client:
            assert outside.arrived(client).source == pod
        with wire.pod.connect(peer, 9000) as client:
            caught.arrived(client)
        assert outside.nobody()


@BOTH
def test_who_has_the_proxys_user_or_its_group_alone_is_not_exempt(wire: Wire, pod: str, peer: str) -> None:
    """One of them can be hit by an image that runs as whom it has guessed."""
    group = PROXY + 1000
    wire.pod.redirect(group=group)
    with wire.pod.listening(OUT) as caught, wire.peer.listening(9000) as outside:
        for user, of in ((PROXY, PROXY), (PROXY, 0), (PROXY, group + 1), (group, group), (PROGRAM, group), (0, group)):
            with wire.pod.connect(peer, 9000, user=user, group=of) as client:
                assert caught.arrived(client).port == OUT
        assert outside.nobody()
        with wire.pod.connect(peer, 9000, user=PROXY, group=group) as client:
            assert outside.arrived(client).source == pod


@BOTH
def test_loopback_is_left_alone(wire: Wire, pod: str, peer: str) -> None:
    wire.pod.redirect()
    with wire.pod.listening(8080, OUT, IN, STATUS) as doors:
        for user in (PROGRAM, PROXY):
            with wire.pod.connect(LOOPBACK[pod], 8080, user=user) as client:
                assert doors.arrived(client).port == 8080
            with wire.pod.connect(LOOPBACK[pod], STATUS, user=user) as client:
                assert doors.arrived(client).port == STATUS


@BOTH
def test_the_proxy_reaches_its_program_by_its_inbound_source(wire: Wire, pod: str, peer: str) -> None:
    wire.pod.redirect()
    with wire.pod.listening(8080, IN, OUT) as doors:
        with wire.pod.connect(pod, 8080, user=PROXY, source=INBOUND_SOURCE[pod]) as client:
            assert doors.arrived(client).port == 8080
        # The source is the proxy's; a program that takes it wins nothing.
        with wire.pod.connect(pod, 8080, source=INBOUND_SOURCE[pod]) as client:
            assert doors.arrived(client).port == OUT


@BOTH
def test_a_pod_that_calls_itself_goes_out_and_in(wire: Wire, pod: str, peer: str) -> None:
    wire.pod.redirect()
    with wire.pod.listening(8080, IN, OUT) as doors:
        with wire.pod.connect(pod, 8080) as client:
            assert (arrival := doors.arrived(client)).port == OUT
            assert arrival.meant == (pod, 8080)
        with wire.pod.connect(pod, 8080, user=PROXY) as client:
            assert (arrival := doors.arrived(client)).port == IN
            assert arrival.meant == (pod, 8080)


@BOTH
def test_the_gate_opens_with_the_redirect(wire: Wire, pod: str, peer: str) -> None:
    with wire.pod.listening(STATUS) as doors:
        assert wire.peer.refuses(pod, GATE)
        wire.pod.redirect()
        for port in (GATE, STATUS):
            with wire.peer.connect(pod, port) as client:
                assert doors.arrived(client).port == STATUS


@BOTH
def test_the_proxys_doors_open_to_the_redirect_alone(wire: Wire, pod: str, peer: str) -> None:
    wire.pod.redirect()
    with wire.pod.listening(IN, OUT, STATUS) as doors:
        for port in (IN, OUT):
            assert wire.peer.refuses(pod, port)
            assert wire.pod.refuses(LOOPBACK[pod], port)
        # By the pod's own address it is a call like any other.
        with wire.pod.connect(pod, IN) as client:
            assert (arrival := doors.arrived(client)).port == OUT
            assert arrival.meant == (pod, IN)


@BOTH
def test_a_server_that_speaks_first_and_large_answers(wire: Wire, pod: str, peer: str) -> None:
    wire.pod.redirect()
    data = bytes(range(256)) * 4096
    with wire.pod.listening(IN) as doors, wire.peer.connect(pod, 25) as client:
        door = doors._doors[IN]
        accepted, _ = door.accept()

        def serve() -> None:
            with accepted:
                accepted.sendall(data)

        server = threading.Thread(target=serve)
        server.start()
        received = b""
        while chunk := client.recv(1 << 16):
            received += chunk
        server.join()
        assert received == data


@BOTH
def test_udp_is_left_to_network_policies(wire: Wire, pod: str, peer: str) -> None:
    wire.pod.redirect()
    with (
        wire.peer.listening(53, kind=socket.SOCK_DGRAM) as outside,
        wire.pod.listening(53, kind=socket.SOCK_DGRAM) as own,
    ):
        family = socket.AF_INET6 if ":" in pod else socket.AF_INET
        with wire.pod.opened(family, socket.SOCK_DGRAM, PROGRAM) as sender:
            sender.sendto(b"question", (peer, 53))
            assert outside.datagram(53) == b"question"
        with wire.peer.opened(family, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"question", (pod, 53))
            assert own.datagram(53) == b"question"


@BOTH
def test_errors_of_icmp_pass(wire: Wire, pod: str, peer: str) -> None:
    wire.pod.redirect()
    family = socket.AF_INET6 if ":" in pod else socket.AF_INET
    for sender, address in ((wire.pod, peer), (wire.peer, pod)):
        with sender.opened(family, socket.SOCK_DGRAM, PROGRAM) as asking:
            asking.connect((address, 7777))
            asking.send(b"anybody there?")
            with pytest.raises(ConnectionRefusedError):
                asking.recv(100)


@BOTH
@pytest.mark.parametrize("strict", [True, False])
def test_echo_passes_only_where_nothing_is_enforced(wire: Wire, pod: str, peer: str, strict: bool) -> None:
    def echoes(place: str, address: str) -> bool:
        where = wire.pod if place == "pod" else wire.peer
        kind, protocol, request = (
            (socket.AF_INET6, socket.IPPROTO_ICMPV6, 128) if ":" in pod else (socket.AF_INET, socket.IPPROTO_ICMP, 8)
        )
        packet = bytearray(struct.pack("!BBHHH", request, 0, 0, 77, 1) + b"0123")
        total = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
        struct.pack_into("!H", packet, 2, ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
        with where.opened(kind, socket.SOCK_RAW, 0, protocol) as raw:
            raw.settimeout(1)
            try:
                raw.sendto(bytes(packet), (address, 0))
                while True:
                    answer = raw.recv(2048)
                    if (answer[0] if ":" in pod else answer[20]) == (129 if ":" in pod else 0):
                        return True
            except (TimeoutError, PermissionError):
                return False

    assert echoes("pod", peer)
    assert echoes("peer", pod)
    wire.pod.redirect(strict=strict)
    assert echoes("pod", peer) is not strict
    assert echoes("peer", pod) is not strict
    assert echoes("pod", LOOPBACK[pod])


@pytest.mark.parametrize("protocol", [4, 41, 47, 50, 253])
def test_other_protocols_do_not_pass_where_enforced(wire: Wire, protocol: int) -> None:
    """IP in IP, IPv6 in IPv4, GRE, ESP, an experiment: tunnels that nobody would see into."""

    def passes() -> bool:
        with (
            wire.peer.opened(socket.AF_INET, socket.SOCK_RAW, 0, protocol) as receiver,
            wire.pod.opened(socket.AF_INET, socket.SOCK_RAW, 0, protocol) as sender,
        ):
            receiver.settimeout(1)
            with contextlib.suppress(PermissionError):
                sender.sendto(b"tunnelled", (PEER4, 0))
            try:
                return receiver.recv(100).endswith(b"tunnelled")
            except TimeoutError:
                return False

    wire.pod.redirect(strict=False)
    assert passes()
    wire.pod.redirect(strict=True)
    assert not passes()


def test_neighbours_are_found_where_enforced(wire: Wire) -> None:
    wire.pod.redirect()
    with wire.pod.listening(IN) as doors:
        for _ in range(2):
            wire.pod.run("ip", "-6", "neigh", "flush", "dev", "eth0")
            wire.peer.run("ip", "-6", "neigh", "flush", "dev", "eth0")
            with wire.peer.connect(POD6, 8080) as client:
                assert doors.arrived(client).port == IN


def test_packets_that_belong_to_nothing_are_dropped(wire: Wire) -> None:
    """A segment without flags belongs to no connection, so no redirect catches it: nothing must answer it."""

    def answered() -> bool:
        header = struct.pack("!HHIIBBHHH", 40000, 8080, 1, 0, 5 << 4, 0, 1024, 0, 0)
        pseudo = socket.inet_aton(PEER4) + socket.inet_aton(POD4) + struct.pack("!BBH", 0, 6, len(header))
        total = sum(struct.unpack(f"!{(len(pseudo) + len(header)) // 2}H", pseudo + header))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        segment = header[:16] + struct.pack("!H", ~total & 0xFFFF) + header[18:]
        with wire.peer.opened(socket.AF_INET, socket.SOCK_RAW, 0, socket.IPPROTO_TCP) as raw:
            raw.settimeout(1)
            raw.sendto(segment, (POD4, 0))
            try:
                while True:
                    answer = raw.recv(2048)
                    if answer[20:24] == struct.pack("!HH", 8080, 40000):
                        return True
            except TimeoutError:
                return False

    assert answered()
    wire.pod.redirect()
    assert not answered()


@contextlib.contextmanager
def _emptied(door: socket.socket) -> Iterator[list[str]]:
    """Takes whatever comes at once, since a queue that is full lets callers wait; yields who came."""
    came: list[str] = []
    ended = threading.Event()

    def take() -> None:
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                accepted, source = door.accept()
                accepted.close()
                came.append(source[0])

    door.settimeout(0.05)
    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield came
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("address", [POD4, POD6])
def test_nobody_slips_through_while_rules_are_replaced(wire: Wire, address: str) -> None:
    """The program's port is open beside the proxy's: whoever came out there would have passed the proxy by."""
    wire.pod.redirect()
    with wire.pod.listening(IN, 8080) as doors:
        programs = doors._doors[8080]
        with _emptied(doors._doors[IN]) as caught, Flood(wire.peer, address, 8080) as flood:
            for turn in range(40):
                wire.pod.redirect(strict=bool(turn % 2))
        programs.settimeout(0.05)
        with pytest.raises(TimeoutError):
            programs.accept()
    assert flood.made > 100
    assert len(caught) > 100
    assert flood.failed == []


def test_connections_outlive_the_replacement_of_the_rules(wire: Wire) -> None:
    wire.pod.redirect()
    with (
        wire.pod.listening(IN) as inbound,
        wire.pod.listening(OUT) as outbound,
        wire.peer.connect(POD4, 8080) as first,
        wire.pod.connect(PEER6, 443) as second,
        inbound._doors[IN].accept()[0] as first_end,
        outbound._doors[OUT].accept()[0] as second_end,
    ):
        for turn in range(6):
            wire.pod.redirect(strict=bool(turn % 2))
            for client, server in ((first, first_end), (second, second_end)):
                server.settimeout(3)
                client.sendall(b"ping")
                assert server.recv(10) == b"ping"
                server.sendall(b"pong")
                assert client.recv(10) == b"pong"
