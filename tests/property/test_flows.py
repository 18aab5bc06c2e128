"""Replayed calls mean what `decide` says of each, however they are put together."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from ringfence.flows.flow import Flow, Party
from ringfence.flows.judge import Judge
from ringfence.flows.site import State
from ringfence.model.errors import CannotTell
from ringfence.model.requests import Opaque, Request
from ringfence.model.resources import Protocol
from ringfence.model.tokens import name_of
from ringfence.model.verdict import Reason
from ringfence.model.windows import DAY
from ringfence.model.world import Workload, World
from ringfence.policy.decide import decide
from ringfence.policy.ends import Address, Host
from ringfence.policy.requests import refused, unclear
from ringfence.policy.resolve import resolve

from tests.property import worlds

EXAMPLES = int(os.environ.get("RINGFENCE_EXAMPLES", "60"))
PATHS = (
    "/",
    "/a",
    "/a/7",
    "/a/7/x",
    "/b",
    "/b/",
    "/a//b",
    "/a/%41",
    "/a/../b",
    "/c.d/e",
    "admin",
    "/a;x",
    "/z?q=1",
    "/a/7?env=dev",
    "/a/7?env=prod",
    "/b?env=dev&env=prod",
    "/z?#",
)


@cache
def requests() -> st.SearchStrategy[Request]:
    headers = st.dictionaries(
        st.sampled_from(("x-env", "x_env", "content-type")),
        st.lists(st.sampled_from(("prod", "dev", "prod,dev", "application/grpc")), min_size=1, max_size=2).map(tuple),
        max_size=2,
    )
    return st.builds(
        Request,
        st.sampled_from(("GET", "POST", "get", "CONNECT")),
        st.sampled_from(PATHS),
        st.sampled_from(("", "pay.shop")),
        headers,
        st.sampled_from(("", "", "websocket", "foo")),
        # A Monday and a Tuesday.
        st.sampled_from((None, 4 * DAY, 5 * DAY)),
        st.sampled_from(({}, {worlds.TOKENS: None}, {worlds.TOKENS: {"role": ("a",)}}, {worlds.TOKENS: {"x": ("y",)}})),
    )


def record(source: Workload | str, target: Workload | str, port: int, request: Request, **rest: Any) -> Flow:
    """A record that has all of a request."""
    told = sorted(request.tokens.items())
    tokens = tuple((name_of(key), None if found is None else tuple(found.items())) for key, found in told)
    moment, bare = float(request.time or 0), replace(request, time=None, tokens={})
    said: dict[str, Any] = {"headers": True, "query": True, "tokens": tokens, "first": moment, "last": moment}
    return Flow(party(source), party(target), Protocol.TCP, port, request=bare, **{**said, **rest})


@pytest.fixture(scope="module")
def tally(summary: Callable[[str], None]) -> Iterator[Counter[str]]:
    """Counts answers, and tells them at the end."""
    found = Counter[str]()
    yield found
    told = ", ".join(f"{number} {state}" for state, number in sorted(found.items()))
    summary(f"replayed calls against decide: {sum(found.values())} agree ({told})")


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds.about_requests(), data=st.data())
def test_a_replayed_call_is_what_decide_says(tally: Counter[str], world: World, data: st.DataObject) -> None:
    effective = cache(lambda name: resolve(world, name))
    judge = Judge(world, effective, {}, {})
    pods = [pod for found in world.workloads.values() for pod in found]
    # Many calls by one judge, so that kept answers are asked for again.
    for _ in range(12):
        target = data.draw(st.sampled_from(pods))
        source = data.draw(st.sampled_from((*pods, *worlds.OUTSIDE)))
        protocol, port = data.draw(st.sampled_from(worlds.PORTS))
        request = data.draw(requests()) if protocol is Protocol.TCP and data.draw(st.booleans()) else None
        plaintext = data.draw(st.booleans())
        flow = Flow(party(source), party(target), protocol, port, plaintext=plaintext)
        if request is not None:
            flow = record(source, target, port, request, plaintext=plaintext)
        found = judge.judged(flow).outcome
        asked = request if protocol is Protocol.TCP else Opaque()
        ends = [Address(each) if isinstance(each, str) else Address(each.ips[0]) for each in (source, target)]
        try:
            said = decide(world, effective, *ends, protocol, port, plaintext=plaintext, request=asked)
        except CannotTell:
            assert found.state is State.UNKNOWN
            tally["cannot tell"] += 1
            continue
        if request is not None and not (request.host and request.time) and found.state is State.UNKNOWN:
            continue
        if request is None and protocol is Protocol.TCP and found.state is State.UNKNOWN:
            assert said.allowed
            continue
        assert found.state is (State.ALLOWED if said.allowed else State.DENIED)
        tally[found.state] += 1
        if not said.allowed:
            assert found.half == said.deciding


def party(end: Workload | str) -> Party:
    return Party(ip=end if isinstance(end, str) else end.ips[0])


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds.about_requests(), requests(), st.data())
def test_what_a_record_leaves_out_is_never_guessed(world: World, request: Request, data: st.DataObject) -> None:
    """An answer without headers is the one with them, whatever they are."""
    # What only some programs understand (two values, another spelling) is refused whoever asks, and so is what no proxy
    # lets in (a fragment in the query, which the record without it has not); that is no guess.
    assume(not refused(request) and not unclear(request, worlds.REQUESTS))
    assume(request.time is not None)
    assume(not any("," in ",".join(values) or "_" in name for name, values in request.headers.items()))
    assume(not request.upgrade)
    effective = cache(lambda name: resolve(world, name))
    judge = Judge(world, effective, {}, {})
    pods = [pod for found in world.workloads.values() for pod in found if not pod.host_network]
    source, target = data.draw(st.sampled_from(pods)), data.draw(st.sampled_from(pods))
    port = data.draw(st.sampled_from((80, 8080, 9090)))
    sent = Request(request.method, request.path.partition("?")[0])
    bare = Flow(party(source), party(target), Protocol.TCP, port, request=sent)
    blind = judge.judged(bare).outcome
    assume(blind.state is not State.UNKNOWN)
    whole = record(source, target, port, request)
    assert judge.judged(whole).outcome.state is blind.state


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds.about_hosts(), data=st.data())
def test_a_name_is_judged_as_decide_does_and_so_is_the_address_beside_it(world: World, data: st.DataObject) -> None:
    effective = cache(lambda name: resolve(world, name))
    judge = Judge(world, effective, {}, {})
    pods = [pod for found in world.workloads.values() for pod in found if not pod.host_network]
    for _ in range(12):
        source, ip = data.draw(st.sampled_from(pods)), data.draw(st.sampled_from(("93.184.0.1", "2606::1", "10.0.0.9")))
        name = data.draw(st.sampled_from(("api.example.com", "b.example.com", "other.example", "evil.example")))
        port = data.draw(st.sampled_from((80, 8080, 443)))
        flow = Flow(party(source), Party(ip=ip, host=name), Protocol.TCP, port)
        found = judge.judged(flow).outcome
        try:
            said = decide(world, effective, Address(source.ips[0]), Address(ip), Protocol.TCP, port)
            if said.egress.reason is Reason.ALLOWED_FOR_HOSTS:
                said = decide(world, effective, Address(source.ips[0]), Host(name), Protocol.TCP, port)
        except CannotTell:
            continue
        assert found.state is (State.ALLOWED if said.allowed else State.DENIED)
