"""Rate limits on a real Envoy: who counts, what is said, and what happens to others."""

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.component import traffic_rig
from tests.component.proxy_net import API, WEB, Identities
from tests.component.traffic_rig import Call, Rig, config, lines, nobody, written

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with traffic_rig.network(tmp_path_factory.mktemp("net")) as net:
        yield Rig(net, Identities(net.directory, "cluster.local"))


def counted(answers: list[traffic_rig.Answer]) -> dict[int, int]:
    return dict(Counter(each.status for each in answers))


EACH = "[{name: each, ports: [8080], rateLimits: {perCaller: {requests: 2, per: 1h, burst: 5}}}]"


def test_each_caller_has_a_bucket(rig: Rig) -> None:
    with rig.running(config(EACH)) as log:
        web, bank, outside, other = rig.answers(
            [Call(times=8)],
            [Call(namespace="bank", times=8)],
            [nobody(times=8)],
            [nobody(times=8, source="203.0.113.10")],
        )
        figures = rig.metrics()
    for answers in (web, bank, outside, other):
        assert counted(answers) == {200: 5, 429: 3}
    refused = web[-1]
    assert refused.headers["retry-after"] == "1800"
    assert "x-ringfence-limit" not in refused.headers
    assert refused.body.startswith("limited, decision ")
    found = [line for line in lines(log) if line["code"] == 429]
    assert len(found) == 12
    assert {line["limit"] for line in found} == {"shop/p#each.caller"}
    assert refused.body.split()[-1] in {line["decision"] for line in found}
    assert 'envoy_limit_http_local_rate_limit_rate_limited{limit="shop/p#each.caller"} 12' in figures


def test_a_named_caller_has_a_rate_of_its_own_and_others_the_general_one(rig: Rig) -> None:
    named = "callers: [{identity: {name: web}, requests: 7, per: 1h}]"
    traffic = f"[{{name: each, ports: [8080], rateLimits: {{perCaller: {{requests: 2, per: 1h, {named}}}}}}}]"
    with rig.running(config(traffic)):
        web, bank, plain = rig.answers(
            [Call(times=9)], [Call(namespace="bank", times=9)], [nobody(times=9, source=WEB)]
        )
    assert (counted(web), counted(bank)) == ({200: 7, 429: 2}, {200: 2, 429: 7})
    assert counted(plain) == {200: 2, 429: 7}  # in plaintext nobody has a name


def test_all_together_and_by_header(rig: Rig) -> None:
    limits = "all: {requests: 9, per: 1h}, perHeader: [{header: x-tenant, requests: 3, per: 1h}]"
    with rig.running(config(f"[{{name: some, rateLimits: {{{limits}}}}}]")) as log:
        tenants = [Call(headers={"x-tenant": each}, times=5) for each in ("a", "b")]
        long = [Call(headers={"x-tenant": each * 200}, times=1) for each in ("c", "d", "e", "f")]
        answers = rig.answers([*tenants, *long, Call(times=3)])[0]
    # Of a and b three each; of values that are too long three together, which makes nine.
    assert [each.status for each in answers] == [200] * 3 + [429] * 2 + [200] * 3 + [429] * 2 + [200] * 3 + [429] * 4
    names = [line.get("limit") for line in lines(log)]
    assert names[-3:] == ["shop/p#some.all"] * 3
    assert names[3] == "shop/p#some.header.x-tenant"


def test_who_lacks_the_header_is_counted_too(rig: Rig) -> None:
    with rig.running(config("[{name: some, rateLimits: {perHeader: [{header: x-tenant, requests: 2, per: 1h}]}}]")):
        assert rig.statuses(Call(times=4), Call(times=1, headers={"X-Tenant": ""})) == [200, 200, 429, 429, 429]


def test_strangers_count_for_nothing(rig: Rig) -> None:
    """Or they could use up what their betters have."""
    with rig.running(config("[{name: all, rateLimits: {all: {requests: 5, per: 1h}}}]", ingress=traffic_rig.FRIENDS)):
        stranger = Call(source=API, account="api", times=20)
        assert set(rig.statuses(stranger)) == {403}
        assert rig.statuses(Call(times=6)) == [200] * 5 + [429]


