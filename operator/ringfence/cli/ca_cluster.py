"""What a cluster holds of the CA of the identities: read as far as the rights go, written only as it was read.

Nothing that is missing is guessed: what may not be read is told apart from what is not there.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from ringfence import settings
from ringfence.cli import live, options
from ringfence.kube import client, errors, resources
from ringfence.model.names import GROUP, LABEL_ENROLL, LABEL_MANAGED_BY, LABEL_PURPOSE, MANAGED_BY
from ringfence.pki import store
from ringfence.reconcile import proxy_reports
from ringfence.reconcile.trust_bundle import CLUSTER_NAME
from ringfence.settings import Settings

#: On the CA's Secret: what a person asks the controller for (``rotation.Request``).
ROTATE: Final = f"{GROUP}/rotate"
#: Labels that the controller sets too: of the Secret, and of every trust bundle.
PURPOSE: Final = "ca"
PURPOSE_BUNDLE: Final = "certificates"
#: Who writes, in managedFields.
FIELD_MANAGER: Final = "ringfence-cli"

_MANAGER: Final = {"fieldManager": FIELD_MANAGER}
#: How often the marker is written again when somebody else was quicker.
_ATTEMPTS: Final = 5

Object = Mapping[str, Any]
#: Seconds since the epoch; tests bring their own.
clock: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read. None for ``secret`` and ``marker`` means that it is not there, unless its name is in ``denied``.

    ``marker`` is the ConfigMap with the public half. ``identities`` and ``bundles`` (namespace of those enrolled ->
    its trust bundle, None for none) are None when they may not be read; so is ``settings``. ``remarks`` say why.
    ``cluster_bundles`` holds the one ClusterTrustBundle, if it is there; None where there is no such kind, or it may
    not be read.
    """

    secret: Object | None = None
    marker: Object | None = None
    settings: Settings | None = None
    identities: tuple[Object, ...] | None = None
    bundles: Mapping[str, Object | None] | None = None
    cluster_bundles: tuple[Object, ...] | None = None
    #: What proxyd says of its proxies.
    reports: tuple[Object, ...] = ()
    denied: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = field(default=())
    #: Seconds that the API server's clock is ahead.
    ahead: float = 0.0

    @property
    def request(self) -> str:
        """What the annotation asks for, "" for nothing."""
        annotations = ((self.secret or {}).get("metadata") or {}).get("annotations") or {}
        return str(annotations.get(ROTATE, ""))


