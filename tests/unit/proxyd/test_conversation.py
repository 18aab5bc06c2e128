"""The conversation with one proxy: what is sent, in which order, and what a refusal does."""

import dataclasses
import gc
import tracemalloc

import pytest
from ringfence.model.proxy import SDS_IDENTITY
from ringfence.proxyd import conversation, wire
from ringfence.proxyd.conversation import Conversation, Malformed
from ringfence.proxyd.wire import Kind

from tests.unit.proxyd.xds import Response, answer, ask, config, resource


class Proxy:
    """A conversation with a clock of its own."""

    def __init__(self) -> None:
        self.time = 100.0
        self.talk = Conversation(lambda: self.time)

    def give(self, *args: object, **parts: object) -> None:
        before = self.talk.offer
        self.talk.give(wire.offer(config(*args, **parts), before))  # type: ignore[arg-type]

    def next(self) -> Response | None:
        data = self.talk.next()
        return Response(data) if data is not None else None

    def all(self, *, acknowledge: bool = True) -> list[Response]:
        """Everything there is to say, each acknowledged."""
        found = []
        while (response := self.next()) is not None:
            found.append(response)
            if acknowledge:
                self.talk.hear(answer(response))
        return found

    def start(self) -> None:
        """Ask as Envoy does, and take everything."""
        self.talk.hear(ask(Kind.CLUSTERS))
        self.talk.hear(ask(Kind.LISTENERS))
        self.all()


FULL = {"clusters": ["c1", "c2"], "endpoints": ["c1", "c2"], "listeners": ["in"], "routes": ["r"]}


def full(proxy: Proxy) -> None:
    """A proxy that has everything of FULL."""
    proxy.give(**FULL)
    proxy.start()
    proxy.talk.hear(ask(Kind.ENDPOINTS, "c1", "c2"))
    proxy.talk.hear(ask(Kind.ROUTES, "r"))
    proxy.all()
    assert proxy.talk.acknowledged


def kinds(responses: list[Response]) -> list[Kind]:
    return [each.kind for each in responses]


def test_everything_of_a_wildcard_type_and_only_the_named_of_the_others_is_sent() -> None:
    proxy = Proxy()
    proxy.give(**FULL)
    proxy.talk.hear(ask(Kind.CLUSTERS))
    (clusters,) = proxy.all()
    assert clusters.versions == {"c1": "1", "c2": "1"}
    proxy.talk.hear(ask(Kind.ENDPOINTS, "c2"))
    (endpoints,) = proxy.all()
    assert endpoints.versions == {"c2": "1"}
    assert endpoints.bodies["c2"].type_url.endswith("StringValue")


def test_a_first_request_for_a_type_with_nothing_in_it_is_answered() -> None:
    proxy = Proxy()
    proxy.give()
    proxy.talk.hear(ask(Kind.CLUSTERS))
    (empty,) = proxy.all()
    assert (empty.versions, empty.removed) == ({}, [])
    assert proxy.all() == []


def test_nothing_but_secrets_is_said_before_the_configuration_is_known() -> None:
    proxy = Proxy()
    proxy.talk.give_secret(wire.item(resource("identity")))
    proxy.talk.hear(ask(Kind.CLUSTERS))
    proxy.talk.hear(ask(Kind.SECRETS, "identity"))
    assert kinds(proxy.all()) == [Kind.SECRETS]
    proxy.give()
    assert kinds(proxy.all()) == [Kind.CLUSTERS]


def test_what_a_proxy_has_already_is_not_sent_again_when_it_comes_back() -> None:
    proxy = Proxy()
    proxy.give(**FULL)
    proxy.talk.hear(ask(Kind.CLUSTERS, known={"c1": "1", "c2": "0", "gone": "1"}))
    proxy.talk.hear(ask(Kind.LISTENERS, known={"in": "1"}))
    proxy.talk.hear(ask(Kind.ENDPOINTS, "c1", "c2", known={"c1": "1", "c2": "1"}))
    found = proxy.all()
    assert [each.versions for each in found if each.kind is Kind.CLUSTERS and not each.removed] == [{"c2": "1"}]
    assert [each.removed for each in found if each.kind is Kind.CLUSTERS and each.removed] == [["gone"]]
    assert [each.versions for each in found if each.kind is Kind.LISTENERS] == [{}]


