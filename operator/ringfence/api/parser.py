"""Reads resources: objects as the API server or a file has them become values of the model, or an error that says all.

One parser serves the webhook, the controller and the command line, so what one of them accepts all of them understand.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC
from typing import Any, Final

from ringfence.api import metadata, validate, wording
from ringfence.api.v1alpha1 import RESOURCES, invariants, requests, signatures, tokens, traffic
from ringfence.api.v1alpha1.admission import settings
from ringfence.api.v1alpha1.cluster_security_policy import moment
from ringfence.api.v1alpha1.selectors import box
from ringfence.model import durations
from ringfence.model.errors import InvalidResource
from ringfence.model.labels import LabelBox
from ringfence.model.names import API_VERSION
from ringfence.model.resources import (
    MTLS,
    Action,
    AdmissionSpec,
    AnonymousPeer,
    ApiServerPeer,
    AppliesTo,
    Certificate,
    CidrPeer,
    ClusterSecurityPolicy,
    DnsGrant,
    HostPeer,
    IdentityPeer,
    Invariant,
    Mode,
    NamespacePeer,
    Peer,
    PodSecurityException,
    PodSecurityLevel,
    PolicySpec,
    PortSpec,
    Promise,
    Protocol,
    ResourceMeta,
    Rule,
    SecurityPolicy,
    ServiceIdentity,
    SpiffePeer,
    Traffic,
    Transport,
    ZonePeer,
)

#: Largest spec that is looked at, in characters of its strings plus a few for each value.
MAX_SPEC_SIZE: Final = 256 * 1024

Parsed = ServiceIdentity | SecurityPolicy | ClusterSecurityPolicy

_KINDS: Final = {resource.kind: resource for resource in RESOURCES}
_TOP_LEVEL: Final = ("apiVersion", "kind", "metadata", "spec", "status")


def parse(obj: Mapping[str, Any], *, source: str = "", default_namespace: str = "") -> Parsed:
    """The resource that ``obj`` (decoded JSON or YAML) is; ``source`` says where it was read.

    ``default_namespace`` is where a namespaced resource goes that names no namespace; without it that is an error.
    Raises InvalidResource, with every FieldError found (at most validate.MAX_ERRORS, and how many more there are),
    for whatever the CustomResourceDefinitions refuse and for the little that they cannot say.
    """
    report = validate.Report()
    kind = _kind(obj, report)
    if kind is None:
        raise InvalidResource(_plain(obj, "kind"), metadata.name_of(obj), report.errors())
    resource = _KINDS[kind]
    meta = metadata.read(obj, resource.namespaced, source, default_namespace, report)
    spec = _spec(obj, kind, report)
    if not report.total:
        for rule in resource.rules:
            complaint = rule.test({"name": meta.name, "spec": spec})
            if complaint is not None:
                report.add(complaint.at, complaint.message, complaint.fix)
    if report.total:
        raise InvalidResource(kind, meta.name, report.errors())
    return _BUILD[kind](meta, spec)


def _plain(obj: object, name: str) -> str:
    value = obj.get(name) if isinstance(obj, Mapping) else None
    return value if isinstance(value, str) and value.isprintable() and 0 < len(value) <= 63 else "resource"


def _kind(obj: object, report: validate.Report) -> str | None:
    """The kind, if it is one of ours."""
    if not isinstance(obj, Mapping):
        report.add("", f"is {wording.described(obj)}", "give an object with apiVersion, kind, metadata and spec")
        return None
    version, kind = obj.get("apiVersion"), obj.get("kind")
    if version != API_VERSION:
        found = f"is {wording.shown(version)}" if "apiVersion" in obj else "is missing"
        report.add("apiVersion", found, f"write {API_VERSION}")
    if not isinstance(kind, str) or kind not in _KINDS:
        found = f"is {wording.shown(kind)}" if "kind" in obj else "is missing"
        report.add("kind", found, wording.meant(kind, tuple(_KINDS)))
    return None if report.total else str(kind)


def _spec(obj: Mapping[str, Any], kind: str, report: validate.Report) -> dict[str, Any]:
    """The spec with its defaults; meaningless if ``report`` has errors afterwards."""
    validate.known(obj, _TOP_LEVEL, "", report)
    field = _KINDS[kind].spec
    if "spec" not in obj and field.required:
        report.add("spec", "is missing", "give an object")
        return {}
    spec = obj.get("spec", field.default)
    if not _small(spec):
        report.add("spec", f"is larger than {MAX_SPEC_SIZE // 1024} KiB", "split it into several resources")
        return {}
    filled: dict[str, Any] = validate.check(field.node, spec, "spec", report)
    return filled


def _small(value: object) -> bool:
    """Whether the value is at most MAX_SPEC_SIZE; looks at no more than that."""
    size, pending = 0, [value]
    while pending and size <= MAX_SPEC_SIZE:
        item = pending.pop()
        size += 4
        if isinstance(item, str):
            size += len(item)
        elif isinstance(item, Mapping):
            size += 4 * len(item)
            if size <= MAX_SPEC_SIZE:
                pending.extend(item)
                pending.extend(item.values())
        elif isinstance(item, list):
            size += 4 * len(item)
            if size <= MAX_SPEC_SIZE:
                pending.extend(item)
    return size <= MAX_SPEC_SIZE


def _service_identity(meta: ResourceMeta, spec: Mapping[str, Any]) -> ServiceIdentity:
    certificate = spec.get("certificate")
    return ServiceIdentity(
        meta=meta,
        service_account=spec.get("serviceAccountName", meta.name),
        certificate=Certificate() if certificate is None else _certificate(certificate),
        labels=tuple(sorted(spec.get("labels", {}).items())),
    )


def _certificate(value: Mapping[str, Any]) -> Certificate:
    return Certificate(
        ttl=durations.parse(value["ttl"]),
        renew_at=float(value["renewAt"]),
        key_algorithm=value["keyAlgorithm"],
        dns_names=tuple(sorted(value.get("dnsNames", ()))),
        secret_name=value.get("secretName", ""),
    )


def _security_policy(meta: ResourceMeta, spec: Mapping[str, Any]) -> SecurityPolicy:
    return SecurityPolicy(meta=meta, applies_to=_applies_to(spec.get("appliesTo")), spec=_policy(spec, meta))


def _cluster_security_policy(meta: ResourceMeta, spec: Mapping[str, Any]) -> ClusterSecurityPolicy:
    return ClusterSecurityPolicy(
        meta=meta,
        namespace_selector=box(spec["namespaceSelector"]),
        spec=_policy(spec, meta),
        exceptions=tuple(_exception(item, meta.name) for item in spec.get("exceptions", ())),
        grants=tuple(_grant(item) for item in spec.get("grants", ())),
        invariants=tuple(_invariants(spec, meta.name)),
    )


_BUILD: Final[Mapping[str, Callable[[ResourceMeta, Mapping[str, Any]], Parsed]]] = {
    "ServiceIdentity": _service_identity,
    "SecurityPolicy": _security_policy,
    "ClusterSecurityPolicy": _cluster_security_policy,
}


def _applies_to(value: Mapping[str, Any] | None) -> AppliesTo:
    if value is None:
        return AppliesTo()
    if "identities" in value:
        return AppliesTo(identities=tuple(sorted(value["identities"])))
    selected: LabelBox = box(value["podSelector"])
    return AppliesTo(pod_selector=selected)


def _policy(spec: Mapping[str, Any], meta: ResourceMeta) -> PolicySpec:
    namespace = meta.namespace
    own = tokens.own_keys(spec, namespace, meta.name)
    return PolicySpec(
        mode=Mode(spec["mode"]),
        transport=Transport(MTLS(spec["transport"]["mtls"])) if "transport" in spec else None,
        ingress=_rules(spec.get("ingress"), "from", namespace, own),
        egress=_rules(spec.get("egress"), "to", namespace, own),
        admission=_admission(spec.get("admission", {})),
        traffic=tuple(_traffic(entry, namespace, own) for entry in spec.get("traffic", ())),
        issuers=tokens.issuers(spec),
    )


def _traffic(entry: Mapping[str, Any], namespace: str, own: Mapping[str, str]) -> Traffic:
    return Traffic(entry["name"], _ports(entry.get("ports")), traffic.asks(entry, namespace, own))


def _ports(value: list[Any] | None) -> tuple[PortSpec, ...] | None:
    return None if value is None else tuple(_port(port) for port in value)


def _admission(value: Mapping[str, Any]) -> AdmissionSpec:
    level, version = _pod_security(value.get("podSecurity"))
    return AdmissionSpec(
        pod_security=level,
        pod_security_version=version,
        controls=settings(value),
        signatures=signatures.rules(value.get("images", {})),
    )


def _pod_security(value: str | Mapping[str, str] | None) -> tuple[PodSecurityLevel | None, int | None]:
    """The level and N of version 1.N, None for the newest."""
    if value is None or isinstance(value, str):
        return (None if value is None else PodSecurityLevel(value)), None
    version = value.get("version", "latest")
    return PodSecurityLevel(value["level"]), None if version == "latest" else int(version.removeprefix("1."))


def _rules(
    value: list[Mapping[str, Any]] | None, ends: str, namespace: str, issuers: Mapping[str, str]
) -> tuple[Rule, ...] | None:
    if value is None:
        return None
    return tuple(
        Rule(
            name=rule["name"],
            action=Action(rule["action"]),
            peers=tuple(_peer(peer, namespace) for peer in rule[ends]) if ends in rule else None,
            ports=_ports(rule.get("ports")),
            requests=requests.requests(rule, tokens.match(rule, issuers)),
            source=requests.source(rule),
        )
        for rule in value
    )


def _peer(value: Mapping[str, Any], namespace: str) -> Peer:
    (kind,) = value.keys() - {"except"}
    return _PEERS[kind](value, namespace)


_PEERS: Final[Mapping[str, Callable[[Mapping[str, Any], str], Peer]]] = {
    "identity": lambda peer, own: IdentityPeer(peer["identity"].get("namespace", own), peer["identity"]["name"]),
    "zone": lambda peer, _: ZonePeer(peer["zone"]),
    "namespace": lambda peer, _: NamespacePeer(peer["namespace"]),
    "spiffeID": lambda peer, _: SpiffePeer(peer["spiffeID"]),
    "cidr": lambda peer, _: CidrPeer(peer["cidr"], tuple(peer.get("except", ()))),
    "host": lambda peer, _: HostPeer(peer["host"]),
    "apiServer": lambda _peer, _own: ApiServerPeer(),
    "anonymous": lambda _peer, _own: AnonymousPeer(),
}


def _port(value: int | str | Mapping[str, Any]) -> PortSpec:
    if isinstance(value, int | str):
        return PortSpec(value)
    return PortSpec(value["port"], value.get("endPort"), Protocol(value["protocol"]))


def _exception(value: Mapping[str, Any], policy: str) -> PodSecurityException:
    return PodSecurityException(
        name=value["name"],
        namespace=value["namespace"],
        identities=tuple(sorted(value["identities"])),
        controls=tuple(sorted(value["controls"])),
        reason=value["reason"],
        until=moment(value["until"]).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        policy=policy,
    )


def _invariants(spec: Mapping[str, Any], policy: str) -> Iterator[Invariant]:
    for promise, section in ((Promise.NEVER, "neverAllow"), (Promise.ALWAYS, "alwaysAllow")):
        for item in spec.get(section, ()):
            yield Invariant(
                promise=promise,
                name=item["name"],
                sources=_ends(item.get("from")),
                targets=_ends(item.get("to")),
                ports=_ports(item.get("ports")),
                unless=_ends(item.get("unless")) or (),
                direct=item.get("reach", invariants.DIRECT) == invariants.DIRECT,
                through=_ends(item.get("through")) or (),
                policy=policy,
                http=requests.matches(item),
            )


def _ends(value: list[Mapping[str, Any]] | None) -> tuple[Peer, ...] | None:
    return None if value is None else tuple(_peer(peer, "") for peer in value)


def _grant(value: Mapping[str, Any]) -> DnsGrant:
    return DnsGrant(
        namespace=value["namespace"],
        identities=tuple(sorted(value["identities"])),
        dns_names=tuple(sorted(value["dnsNames"])),
    )
