"""The mark of good tokens on a real Envoy: what cannot be evaluated leaves none, nor what lasts for too long."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from ringfence.translate.envoy import good

from tests.component import request_rig
from tests.component.proxy_net import Identities, Net
from tests.component.test_attacks_jwt import ALL, BAD, CORP, LET_IN, NOT_CONTRACTORS, WITH, Proxy, bearing
from tests.component.test_attacks_jwt_forms import raw, signed
from tests.component.token_rig import LIFE, SKEW

pytestmark = pytest.mark.component

#: That of the fixture `net`.
NETWORK = request_rig.network


#: Expressions beside the usual ones: of something that is missing, of another type, and that are no truth.
FAILING: dict[str, Callable[[Any], Any]] = {
    "what is missing": lambda payload: good._call("_==_", good._at(payload, "missing"), good._text("x")),
    "what is missing in what is missing": lambda payload: good._at(good._at(payload, "a"), "b"),
    "a text as a number": lambda payload: good._call("_<_", good._at(payload, "sub"), good._number(1.0)),
    "no number": lambda payload: good._call("_<_", good._call("int", good._at(payload, "sub")), good._number(1.0)),
    "a text": lambda payload: good._at(payload, "sub"),
    "an object": lambda payload: payload,
}


@pytest.mark.parametrize("how", FAILING)
def test_an_expression_that_fails_leaves_no_mark(
    net: Net, svids: Identities, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    usual = good._ending
    monkeypatch.setattr(good, "_ending", lambda payload: [*usual(payload), FAILING[how](payload)])
    token = CORP.token(role="staff")
    assert Proxy(net, svids, WITH, known=(CORP,)).statuses(bearing(token)) == [BAD]
    assert Proxy(net, svids, ALL, NOT_CONTRACTORS, known=(CORP,)).statuses(bearing(token)) == [BAD]
    monkeypatch.setattr(good, "_ending", usual)
    assert Proxy(net, svids, ALL, NOT_CONTRACTORS, known=(CORP,)).statuses(bearing(token)) == [LET_IN]


class TestIssued:
    """A token may last so long from when it was issued, not only from now."""

    def statuses(self, net: Net, svids: Identities, tried: dict[str, dict[str, Any]]) -> dict[str, int]:
        tokens = [
            bearing(signed(CORP, raw(CORP, **{k: json.dumps(v) for k, v in each.items()}))) for each in tried.values()
        ]
        return dict(zip(tried, Proxy(net, svids, WITH, known=(CORP,)).statuses(*tokens), strict=True))

    def test_a_token_that_lasts_for_too_long_is_not_good_on_its_last_day_either(
        self, net: Net, svids: Identities
    ) -> None:
        now = int(time.time())
        end = now + 600
        tried = {
            "for a year": {"exp": end, "iat": end - 365 * 86400},
            "a second too long": {"exp": end, "iat": end - LIFE - 1},
            "half a second too long": {"exp": end, "iat": end - LIFE - 0.5},
            "from 1970 on": {"exp": end, "iat": 0},
            "from before": {"exp": end, "iat": -1},
            "to come": {"exp": end, "iat": now + SKEW + 60},
            "to come in a thousand years": {"exp": end, "iat": 1e12},
            "beyond all": {"exp": end, "iat": 1e300},
            "a text": {"exp": end, "iat": str(now)},
            "true": {"exp": end, "iat": True},
            "null": {"exp": end, "iat": None},
            "in a list": {"exp": end, "iat": [now]},
            "in an object": {"exp": end, "iat": {"a": now}},
        }
        found = self.statuses(net, svids, tried)
        assert {name for name, status in found.items() if status != BAD} == set()

    def test_one_that_lasts_as_long_as_it_may_is_good(self, net: Net, svids: Identities) -> None:
        now = int(time.time())
        end = now + 600
        tried: dict[str, dict[str, Any]] = {
            "all of it": {"exp": end, "iat": end - LIFE},
            "just issued": {"exp": end, "iat": now},
            "by a clock that is ahead": {"exp": end, "iat": now + SKEW - 10},
            "a fraction": {"exp": end + 0.5, "iat": now - 0.25},
            "nobody says when": {"exp": end},
        }
        found = self.statuses(net, svids, tried)
        assert {name for name, status in found.items() if status != LET_IN} == set()
