"""Names of hosts outside while nothing is blocked: a real Envoy writes them down."""

from collections.abc import Iterator

import pytest

from tests.component import host_rig
from tests.component.host_rig import HOSTS, Outside, http, tls
from tests.component.node_rig import eventually

pytestmark = pytest.mark.component


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with host_rig.outside(tmp_path_factory.mktemp("outside")) as made:
        yield made


def test_names_are_written_down_while_nothing_is_blocked(outside: Outside) -> None:
    with outside.proxied(host_rig.world(closed=False)) as found:
        assert outside.call(
            [
                tls("api.example.com", to=HOSTS[0]),
                tls("api.example.com", to=HOSTS[1], port=8443),
                http("api.example.com", to=HOSTS[1], port=443),
            ]
        ) == [f"reached {HOSTS[0]}", f"reached {HOSTS[1]}", f"reached {HOSTS[1]}"]
        eventually(lambda: len(host_rig.recorded(found)) >= 3, 40)
        assert {(each.target.host, each.target.ip, each.port) for each in host_rig.recorded(found)} == {
            ("api.example.com", HOSTS[0], 443),
            ("", HOSTS[1], 8443),
            ("", HOSTS[1], 443),
        }
