import msgspec
import pytest
from ringfence.controls import pod

from tests.unit.controls.samples import every_kind


def test_unknown_fields_change_nothing() -> None:
    plain = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "a"}]}}
    odd = {**plain, "spec": {**plain["spec"], "fieldFromTheFuture": {"privileged": True}}, "status": {"phase": 7}}
    assert pod.of(odd) == pod.of(plain)


def test_containers_of_every_kind_are_in_one_list() -> None:
    subject = pod.Subject(pod.of(every_kind({})), "spec.template.")
    assert [field for field, _ in subject.containers] == [
        "spec.template.spec.initContainers[0]",
        "spec.template.spec.initContainers[1]",
        "spec.template.spec.containers[0]",
        "spec.template.spec.ephemeralContainers[0]",
    ]


@pytest.mark.parametrize(
    ("spec", "annotations", "expected"),
    [
        ({}, {}, "default"),
        ({"serviceAccountName": ""}, {}, "default"),
        ({"serviceAccountName": None}, {}, "default"),
        ({"serviceAccountName": "x"}, {}, "x"),
        ({"serviceAccount": "x"}, {}, "x"),
        ({"serviceAccount": "x", "serviceAccountName": ""}, {}, "x"),
        ({"serviceAccount": "x", "serviceAccountName": "y"}, {}, "y"),
        ({}, {pod.MIRROR_ANNOTATION: ""}, ""),
        ({"serviceAccountName": "x"}, {pod.MIRROR_ANNOTATION: ""}, "x"),
    ],
)
def test_service_account(spec: dict, annotations: dict, expected: str) -> None:
    assert pod.service_account(pod.of({"metadata": {"annotations": annotations}, "spec": spec})) == expected


def test_a_name_that_is_still_to_be_completed_is_shown() -> None:
    assert pod.of({"metadata": {"generateName": "web-"}}).metadata.shown_name == "web-…"
    assert pod.Pod().metadata.shown_name == "(no name)"


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{", b'{"spec":[]}', b'{"spec":{"containers":{}}}', b'{"spec":' * 5000]
)
def test_what_is_no_pod_is_an_error(body: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, RecursionError)):
        pod.decode(body)


def test_the_last_of_two_equal_keys_counts_as_for_the_api_server() -> None:
    assert pod.decode(b'{"spec":{"hostNetwork":false,"hostNetwork":true}}').spec.host_network is True
