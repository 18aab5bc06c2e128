"""The objects of one kind in memory, by namespace and name."""

from collections.abc import Iterator
from typing import Any

Key = tuple[str, str]
Obj = dict[str, Any]
Objs = list[Obj]


def key_of(obj: Obj) -> Key:
    """(namespace, name); the namespace of a cluster-scoped object is ""."""
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def version_of(obj: Obj) -> str:
    """The object's resourceVersion, "" when it has none."""
    version: str = obj["metadata"].get("resourceVersion", "")
    return version


def same_but_version(one: Obj, other: Obj) -> bool:
    """Whether two stored objects differ in nothing but resourceVersion: what a trim took away has changed."""
    if version_of(one) == version_of(other):
        return True
    if one.keys() != other.keys() or any(one[key] != other[key] for key in one if key != "metadata"):
        return False
    return _without_version(one["metadata"]) == _without_version(other["metadata"])


def _without_version(metadata: Obj) -> Obj:
    return {key: value for key, value in metadata.items() if key != "resourceVersion"}


class Store:
    """A two-level dict whose methods say what has changed. Objects are shared, never copied, never changed."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Obj]] = {}

    def __len__(self) -> int:
        return sum(len(names) for names in self._objects.values())

    def get(self, namespace: str, name: str) -> Obj | None:
        """The object, None when there is none."""
        return self._objects.get(namespace, {}).get(name)

    def list(self, namespace: str | None = None) -> Objs:
        """The objects of a namespace, or of all, sorted by (namespace, name)."""
        if namespace is not None:
            names = self._objects.get(namespace, {})
            return [names[name] for name in sorted(names)]
        return [obj for each in sorted(self._objects) for obj in self.list(each)]

    def keys(self) -> Iterator[Key]:
        """Every (namespace, name), in no order."""
        return ((namespace, name) for namespace, names in self._objects.items() for name in names)

    def put(self, obj: Obj) -> bool:
        """Keep this state of the object; whether anything that a reader can see has changed."""
        namespace, name = key_of(obj)
        names = self._objects.setdefault(namespace, {})
        before = names.get(name)
        names[name] = obj
        return before is None or not same_but_version(before, obj)

    def remove(self, key: Key) -> bool:
        """Forget the object; whether it was there."""
        namespace, name = key
        names = self._objects.get(namespace, {})
        if name not in names:
            return False
        del names[name]
        if not names:
            del self._objects[namespace]
        return True

    def replace(self, objects: Objs) -> tuple[Key, ...]:
        """Hold exactly these objects; the keys of what is new, different or gone, sorted."""
        arrived = {key_of(obj) for obj in objects}
        changed = {key for key in self.keys() if key not in arrived}
        for key in changed:
            self.remove(key)
        changed.update(key_of(obj) for obj in objects if self.put(obj))
        return tuple(sorted(changed))
