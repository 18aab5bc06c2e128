"""What is known of images' signatures, read from the cache of ImageVerdicts by their names."""

from typing import Final

from ringfence.model.ports import Lister, Object
from ringfence.model.signatures import Held, verdict_name
from ringfence.reconcile import verdict_objects
from ringfence.reconcile.verdict_objects import Kept

#: Objects whose value is remembered; then it begins anew.
_REMEMBERED: Final = 16384


class ReadVerdicts:
    """The ImageVerdicts of a cache as values, each read once for each version of the object."""

    def __init__(self, lister: Lister) -> None:
        self._lister = lister
        self._read: dict[tuple[str, str], tuple[Object, Kept | None]] = {}

    def of(self, namespace: str, name: str) -> Kept | None:
        """The value; None when there is none, or none that can be read."""
        obj = self._lister.get(namespace, name)
        if obj is None:
            return None
        key = namespace, name
        known = self._read.get(key)
        if known is None or known[0] is not obj:
            if len(self._read) >= _REMEMBERED:
                self._read.clear()
            known = self._read[key] = obj, verdict_objects.read(obj)
        return known[1]


class CachedVerdicts:
    """Fulfils model.signatures.Verdicts for one namespace."""

    def __init__(self, read: ReadVerdicts, namespace: str) -> None:
        self._read = read
        self._namespace = namespace

    def held(self, image: str, fingerprint: str) -> Held | None:
        """The answer for an image to a rule; None when there is none, or none that can be read."""
        kept = self._read.of(self._namespace, verdict_name(image))
        if kept is None or kept.wanted.image != image:
            return None
        return kept.answers.get(fingerprint)
