import asyncio
import json
import logging
import threading
import time

import pytest
from prometheus_client import generate_latest
from ringfence.webhook import resources
from ringfence.webhook.review import Purpose
from ringfence.webhook.wire import BadReview, Request

from tests.unit.webhook.fakes import FakeCluster, floor, shop
from tests.unit.webhook.reviews import decoded, encoded, pod, review


def answer(cluster: FakeCluster, body: bytes) -> bytes:
    return asyncio.run(cluster.answering().answer(Purpose.VALIDATE, body, time.monotonic() + 1))


def test_refusals_are_logged_once_with_who_what_and_why(caplog: pytest.LogCaptureFixture) -> None:
    secret = "s3cr3t-value"
    body = encoded(
        pod(hostPID=True, containers=[{"name": "a", "env": [{"name": "P", "value": secret}]}]), user="mallory"
    )
    with caplog.at_level(logging.INFO):
        answer(FakeCluster(shop(floor("floor", "baseline"))), body)
    (record,) = [each for each in caplog.records if each.name == "ringfence.webhook.admission"]
    assert "mallory" in record.getMessage()
    assert "spec.hostPID" in record.getMessage()
    extra = {
        key: getattr(record, key)
        for key in ("uid", "operation", "resource", "namespace", "object", "controls", "dryRun")
    }
    assert extra == {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "operation": "CREATE",
        "resource": "pods",
        "namespace": "shop",
        "object": "web",
        "controls": "host-namespaces",
        "dryRun": False,
    }
    assert secret not in caplog.text


def test_admissions_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        answer(FakeCluster(shop()), encoded(pod()))
    assert [each for each in caplog.records if each.name.startswith("ringfence.webhook")] == []


def test_everything_is_counted() -> None:
    cluster = FakeCluster(shop(floor("floor", "baseline")))
    for body in (encoded(pod()), encoded(pod(hostPID=True)), encoded(pod(containers=7)), encoded(pod(), operation="X")):
        answer(cluster, body)
    text = generate_latest(cluster.metrics.registry).decode()
    for line in (
        'ringfence_admission_reviews_total{result="allowed",webhook="validate"} 1.0',
        'ringfence_admission_reviews_total{result="denied",webhook="validate"} 1.0',
        'ringfence_admission_reviews_total{result="failed",webhook="validate"} 1.0',
        'ringfence_admission_reviews_total{result="malformed",webhook="validate"} 1.0',
        'ringfence_admission_refusals_total{control="host-namespaces"} 1.0',
        'ringfence_admission_refusals_total{control="other"} 1.0',
    ):
        assert line in text


def test_a_bad_review_with_a_uid_is_answered_and_one_without_is_raised() -> None:
    response = decoded(answer(FakeCluster([]), encoded(pod(), operation="PATCH")))
    assert (response["allowed"], response["status"]["code"]) == (False, 400)
    without = review(pod())
    del without["request"]["uid"]
    with pytest.raises(BadReview):
        answer(FakeCluster([]), json.dumps(without).encode())


def test_audit_annotations_name_the_controls() -> None:
    response = decoded(answer(FakeCluster(shop(floor("floor", "baseline"))), encoded(pod(hostPID=True))))
    assert response["auditAnnotations"] == {
        "violations": "host-namespaces",
        "policies": "ClusterSecurityPolicy floor",
    }


def test_a_large_resource_that_is_being_read_holds_up_no_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, answered = threading.Event(), threading.Event()

    def slowly(request: Request) -> None:
        begun.set()
        answered.wait(20)

    monkeypatch.setattr(resources, "read", slowly)

    async def both() -> bool:
        answering, start = FakeCluster(shop()).answering(), time.monotonic()
        slow = asyncio.create_task(answering.answer(Purpose.VALIDATE, encoded(floor("f", "baseline")), start + 30))
        await asyncio.to_thread(begun.wait, 20)
        await answering.answer(Purpose.VALIDATE, encoded(pod()), start + 30)
        still = not slow.done()
        answered.set()
        await slow
        return still

    assert asyncio.run(both()), "the pod is answered while the resource is still being read"


def test_a_resource_that_is_no_object_is_refused() -> None:
    kind = {"group": "ringfence.dev", "version": "v1alpha1", "kind": "SecurityPolicy"}
    resource = {"group": "ringfence.dev", "version": "v1alpha1", "resource": "securitypolicies"}
    body = encoded(pod(), kind=kind, resource=resource, object=[1])
    response = decoded(answer(FakeCluster(shop()), body))
    assert (response["allowed"], response["status"]["code"]) == (False, 400)


def test_dry_runs_are_answered_alike() -> None:
    cluster = FakeCluster(shop(floor("floor", "baseline")))
    for obj in (pod(), pod(hostPID=True)):
        assert answer(cluster, encoded(obj, dryRun=True)) == answer(cluster, encoded(obj))
