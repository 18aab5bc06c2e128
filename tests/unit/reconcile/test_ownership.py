"""The guards go when Ringfence's Namespace goes, and are compared with that in mind."""

from collections.abc import Mapping, Sequence
from typing import Any

from ringfence.reconcile import normal, ownership

GUARD = {"apiVersion": "v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "x", "labels": {"a": "b"}}}


class Namespaces:
    """A cache that holds one Namespace, or none."""

    synced = True

    def __init__(self, uid: str) -> None:
        self._uid = uid

    def stale_for(self, monotonic: float) -> float:
        return 0.0

    def get(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        assert (namespace, name) == ("", "ringfence-system")
        return {"metadata": {"name": name, "uid": self._uid}} if self._uid else None

    def list(self, namespace: str | None = None) -> Sequence[Mapping[str, Any]]:
        raise AssertionError("nobody needs the list")


def test_the_namespace_owns_them() -> None:
    [owned] = ownership.by_namespace([GUARD], Namespaces("1"), "ringfence-system")
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": "ringfence-system", "uid": "1"}
    assert owned == {**GUARD, "metadata": {**GUARD["metadata"], "ownerReferences": [owner]}}  # type: ignore[dict-item]
    assert "ownerReferences" not in GUARD["metadata"]


def test_without_a_namespace_they_are_as_they_were() -> None:
    assert ownership.by_namespace([GUARD], Namespaces(""), "ringfence-system") == (GUARD,)


def test_an_owner_that_is_missing_or_another_is_a_difference() -> None:
    [owned] = ownership.by_namespace([GUARD], Namespaces("1"), "ringfence-system")
    [former] = ownership.by_namespace([GUARD], Namespaces("0"), "ringfence-system")
    assert normal.agrees(owned, owned)
    assert not normal.agrees(owned, GUARD)
    assert not normal.agrees(owned, former)
