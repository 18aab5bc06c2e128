"""The conversation with a proxy that refuses, leaves unanswered, or says what it should not."""

import pytest
from ringfence.model.proxy import SDS_IDENTITY
from ringfence.proxyd import conversation, wire
from ringfence.proxyd.conversation import Malformed
from ringfence.proxyd.wire import Kind

from tests.unit.proxyd.conversing import FULL, Proxy, full
from tests.unit.proxyd.xds import answer, ask, resource


def test_a_refusal_of_many_is_halved_until_the_bad_one_is_known_and_the_rest_is_in_force() -> None:
    proxy = Proxy()
    full(proxy)
    names = [f"n{number}" for number in range(33)]
    proxy.give("r2", **{**FULL, "clusters": ["c1", "c2", *names], "routes": ["r@2"]})
    sent = 0
    while (response := proxy.next()) is not None:
        bad = response.kind is Kind.CLUSTERS and "n7" in response.versions
        proxy.talk.hear(answer(response, "n7 is bad" if bad else ""))
        sent += 1
    assert sent < 20
    assert [(each.name, each.error) for each in proxy.talk.refused] == [("n7", "n7 is bad")]
    assert all(proxy.talk.confirmed(Kind.CLUSTERS, name) for name in names if name != "n7")
    assert proxy.talk.confirmed(Kind.ROUTES, "r") == "2"
    assert not proxy.talk.acknowledged


def test_what_was_refused_is_not_sent_again_before_it_changes() -> None:
    proxy = Proxy()
    full(proxy)
    proxy.give("r2", **{**FULL, "listeners": ["in@2"]})
    bad = proxy.next()
    assert bad is not None
    nack = proxy.talk.hear(answer(bad, "no\n such  filter " + "x" * 1000))
    assert nack is not None
    assert nack.name == "in"
    assert nack.error.startswith("no such filter")
    assert len(nack.error) <= conversation.MAX_ERROR
    assert proxy.all() == []
    proxy.give("r3", **{**FULL, "listeners": ["in@3"]})
    assert [each.versions for each in proxy.all()] == [{"in": "3"}]
    assert proxy.talk.refused == ()
    assert proxy.talk.acknowledged


def test_a_proxy_that_refuses_everything_is_not_answered_for_ever() -> None:
    proxy = Proxy()
    proxy.give(**FULL)
    for kind in (Kind.CLUSTERS, Kind.LISTENERS):
        proxy.talk.hear(ask(kind))
    proxy.talk.hear(ask(Kind.ENDPOINTS, "c1", "c2"))
    proxy.talk.hear(ask(Kind.ROUTES, "r"))
    sent = 0
    while (response := proxy.next()) is not None:
        proxy.talk.hear(answer(response, "no"))
        sent += 1
        assert sent < 100
    assert proxy.talk.again_in() is None


def test_old_nonces_say_nothing() -> None:
    proxy = Proxy()
    full(proxy)
    stale = ask(Kind.ROUTES)
    stale.response_nonce = "1000"
    stale.error_detail.message = "bad"
    assert proxy.talk.hear(stale) is None
    assert proxy.talk.acknowledged


def test_a_proxy_that_leaves_a_response_unanswered_is_spoken_to_again() -> None:
    proxy = Proxy()
    full(proxy)
    proxy.give("r2", **{**FULL, "routes": ["r@2"]})
    assert proxy.next() is not None
    proxy.give("r3", **{**FULL, "routes": ["r@3"]})
    assert proxy.next() is None
    wait = proxy.talk.again_in()
    assert wait == pytest.approx(conversation.UNANSWERED_SECONDS)
    proxy.time += wait
    late = proxy.next()
    assert late is not None
    assert late.versions == {"r": "3"}


@pytest.mark.parametrize(
    "request_",
    [
        ask(Kind.ENDPOINTS, *[str(number) for number in range(conversation.MAX_NAMES + 1)]),
        ask(Kind.ENDPOINTS, "x" * (conversation.MAX_NAME_BYTES + 1)),
        ask(Kind.CLUSTERS, known={"x" * (conversation.MAX_NAME_BYTES + 1): "1"}),
    ],
    ids=["names", "name", "versions"],
)
def test_requests_without_measure_end_the_stream(request_: wire.Request) -> None:
    with pytest.raises(Malformed):
        Proxy().talk.hear(request_)


def test_a_type_that_is_not_served_ends_the_stream() -> None:
    request = wire.Request(type_url="type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig")
    with pytest.raises(Malformed, match="not served"):
        Proxy().talk.hear(request)


def test_what_is_said_of_a_secret_is_left_out_since_it_may_be_quoted() -> None:
    proxy = Proxy()
    proxy.talk.give_secret(wire.item(resource(SDS_IDENTITY)))
    proxy.talk.hear(ask(Kind.SECRETS, SDS_IDENTITY))
    sent = proxy.next()
    assert sent is not None
    nack = proxy.talk.hear(answer(sent, "Proto constraint validation failed: private_key { inline_bytes: MIGH }"))
    assert nack is not None
    assert "MIGH" not in nack.error
    assert [each.error for each in proxy.talk.refused] == [nack.error]


def test_a_proxys_words_carry_nothing_that_a_terminal_would_obey() -> None:
    proxy = Proxy()
    proxy.talk.hear(ask(Kind.LISTENERS))
    proxy.give(listeners=["in"])
    bad = proxy.next()
    assert bad is not None
    nack = proxy.talk.hear(answer(bad, "no \x1b[2J\u202eli\x00ke"))
    assert nack is not None
    assert nack.error == "no ?[2J?li?ke"


def test_what_was_to_go_with_something_that_is_refused_is_told_again_and_once() -> None:
    proxy = Proxy()
    proxy.give(listeners=["in", "old"])
    proxy.start()
    proxy.give("r2", listeners=["in@2"])
    both = proxy.next()
    assert both is not None
    assert (both.versions, both.removed) == ({"in": "2"}, ["old"])
    proxy.talk.hear(answer(both, "no"))
    (alone,) = proxy.all()
    assert (alone.versions, alone.removed) == ({}, ["old"])
    proxy.give("r3", listeners=["in@3"])
    assert [(each.versions, each.removed) for each in proxy.all()] == [({"in": "3"}, [])]
    assert proxy.talk.acknowledged
