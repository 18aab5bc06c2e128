"""What the inside needs of the world, as Protocols. Adapters in ``kube`` fulfil them; unit tests bring fakes."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ringfence.model.certificates import LeafTemplate

#: A Kubernetes object as decoded JSON. Never changed in place: caches share it.
Object = Mapping[str, Any]


class Clock(Protocol):
    """Time as an argument."""

    def now(self) -> float:
        """Seconds since the epoch (UTC)."""
        ...

    def monotonic(self) -> float:
        """Seconds of a clock that never steps."""
        ...


class Lister(Protocol):
    """A cache of one kind of object, kept by a watch."""

    @property
    def synced(self) -> bool:
        """Whether the first list is complete."""
        ...

    def stale_for(self, monotonic: float) -> float:
        """Seconds since the API server was last heard of on this watch; 0 while it is healthy."""
        ...

    def get(self, namespace: str, name: str) -> Object | None:
        """The object of that name (namespace "" for cluster-scoped kinds), None when there is none."""
        ...

    def list(self, namespace: str | None = None) -> Sequence[Object]:
        """The objects of a namespace, or all, sorted by (namespace, name)."""
        ...


class Applier(Protocol):
    """Writes to the API server. Every write is idempotent."""

    async def apply(self, obj: Object, *, subresource: str = "") -> Object:
        """Server-side apply with field manager ``ringfence`` and force; returns what the server holds then."""
        ...

    async def create(self, obj: Object) -> Object:
        """Create; raises when an object of that name is there already."""
        ...

    async def replace(self, obj: Object) -> Object:
        """Write the object whole, on condition that it still has the ``metadata.resourceVersion`` given."""
        ...

    async def delete(self, api_version: str, kind: str, namespace: str, name: str, *, uid: str = "") -> None:
        """Delete; absent already is success. With ``uid`` only that very object."""
        ...


class EventSink(Protocol):
    """Tells people, on the resource, what they must know."""

    async def emit(self, regarding: Object, *, type_: str, reason: str, action: str, note: str) -> None:
        """Record an event (``type_`` Normal or Warning); repeated ones are counted, not repeated."""
        ...


class Signer(Protocol):
    """A certificate authority that signs what a template says, nothing that the asker says of itself."""

    async def sign(self, template: LeafTemplate, public_key: bytes) -> bytes:
        """The chain in PEM, leaf first, without the root; ``public_key`` is a SubjectPublicKeyInfo in DER.

        Raises RingfenceError when it refuses. The caller validates what it gets before it uses it.
        """
        ...
