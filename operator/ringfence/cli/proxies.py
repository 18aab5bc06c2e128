"""`ringfence compile --proxy`: the configuration of an identity's proxies, from manifests."""

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from ringfence.cli import inputs, meant, workloads
from ringfence.cli.console import Console
from ringfence.cli.documents import Document
from ringfence.cli.problems import BadInput, Problem
from ringfence.cli.world import Judged, Loaded
from ringfence.controls import templates
from ringfence.model.errors import CannotTell
from ringfence.model.mesh import Mesh, ServicePort, ServiceValue
from ringfence.model.names import LABEL_IDENTITY, is_dns_label
from ringfence.model.proxy import ProxyConfig
from ringfence.model.resources import Protocol
from ringfence.model.world import Enrolment, Workload
from ringfence.reconcile import endpoints
from ringfence.translate import envoy
from ringfence.translate.envoy import static

_API_SERVER: Final = ("default", "kubernetes")


class _Port(msgspec.Struct, frozen=True, rename="camel"):
    port: int
    name: str | None = None
    target_port: int | str | None = None
    protocol: Protocol | None = None
    app_protocol: str | None = None


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    selector: dict[str, str] | None = None
    cluster_ip: str | None = msgspec.field(default=None, name="clusterIP")
    cluster_ips: list[str] | None = msgspec.field(default=None, name="clusterIPs")
    ports: list[_Port] | None = None
    type: str | None = None


def name_of(text: str) -> tuple[str, str]:
    """NAMESPACE/NAME as argparse takes it."""
    namespace, slash, name = text.partition("/")
    if not slash or not is_dns_label(namespace) or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAMESPACE/NAME of a ServiceIdentity")
    return namespace, name


def show(wanted: tuple[str, str], loaded: Loaded, default_namespace: str, console: Console) -> None:
    """Write the bootstrap; raises CannotTell where there is no such identity, or its pods are not alike."""
    namespace, name = wanted
    identity = loaded.world.identities.get(namespace, {}).get(name)
    if identity is None:
        known = [(owner, each) for owner, names in loaded.world.identities.items() for each in names]
        close = meant.of_namespace(namespace, name, known)
        raise CannotTell(f"there is no ServiceIdentity {namespace}/{name}{close}")
    inputs.must_be_readable(loaded, {namespace})
    mesh = planned(loaded, default_namespace)
    account = identity.service_account
    subject = _subject(namespace, account, loaded, mesh, console)
    trust_domain = loaded.world.installation.trust_domain
    console.data(bootstrap(envoy.configure(subject, mesh), trust_domain, namespace, account))


def bootstrap(config: ProxyConfig, trust_domain: str, namespace: str, account: str) -> dict[str, Any]:
    """A configuration as one bootstrap, with a certificate that stands for nobody."""
    return static.as_data(static.bootstrap(config, static.placeholders(trust_domain, namespace, account)))


def running(loaded: Loaded) -> Mesh:
    """What a cluster has answered, as proxyd sees it: the same pods, Services and endpoints give the same bytes."""
    services: dict[str, list[ServiceValue]] = {}
    for each in endpoints.services(document.value for document in loaded.services):
        services.setdefault(each.namespace, []).append(each)
    slices: dict[str, list[Mapping[str, Any]]] = {}
    for document in loaded.slices:
        slices.setdefault(document.value["metadata"].get("namespace", ""), []).append(document.value)
    pods = {(each.namespace, each.name): each.document.value for each in loaded.judged if each.kind == "Pod"}
    behind = {
        (namespace, service): found
        for namespace, each in slices.items()
        for service, found in endpoints.behind(each, namespace, lambda pod, of=namespace: pods.get((of, pod))).items()  # type: ignore[misc]
    }
    world = loaded.world
    by_namespace = {name: tuple(sorted(found)) for name, found in services.items()}
    return Mesh(world, inputs.effective(world), by_namespace, behind)


def planned(loaded: Loaded, default_namespace: str) -> Mesh:
    """What the manifests say, as it will be once every pod has its proxy."""
    world = loaded.world
    injected = {
        name: tuple(_injected(pod, world.namespaces[name].enrolment) for pod in pods)
        for name, pods in world.workloads.items()
    }
    world = replace(world, workloads=injected, installation=replace(world.installation, proxies=True))
    return Mesh(world, inputs.effective(world), services(loaded, default_namespace))


