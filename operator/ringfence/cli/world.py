"""From documents to the world that they describe: the same for files and for what a cluster answered."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any, Final

import msgspec

from ringfence import api
from ringfence.cli import workloads
from ringfence.cli.documents import Document
from ringfence.cli.problems import BadInput, Problem
from ringfence.controls import templates
from ringfence.model.errors import FieldError, InvalidResource
from ringfence.model.names import GROUP, LABEL_ENROLL, is_dns_label, is_dns_subdomain
from ringfence.model.resources import ClusterSecurityPolicy, Kind, SecurityPolicy, ServiceIdentity
from ringfence.model.world import Enrolment, Installation, Namespace, Workload, World
from ringfence.policy import ends
from ringfence.reconcile import plan, staging
from ringfence.reconcile.gather import API_SERVER_SLICE
from ringfence.translate.network_policy import PURPOSE

#: (API group, kind) of what is neither policy nor workload but tells about the world.
NAMESPACE: Final = ("", "Namespace")
NETWORK_POLICY: Final = ("networking.k8s.io", "NetworkPolicy")
ENDPOINT_SLICE: Final = ("discovery.k8s.io", "EndpointSlice")
#: Part of the world, but nothing of it is needed at layer 4.
QUIET: Final = frozenset({("", "ServiceAccount")})
SERVICE: Final = ("", "Service")

_NAME: Final = "lower-case letters, digits and '-', at most 63 (253 and '.' for other objects than namespaces)"

Key = tuple[str, str, str, str]
#: Kind, namespace, name.
ResourceKey = tuple[str, str, str]
_Add = Callable[[Document, workloads.Meta], None]


@dataclass(frozen=True, slots=True)
class Judged:
    """An object that admission would judge, with the namespace that it would be created in."""

    document: Document
    namespace: str
    name: str

    @property
    def kind(self) -> str:
        return str(self.document.value["kind"])

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The world, what admission would judge of it, and what a person should know about how it was read.

    ``assumed`` are namespaces that no document describes, with the enrolment that they are taken to have; ``resources``
    and ``namespaces`` are the documents behind the world; ``ignored`` what was left aside; ``invalid`` what could not
    be understood and was left out (only where the caller allows that), ``unreadable`` the resources that this is about.
    ``misnamed`` are names of what is judged that no API server would take (only where the caller allows that).
    """

    world: World
    judged: tuple[Judged, ...] = ()
    assumed: Mapping[str, Enrolment] = field(default_factory=dict)
    resources: Mapping[ResourceKey, Document] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    invalid: tuple[Problem, ...] = ()
    unreadable: tuple[ResourceKey, ...] = ()
    namespaces: Mapping[str, Document] = field(default_factory=dict)
    misnamed: tuple[Problem, ...] = ()
    #: Services and EndpointSlices, which only proxies' configuration asks for.
    services: tuple[Document, ...] = ()
    slices: tuple[Document, ...] = ()


def load(
    documents: Iterable[Document],
    installation: Installation,
    *,
    default_namespace: str = "default",
    enforce_unknown: bool = False,
    tolerant: bool = False,
    any_name: bool = False,
) -> Loaded:
    """Build the world; raises BadInput with everything that is wrong.

    A namespace that no document describes is taken as enforced when policies or identities stand in it
    (``enforce_unknown``: always), else as not enrolled. ``tolerant`` leaves invalid resources of Ringfence's out
    instead of raising, as the controller does. ``any_name`` judges pods and workloads whatever they are called: their
    names are nothing that admission goes by.
    """
    builder = _Builder(default_namespace, tolerant, any_name)
    for document in documents:
        builder.add(document)
    if builder.problems:
        raise BadInput(builder.problems)
    return builder.build(installation, enforce_unknown)


