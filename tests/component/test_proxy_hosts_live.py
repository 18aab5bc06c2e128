"""Egress by host while rules change: what is open ends, or is judged anew."""

import threading
from collections.abc import Iterator

import pytest
from ringfence.model.resources import HostPeer

from tests.component import host_rig
from tests.component.host_rig import HOSTS, Outside, tls
from tests.unit.policy.making import allow

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
    with outside.live(before) as change:
        timer = threading.Timer(2.0, change, [after])
        timer.start()
        answers = outside.call(calls)
        timer.join()
        assert answers == [f"reached {HOSTS[0]} then {what}" for what in ("ended", "open", "403")]
        lost, gained = outside.call([tls("held.example.com"), tls("b-held.example.com")])
        assert (lost.strip(), gained) == ("refused", f"reached {HOSTS[0]}")
