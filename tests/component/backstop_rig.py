"""The policies that resources come to, in a real API server and with nothing of Ringfence's running."""

import json
import re
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from http.client import HTTPSConnection
from typing import Any, Final

import ringfence.api as wire
from ringfence.model.resources import ClusterSecurityPolicy, SecurityPolicy, ServiceIdentity
from ringfence.model.world import Installation, Namespace, World
from ringfence.policy import resolve
from ringfence.translate import admission_policy
from ringfence.translate.backstop import asked, requirements

from tests.component.requests_as import Reply
from tests.component.webhook_rig import IDENTITY, Rig, until

OWN = "ringfence.dev/v1alpha1"
_BREAKS: Final = re.compile(r"'ringfence-asked-[0-9a-f]+'.* this pod breaks ([a-z, -]+);", re.DOTALL)


def policy(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    """A SecurityPolicy."""
    return {
        "apiVersion": OWN,
        "kind": "SecurityPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def cluster_policy(name: str, **spec: Any) -> dict[str, Any]:
    """A ClusterSecurityPolicy."""
    return {"apiVersion": OWN, "kind": "ClusterSecurityPolicy", "metadata": {"name": name}, "spec": spec}


def world(namespaces: Mapping[str, Mapping[str, str]], resources: Iterable[Mapping[str, Any]]) -> World:
    """The cluster as resolve reads it: namespaces by name with their labels, and Ringfence's own resources."""
    parsed = [wire.parse(each) for each in resources]
    identities: dict[str, dict[str, ServiceIdentity]] = {}
    policies: dict[str, tuple[SecurityPolicy, ...]] = {}
    for each in parsed:
        if isinstance(each, ServiceIdentity):
            identities.setdefault(each.meta.namespace, {})[each.meta.name] = each
        elif isinstance(each, SecurityPolicy):
            policies[each.meta.namespace] = (*policies.get(each.meta.namespace, ()), each)
    return World(
        installation=Installation(),
        namespaces={name: Namespace.of(name, labels) for name, labels in namespaces.items()},
        identities=identities,
        policies=policies,
        cluster_policies=tuple(each for each in parsed if isinstance(each, ClusterSecurityPolicy)),
    )


def placed(made: World, now: float | None = None) -> list[asked.Placed]:
    """What is asked everywhere."""
    moment = time.time() if now is None else now
    return [each for name in made.namespaces for each in asked.of(resolve.admission(made, name), moment)]


def hold(rig: Rig, made: World, now: float | None = None) -> None:
    """Write the policies; they are in force a moment later (``wait_held``)."""
    for obj in admission_policy.objects(rig.installation, placed=placed(made, now)):
        reply = rig.api.apply(obj)
        assert reply.ok, reply.message


def by_backstop(reply: Reply) -> bool:
    """Refused by what policies ask, and by nothing else."""
    return reply.status == 403 and "'ringfence-asked-" in reply.message


def wait_held(rig: Rig, pods: Iterable[Mapping[str, Any]]) -> None:
    """Until each of these pods, which nothing may let in, is refused."""
    for each in pods:
        until(
            lambda each=each: by_backstop(rig.api.create(each, dry_run=True)),
            30,
            lambda each=each: str(rig.api.create(each, dry_run=True)),
        )


def names_of(
    namespace: str, namespaces: Mapping[str, Mapping[str, str]], resources: Iterable[Mapping[str, Any]]
) -> list[str]:
    """The policies that hold what is asked of every pod of a namespace."""
    found = placed(world(namespaces, resources))
    return [requirements.name_of(each.requirement) for each in found if each.namespace == namespace]


class Asking:
    """Creates pods as dry runs, over a connection that each thread keeps."""

    def __init__(self, rig: Rig) -> None:
        self._port = rig.plane.port
        pki = rig.plane.directory / "pki"
        self._context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self._held = threading.local()

    def create(self, namespace: str, pod: Mapping[str, Any], account: str = "default") -> tuple[int, str]:
        """Status and message for this pod with its identity label, as somebody with all rights."""
        if not hasattr(self._held, "connection"):
            self._held.connection = HTTPSConnection("127.0.0.1", self._port, context=self._context, timeout=30)
        metadata = pod.get("metadata", {})
        labels = {**(metadata.get("labels") or {}), IDENTITY: account}
        metadata = {**metadata, "name": "p", "namespace": namespace, "labels": labels}
        spec = {**pod["spec"], "serviceAccountName": account}
        body = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        path = f"/api/v1/namespaces/{namespace}/pods?dryRun=All"
        self._held.connection.request("POST", path, body, {"Content-Type": "application/json"})
        reply = self._held.connection.getresponse()
        return reply.status, str(json.loads(reply.read()).get("message", ""))


def broken(status: int, message: str) -> set[str] | None:
    """The controls that the backstop says a pod breaks; None when something else answered."""
    said = _BREAKS.search(message)
    if status == 201:
        return set()
    return set(said[1].split(", ")) if status == 403 and said else None