class _Builder:
    """Sorts documents into the parts of a World and collects what is wrong with them."""

    def __init__(self, default_namespace: str, tolerant: bool, any_name: bool) -> None:
        self.problems: list[Problem] = []
        self._default = default_namespace
        self._tolerant = tolerant
        self._any_name = any_name
        self._misnamed: list[Problem] = []
        self._seen: dict[Key, Document] = {}
        self._invalid: list[Problem] = []
        self._unreadable: list[ResourceKey] = []
        self._ignored: list[str] = []
        self._namespaces: dict[str, Namespace] = {}
        self._namespace_documents: dict[str, Document] = {}
        self._resources: list[api.Parsed] = []
        self._resource_documents: dict[ResourceKey, Document] = {}
        self._workloads: list[tuple[Workload, bool]] = []
        self._judged: list[Judged] = []
        self._strangers: dict[str, list[str]] = {}
        self._api_server: set[tuple[str, int]] = set()
        self._services: list[Document] = []
        self._slices: list[Document] = []

    def add(self, document: Document) -> None:
        """Take one document in."""
        group, kind = self._group_kind(document)
        if not kind:
            return
        if group == GROUP:
            self._add_resource(document)
        elif (group, kind) in templates.TEMPLATES:
            self._add_object(document, group, kind, self._add_workload)
        elif (group, kind) == NAMESPACE:
            self._add_object(document, group, kind, self._add_namespace)
        elif (group, kind) == NETWORK_POLICY:
            self._add_object(document, group, kind, self._add_network_policy)
        elif (group, kind) == ENDPOINT_SLICE:
            self._slices.append(document)
            self._add_endpoints(document)
        elif (group, kind) == SERVICE:
            self._services.append(document)
        elif (group, kind) not in QUIET:
            self._ignored.append(f"{document.place}: {kind} is not read")

    def _group_kind(self, document: Document) -> tuple[str, str]:
        """API group and kind; an empty kind for what is to be left aside."""
        value = document.value
        if not isinstance(value, dict):
            self._not_an_object(document, f"is {workloads.describe(value)}, not a Kubernetes object")
            return "", ""
        version, kind = value.get("apiVersion"), value.get("kind")
        for name, given in (("apiVersion", version), ("kind", kind)):
            if given is not None and not isinstance(given, str):
                self.problems.append(document.problem(f"is {workloads.describe(given)}", "give a string", field=name))
                return "", ""
        group = str(version or "").rpartition("/")[0]
        if group == GROUP or (version and kind):
            return group, str(kind or "?")
        missing = "apiVersion" if kind else "kind" if version else "apiVersion and kind"
        if kind and document.found and _known_kind(str(kind)):
            self.problems.append(document.problem("is missing", "say which API the object is of", field=missing))
        else:
            self._not_an_object(document, f"has no {missing}, so it is not a Kubernetes object")
        return "", ""

    def _not_an_object(self, document: Document, message: str) -> None:
        """In a directory there may be other things; a file that was named is meant."""
        if document.found:
            self._ignored.append(f"{document.place}: {message}")
        else:
            self.problems.append(document.problem(message, "give objects with apiVersion and kind"))

    def _add_resource(self, document: Document) -> None:
        try:
            parsed = api.parse(document.value, source=document.place, default_namespace=self._default)
        except InvalidResource as error:
            subject = _subject(document.value, error.kind)
            found = [document.problem(e.message, e.fix, field=e.path, subject=subject) for e in error.errors]
            (self._invalid if self._tolerant else self.problems).extend(found)
            metadata = document.value.get("metadata")
            place = metadata if isinstance(metadata, dict) else {}
            self._unreadable.append((error.kind, str(place.get("namespace", "")), str(place.get("name", ""))))
            return
        kind = str(document.value["kind"])
        if self._first((GROUP, kind, parsed.meta.namespace, parsed.meta.name), document):
            self._resources.append(parsed)
            self._resource_documents[kind, parsed.meta.namespace, parsed.meta.name] = document

    def _add_object(self, document: Document, group: str, kind: str, add: _Add) -> None:
        try:
            meta = self._meta(document, group, kind)
            if self._first((group, kind, meta.namespace or "", meta.name or ""), document):
                add(document, meta)
        except workloads.Malformed as malformed:
            error = malformed.error
            subject = _subject(document.value, kind)
            self.problems.append(document.problem(error.message, error.fix, field=error.path, subject=subject))

    def _meta(self, document: Document, group: str, kind: str) -> workloads.Meta:
        """The metadata with its name and namespace checked and filled in."""
        namespaced = kind != "Namespace"
        meta = workloads.convert(document.value.get("metadata") or {}, workloads.Meta, "metadata.")
        name = meta.name or meta.generate_name or ""
        namespace = (meta.namespace or self._default) if namespaced else ""
        if not name:
            raise workloads.Malformed(FieldError("metadata.name", "is missing", "give it a name"))
        if not (is_dns_subdomain(name.rstrip("-")) if namespaced else is_dns_label(name)):
            error = FieldError("metadata.name", f"{name[:80]!r} is no name", _NAME)
            if not self._any_name or (group, kind) not in templates.TEMPLATES:
                raise workloads.Malformed(error)
            self._misnamed.append(document.problem(error.message, error.fix, field=error.path, subject=kind))
        if namespaced and not is_dns_label(namespace):
            raise workloads.Malformed(FieldError("metadata.namespace", f"{namespace[:80]!r} is no name", _NAME))
        return workloads.Meta(name, meta.generate_name, namespace, meta.labels, meta.uid, meta.deletion_timestamp)

    def _first(self, key: Key, document: Document) -> bool:
        """Whether nobody had this name before; one object described twice has no meaning."""
        before = self._seen.setdefault(key, document)
        if before is document:
            return True
        _, kind, namespace, name = key
        shown = f"{namespace}/{name}" if namespace else name
        self.problems.append(
            document.problem("is given twice", f"first in {before.place}; keep one", subject=f"{kind} {shown}")
        )
        return False

    def _add_namespace(self, document: Document, meta: workloads.Meta) -> None:
        value, name = document.value, meta.name or ""
        labels = workloads.labels_of(meta)
        enrolment = labels.get(LABEL_ENROLL)
        if enrolment is not None and enrolment not in {"audit", "enforce"} and not self._tolerant:
            field = f"metadata.labels[{LABEL_ENROLL}]"
            raise workloads.Malformed(FieldError(field, f"{enrolment[:80]!r} is no enrolment", "audit or enforce"))
        workloads.convert(value.get("status") or {}, _Status, "status.")
        self._namespaces[name] = Namespace.of(
            name, labels, terminating=meta.deletion_timestamp is not None, enforced=staging.latched(value)
        )
        self._namespace_documents[name] = document

    def _add_workload(self, document: Document, meta: workloads.Meta) -> None:
        path = templates.TEMPLATES[templates.group_kind(document.value)]
        self._workloads.append(workloads.read(document.value, meta, path))
        self._judged.append(Judged(document, meta.namespace or "", meta.name or ""))

    def _add_network_policy(self, document: Document, meta: workloads.Meta) -> None:
        if not plan.owned({"metadata": {"labels": workloads.labels_of(meta)}}, PURPOSE):
            self._strangers.setdefault(meta.namespace or "", []).append(meta.name or "")

    def _add_endpoints(self, document: Document) -> None:
        """The API server's addresses, when the object is its EndpointSlice."""
        metadata = document.value.get("metadata")
        if not isinstance(metadata, dict):
            return
        if (metadata.get("namespace"), metadata.get("name")) != ("default", API_SERVER_SLICE):
            return
        try:
            slice_ = workloads.convert(document.value, _Slice)
            addresses = [str(ip_address(each)) for endpoint in slice_.endpoints or () for each in endpoint.addresses]
        except (workloads.Malformed, ValueError) as error:
            self.problems.append(document.problem(f"is no EndpointSlice of the API server: {error}"))
            return
        ports = [port.port for port in slice_.ports or () if port.port]
        self._api_server.update((address, port) for address in addresses for port in ports)

    # --- the result -------------------------------------------------------------------------------------------------

    def build(self, installation: Installation, enforce_unknown: bool) -> Loaded:
        if self._api_server and not installation.api_server:
            installation = replace(installation, api_server=tuple(sorted(self._api_server)))
        assumed = self._assume(enforce_unknown)
        world = World(
            installation=installation,
            namespaces=dict(sorted(self._namespaces.items())),
            identities=self._by_namespace_and_name(ServiceIdentity),
            policies=_grouped(each for each in self._resources if isinstance(each, SecurityPolicy)),
            cluster_policies=tuple(
                sorted(
                    (each for each in self._resources if isinstance(each, ClusterSecurityPolicy)),
                    key=lambda policy: policy.meta.name,
                )
            ),
            strangers={name: tuple(sorted(found)) for name, found in sorted(self._strangers.items())},
        )
        return Loaded(
            world=replace(world, workloads=self._admitted(world)),
            judged=tuple(self._judged),
            assumed=assumed,
            resources=self._resource_documents,
            ignored=tuple(self._ignored),
            invalid=tuple(sorted(self._invalid)),
            unreadable=tuple(sorted(self._unreadable)),
            namespaces=self._namespace_documents,
            misnamed=tuple(self._misnamed),
            services=tuple(self._services),
            slices=tuple(self._slices),
        )

    def _assume(self, enforce_unknown: bool) -> dict[str, Enrolment]:
        """Fill in the namespaces that no document describes."""
        governed = {each.meta.namespace for each in self._resources if each.meta.namespace}
        used = {workload.namespace for workload, _ in self._workloads}
        assumed: dict[str, Enrolment] = {}
        for name in sorted((governed | used) - self._namespaces.keys()):
            enforce = enforce_unknown or name in governed
            assumed[name] = Enrolment.ENFORCE if enforce else Enrolment.NONE
            self._namespaces[name] = Namespace.of(name, {LABEL_ENROLL: "enforce"} if enforce else {})
        return assumed

    def _by_namespace_and_name(self, kind: type[ServiceIdentity]) -> dict[str, dict[str, ServiceIdentity]]:
        found: dict[str, dict[str, ServiceIdentity]] = {}
        for each in sorted((r for r in self._resources if isinstance(r, kind)), key=lambda r: r.meta.name):
            found.setdefault(each.meta.namespace, {})[each.meta.name] = each
        return found

    def _admitted(self, world: World) -> dict[str, tuple[Workload, ...]]:
        """The workloads with the labels that admission would give them; pods that run already keep theirs."""
        found: dict[str, list[Workload]] = {}
        for workload, exists in self._workloads:
            found.setdefault(workload.namespace, []).append(workload if exists else _admitted(world, workload))
        return {name: tuple(sorted(each, key=lambda w: (w.name, w.kind))) for name, each in sorted(found.items())}


