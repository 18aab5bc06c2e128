"""The world as the cluster has it: read once, by lists, with the rights of whoever asks."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from ringfence import settings
from ringfence.cli.documents import Document
from ringfence.cli.options import Target
from ringfence.kube import client, errors, resources
from ringfence.kube.resources import Resource
from ringfence.model.errors import RingfenceError
from ringfence.model.names import GROUP

CONFIG_MAP: Final = "ringfence-config"
CONFIG_KEY: Final = "config.yaml"
PAGE: Final = 500

#: What a World is made of, and what of it may be missing without making the answer wrong.
_READ: Final = (
    resources.NAMESPACES,
    resources.SERVICE_IDENTITIES,
    resources.SECURITY_POLICIES,
    resources.CLUSTER_SECURITY_POLICIES,
    resources.PODS,
    resources.NETWORK_POLICIES,
)


class NoCluster(RingfenceError):
    """The cluster cannot be asked, or lacks what the question is about; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What the cluster said. ``remarks`` are about what it would not say."""

    documents: tuple[Document, ...]
    settings: settings.Settings
    remarks: tuple[str, ...] = ()


async def connect(target: Target) -> client.Client:
    """A client; close it. Raises NoCluster."""
    # The library logs what it then raises; one sentence is enough.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        return await client.Client.connect(target.kubeconfig, context=target.context, component="cli")
    except errors.KubeError as error:
        raise NoCluster(f"{error} ({target.instead})") from error


async def ask(target: Target, more: Iterable[Resource] = ()) -> Answered:
    """``read`` with a client of its own."""
    api = await connect(target)
    try:
        return await read(target, api, more)
    finally:
        await api.close()


async def ask_status(target: Target) -> Answered:
    """The same, with what is known of images; raises NoCluster."""
    api = await connect(target)
    try:
        answered = await read(target, api)
        remarks = list(answered.remarks)
        verdicts = await _verdicts(api, "", remarks)
    finally:
        await api.close()
    return replace(answered, documents=(*answered.documents, *verdicts), remarks=tuple(remarks))


async def _verdicts(api: client.Client, namespace: str, remarks: list[str]) -> list[Document]:
    """The ImageVerdicts, which an installation before them has not and not everybody may read."""
    try:
        found = await pages(api, resources.IMAGE_VERDICTS, namespace=namespace)
    except errors.NotFound:
        return []
    except errors.KubeError as error:
        remarks.append(f"what is known of images is not shown: {error}")
        return []
    return [Document.answered(each) for each in found]


async def read(target: Target, api: client.Client, more: Iterable[Resource] = ()) -> Answered:
    """Everything that the world is made of, and ``more``; raises NoCluster."""
    documents: list[Document] = []
    for resource in (*_READ, *more):
        documents += (Document.answered(obj) for obj in await listed(api, resource))
    remarks: list[str] = []
    documents += await _endpoints(api, remarks)
    return Answered(tuple(documents), await installed(api, target, remarks), tuple(remarks))


async def ask_namespace(target: Target, namespace: str) -> Answered:
    """What somebody may know who has rights in one namespace only; raises NoCluster."""
    api = await connect(target)
    remarks: list[str] = []
    try:
        found = [await one_namespace(api, namespace)]
        for resource in (resources.SERVICE_IDENTITIES, resources.SECURITY_POLICIES, resources.PODS):
            found += await pages(api, resource, namespace=namespace)
        try:
            found += await pages(api, resources.CLUSTER_SECURITY_POLICIES)
        except errors.Forbidden as error:
            remarks.append(f"the cluster's policies are not shown: {error}")
        verdicts = await _verdicts(api, namespace, remarks)
        known = await installed(api, target, remarks)
    except errors.NotFound as error:
        raise NoCluster("this cluster does not know Ringfence's kinds: install it first") from error
    except errors.KubeError as error:
        raise NoCluster(str(error)) from error
    finally:
        await api.close()
    documents = (*(Document.answered(each) for each in found), *verdicts)
    return Answered(documents, known, tuple(remarks))


async def one_namespace(api: client.Client, name: str) -> dict[str, Any]:
    """A Namespace; raises NoCluster when there is none."""
    try:
        found: dict[str, Any] = await api.request("GET", resources.NAMESPACES.path("", name))
    except errors.NotFound as error:
        raise NoCluster(f"there is no namespace {name}") from error
    return found


async def listed(api: client.Client, resource: Resource, namespace: str = "") -> list[dict[str, Any]]:
    """All objects of a kind, with ``kind`` and ``apiVersion``; raises NoCluster in words that help."""
    try:
        return await pages(api, resource, namespace=namespace)
    except errors.KubeError as error:
        raise NoCluster(_explained(error, resource)) from error


async def pages(
    api: client.Client, resource: Resource, *, namespace: str = "", labels: str = "", fields: str = ""
) -> list[dict[str, Any]]:
    """The same page by page; raises KubeError."""
    selectors = {"labelSelector": labels, "fieldSelector": fields}
    query = {"limit": str(PAGE), **{key: value for key, value in selectors.items() if value}}
    kind = {"apiVersion": resource.api_version, "kind": resource.kind}
    found: list[dict[str, Any]] = []
    while True:
        page = await api.request("GET", resource.path(namespace), query=query)
        found.extend({**kind, **item} for item in page.get("items") or ())
        following = (page.get("metadata") or {}).get("continue")
        if not following:
            return found
        query["continue"] = following


def _explained(error: errors.KubeError, resource: Resource) -> str:
    if isinstance(error, errors.NotFound) and resource.api_version.startswith(GROUP):
        return f"this cluster does not know the kind {resource.kind}: install Ringfence first"
    if isinstance(error, errors.Forbidden):
        where = " in all namespaces" if resource.namespaced else ""
        return f"{error} (you need the right to list {resource.plural}{where})"
    return str(error)


async def _endpoints(api: client.Client, remarks: list[str]) -> Iterable[Document]:
    """The API server's own addresses, which not everybody may read."""
    path = resources.ENDPOINT_SLICES.path("default")
    try:
        page = await api.request("GET", path, query={"labelSelector": "kubernetes.io/service-name=kubernetes"})
    except errors.KubeError as error:
        remarks.append(f"the API server's addresses are not known: {error}")
        return ()
    kind = {"apiVersion": resources.ENDPOINT_SLICES.api_version, "kind": resources.ENDPOINT_SLICES.kind}
    return [Document.answered({**kind, **item}) for item in page.get("items") or ()]


async def installed(api: client.Client, target: Target, remarks: list[str]) -> settings.Settings:
    """The installation's settings; the defaults, with a remark, where they cannot be read."""
    environment = {"POD_NAMESPACE": target.namespace}
    path = resources.CONFIG_MAPS.path(target.namespace, CONFIG_MAP)
    try:
        found = await api.request("GET", path)
    except errors.KubeError as error:
        remarks.append(f"the settings of the installation cannot be read, so its defaults are taken: {error}")
        return settings.parse("", environment)
    text = (found.get("data") or {}).get(CONFIG_KEY) or ""
    return settings.parse(text, environment, source=f"ConfigMap {target.namespace}/{CONFIG_MAP}")
