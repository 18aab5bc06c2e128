"""Reading what no cache holds, or what a cache may not know yet."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from ringfence.model.ports import Lister, Object

#: The object of a kind, namespace and name as the API server has it now, None when there is none. Raises
#: RingfenceError when that cannot be told.
Fetch = Callable[[str, str, str], Awaitable[Object | None]]


class SecretCaches(Protocol):
    """Caches of the identities' Secrets, one for each namespace where they may be read."""

    async def open(self, namespace: str) -> Lister:
        """The cache of a namespace, started if need be and complete; raises RingfenceError when it will not be."""
        ...

    def close(self, namespace: str) -> None:
        """Stop watching; nothing when it is not watched."""
        ...

    def all(self) -> Mapping[str, Lister]:
        """Every cache by namespace, those included whose first list is not complete."""
        ...


class ClusterBundles(Protocol):
    """The ClusterTrustBundle of one name, where the API server has such objects."""

    async def open(self, name: str) -> tuple[str, Lister] | None:
        """The apiVersion to write and a complete cache; None where there is no such kind.

        Raises RingfenceError when that cannot be told, or the object cannot be read.
        """
        ...
