"""inject(inject(pod)) == inject(pod), with the patches really applied."""

import copy
from typing import Any

import jsonpatch
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringfence.controls import pod
from ringfence.inject import identity
from ringfence.model.names import LABEL_IDENTITY


def injected(obj: dict[str, Any]) -> dict[str, Any]:
    """The pod as the API server has it afterwards."""
    result: dict[str, Any] = jsonpatch.apply_patch(copy.deepcopy(obj), identity.operations(pod.of(obj)))
    return result


LABELS = st.none() | st.dictionaries(
    st.sampled_from(["app", LABEL_IDENTITY, "a/b~c"]), st.sampled_from(["x", "default", ""])
)
PODS = st.builds(
    lambda labels, account: {
        "metadata": {"name": "p", **({} if labels is None else {"labels": labels})},
        "spec": {**({} if account is None else {"serviceAccountName": account})},
    },
    LABELS,
    st.sampled_from([None, "", "x", "payments.v2", "a" * 63, "a" * 64]),
)


@given(PODS)
def test_twice_is_once(obj: dict[str, Any]) -> None:
    once = injected(obj)
    assert injected(once) == once


@given(PODS)
def test_nothing_else_is_touched(obj: dict[str, Any]) -> None:
    after = injected(obj)
    (after["metadata"].get("labels") or {}).pop(LABEL_IDENTITY, None)
    before = copy.deepcopy(obj)
    (before["metadata"].get("labels") or {}).pop(LABEL_IDENTITY, None)
    if not after["metadata"].get("labels"):
        after["metadata"].pop("labels", None)
        if not before["metadata"].get("labels"):
            before["metadata"].pop("labels", None)
    assert after == before


@given(PODS)
def test_the_value_is_the_same_as_the_patch(obj: dict[str, Any]) -> None:
    assert pod.of(injected(obj)) == identity.labelled(pod.of(obj))


def test_the_slash_of_the_label_is_escaped() -> None:
    obj = {"metadata": {"labels": {"app": "x"}}, "spec": {"serviceAccountName": "checkout"}}
    assert identity.operations(pod.of(obj)) == [
        {"op": "add", "path": "/metadata/labels/ringfence.dev~1identity", "value": "checkout"}
    ]


def test_labels_that_are_absent_or_null_come_into_being() -> None:
    for metadata in ({}, {"labels": None}):
        assert injected({"metadata": metadata, "spec": {}})["metadata"]["labels"] == {LABEL_IDENTITY: "default"}


@pytest.mark.parametrize("value", ["other", ""])
def test_a_label_that_is_there_is_left_to_validation(value: str) -> None:
    assert identity.operations(pod.of({"metadata": {"labels": {LABEL_IDENTITY: value}}, "spec": {}})) == []


@pytest.mark.parametrize("account", ["a" * 64, "a" * 253, "UPPER", "a/b", "x\n"])
def test_no_label_is_set_that_kubernetes_would_refuse(account: str) -> None:
    assert identity.operations(pod.of({"metadata": {}, "spec": {"serviceAccountName": account}})) == []


def test_a_static_pod_has_no_identity() -> None:
    mirror = {"metadata": {"annotations": {pod.MIRROR_ANNOTATION: "x"}}, "spec": {}}
    assert identity.operations(pod.of(mirror)) == []
    assert identity.labelled(pod.of(mirror)) == pod.decode(msgspec.json.encode(mirror))
