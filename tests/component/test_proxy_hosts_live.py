"""Egress by host while rules change: what is open ends, or is judged anew."""

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from ringfence.model.resources import CidrPeer, HostPeer

from tests.component import host_rig, proxy_net
from tests.component.host_rig import HOSTS, PEERS, Outside, http, tls
from tests.component.node_rig import eventually
from tests.component.proxy_net import CALLER_UID
from tests.unit.policy.making import allow, deny

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with host_rig.outside(tmp_path_factory.mktemp("outside")) as made:
        yield made


def test_a_rule_that_is_tightened_ends_what_it_had_opened(outside: Outside) -> None:
    names = ("held.example.com", "b-held.example.com", "stays-held.example")
    outside.knows({each: [HOSTS[0]] for each in names})
    stays = allow("stays", HostPeer("stays-held.example"), ports=(8443,))
    before = host_rig.world(allow("a", HostPeer("held.example.com"), ports=(443, 80)), stays)
    after = host_rig.world(allow("a", HostPeer("b-held.example.com"), ports=(443, 80)), stays)
    again = "GET / HTTP/1.1\r\nHost: held.example.com\r\n\r\n"
    kept = {"to": "20.9.9.9", "port": 80, "raw": again, "again": [{"after": 4, "raw": again, "within": 3}]}
    waits = [{"after": 0, "within": 7}]
    calls = [
        tls("held.example.com") | {"again": waits},
        tls("stays-held.example", port=8443) | {"again": waits},
        kept,
    ]
    with outside.live(before) as change, ThreadPoolExecutor(1) as pool:
        outside.reached()
        came = pool.submit(outside.call, calls)
        eventually(lambda: outside.count() >= len(calls) or came.done())
        # Time for the answers, and much less than until the kept connection asks again.
        time.sleep(0.5)
        change(after)
        answers = came.result()
        assert answers == [f"reached {HOSTS[0]} then {what}" for what in ("ended", "open", "403")]
        lost, gained = outside.call([tls("held.example.com"), tls("b-held.example.com")])
        assert (lost.strip(), gained) == ("refused", f"reached {HOSTS[0]}")


def test_addresses_that_are_denied_later_are_denied_to_names_in_use(outside: Outside) -> None:
    outside.knows({"used.example": [HOSTS[0]], "also.example": [HOSTS[1]]})
    rule = allow("a", HostPeer("used.example"), HostPeer("also.example"), ports=(443, 80))
    denied = host_rig.world(rule, deny("not-there", CidrPeer(f"{HOSTS[0]}/32")))
    calls = [tls("used.example"), http("used.example"), tls("also.example"), http("also.example")]
    opened = [f"reached {HOSTS[0]}"] * 2 + [f"reached {HOSTS[1]}"] * 2
    with outside.live(host_rig.world(rule)) as change:
        assert outside.call(calls) == opened
        change(denied)
        eventually(lambda: outside.call(calls[:1]) == ["refused "], 10)
        outside.reached()
        answers = outside.call(calls)
        assert [each.partition(" ")[0] for each in answers[:2]] == ["refused"] * 2
        assert answers[2:] == opened[2:]
        assert outside.reached() == {HOSTS[1]}
        change(host_rig.world(rule))
        eventually(lambda: outside.call(calls) == opened, 10)


def test_tls_passes_whole_in_both_directions(outside: Outside) -> None:
    outside.knows({"large.example": [HOSTS[0]]})
    certificate, key, _ = outside.svids.files("shop", "outside")
    net, size = outside.net, 32 << 20
    serving = net.command("callers", sys.executable, str(PEERS), "large", certificate, key, HOSTS[0], "9443")
    asking = (str(PEERS), "ask", "large.example", "20.9.9.9", "9443", str(size), str(CALLER_UID))
    rule = allow("large", HostPeer("large.example"), ports=(9443,))
    with proxy_net.listening(serving), outside.proxied(host_rig.world(rule)):
        found = json.loads(proxy_net.run(*net.command("pod", sys.executable, *asking)))
    assert found == {"same": True, "size": size, "tls": "TLSv1.3"}