def _admitted(world: World, workload: Workload) -> Workload:
    found = ends.admitted(world, workload)
    if not world.installation.proxies or world.namespaces[workload.namespace].enrolment is Enrolment.NONE:
        return found
    return replace(found, proxied=not found.host_network)


class _Status(msgspec.Struct, frozen=True):
    """Of a Namespace."""

    conditions: list[dict[str, Any]] | None = None


class _Endpoint(msgspec.Struct, frozen=True):
    addresses: list[str] = []


class _EndpointPort(msgspec.Struct, frozen=True):
    port: int | None = None


class _Slice(msgspec.Struct, frozen=True):
    """An EndpointSlice."""

    endpoints: list[_Endpoint] | None = None
    ports: list[_EndpointPort] | None = None


def _subject(value: Mapping[str, Any], kind: str) -> str:
    """An object that may be anything, as a message names it."""
    metadata = value.get("metadata")
    fields = metadata if isinstance(metadata, dict) else {}
    parts = [fields.get(key) for key in ("namespace", "name")]
    name = "/".join(part[:253] for part in parts if isinstance(part, str) and part)
    return f"{kind} {name}" if name else kind


def _grouped(policies: Iterable[SecurityPolicy]) -> dict[str, tuple[SecurityPolicy, ...]]:
    found: dict[str, list[SecurityPolicy]] = {}
    for each in sorted(policies, key=lambda policy: (policy.meta.namespace, policy.meta.name)):
        found.setdefault(each.meta.namespace, []).append(each)
    return {namespace: tuple(those) for namespace, those in found.items()}


def _known_kind(kind: str) -> bool:
    return kind in tuple(Kind) or any(kind == known for _, known in (*templates.TEMPLATES, NAMESPACE))
