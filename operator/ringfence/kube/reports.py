"""What scanning needs of the API server: whole pods page by page, and which kind of report it serves."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from ringfence.kube import client, errors, resources
from ringfence.model.names import LABEL_MANAGED_BY, MANAGED_BY

#: Pods of one request: about 5 MB at the most that anybody writes by hand.
PAGE: Final = 250


class _PageMeta(msgspec.Struct, frozen=True):
    following: str | None = msgspec.field(default=None, name="continue")


class _Page(msgspec.Struct, frozen=True):
    items: list[msgspec.Raw] | None = None
    metadata: _PageMeta = _PageMeta()


class _Named(msgspec.Struct, frozen=True):
    kind: str = ""


class _Served(msgspec.Struct, frozen=True):
    """An APIResourceList."""

    resources: list[_Named] = []


_page: Final = msgspec.json.Decoder(_Page)
_served: Final = msgspec.json.Decoder(_Served)


class PodPages:
    """Fulfils reconcile.scanner.Pods."""

    def __init__(self, api: client.Client, *, page: int = PAGE) -> None:
        self._api = api
        self._page = page

    async def pages(self, namespace: str) -> AsyncIterator[Sequence[msgspec.Raw]]:
        """The pods of the namespace. Raises KubeError, Gone among them when a list takes too long to be continued."""
        path = resources.PODS.path(namespace)
        query = {"limit": str(self._page)}
        while True:
            page = _page.decode(await self._api.request_bytes("GET", path, query=query))
            yield page.items or ()
            if not page.metadata.following:
                return
            query = {"limit": str(self._page), "continue": page.metadata.following}


class ReportKinds:
    """Fulfils reconcile.scanner.Reports for the kinds given, the preferred first."""

    def __init__(self, api: client.Client, kinds: Sequence[tuple[str, str]]) -> None:
        self._api = api
        self._kinds = kinds

    async def served(self) -> tuple[str, str] | None:
        """The first kind that the API server serves. Raises KubeError but for what says that it does not."""
        for api_version, kind in self._kinds:
            try:
                found = _served.decode(await self._api.request_bytes("GET", f"/apis/{api_version}"))
            except errors.NotFound:
                continue
            if any(each.kind == kind for each in found.resources):
                return api_version, kind
        return None

    async def held(self, kind: tuple[str, str]) -> Sequence[str]:
        """Namespaces with a report that carries Ringfence's label."""
        query = {"labelSelector": f"{LABEL_MANAGED_BY}={MANAGED_BY}"}
        found = await self._api.request("GET", resources.of(*kind).path(), query=query)
        return sorted(each["metadata"]["namespace"] for each in found.get("items") or ())
