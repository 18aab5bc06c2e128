"""Answers about what the cache does not hold, or does not know to be so."""

import asyncio
import time
from typing import Any

import pytest
from ringfence.webhook.answering import RESERVE
from ringfence.webhook.review import Purpose

from tests.unit.webhook.asking import ask, refused
from tests.unit.webhook.fakes import FakeCluster, default_deny, identity, namespace
from tests.unit.webhook.reviews import decoded, encoded, pod


class TestKnowledge:
    """What the cache does not hold."""

    def test_a_namespace_of_this_second_is_read(self) -> None:
        live = [namespace("shop", "enforce"), default_deny("shop")]
        cluster = FakeCluster([identity("shop", "default")], live)
        assert ask(cluster, encoded(pod()))["allowed"]
        assert [each.kind for each in cluster.reads] == ["Namespace", "NetworkPolicy", "Namespace"]

    def test_so_is_one_whose_enrolment_the_cache_has_not_heard_of(self) -> None:
        cluster = FakeCluster([namespace("shop"), default_deny("shop")], [namespace("shop", "enforce")])
        assert "no ServiceIdentity" in refused(ask(cluster, encoded(pod())))

    def test_when_it_cannot_be_read_the_answer_is_no(self) -> None:
        cluster = FakeCluster([])
        cluster.unreachable = True
        response = ask(cluster, encoded(pod()))
        assert "connection refused" in refused(response)
        assert response["status"]["code"] == 503

    def test_a_read_that_hangs_ends_before_the_api_server_gives_up(self) -> None:
        cluster = FakeCluster([])
        cluster.hangs = True
        body = cluster.answering().answer(Purpose.VALIDATE, encoded(pod()), time.monotonic() + 0.5)
        assert "timed out" in refused(decoded(asyncio.run(body)))
        assert 0 <= cluster.patience <= 0.5 - RESERVE

    def test_a_namespace_that_does_not_exist_is_no_place_for_pods(self) -> None:
        assert "does not exist" in refused(ask(FakeCluster([]), encoded(pod())))

    def test_a_namespace_that_is_not_enrolled_after_all(self) -> None:
        cluster = FakeCluster([namespace("shop")], [namespace("shop")])
        assert "has no identity" in refused(ask(cluster, encoded(pod())))
        assert ask(cluster, encoded(pod(labels={})))["allowed"]

    def test_no_pod_before_the_default_deny(self) -> None:
        cluster = FakeCluster(
            [namespace("shop", "enforce"), identity("shop", "default")], [namespace("shop", "enforce")]
        )
        assert "is being closed" in refused(ask(cluster, encoded(pod())))

    def test_a_default_deny_that_the_cache_has_not_heard_of_counts(self) -> None:
        cluster = FakeCluster(
            [namespace("shop", "enforce"), identity("shop", "default")],
            [namespace("shop", "enforce"), default_deny("shop")],
        )
        assert ask(cluster, encoded(pod()))["allowed"]

    def test_a_staged_namespace_takes_pods(self) -> None:
        cluster = FakeCluster([namespace("shop", "enforce", enforced="False"), identity("shop", "default")])
        assert ask(cluster, encoded(pod()))["allowed"]
        assert cluster.reads == []

    @pytest.mark.parametrize(
        "forge",
        [
            lambda p: p["metadata"].pop("labels"),
            lambda p: p["spec"].update(ingress=[{}]),
            lambda p: p["spec"].update(podSelector={"matchLabels": {"a": "b"}}),
            lambda p: p["spec"].update(policyTypes=["Ingress"]),
        ],
    )
    def test_the_name_alone_makes_no_default_deny(self, forge: Any) -> None:
        forged = default_deny("shop")
        forge(forged)
        cluster = FakeCluster(
            [namespace("shop", "enforce"), identity("shop", "default"), forged], [namespace("shop", "enforce"), forged]
        )
        assert "is being closed" in refused(ask(cluster, encoded(pod())))

    def test_an_audited_namespace_waits_for_no_network(self) -> None:
        cluster = FakeCluster([namespace("shop", "audit"), identity("shop", "default")])
        assert ask(cluster, encoded(pod()))["allowed"]

    def test_updates_wait_for_nothing_either(self) -> None:
        cluster = FakeCluster([namespace("shop", "enforce")])
        assert ask(cluster, encoded(pod(), pod()))["allowed"]
        assert cluster.reads == []

    def test_a_policy_that_does_not_compile_leaves_the_last_good_one(self, cluster: FakeCluster) -> None:
        assert ask(cluster, encoded(pod()))["allowed"]
        cluster.broken = ValueError("a defect")
        cluster.view.changed("shop")
        assert ask(cluster, encoded(pod()))["allowed"]
        assert "privileged" not in refused(ask(cluster, encoded(pod(hostPID=True))))
        assert cluster.view.unusable == ()

    def test_without_one_nothing_is_let_in(self, cluster: FakeCluster) -> None:
        cluster.broken = ValueError("a defect")
        response = ask(cluster, encoded(pod()))
        assert "cannot be told" in refused(response)
        assert cluster.view.unusable == ("shop",)

    def test_a_defect_is_a_refusal(self, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cluster.view, "namespace", lambda name: 1 / 0)
        response = ask(cluster, encoded(pod()))
        assert response["status"]["code"] == 500
        assert "ZeroDivision" not in refused(response)

    def test_a_change_is_seen_at_once(self, cluster: FakeCluster) -> None:
        mounted = pod(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]})
        assert not ask(cluster, encoded(mounted))["allowed"]
        del cluster.cluster_policies.objects["", "floor"]
        cluster.view.changed("")
        assert ask(cluster, encoded(mounted))["allowed"]

    def test_a_finalizer_goes_whatever_is_known(self) -> None:
        cluster = FakeCluster([])
        cluster.unreachable = True
        old, new = pod(hostNetwork=True), pod(hostNetwork=True)
        old["metadata"]["finalizers"] = ["example.com/x"]
        assert ask(cluster, encoded(new, old))["allowed"]
        assert cluster.reads == []
        for spec in ({"hostNetwork": False}, {"volumes": [{"name": "v", "emptyDir": {}}]}):
            assert not ask(cluster, encoded(pod(**spec), pod(hostNetwork=True)))["allowed"]
