"""The conversation with one proxy: what is sent, and in which order."""

import dataclasses
import gc
import tracemalloc

import pytest
from ringfence.proxyd import conversation, wire
from ringfence.proxyd.wire import Kind

from tests.unit.proxyd.conversing import FULL, Proxy, full, kinds
from tests.unit.proxyd.xds import answer, ask, config, resource


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


def test_unsubscribed_names_are_forgotten_and_do_not_count() -> None:
    proxy = Proxy()
    full(proxy)
    proxy.give("r2", clusters=["c1"], endpoints=["c1"], listeners=["in"], routes=["r"])
    (removal, _) = proxy.all()
    assert removal.removed == ["c2"]
    proxy.talk.hear(ask(Kind.ENDPOINTS, drop=["c2"]))
    assert proxy.talk.acknowledged


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