def test_a_name_that_is_asked_for_again_is_sent_again() -> None:
    proxy = Proxy()
    full(proxy)
    proxy.talk.hear(ask(Kind.ROUTES, "r"))
    (again,) = proxy.all()
    assert again.versions == {"r": "1"}


def test_a_name_that_nobody_knows_is_answered_with_its_removal() -> None:
    proxy = Proxy()
    full(proxy)
    proxy.talk.hear(ask(Kind.ROUTES, "other"))
    (response,) = proxy.all()
    assert (response.kind, response.versions, response.removed) == (Kind.ROUTES, {}, ["other"])
    assert proxy.all() == []


def test_a_changed_route_alone_is_sent() -> None:
    proxy = Proxy()
    full(proxy)
    proxy.give("r2", **{**FULL, "routes": ["r@2"]})
    (response,) = proxy.all()
    assert response.versions == {"r": "2"}
    assert proxy.talk.acknowledged


def test_endpoints_are_sent_again_after_their_cluster_changed() -> None:
    proxy = Proxy()
    full(proxy)
    proxy.give("r2", **{**FULL, "clusters": ["c1", "c2@2"]})
    found = proxy.all()
    assert kinds(found) == [Kind.CLUSTERS, Kind.ENDPOINTS]
    assert found[1].versions == {"c2": "1"}


def test_routes_wait_until_new_clusters_are_acknowledged_and_what_goes_goes_last() -> None:
    proxy = Proxy()
    full(proxy)
    proxy.give("r2", clusters=["c2", "c3"], endpoints=["c2", "c3"], listeners=["in@2"], routes=["r@2"])
    clusters = proxy.next()
    assert clusters is not None
    assert (clusters.versions, clusters.removed) == ({"c3": "1"}, [])
    assert proxy.next() is None
    proxy.talk.hear(ask(Kind.ENDPOINTS, "c3"))
    endpoints = proxy.next()
    assert endpoints is not None
    assert endpoints.versions == {"c3": "1"}
    assert proxy.next() is None
    proxy.talk.hear(answer(endpoints))
    proxy.talk.hear(answer(clusters))
    rest = proxy.all()
    assert [(each.kind, each.versions, each.removed) for each in rest] == [
        (Kind.LISTENERS, {"in": "2"}, []),
        (Kind.ROUTES, {"r": "2"}, []),
        (Kind.CLUSTERS, {}, ["c1"]),
        (Kind.ENDPOINTS, {}, ["c1"]),
    ]


def test_policy_does_not_wait_long_for_a_cluster_that_does_not_come() -> None:
    proxy = Proxy()
    full(proxy)
    proxy.give("r2", **{**FULL, "clusters": ["c1", "c2", "c3"], "routes": ["r@2"]})
    assert proxy.next() is not None
    assert proxy.next() is None
    assert proxy.talk.again_in() == pytest.approx(conversation.GATE_SECONDS)
    proxy.time += conversation.GATE_SECONDS
    late = proxy.next()
    assert late is not None
    assert late.versions == {"r": "2"}


def test_a_slow_proxy_gets_the_newest_state_and_not_each_one_in_between() -> None:
    proxy = Proxy()
    full(proxy)
    proxy.give("r2", **{**FULL, "routes": ["r@2"]})
    first = proxy.next()
    for number in range(3, 50):
        proxy.give(f"r{number}", **{**FULL, "routes": [f"r@{number}"]})
        assert proxy.next() is None
    assert first is not None
    proxy.talk.hear(answer(first))
    assert not proxy.talk.acknowledged
    assert [each.versions for each in proxy.all()] == [{"r": "49"}]
    assert proxy.talk.acknowledged


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


