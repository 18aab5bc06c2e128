"""Suggested policies break nothing that was seen, and allow nothing else but what is put in general."""

import os

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ringfence.flows.flow import Flow, View
from ringfence.flows.general import general
from ringfence.flows.suggesting import SuggestedPolicy
from ringfence.flows.wanted import name
from ringfence.model.requests import Request
from ringfence.model.resources import Action, Protocol
from ringfence.policy.requests import ANY_SEGMENT, path_matches

from tests.unit.flows.test_suggesting import collected, party, replayed, suggested

EXAMPLES = int(os.environ.get("RINGFENCE_EXAMPLES", "60"))
ENDS = (
    "shop/web",
    "shop/api",
    "shop/db",
    "bank/web",
    "bank/db",
    "lab/old",
    "ip:203.0.113.9",
    "ip:2001:db8::1",
    "ip:192.168.0.1",
)
HOSTS = ("ip:1.2.3.4=api.bank.example", "ip:10.1.2.3=api.bank.example", "host:b.example")
SEGMENTS = (
    "a",
    "b",
    "orders",
    "17",
    "42",
    "%20x",
    "a.b",
    "..",
    "",
    "3f2b8c1e-9d4a-4b6f-8e21-0a1b2c3d4e5f",
    "x;y",
    "~",
    "n",
)


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    source, target = draw(st.sampled_from(ENDS)), draw(st.sampled_from((*ENDS[:7], *HOSTS)))
    protocol = draw(st.sampled_from((Protocol.TCP, Protocol.TCP, Protocol.TCP, Protocol.UDP)))
    port = draw(st.sampled_from((8080, 8080, 5432, 443)))
    request = None
    if protocol is Protocol.TCP and port == 8080:
        path = "/" + "/".join(draw(st.lists(st.sampled_from(SEGMENTS), max_size=3)))
        upgrade = draw(st.sampled_from(("", "", "", "websocket")))
        request = Request(draw(st.sampled_from(("GET", "POST", "DELETE"))), path, "db.shop", {}, upgrade)
    anonymous = source.startswith(("ip:", "lab/"))
    return Flow(
        party(source),
        party(target),
        protocol,
        port,
        first=1.0,
        last=2.0,
        view=draw(st.sampled_from(View)),
        plaintext=anonymous or draw(st.sampled_from((False, False, True))),
        denied=draw(st.sampled_from((False, False, False, True))),
        request=request,
    )


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(flows(), min_size=1, max_size=40))
def test_nothing_breaks_but_what_was_left_out(seen: list[Flow]) -> None:
    found = collected(seen)
    kept = [each for each in seen if each.denied or not collected([each]).left_out]
    assert len(kept) == len(seen) - sum(found.left_out.values())
    after = replayed(kept, suggested(found))
    assert not after.broken
    assert not after.unknown


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(flows(), min_size=1, max_size=40))
def test_nothing_is_allowed_but_what_was_seen_in_general(seen: list[Flow]) -> None:
    made = suggested(collected(seen))
    for policy in made:
        for rule in policy.ingress:
            for peer in rule.peers:
                of = [each for each in seen if _is(each, name(peer), policy, rule.protocol, rule.port)]
                assert of
                # Every call of that port has a request, so no rule may leave it open to all. No Service speaks for api.
                http = (rule.protocol, rule.port) == (Protocol.TCP, 8080) and policy.identity.name != "api"
                assert bool(rule.matches) is http
                assert all(match.methods and match.paths for match in rule.matches)
                for match in rule.matches:
                    for method in match.methods:
                        for path in match.paths:
                            assert any(_asks(each, method, path, match.upgrades) for each in of)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(flows(), min_size=1, max_size=40), st.lists(flows(), min_size=1, max_size=40))
def test_what_was_never_seen_is_denied(seen: list[Flow], others: list[Flow]) -> None:
    made = suggested(collected(seen))
    governed = {(each.identity.namespace, each.identity.name) for each in made if each.ingress}
    allowed = {_told(each) for each in seen if not each.denied}
    for other in others:
        probe = msgspec.structs.replace(other, denied=False)
        closed = (probe.target.namespace, probe.target.account) in governed
        if closed and _told(probe) not in allowed:
            assert not replayed([probe], made).allowed.count


def _told(flow: Flow) -> object:
    """What a suggestion keeps of a call."""
    sent = flow.request if flow.target.account != "api" else None
    asked = (sent.method, general(sent.path) or sent.path, sent.upgrade) if sent is not None else None
    return flow.source, flow.target, flow.protocol, flow.port, asked


def _is(flow: Flow, peer: str, policy: SuggestedPolicy, protocol: Protocol, port: int) -> bool:
    source = flow.source.ip or f"{flow.source.namespace}/{flow.source.account}"
    word = {"lab/old": "namespace lab", "192.168.0.1": "the API server"}.get(source, source)
    target = (flow.target.namespace, flow.target.account)
    same = (flow.protocol, flow.port, target) == (protocol, port, (policy.identity.namespace, policy.identity.name))
    return same and word == peer and not flow.denied


def _asks(flow: Flow, method: str, path: str, upgrades: tuple[str, ...]) -> bool:
    sent = flow.request
    assert sent is not None
    if sent.method != method or sent.upgrade != "".join(upgrades):
        return False
    # With so few names nothing is folded: a pattern is a path that was seen, in general.
    return general(sent.path) == path


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.lists(st.sampled_from([f"n{n}" for n in range(40)] + [""]), min_size=1, max_size=3), min_size=1, max_size=300
    )
)
def test_folded_paths_name_all_that_were_added(paths: list[list[str]]) -> None:
    from ringfence.flows.folding import NAMES, Folded

    found = Folded()
    for path in paths:
        found.add(["", *path])
    patterns = found.patterns()
    if patterns is None:
        return
    for path in paths:
        assert any(path_matches(each, "/" + "/".join(path), Action.ALLOW) for each in patterns)
    names = {part for path in paths for part in path if part}
    if len(names) <= NAMES:
        assert set(patterns) == {"/" + "/".join(path) for path in paths}
    assert all(ANY_SEGMENT in each or each in {"/" + "/".join(path) for path in paths} for each in patterns)
