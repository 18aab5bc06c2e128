"""The token of an end user on its way through two services: each one's proxy looks at it again, with rules of its own.

The front's program sends on to the ledger whatever it is told to; both have real Envoys before them.
"""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ringfence.model.mesh import EndpointValue, Mesh, ServicePort, ServiceValue
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.requests import Requests
from ringfence.model.resources import AppliesTo, Rule, SecurityPolicy
from ringfence.model.tokens import Issuer, TokenMatch, own_key
from ringfence.model.world import Installation, Workload

from tests.component import pair_rig, token_rig
from tests.component.pair_rig import SERVICE4, Pair
from tests.component.redirect_rig import PEER4, PEER6, POD4, POD6, PROXY
from tests.component.token_rig import SKEW
from tests.unit.policy import making as policies
from tests.unit.policy.making import allow, caller, policy
from tests.unit.translate.envoy import making

pytestmark = pytest.mark.component

PEERS = Path(__file__).with_name("traffic_peers.py")
PORT = 8080
CORP = token_rig.signer("corp", "ES256", audiences=("shop",))
OTHER = token_rig.signer("corp", "ES256", audiences=("shop", "ledger"))
#: What a good token says at both ends.
FOR_BOTH: dict[str, Any] = {"aud": ["shop", "ledger"], "scope": "buy pay"}


def _policy(name: str, issuer: Issuer, source: str, scope: str) -> SecurityPolicy:
    """Lets in one caller, for people with this scope."""
    token = TokenMatch(own_key("shop", name, issuer.name), (("scope", (scope,)),))
    rule: Rule = replace(allow("people", caller(source), ports=(PORT,)), requests=Requests(token=token))
    made = policy(name, applies_to=AppliesTo(identities=(name,)), ingress=(rule,))
    return replace(made, spec=replace(made.spec, issuers=(issuer,)))


def _mesh(*, remove: bool) -> Mesh:
    """web may call front, and front may call ledger; ``remove``: the front's program does not get tokens."""
    pods = tuple(
        Workload("shop", name, name, {LABEL_IDENTITY: name}, ips)
        for name, ips in (("ledger", (POD4, POD6)), ("front", (PEER4, PEER6)), ("web", ("10.9.0.3",)))
    )
    known = policies.world(
        _policy("front", replace(CORP.declared, remove=remove), "web", "buy"),
        _policy("ledger", replace(CORP.declared, audiences=("ledger",)), "front", "pay"),
        pods=pods,
        identities=tuple(policies.identity("shop", each.name) for each in pods),
        installation=Installation(pod_cidrs=("10.9.0.0/24", "fd09::/64"), open_services=(), proxies=True),
    )
    services = tuple(
        ServiceValue("shop", name, (ip,), (ServicePort("http", 80, PORT),), ((LABEL_IDENTITY, name),))
        for name, ip in (("ledger", SERVICE4), ("front", "10.96.0.2"))
    )
    return making.mesh(known, {"shop": services}, {("shop", "ledger"): (EndpointValue("ledger", POD4),)})


@contextlib.contextmanager
def _running(*, remove: bool) -> Iterator[Pair]:
    """Pods of their own for each: two proxies in one network would share its connections between them."""
    known = _mesh(remove=remove)
    with (
        pair_rig.pair() as made,
        pair_rig.serving(made.wire.pod, PORT, str(PEERS), "program", str(PORT)),
        pair_rig.serving(made.wire.peer, PORT, str(PEERS), "relay", str(PORT), SERVICE4, "80"),
        made.proxied(made.wire.pod, known, "ledger", (PORT,)),
        made.proxied(made.wire.peer, known, "front", (PORT,)),
    ):
        yield made


@pytest.fixture(scope="module")
def hops() -> Iterator[Pair]:
    with _running(remove=False) as made:
        yield made


