import json

import pytest
from ringfence.webhook import wire
from ringfence.webhook.wire import Answer, BadReview, PodRequest, Request

from tests.unit.webhook.reviews import decoded, encoded, pod, review


def broken(**request: object) -> bytes:
    body = review(pod())
    for key, value in request.items():
        if value is None:
            del body["request"][key]
        else:
            body["request"][key] = value
    return json.dumps(body).encode()


def test_a_review_is_read() -> None:
    request = wire.decode(encoded(pod(), subresource="resize"))
    assert (request.operation, request.namespace, request.name, request.sub_resource) == (
        "CREATE",
        "shop",
        "web",
        "resize",
    )
    assert request.has_object
    assert not request.has_old_object


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "no AdmissionReview"),
        (b"null", "no AdmissionReview"),
        (b"[]", "no AdmissionReview"),
        (b"{}", "no apiVersion"),
        (b"\xff\xfe", "no AdmissionReview"),
        (b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}', "has no request"),
        (b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":null}', "has no request"),
        (b'{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"1"}}', "v1beta1"),
        (b'{"apiVersion":"v1","kind":"Pod"}', "v1 Pod"),
        (b"[" * 100_000, "no AdmissionReview"),
        (broken(uid=None), "uid is missing"),
        (broken(uid=""), "uid is missing"),
        (broken(operation="PATCH"), "'PATCH', which is unknown"),
        (broken(operation=None), "unknown"),
        (broken(object=None), "object is missing on CREATE"),
        (broken(operation="UPDATE"), "oldObject is missing on UPDATE"),
        (broken(operation="DELETE"), "oldObject is missing on DELETE"),
        (encoded(pod()).replace(b'"main"', b'"\xc3\x28"'), "no AdmissionReview"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_the_reason(body: bytes, says: str) -> None:
    with pytest.raises(BadReview, match=says):
        wire.decode(body)


def test_the_uid_is_kept_where_it_can_be_read() -> None:
    for body in (broken(operation="PATCH"), broken(userInfo="x"), broken(namespace=7)):
        with pytest.raises(BadReview) as caught:
            wire.decode(body)
        assert caught.value.uid == "705ab4f5-6393-11e8-b7cc-42010a800002"


def test_a_pod_is_read_in_one_pass_and_otherwise_to_the_same_end() -> None:
    compact = encoded(pod(), pod("old"), subresource="resize")
    spaced = json.dumps(json.loads(compact)).encode()
    one, other = wire.decode(compact), wire.decode(spaced)
    assert isinstance(one, PodRequest)
    assert isinstance(other, Request)
    assert one.pods() == other.pods()
    for name in ("uid", "kind", "resource", "sub_resource", "name", "namespace", "operation", "user_info", "dry_run"):
        assert getattr(one, name) == getattr(other, name)
    assert (one.has_object, one.has_old_object) == (other.has_object, other.has_old_object) == (True, True)


def test_what_only_looks_like_a_pod_is_not_read_as_one() -> None:
    kind = {"group": "", "version": "v1", "kind": "Service"}
    assert isinstance(wire.decode(encoded(pod(), kind=kind)), Request)
    assert isinstance(
        wire.decode(encoded(pod(), kind={"group": "example.com", "version": "v1", "kind": "Pod"})), Request
    )
    assert isinstance(wire.decode(encoded(pod(hostNetwork="yes"))), Request)


def test_null_objects_are_absent() -> None:
    request = wire.decode(encoded(None, pod()))
    assert request.operation == "DELETE"
    assert not request.has_object
    assert request.has_old_object


def test_only_a_kubelet_is_a_node() -> None:
    for user, groups, expected in (
        ("system:node:a", ("system:nodes",), True),
        ("system:node:a", ("system:authenticated",), False),
        ("jane", ("system:nodes",), False),
        ("jane", (), False),
    ):
        assert wire.decode(encoded(pod(), user=user, groups=groups)).by_node is expected


def test_an_answer_says_no_more_than_it_must() -> None:
    assert decoded(wire.encode("u", wire.ALLOWED)) == {"uid": "u", "allowed": True}


def test_a_refusal_has_message_reason_and_code() -> None:
    response = decoded(wire.encode("u", Answer(False, "no", controls=("privileged",))))
    assert response["status"] == {"status": "Failure", "message": "no", "reason": "Forbidden", "code": 403}


def test_a_patch_goes_with_an_admission_only() -> None:
    operation = {"op": "add", "path": "/x", "value": 1}
    assert decoded(wire.encode("u", Answer(True, patch=(operation,))))["patch"] == [operation]
    assert "patch" not in decoded(wire.encode("u", Answer(False, patch=(operation,))))


def test_warnings_are_cut_where_the_api_server_would_cut_them() -> None:
    response = decoded(wire.encode("u", Answer(True, warnings=("x" * 300,) + ("y" * 200,) * 50)))
    assert len(response["warnings"][0]) == 256
    assert sum(len(each.encode()) for each in response["warnings"]) <= 4096
    assert len(response["warnings"]) == 20
