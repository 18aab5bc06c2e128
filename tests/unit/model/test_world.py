"""What the labels of namespaces and pods say."""

import pytest
from ringfence.model.world import Enrolment, Namespace, Workload


@pytest.mark.parametrize(
    ("labels", "enrolment"),
    [
        ({}, Enrolment.NONE),
        ({"ringfence.dev/enroll": "audit"}, Enrolment.AUDIT),
        ({"ringfence.dev/enroll": "enforce"}, Enrolment.ENFORCE),
        ({"ringfence.dev/enroll": "none"}, Enrolment.NONE),
        ({"ringfence.dev/enroll": "Enforce"}, Enrolment.NONE),
        ({"ringfence.dev/enroll": "enforce\n"}, Enrolment.NONE),
        ({"ringfence.dev/enroll": ""}, Enrolment.NONE),
    ],
)
def test_only_two_values_enrol_a_namespace(labels: dict[str, str], enrolment: Enrolment) -> None:
    assert Namespace.of("shop", labels).enrolment is enrolment


def test_a_namespace_has_the_label_that_nobody_can_forge() -> None:
    labels = {"kubernetes.io/metadata.name": "other", "ringfence.dev/zone": "front"}
    namespace = Namespace.of("shop", labels)
    assert namespace.labels["kubernetes.io/metadata.name"] == "shop"
    assert namespace.zone == "front"
    assert Namespace.of("shop").zone == ""


def test_a_pod_is_labelled_only_by_its_own_service_account() -> None:
    def pod(**labels: str) -> Workload:
        return Workload("shop", "p", "checkout", {name.replace("_", "/"): value for name, value in labels.items()})

    assert pod(**{"ringfence.dev_identity": "checkout"}).labelled
    assert not pod(**{"ringfence.dev_identity": "payments"}).labelled
    assert not pod().labelled
