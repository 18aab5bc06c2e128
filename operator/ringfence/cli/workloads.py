"""Reads pods, and workloads for the pods that they would make, out of manifests that a person may have got wrong."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar, get_args

import msgspec

from ringfence.model import proxy
from ringfence.model.errors import FieldError
from ringfence.model.resources import Protocol
from ringfence.model.world import ContainerPort, Workload

T = TypeVar("T")


class _Struct(msgspec.Struct, frozen=True, rename="camel"):
    pass


class Meta(_Struct, frozen=True):
    """Metadata as every object has it; null is absent."""

    name: str | None = None
    generate_name: str | None = None
    namespace: str | None = None
    #: Checked by ``labels_of``, which can name the one that is wrong.
    labels: dict[str, Any] | None = None
    uid: str | None = None
    deletion_timestamp: str | None = None


class _Port(_Struct, frozen=True):
    container_port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    name: str | None = None
    protocol: Protocol | None = None


class _Container(_Struct, frozen=True):
    name: str | None = None
    ports: list[_Port] | None = None


class _Spec(_Struct, frozen=True):
    service_account_name: str | None = None
    #: Deprecated, and copied into serviceAccountName by the API server.
    service_account: str | None = None
    host_network: bool | None = None
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None


class _Address(_Struct, frozen=True):
    ip: str | None = None


class _Status(_Struct, frozen=True):
    phase: str | None = None
    pod_ips: list[_Address] | None = msgspec.field(default=None, name="podIPs")


class _Pod(_Struct, frozen=True):
    metadata: Meta | None = None
    spec: _Spec | None = None
    status: _Status | None = None


class Malformed(Exception):
    """An object whose field has a wrong type."""

    def __init__(self, error: FieldError) -> None:
        self.error = error
        super().__init__(str(error))


#: How msgspec says it, and how a person would.
_EXPECTED: Final = re.compile(r"Expected `([^`]*)`, got `([^`]*)`")
_MISSING: Final = re.compile(r"Object missing required field `([^`]*)`")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `([^`]*)`")
_BOUND: Final = re.compile(r"Expected `int` (<=|>=) (\d+)")
_EMPTY: Final = frozenset(f"Expected `{kind}` of length >= 1" for kind in ("array", "str"))
_WORDS: Final = {
    "object": "an object",
    "array": "a list",
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
}
_FINISHED: Final = frozenset({"Succeeded", "Failed"})


def convert(value: Any, type_: type[T], prefix: str = "") -> T:
    """The value as ``type_``; raises Malformed with the field, which begins with ``prefix`` (``spec.template.``)."""
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        field = prefix + path.rstrip("`").lstrip(".")
        raise Malformed(FieldError(field.rstrip("."), *_in_words(message, type_))) from error


def describe(value: Any) -> str:
    """What a value is, in words."""
    if value is None:
        return "null"
    named = ((bool, "true or false"), (str, "a text"), (dict, "an object"), (list, "a list"))
    return next((words for kind, words in named if isinstance(value, kind)), "a number")


def labels_of(meta: Meta, path: str = "metadata.labels") -> dict[str, str]:
    """The labels; raises Malformed for one that is no text."""
    for key, value in (meta.labels or {}).items():
        if not isinstance(value, str):
            raise Malformed(FieldError(f"{path}[{key}]", f"is {describe(value)}, no text", "write it in quotes"))
    return meta.labels or {}


def _fields(type_: Any) -> list[str]:
    """The names of all fields of a type, and of those in them."""
    found, left, seen = list[str](), [type_], set[int]()
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            fields = msgspec.structs.fields(each)
            found += [field.encode_name for field in fields]
            left += [field.type for field in fields]
        else:
            left += get_args(each)
    return sorted(set(found))


def _in_words(message: str, type_: Any) -> tuple[str, str]:
    """What is wrong, and what to write instead."""
    bound = _BOUND.fullmatch(message)
    if bound is not None:
        return "is out of range", f"{'at most' if bound[1] == '<=' else 'at least'} {bound[2]}"
    if message in _EMPTY:
        return "is empty", "give at least one"
    unknown = _UNKNOWN.fullmatch(message)
    if unknown is not None:
        close = difflib.get_close_matches(unknown[1], _fields(type_), n=1)
        return f"has no field {unknown[1]}", f"did you mean {close[0]}?" if close else "look how it is spelt"
    missing = _MISSING.fullmatch(message)
    if missing is not None:
        return f"has no {missing[1]}", "give one"
    match = _EXPECTED.fullmatch(message)
    if match is None:
        return f"is wrong: {message[0].lower()}{message[1:]}", ""
    wanted, got = match.groups()
    wanted = " or ".join(_WORDS.get(each, each) for each in wanted.split(" | ") if each != "null")
    return f"is {_WORDS.get(got, got)}", f"give {wanted}"


def template(obj: Mapping[str, Any], path: Sequence[str]) -> Any:
    """The pod template at ``path``, an empty one where there is none; raises Malformed."""
    value: Any = obj
    for index, key in enumerate(path):
        if not isinstance(value, Mapping):
            raise Malformed(FieldError(".".join(path[:index]), "is no object", "give an object"))
        value = value.get(key)
        if value is None:
            return {}
    return value


def read(obj: Mapping[str, Any], meta: Meta, path: Sequence[str]) -> tuple[Workload, bool]:
    """The workload, and whether it exists already (a pod that a cluster knows); raises Malformed.

    ``meta`` is the object's own metadata with name and namespace filled in, ``path`` leads to its pod template.
    """
    prefix = "".join(f"{key}." for key in path)
    pod = convert(template(obj, path), _Pod, prefix)
    labels = labels_of(pod.metadata, f"{prefix}metadata.labels") if pod.metadata else {}
    spec, status = pod.spec or _Spec(), (pod.status if not path else None) or _Status()
    workload = Workload(
        namespace=meta.namespace or "",
        name=meta.name or "",
        service_account=spec.service_account_name or spec.service_account or "default",
        labels=labels,
        ips=tuple(each.ip for each in status.pod_ips or () if each.ip),
        ports=_ports(spec),
        host_network=bool(spec.host_network),
        kind=str(obj["kind"]),
        finished=status.phase in _FINISHED,
        proxied=any(each.name == proxy.CONTAINER for each in spec.init_containers or ()),
    )
    return workload, not path and bool(meta.uid or status.phase)


def _ports(spec: _Spec) -> tuple[ContainerPort, ...]:
    """The named ports of containers and native sidecars."""
    containers = [*(spec.containers or ()), *(spec.init_containers or ())]
    return tuple(
        ContainerPort(port.name, port.container_port, port.protocol or Protocol.TCP)
        for container in containers
        for port in container.ports or ()
        if port.name
    )