def test_a_new_certificate_waits_until_the_new_bundle_is_trusted() -> None:
    proxy = Proxy()
    for name in ("identity", "bundle"):
        proxy.talk.give_secret(wire.item(resource(name)))
    proxy.talk.hear(ask(Kind.SECRETS, "identity", "bundle"))
    assert [sorted(each.versions) for each in proxy.all()] == [["bundle", "identity"]]
    for name in ("identity", "bundle"):
        proxy.talk.give_secret(wire.item(resource(name, "2")))
    bundle = proxy.next()
    assert bundle is not None
    assert bundle.versions == {"bundle": "2"}
    assert proxy.next() is None
    proxy.talk.hear(answer(bundle))
    assert [each.versions for each in proxy.all()] == [{"identity": "2"}]


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


def test_unsubscribed_names_are_forgotten_and_do_not_count() -> None:
    proxy = Proxy()
    full(proxy)
    proxy.give("r2", clusters=["c1"], endpoints=["c1"], listeners=["in"], routes=["r"])
    (removal, _) = proxy.all()
    assert removal.removed == ["c2"]
    proxy.talk.hear(ask(Kind.ENDPOINTS, drop=["c2"]))
    assert proxy.talk.acknowledged


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


def test_a_big_configuration_comes_in_several_responses() -> None:
    proxy = Proxy()
    big = tuple(resource(f"c{number}", text="x" * 300_000) for number in range(20))
    proxy.talk.give(wire.offer(dataclasses.replace(config(), clusters=big)))
    proxy.talk.hear(ask(Kind.CLUSTERS))
    found = proxy.all()
    assert len(found) > 2
    assert sum(len(each.versions) for each in found) == 20


def test_the_bytes_of_what_is_the_same_are_made_once() -> None:
    before = wire.offer(config(**FULL))
    after = wire.offer(config("r2", **{**FULL, "routes": ["r@2"]}), before)
    assert after.items[Kind.CLUSTERS]["c1"] is before.items[Kind.CLUSTERS]["c1"]
    assert after.items[Kind.ROUTES]["r"].version == "2"


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


def test_proxies_that_have_the_same_hold_it_once_however_much_it_is() -> None:
    names = [f"c{number}" for number in range(100)]
    offer = wire.offer(config(clusters=names, endpoints=names, listeners=names, routes=names))
    kept = []
    tracemalloc.start()
    try:
        for _ in range(50):
            proxy = Proxy()
            proxy.talk.give(offer)
            proxy.start()
            proxy.talk.hear(ask(Kind.ENDPOINTS, *names))
            proxy.talk.hear(ask(Kind.ROUTES, *names))
            proxy.all()
            assert proxy.talk.acknowledged
            kept.append(proxy)
        gc.collect()
        # What else the process does meanwhile is nobody's here.
        taken = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/ringfence/proxyd/*")])
    finally:
        tracemalloc.stop()
    assert sum(each.size for each in taken.traces) / len(kept) < 4000


def test_a_change_of_one_of_many_leaves_what_the_others_hold_in_common() -> None:
    first, second = Proxy(), Proxy()
    offer = wire.offer(config(**FULL))
    changed = wire.offer(config("r2", **{**FULL, "routes": ["r@2"]}), offer)
    for proxy in (first, second):
        proxy.talk.give(offer)
        proxy.start()
        proxy.talk.hear(ask(Kind.ENDPOINTS, "c1", "c2"))
        proxy.talk.hear(ask(Kind.ROUTES, "r"))
        proxy.all()
    first.talk.give(changed)
    assert [each.versions for each in first.all()] == [{"r": "2"}]
    assert first.talk.acknowledged
    assert (first.talk.confirmed(Kind.ROUTES, "r"), second.talk.confirmed(Kind.ROUTES, "r")) == ("2", "1")
    assert second.talk.acknowledged
    assert second.all() == []


def test_endpoints_of_a_cluster_that_changes_and_then_goes_go_too() -> None:
    proxy = Proxy()
    full(proxy)
    proxy.give("r2", **{**FULL, "clusters": ["c1", "c2@2"]})
    changed = proxy.next()
    assert changed is not None
    assert changed.versions == {"c2": "2"}
    proxy.give("r3", clusters=["c1"], endpoints=["c1"], listeners=["in"], routes=["r"])
    proxy.talk.hear(answer(changed))
    assert (Kind.ENDPOINTS, ["c2"]) in [(each.kind, each.removed) for each in proxy.all()]
    assert proxy.talk.acknowledged


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
