"""What is known of images' signatures, read from the cache of ImageVerdicts by their names."""

from ringfence.model.ports import Lister
from ringfence.model.signatures import Held, verdict_name
from ringfence.reconcile import verdict_objects


class CachedVerdicts:
    """Fulfils model.signatures.Verdicts for one namespace."""

    def __init__(self, lister: Lister, namespace: str) -> None:
        self._lister = lister
        self._namespace = namespace

    def held(self, image: str, fingerprint: str) -> Held | None:
        """The answer for an image to a rule; None when there is none, or none that can be read."""
        obj = self._lister.get(self._namespace, verdict_name(image))
        kept = verdict_objects.read(obj) if obj is not None else None
        if kept is None or kept.wanted.image != image:
            return None
        return kept.answers.get(fingerprint)