def _call(pair: Pair, target: str, account: str, headers: dict[str, str]) -> tuple[int, Any]:
    """A call to a pod by its address, in mutual TLS of the caller's own; what it says where it is let in."""
    place, source = (pair.wire.pod, POD4) if target == PEER4 else (pair.wire.peer, PEER4)
    call = {
        "source": source,
        "target": target,
        "port": PORT,
        "raw": "",
        "identity": pair.identities.files("shop", account),
        "times": 1,
        "path": "/",
        "method": "GET",
        "headers": headers,
        "size": 0,
        "chunked": False,
        "pause": 0,
        "seconds": 0,
    }
    path = pair.home / "calls.json"
    path.write_text(json.dumps([[call]]))
    # As the proxies' user, whom no redirect leads into the proxy of the pod from which the call is made.
    user = ("setpriv", f"--reuid={PROXY}", f"--regid={PROXY}", "--clear-groups")
    entered = ["nsenter", f"--net={place.namespace.path}", *user, sys.executable, str(PEERS), "calls", str(path)]
    done = subprocess.run(entered, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    ((answer,),) = json.loads(done.stdout)
    status, _, body, *_ = answer
    return status, json.loads(body) if status == 200 else body


def _bearer(token: str) -> str:
    return f"Bearer {token}"


def _through(pair: Pair, token: str, instead: str = "") -> tuple[int, int, Any]:
    """A call of the website to the front: the answers of front and ledger (0: not asked), and what the latter says."""
    headers = {"authorization": _bearer(token)} | ({"x-instead": instead} if instead else {})
    status, said = _call(pair, PEER4, "web", headers)
    return (status, said["status"], said["said"]) if status == 200 else (status, 0, said)


def test_a_token_that_is_good_at_both_goes_through_to_the_end(hops: Pair) -> None:
    token = CORP.token(**FOR_BOTH)
    front, ledger, said = _through(hops, token)
    assert (front, ledger) == (200, 200), said
    came = json.loads(said)["headers"]
    assert came["authorization"] == _bearer(token)
    assert "spiffe://cluster.local/ns/shop/sa/front" in came["x-forwarded-client-cert"]


@pytest.mark.parametrize(
    ("claims", "answers"),
    [
        ({"scope": "buy"}, (200, 403)),
        ({"scope": "pay"}, (403, 0)),
        ({"aud": "shop"}, (200, 401)),
        ({"aud": "ledger"}, (401, 0)),
        ({"aud": ["else"]}, (401, 0)),
    ],
    ids=str,
)
def test_each_hop_asks_for_what_its_own_rules_say(hops: Pair, claims: dict[str, Any], answers: tuple[int, int]) -> None:
    front, ledger, said = _through(hops, CORP.token(**{**FOR_BOTH, **claims}))
    assert (front, ledger) == answers, said


@pytest.mark.parametrize(
    ("instead", "answer"),
    [
        (lambda: "none", 403),
        (lambda: _bearer(token_rig.tampered(CORP.token(**FOR_BOTH))), 401),
        (lambda: _bearer(OTHER.token(**FOR_BOTH)), 401),
        (lambda: _bearer(CORP.token(**FOR_BOTH, exp=int(time.time()) - SKEW - 20)), 401),
        (lambda: _bearer(token_rig.unsigned(CORP, **FOR_BOTH)), 401),
        (lambda: _bearer(CORP.token(**{**FOR_BOTH, "scope": "buy"})), 403),
    ],
    ids=["none", "tampered", "of other keys", "ended", "unsigned", "of less scope"],
)
def test_a_program_that_sends_on_something_else_gets_nothing_by_having_been_called_well(
    hops: Pair, instead: Callable[[], str], answer: int
) -> None:
    # Made now: a run of all tests may take longer than a token lives.
    front, ledger, said = _through(hops, CORP.token(**FOR_BOTH), instead())
    assert (front, ledger) == (200, answer), said


def test_the_token_alone_opens_nothing_where_its_bearer_has_no_business(hops: Pair) -> None:
    assert _call(hops, POD4, "web", {"authorization": _bearer(CORP.token(**FOR_BOTH))})[0] == 403
    assert _call(hops, POD4, "front", {"authorization": _bearer(CORP.token(**FOR_BOTH))})[0] == 200


def test_a_front_that_does_not_get_tokens_cannot_send_them_on() -> None:
    with _running(remove=True) as made:
        status, said = _call(made, PEER4, "web", {"authorization": _bearer(CORP.token(**FOR_BOTH))})
    assert (status, said["got"], said["status"]) == (200, "", 403), said