def test_what_one_limit_refuses_takes_nothing_from_the_bucket_of_all(rig: Rig) -> None:
    limits = "all: {requests: 8, per: 1h}, perCaller: {requests: 3, per: 1h}"
    with rig.running(config(f"[{{name: some, rateLimits: {{{limits}}}}}]")):
        assert counted(rig.answers([Call(times=50)])[0]) == {200: 3, 429: 47}
        assert counted(rig.answers([Call(namespace="bank", times=5)])[0]) == {200: 3, 429: 2}


def test_every_policy_holds_and_more_limits_than_filters_too(rig: Rig) -> None:
    """Eight policies: the last filter has what is left, and the log names all that it stands for."""
    others = [
        written(f"[{{name: a, rateLimits: {{all: {{requests: {4 if n == 7 else 50}, per: 1h}}}}}}]", f"q{n}")
        for n in range(8)
    ]
    with rig.running(config("[{name: all, rateLimits: {all: {requests: 40, per: 1h}}}]", *others)) as log:
        assert counted(rig.answers([Call(times=10)])[0]) == {200: 4, 429: 6}
    assert {line["limit"] for line in lines(log) if line["code"] == 429} == {
        "shop/q4#a.all,shop/q5#a.all,shop/q6#a.all,shop/q7#a.all"
    }


def test_audit_counts_and_says_whom_it_would_have_limited(rig: Rig) -> None:
    audit = written("[{name: each, rateLimits: {perCaller: {requests: 2, per: 1h}}}]", "later", "Audit")
    with rig.running(config("[{name: all, rateLimits: {all: {requests: 4, per: 1h}}}]", audit)) as log:
        (answers,) = rig.answers([Call(times=6, headers={"x-ringfence-limit": "shop/forged#by.caller"})])
        figures = rig.metrics()
    assert [each.status for each in answers] == [200] * 4 + [429] * 2
    assert "x-ringfence-limit" not in answers[2].came["headers"]
    found = lines(log)
    assert [line.get("auditLimit") for line in found] == [None] * 2 + ["shop/later#each.caller"] * 2 + [None] * 2
    assert [line.get("limit") for line in found] == [None] * 4 + ["shop/p#all.all"] * 2
    assert 'envoy_audit_limit_http_local_rate_limit_rate_limited{limit="shop/later#each.caller"} 2' in figures


def test_callers_of_grpc_are_told_in_their_words(rig: Rig) -> None:
    with rig.running(config("[{name: all, rateLimits: {all: {requests: 1, per: 10s, burst: 1}}}]")):
        call = Call(method="POST", headers={"content-type": "application/grpc"}, times=2)
        refused = rig.answers([call])[0][1]
    # RESOURCE_EXHAUSTED.
    assert (refused.status, refused.headers["grpc-status"], refused.headers["retry-after"]) == (200, "8", "10")
    assert refused.headers["grpc-message"].startswith("limited, decision ")


def test_tokens_come_back_evenly(rig: Rig) -> None:
    with rig.running(config("[{name: all, rateLimits: {all: {requests: 20, per: 1s}}}]")):
        answers = rig.answers([Call(times=400, pause=0.004)])[0]
    assert 0.85 < counted(answers)[200] / traffic_rig.fitting([each.begun for each in answers], 20) < 1.05


def test_a_new_limit_holds_for_the_next_request_of_an_open_connection(rig: Rig) -> None:
    with rig.by_routes(config("[{name: big, maxBody: 1Gi}]")) as log:
        process = rig.started([Call(times=300, pause=0.02)])
        time.sleep(1)
        rig.route(config("[{name: big, maxBody: 1Gi}, {name: all, rateLimits: {all: {requests: 3, per: 1h}}}]"))
        (answers,) = traffic_rig.ended(process)
    statuses = [each.status for each in answers]
    assert set(statuses) == {200, 429}
    assert statuses == sorted(statuses)
    assert len({line["source"] for line in lines(log)}) == 1  # one connection
