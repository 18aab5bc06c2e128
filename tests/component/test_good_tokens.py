"""The mark of good tokens on a real Envoy: what cannot be evaluated leaves none, nor what lasts for too long."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ringfence.model.requests import Request
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

    def test_the_log_says_why_and_the_caller_hears_no_more_than_of_others(self, net: Net, svids: Identities) -> None:
        end = int(time.time()) + 600
        lasts = f"from iat to exp it lasts longer than maxLifetime ({LIFE} seconds)"
        tried: dict[str, tuple[Request, str | None]] = {
            "too long": (bearing(signed(CORP, raw(CORP, exp=str(end), iat=str(end - LIFE - 1)))), lasts),
            "to come": (bearing(signed(CORP, raw(CORP, exp=str(end), iat=str(end + SKEW)))), "iat is in the future"),
            "no moment": (
                bearing(signed(CORP, raw(CORP, exp=str(end), iat='"1"'))),
                "Jwt payload [iat] field is not an integer",
            ),
            "crit": (
                bearing(signed(CORP, raw(CORP), {"alg": "ES256", "kid": CORP.kid, "crit": []})),
                "its head has crit",
            ),
            "beside": (bearing(f"{CORP.token()} x"), "the header holds more than the token"),
            "ended": (bearing(CORP.token(exp=end - 7200)), "Jwt is expired"),
            "missing": (Request(), "Jwt is missing"),
            "good, of another": (bearing(CORP.token(role="contractor")), None),
        }
        made = Proxy(net, svids, ALL, WITH, NOT_CONTRACTORS, known=(CORP,))
        answers = made.ask(*(request for request, _ in tried.values()))
        lines = [each for each in made.log if each.get("method")]
        assert {each["decision"] for each in lines} == {body.split()[-1] for _, body in answers}
        assert {body.partition(" decision ")[0] for _, body in answers} == {"denied,"}
        said = {f"denied, decision {each['decision']}\n": each.get("tokens", {}).get(CORP.key) for each in lines}
        found = {name: said[body] for name, (_, body) in zip(tried, answers, strict=True)}
        assert found == {name: why for name, (_, why) in tried.items()}

    def test_and_nothing_of_a_good_one_that_passes(self, net: Net, svids: Identities) -> None:
        """Nor of one that another rule lets pass when the header that it was in is gone."""
        removing = replace(CORP, declared=replace(CORP.declared, remove=True))
        made = Proxy(net, svids, ALL, WITH, known=(removing,))
        end = int(time.time()) + 600
        long = signed(CORP, raw(CORP, exp=str(end), iat=str(end - LIFE - 1)))
        assert made.statuses(bearing(CORP.token(), path="/good"), bearing(long, path="/long")) == [LET_IN, LET_IN]
        said = {each["path"]: each.get("tokens", {}).get(CORP.key) for each in made.log if each.get("method")}
        assert said == {"/good": None, "/long": f"from iat to exp it lasts longer than maxLifetime ({LIFE} seconds)"}

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
