"""People are told once, storms are kept back, and nothing fails because telling failed."""

import asyncio

from ringfence.kube import client, errors, events

from tests.unit.kube.fakes import FakeApi, FakeClock

POLICY = {
    "apiVersion": "ringfence.dev/v1alpha1",
    "kind": "SecurityPolicy",
    "metadata": {"name": "payments", "namespace": "shop", "uid": "u-1", "resourceVersion": "3"},
}


class Rig:
    def __init__(self, *answers: object) -> None:
        self.api = FakeApi(answers=list(answers))
        self.clock = FakeClock()
        self.sink = events.KubeEvents(self.api, self.clock, instance="controller-1")

    def emit(self, note: str = "rule a names b, which does not exist", obj: dict[str, object] = POLICY) -> None:
        asyncio.run(self.sink.emit(obj, type_="Warning", reason="UnknownIdentity", action="Reconcile", note=note))


def test_an_event_says_all_that_the_api_wants() -> None:
    rig = Rig()
    rig.emit()
    (request,) = rig.api.requests
    assert (request.method, request.path) == ("POST", "/apis/events.k8s.io/v1/namespaces/shop/events")
    body = request.body
    assert body["metadata"]["name"].startswith("payments.")
    assert body["regarding"] == {
        "apiVersion": "ringfence.dev/v1alpha1",
        "kind": "SecurityPolicy",
        "name": "payments",
        "namespace": "shop",
        "uid": "u-1",
        "resourceVersion": "3",
    }
    assert body["eventTime"] == "2023-11-14T22:30:00.000000Z"
    assert (body["type"], body["reason"], body["action"]) == ("Warning", "UnknownIdentity", "Reconcile")
    assert (body["reportingController"], body["reportingInstance"]) == (events.CONTROLLER, "controller-1")


def test_events_about_cluster_wide_objects_are_in_default() -> None:
    rig = Rig()
    rig.emit(obj={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "uid": "n"}})
    assert rig.api.requests[0].path == "/apis/events.k8s.io/v1/namespaces/default/events"


def test_a_repeated_event_is_counted_now_and_then() -> None:
    rig = Rig()
    for _ in range(5):
        rig.emit()
    assert len(rig.api.requests) == 1
    rig.clock.seconds += events.SERIES_SECONDS
    rig.emit()
    assert len(rig.api.requests) == 2
    patch = rig.api.requests[1]
    assert (patch.method, patch.content_type) == ("PATCH", client.MERGE)
    assert patch.body["series"]["count"] == 6


def test_an_event_that_expired_in_the_cluster_is_written_anew() -> None:
    rig = Rig({}, errors.NotFound("expired"), {})
    rig.emit()
    rig.clock.seconds += events.SERIES_SECONDS
    rig.emit()
    rig.emit()
    assert [request.method for request in rig.api.requests] == ["POST", "PATCH", "POST"]


def test_one_object_cannot_cause_a_storm() -> None:
    rig = Rig()
    for number in range(events.BURST + 30):
        rig.emit(note=f"note {number}")
    assert len(rig.api.requests) == events.BURST
    rig.clock.seconds += events.REFILL_SECONDS
    rig.emit(note="later")
    rig.emit(note="too soon")
    assert len(rig.api.requests) == events.BURST + 1


def test_long_notes_are_cut_to_what_the_api_takes() -> None:
    rig = Rig()
    rig.emit(note="ü" * 2000)
    note = rig.api.requests[0].body["note"]
    assert len(note.encode()) <= events.MAX_NOTE
    assert note.endswith("...")


def test_nothing_fails_because_an_event_could_not_be_written() -> None:
    rig = Rig(errors.Forbidden("namespace is terminating"), {})
    rig.emit()
    rig.emit()
    assert len(rig.api.requests) == 2
