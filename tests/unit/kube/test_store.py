"""What a cache says has changed is what its readers depend on."""

from typing import Any

from ringfence.kube import store


def obj(name: str, namespace: str = "shop", version: str = "1", **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": version}, **fields}


def test_lists_sorted_by_namespace_and_name() -> None:
    held = store.Store()
    for name, namespace in (("b", "y"), ("a", "z"), ("a", "y")):
        held.put(obj(name, namespace))
    assert [store.key_of(each) for each in held.list()] == [("y", "a"), ("y", "b"), ("z", "a")]
    assert [each["metadata"]["name"] for each in held.list("y")] == ["a", "b"]
    assert held.list("nowhere") == []
    assert len(held) == 3


def test_cluster_scoped_objects_have_no_namespace() -> None:
    held = store.Store()
    held.put({"metadata": {"name": "shop"}})
    assert held.get("", "shop") == {"metadata": {"name": "shop"}}


def test_a_new_version_of_the_same_content_is_no_change() -> None:
    held = store.Store()
    assert held.put(obj("a", version="1", spec={"x": 1}))
    assert not held.put(obj("a", version="2", spec={"x": 1}))
    assert held.get("shop", "a") == obj("a", version="2", spec={"x": 1})
    assert held.put(obj("a", version="3", spec={"x": 2}))
    assert held.put(obj("a", version="4"))


def test_a_change_of_labels_is_a_change() -> None:
    held = store.Store()
    held.put(obj("a", version="1"))
    changed = obj("a", version="2")
    changed["metadata"]["labels"] = {"tier": "web"}
    assert held.put(changed)


def test_remove_says_whether_it_was_there() -> None:
    held = store.Store()
    held.put(obj("a"))
    assert held.remove(("shop", "a"))
    assert not held.remove(("shop", "a"))
    assert held.get("shop", "a") is None
    assert list(held.keys()) == []


def test_replace_reports_what_is_new_different_or_gone() -> None:
    held = store.Store()
    for each in (obj("same"), obj("gone"), obj("changed", version="1", spec={"x": 1})):
        held.put(each)
    told = held.replace([obj("same", version="9"), obj("changed", version="2", spec={"x": 2}), obj("new")])
    assert told == (("shop", "changed"), ("shop", "gone"), ("shop", "new"))
    assert [each["metadata"]["name"] for each in held.list()] == ["changed", "new", "same"]
