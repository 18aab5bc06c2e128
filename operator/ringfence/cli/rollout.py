"""Restarts workloads the way `kubectl rollout restart` does: by a change to the pod template."""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from ringfence.cli import live
from ringfence.cli.console import Console
from ringfence.inject import floor
from ringfence.inject import pods as proxies
from ringfence.inject.injection import Injection
from ringfence.kube import client, errors, resources
from ringfence.kube.resources import Resource
from ringfence.model.names import GROUP
from ringfence.reconcile import gather

ANNOTATION: Final = f"{GROUP}/restarted-at"

_RESTARTABLE: Final[Mapping[str, Resource]] = {
    each.kind: each for each in (resources.DEPLOYMENTS, resources.STATEFUL_SETS, resources.DAEMON_SETS)
}
#: What has a pod template of its own; ReplicaSets and Jobs are mostly made by another.
_TEMPLATED: Final = (*_RESTARTABLE.values(), resources.CRON_JOBS)

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """A workload whose pods a rollout replaces."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def waiting(pods: Iterable[Object], how: Injection | None = None, *, enforced: bool = False) -> list[Object]:
    """The pods that keep a network from closing: running, in a network of their own, without their identity.

    ``how``: where pods get a proxy, also those without one, or with another image than the present one; ``enforced``:
    and those in which nothing keeps programs behind it, since they came in while their namespace was audited.
    """
    found = []
    for each in pods:
        workload = gather.workload(each)
        if workload.finished or workload.host_network:
            continue
        if not workload.labelled or (how is not None and (proxy_lacks(each, how) or (enforced and is_loose(each)))):
            found.append(each)
    return found


def lack(how: Injection | None, *, enforced: bool = False) -> str:
    """What the pods that ``waiting`` finds may be without, in words."""
    if how is None:
        return "identity"
    return "identity, the present proxy or what keeps them behind it" if enforced else "identity or the present proxy"


def is_loose(pod: Object) -> bool:
    """Whether a container beside the proxy lacks what a new pod of an enforced namespace gets unasked.

    What one says itself, an exception may have let in: a restart would not change it.
    """
    spec = pod.get("spec") or {}
    kinds = ("initContainers", "containers", "ephemeralContainers")
    return any(
        floor.filled(each) != each
        for kind in kinds
        for each in spec.get(kind) or ()
        if not (kind == "initContainers" and proxies.is_sidecar(each))
    )


class Lacks(StrEnum):
    """What a pod's proxy is not; NOTHING where it is as it shall be, or where there is no place for one."""

    NOTHING = ""
    PROXY = "missing"
    IMAGE = "old"


def proxy_lacks(pod: Object, how: Injection) -> Lacks:
    """Whether a pod is without a proxy, or has one of another image than the present."""
    spec = pod.get("spec") or {}
    if not proxies.has_place(spec):
        return Lacks.NOTHING
    images = [each.get("image") for each in spec.get("initContainers") or () if proxies.is_sidecar(each)]
    if not images:
        return Lacks.PROXY
    return Lacks.NOTHING if images == [how.settings.image] else Lacks.IMAGE


async def owners(
    api: client.Client, namespace: str, pods: Iterable[Object]
) -> tuple[tuple[Owner, ...], tuple[str, ...]]:
    """Who can restart these pods, and the pods that nobody can."""
    replica_sets: dict[str, Owner | None] = {}
    found: set[Owner] = set()
    left: list[str] = []
    for pod in pods:
        kind, name = _controller(pod)
        owner: Owner | None = Owner(kind, name) if kind in _RESTARTABLE else None
        if kind == "ReplicaSet":
            if name not in replica_sets:
                replica_sets[name] = await _deployment(api, namespace, name)
            owner = replica_sets[name]
        if owner is not None:
            found.add(owner)
        else:
            left.append(f"Pod {pod['metadata']['name']}" + (f" (of {kind} {name})" if kind else " (bare)"))
    return tuple(sorted(found)), tuple(sorted(left))


async def templates(api: client.Client, namespace: str) -> list[dict[str, Any]]:
    """The workloads of a namespace that will make pods."""
    return [each for resource in _TEMPLATED for each in await live.listed(api, resource, namespace)]


def _controller(obj: Object) -> tuple[str, str]:
    """Kind and name of the controlling owner; empty for none."""
    for each in obj["metadata"].get("ownerReferences") or ():
        if each.get("controller"):
            return each["kind"], each["name"]
    return "", ""


async def _deployment(api: client.Client, namespace: str, replica_set: str) -> Owner | None:
    try:
        found = await api.request("GET", resources.REPLICA_SETS.path(namespace, replica_set))
    except errors.NotFound:
        return None
    kind, name = _controller(found)
    return Owner(kind, name) if kind in _RESTARTABLE else None


class Restarter:
    """Restarts each workload once, and again only for pods that came after that and are still waiting."""

    def __init__(
        self,
        api: client.Client,
        namespace: str,
        console: Console,
        how: Injection | None = None,
        *,
        enforced: bool = False,
    ) -> None:
        """``how`` and ``enforced`` as ``waiting`` has them."""
        self._how = how
        self._enforced = enforced
        #: What those that are waited for are without, in words.
        self.lack = lack(how, enforced=enforced)
        self._api = api
        self._namespace = namespace
        self._console = console
        self._since: dict[Owner, str] = {}

    async def waiting(self) -> list[Object]:
        """The pods without identity, or without the present proxy, as they are now."""
        found = await live.pages(self._api, resources.PODS, namespace=self._namespace)
        return waiting(found, self._how, enforced=self._enforced)

    async def restart(self, pods: Sequence[Object]) -> None:
        """Restart the owners of these pods, unless that has been done since the pods were made."""
        fresh = [each for each in pods if not each["metadata"].get("deletionTimestamp")]
        for owner in (await owners(self._api, self._namespace, fresh))[0]:
            if owner not in self._since or await self._outlived(owner, fresh):
                self._since[owner] = await self._touch(owner)
                self._console.print(f"restarted {owner}")

    async def _outlived(self, owner: Owner, pods: Sequence[Object]) -> bool:
        """Whether a pod of this owner was made after its last restart."""
        younger = [each for each in pods if str(each["metadata"].get("creationTimestamp", "")) > self._since[owner]]
        return owner in (await owners(self._api, self._namespace, younger))[0]

    async def _touch(self, owner: Owner) -> str:
        """Change the template; the moment of it, as the API writes moments."""
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {"spec": {"template": {"metadata": {"annotations": {ANNOTATION: now}}}}}
        path = _RESTARTABLE[owner.kind].path(self._namespace, owner.name)
        query = {"fieldManager": "ringfence-cli"}
        await self._api.request("PATCH", path, query=query, body=body, content_type=client.MERGE)
        return now
