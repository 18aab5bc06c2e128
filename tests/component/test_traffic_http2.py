"""A bounded body in HTTP/2, of a program that speaks it."""

import pytest
from ringfence.model.requests import Request

from tests.component import proxy_net, request_rig
from tests.component.proxy_net import WEB, Identities
from tests.component.traffic_rig import config

pytestmark = pytest.mark.component


def test_http2_without_a_body_is_not_held(tmp_path_factory: pytest.TempPathFactory) -> None:
    """In HTTP/2 only the end of the stream tells that there is no body."""
    with request_rig.network(tmp_path_factory.mktemp("http2")) as net:
        svids = Identities(net.directory, "cluster.local")
        made = config("[{name: small, maxBody: 1Ki}]")
        with proxy_net.running(net, made, svids.secrets("shop", "db")):
            asked = [request_rig.Asked(Request(path="/", host="pay.shop"), WEB, True, http2) for http2 in (True, False)]
            assert [(status, program) for status, program, _ in request_rig.ask(net, svids, asked)] == [(200, True)] * 2