class Cluster:
    """The CA in one cluster. Methods raise errors.KubeError."""

    def __init__(self, api: client.Client, namespace: str) -> None:
        self._api = api
        self.namespace = namespace

    async def see(self, other: str = "") -> Seen:
        """Everything that may be read; ``other`` is a namespace whose trust bundle does where the own is denied."""
        denied: set[str] = set()
        remarks: list[str] = []

        async def tried(what: str, reading: Any) -> Any:
            try:
                return await reading
            except errors.Forbidden as error:
                denied.add(what)
                remarks.append(f"{error} (you need the right to read the {what})")
                return None

        secret = await tried("CA's Secret", self.secret())
        marker = await tried("trust bundle", self.marker())
        if other and {"CA's Secret", "trust bundle"} <= denied:
            marker = await self._optional(resources.CONFIG_MAPS.path(other, store.MARKER_NAME))
        identities = await tried("ServiceIdentities", self.identities())
        if other and identities is None:
            identities = await tried(f"ServiceIdentities of {other}", self.identities(other))
            remarks.append(f"only the certificates of namespace {other} are counted")
        known = await tried("settings", self.settings())
        proxies = known is not None and known.proxy.enabled
        return Seen(
            secret=secret,
            marker=marker,
            settings=known,
            identities=identities,
            bundles=await tried("trust bundles of the namespaces", self.bundles()),
            cluster_bundles=await self.cluster_bundles(),
            reports=await tried("reports of proxies", self.reports()) or () if proxies else (),
            denied=frozenset(denied),
            remarks=tuple(remarks),
            ahead=self._api.ahead,
        )

    async def secret(self) -> Object | None:
        """The CA's Secret."""
        return await self._optional(resources.SECRETS.path(self.namespace, store.SECRET_NAME))

    async def marker(self) -> Object | None:
        """The ConfigMap with the public half."""
        return await self._optional(resources.CONFIG_MAPS.path(self.namespace, store.MARKER_NAME))

    async def settings(self) -> Settings | None:
        """The settings of the installation, None where none is; raises InvalidSettings."""
        found = await self._optional(resources.CONFIG_MAPS.path(self.namespace, live.CONFIG_MAP))
        if found is None:
            return None
        text = (found.get("data") or {}).get(live.CONFIG_KEY) or ""
        source = f"ConfigMap {self.namespace}/{live.CONFIG_MAP}"
        return settings.parse(text, {"POD_NAMESPACE": self.namespace}, source=source)

    async def identities(self, namespace: str = "") -> tuple[Object, ...]:
        """Every ServiceIdentity (of one namespace); none where the kind is not known."""
        try:
            found = await live.pages(self._api, resources.SERVICE_IDENTITIES, namespace=namespace)
        except errors.NotFound:
            return ()
        return tuple(sorted(found, key=lambda each: (each["metadata"]["namespace"], each["metadata"]["name"])))

    async def bundles(self) -> dict[str, Object | None]:
        """The trust bundle of every enrolled namespace."""
        enrolled = await live.pages(self._api, resources.NAMESPACES, labels=LABEL_ENROLL)
        path = resources.CONFIG_MAPS.path()
        found = await self._api.request("GET", path, query={"fieldSelector": f"metadata.name={store.MARKER_NAME}"})
        by_namespace = {each["metadata"]["namespace"]: each for each in found.get("items") or ()}
        names = sorted(each["metadata"]["name"] for each in enrolled)
        return {name: by_namespace.get(name) for name in names}

    async def reports(self) -> tuple[Object, ...]:
        """What the replicas of proxyd say of their proxies."""
        path = resources.CONFIG_MAPS.path(self.namespace)
        found = await self._api.request("GET", path, query={"labelSelector": proxy_reports.SELECTOR})
        return tuple(found.get("items") or ())

    async def cluster_bundles(self) -> tuple[Object, ...] | None:
        """The ClusterTrustBundle, if there is such a kind."""
        for resource in resources.CLUSTER_TRUST_BUNDLES:
            try:
                return tuple(await live.pages(self._api, resource, fields=f"metadata.name={CLUSTER_NAME}"))
            except errors.NotFound:
                continue
            except errors.Forbidden:
                # Asked of the right before the kind, so this says nothing of whether there is one.
                return None
        return None

    async def exists(self) -> None:
        """Raise NoCluster unless the namespace is there."""
        try:
            await self._api.request("GET", resources.NAMESPACES.path("", self.namespace))
        except errors.Forbidden:
            return
        except errors.NotFound as error:
            raise live.NoCluster(f"there is no namespace {self.namespace}: create it, or install Ringfence") from error

    async def _optional(self, path: str) -> Object | None:
        try:
            found: dict[str, Any] = await self._api.request("GET", path)
        except errors.NotFound:
            return None
        return found

    # --- writing ------------------------------------------------------------------------------------------------------

    async def ask(self, secret: Object, request: str) -> None:
        """Set the annotation; Conflict when the Secret has changed since it was read."""
        version = secret["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": version, "annotations": {ROTATE: request}}}
        path = resources.SECRETS.path(self.namespace, store.SECRET_NAME)
        await self._api.request("PATCH", path, query=_MANAGER, body=body, content_type=client.MERGE)

    async def write(self, before: Seen, data: Mapping[str, str]) -> None:
        """Put a whole CA in place of what was read: the Secret first, then the marker.

        In between controllers refuse the CA, which costs nothing; the other way round they could take a lost CA for a
        first install. A request for a rotation that was made of the CA before is dropped. Raises Conflict or
        AlreadyExists when somebody was quicker.
        """
        state = store.read(data)
        secret: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "type": store.SECRET_TYPE, "data": dict(data)}
        await self._put(resources.SECRETS, before.secret, store.SECRET_NAME, secret)
        await self.mark(store.marker(state))

    async def mark(self, data: Mapping[str, str]) -> None:
        """Write the marker. It follows from the Secret, so what somebody else wrote meanwhile is written over."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._mark(data)
            except (errors.Conflict, errors.AlreadyExists):
                continue
        return await self._mark(data)

    async def _mark(self, data: Mapping[str, str]) -> None:
        before = await self.marker()
        if before is None or before.get("data") != data:
            obj = {"apiVersion": "v1", "kind": "ConfigMap", "data": dict(data)}
            await self._put(resources.CONFIG_MAPS, before, store.MARKER_NAME, obj)

    async def _put(
        self, resource: resources.Resource, before: Object | None, name: str, obj: Mapping[str, Any]
    ) -> None:
        old = (before or {}).get("metadata") or {}
        purpose = PURPOSE if resource is resources.SECRETS else PURPOSE_BUNDLE
        annotations = {key: value for key, value in (old.get("annotations") or {}).items() if key != ROTATE}
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": self.namespace,
            "labels": {**(old.get("labels") or {}), LABEL_MANAGED_BY: MANAGED_BY, LABEL_PURPOSE: purpose},
            "annotations": annotations,
        }
        if before is None:
            body = {**obj, "metadata": metadata}
            await self._api.request("POST", resource.path(self.namespace), query=_MANAGER, body=body)
            return
        body = {**obj, "metadata": {**metadata, "resourceVersion": old["resourceVersion"]}}
        await self._api.request("PUT", resource.path(self.namespace, name), query=_MANAGER, body=body)


@asynccontextmanager
async def connected(target: options.Target) -> AsyncIterator[Cluster]:
    """The CA of the cluster that the command line names; raises NoCluster for whatever its API server does not do."""
    api = await live.connect(target)
    try:
        yield Cluster(api, target.namespace)
    except (errors.Conflict, errors.AlreadyExists) as error:
        raise live.NoCluster(f"{error}: somebody else changed the CA at the same moment; look and try again") from error
    except errors.KubeError as error:
        raise live.NoCluster(str(error)) from error
    finally:
        await api.close()