def services(loaded: Loaded, default_namespace: str) -> dict[str, tuple[ServiceValue, ...]]:
    """The Services that were read, by namespace; raises BadInput for one that cannot be."""
    by_namespace: dict[str, list[ServiceValue]] = {}
    for found in sorted(filter(None, (_service(each, default_namespace) for each in loaded.services))):
        by_namespace.setdefault(found.namespace, []).append(found)
    return {name: tuple(found) for name, found in by_namespace.items()}


def _injected(pod: Workload, enrolment: Enrolment) -> Workload:
    return replace(pod, proxied=enrolment is not Enrolment.NONE and not pod.host_network)


def _subject(namespace: str, account: str, loaded: Loaded, mesh: Mesh, console: Console) -> envoy.Subject:
    """The class of the identity's pods; without any, that of one without ports."""
    pods = {str(each): pod for each, pod in _pods(namespace, account, loaded)}
    classes = {name: envoy.subject(pod, mesh) for name, pod in pods.items()}
    if not classes:
        console.note(f"nothing runs under ServiceAccount {account}: shown is the proxy of a pod without ports")
        bare = {"metadata": {"namespace": namespace}, "spec": {"serviceAccountName": account}}
        return envoy.subject(bare, mesh)
    chosen = min(classes)
    others = sorted(name for name, each in classes.items() if each != classes[chosen])
    if others:
        console.note(f"shown is the proxy of {chosen}; those of {', '.join(others)} differ from it")
    return classes[chosen]


def _pods(namespace: str, account: str, loaded: Loaded) -> Iterable[tuple[object, Mapping[str, Any]]]:
    """The pods that workloads of the identity would make, as Pods."""
    for judged in loaded.judged:
        pod = pod_of(judged)
        if judged.namespace == namespace and account_of(pod) == account:
            yield judged, pod


def pod_of(judged: Judged) -> Mapping[str, Any]:
    """The pod that something makes, with the label that admission gives it; a pod is itself."""
    value = judged.document.value
    template = workloads.template(value, templates.TEMPLATES[templates.group_kind(value)])
    spec = template.get("spec") or {}
    account = spec.get("serviceAccountName") or "default"
    labels = {**((template.get("metadata") or {}).get("labels") or {}), LABEL_IDENTITY: account}
    status = value.get("status") if judged.kind == "Pod" else None
    return {"metadata": {"namespace": judged.namespace, "labels": labels}, "spec": spec, "status": status}


def account_of(pod: Mapping[str, Any]) -> str:
    """The ServiceAccount that a pod runs under."""
    return str((pod.get("spec") or {}).get("serviceAccountName") or "default")


def _service(document: Document, default_namespace: str) -> ServiceValue | None:
    """A Service that leads to pods or to the API server; raises BadInput for one that cannot be read."""
    value = document.value
    try:
        meta = workloads.convert(value.get("metadata") or {}, workloads.Meta, "metadata.")
        spec = workloads.convert(value.get("spec") or {}, _Spec, "spec.")
    except workloads.Malformed as malformed:
        error = malformed.error
        found = Problem(
            document.source, document.position.line, "Service", error.path, f"{error.message} ({error.fix})"
        )
        raise BadInput([found]) from malformed
    namespace, name = meta.namespace or default_namespace, meta.name or ""
    if spec.type == "ExternalName" or not (spec.selector or (namespace, name) == _API_SERVER):
        return None
    addresses = spec.cluster_ips or [spec.cluster_ip or ""]
    return ServiceValue(
        namespace,
        name,
        tuple(each for each in addresses if each not in {"", "None"}),
        tuple(sorted((_port(each) for each in spec.ports or ()), key=lambda port: (port.port, port.name))),
        tuple(sorted((spec.selector or {}).items())),
    )


def _port(port: _Port) -> ServicePort:
    return ServicePort(
        port.name or "",
        port.port,
        port.target_port or port.port,
        port.protocol or Protocol.TCP,
        port.app_protocol or "",
    )
