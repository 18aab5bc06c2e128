"""Whether a pod has its proxy as it was made, and whether anybody else takes what is the proxy's. Pure.

This is looked at in the final pod, after everybody has changed it: one that lost its proxy, or in which it comes late,
twice or otherwise than it was made, is told from a good one by making the proxy again and comparing.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ringfence.controls.control import container as named
from ringfence.controls.control import quoted, shown
from ringfence.inject import pods, probes, sidecar
from ringfence.inject.injection import Injection
from ringfence.model import proxy
from ringfence.model.ports import Object
from ringfence.model.verdict import Violation

SIDECAR: Final = "proxy-sidecar"
IMAGE: Final = "proxy-image"
NAMES: Final = "proxy-names"
USER: Final = "proxy-user"

#: Everything that this module may report; nobody can be excepted from any of it.
IDS: Final = frozenset({SIDECAR, IMAGE, NAMES, USER})

_AGAIN: Final = "restart a workload that runs already; in new pods, find the webhook that changes it"
_KINDS: Final = ("initContainers", "containers", "ephemeralContainers")


def problems(pod: Object, how: Injection, prefix: str = "") -> list[Violation]:
    """What is wrong with the pod's proxy; empty for a good one. ``prefix`` is the field of the pod template."""
    spec = pod.get("spec") or {}
    found = list(_taken(spec, prefix))
    if not pods.has_place(spec):
        return found
    present = [each for each in spec.get("initContainers") or () if pods.is_sidecar(each)]
    field = f"{prefix}spec.initContainers"
    if not present:
        fix = "let Ringfence's webhook add it, and no other take it away; a pod from before needs a restart"
        return [*found, Violation(SIDECAR, field, f"has no container {proxy.CONTAINER}", fix)]
    if len(present) > 1 or not pods.is_sidecar(spec["initContainers"][0]):
        what = f"has container {proxy.CONTAINER} " + ("twice" if len(present) > 1 else "behind others")
        return [*found, Violation(SIDECAR, field, what, "leave it in the first place, once, as Ringfence adds it")]
    found += _as_made(spec, present[0], how, prefix)
    return [*found, *_users(spec, present[0], prefix)]


def others(pod: Object) -> list[Violation]:
    """What the other containers of a pod take of its proxy's."""
    spec = pod.get("spec") or {}
    found = list(_taken(spec, ""))
    for each in spec.get("initContainers") or ():
        if pods.is_sidecar(each):
            found += _users(spec, each, "")
    return found


def user(container: Mapping[str, Any]) -> int:
    """The user id of a proxy, 0 for none."""
    return _id(container, "runAsUser")


def group(container: Mapping[str, Any]) -> int:
    """The group id of a proxy, 0 for none."""
    return _id(container, "runAsGroup")


def _id(container: Mapping[str, Any], name: str) -> int:
    value = (container.get("securityContext") or {}).get(name)
    return value if isinstance(value, int) else 0


def _as_made(spec: Mapping[str, Any], present: Mapping[str, Any], how: Injection, prefix: str) -> Iterator[Violation]:
    field, uid, gid = f"{prefix}spec.initContainers[0]", user(present), group(present)
    first, last = pods.users(spec)
    for name, found in (("runAsUser", uid), ("runAsGroup", gid)):
        if not first <= found <= last:
            yield Violation(USER, f"{field}.securityContext.{name}", f"is {found}", f"one of {first} to {last}")
    made = sidecar.container(how, uid, gid)
    for name in sorted((made.keys() | present.keys()) - sidecar.FREE):
        have, want = present.get(name), made.get(name)
        if have == want or (not have and not want):
            continue
        if name == "image":
            message = f"is {shown(str(have))}; the proxy of this installation is {shown(str(want))}"
            yield Violation(IMAGE, f"{field}.image", message, _AGAIN)
        else:
            yield Violation(SIDECAR, f"{field}.{name}", "is not as Ringfence makes it", _AGAIN)
    for want in sidecar.volumes():
        have_volumes = [each for each in spec.get("volumes") or () if each.get("name") == want["name"]]
        if have_volumes != [want]:
            message = f"{quoted([want['name']])} is not as Ringfence makes it"
            yield Violation(SIDECAR, f"{prefix}spec.volumes", message, _AGAIN)


def _taken(spec: Mapping[str, Any], prefix: str) -> Iterator[Violation]:
    """Names, volumes, processes, ports and tokens of the proxy's that others use."""
    yield from _tokens(spec, prefix)
    for field, each in _others(spec, prefix):
        name = named(str(each.get("name")))
        if each.get("name") == proxy.CONTAINER:
            yield Violation(NAMES, f"{field}.name", f"is {proxy.CONTAINER}, the proxy's", "choose another name")
        if each.get("targetContainerName") == proxy.CONTAINER:
            message = f"is {proxy.CONTAINER} for {name}, which would share processes with the proxy"
            yield Violation(NAMES, f"{field}.targetContainerName", message, "target another container")
        for index, mount in enumerate(each.get("volumeMounts") or ()):
            if mount.get("name") in proxy.RESERVED_VOLUMES:
                message = f"is {shown(str(mount.get('name')))} for {name}: that volume is the proxy's alone"
                yield Violation(NAMES, f"{field}.volumeMounts[{index}].name", message, "mount another volume")
        for index, port in enumerate(each.get("ports") or ()):
            if port.get("containerPort") in proxy.RESERVED_PORTS:
                message = f"is {port.get('containerPort')} for {name}, which is the proxy's"
                yield Violation(NAMES, f"{field}.ports[{index}].containerPort", message, "use another port")
        for where, action in _actions(each):
            if action.get("port") in proxy.RESERVED_PORTS and not probes.is_rewritten(action):
                message = f"is {action.get('port')} for {name}, which is the proxy's"
                yield Violation(NAMES, f"{field}.{where}.port", message, "probe the program's own port")


def _tokens(spec: Mapping[str, Any], prefix: str) -> Iterator[Violation]:
    """Tokens by which a program could have proxyd give it the key of its proxy."""
    reserved = proxy.RESERVED_VOLUMES if pods.has_place(spec) else ()
    own = [each for each in spec.get("volumes") or () if each.get("name") not in reserved]
    for index, each in enumerate(own):
        for place, source in enumerate((each.get("projected") or {}).get("sources") or ()):
            if (source.get("serviceAccountToken") or {}).get("audience") == proxy.AUDIENCE:
                field = f"{prefix}spec.volumes[{index}].projected.sources[{place}].serviceAccountToken.audience"
                message = f"is {shown(proxy.AUDIENCE)}: such tokens are for proxies"
                yield Violation(NAMES, field, message, "ask for a token for whom the program calls")


def _users(spec: Mapping[str, Any], present: Mapping[str, Any], prefix: str) -> Iterator[Violation]:
    """Who has the proxy's user id: what it sends would go past the proxy."""
    uid, whole = user(present), (spec.get("securityContext") or {}).get("runAsUser")
    for field, each in _others(spec, prefix):
        own = (each.get("securityContext") or {}).get("runAsUser")
        if (whole if own is None else own) == uid:
            where = f"{prefix}spec" if own is None else field
            message = f"is {uid} for {named(str(each.get('name')))}, the user of the proxy"
            yield Violation(USER, f"{where}.securityContext.runAsUser", message, "use another user")


def _others(spec: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every container but the proxy, with its field as its author wrote it: without the proxy before it.

    Where there is no place for a proxy none was added, so whatever is called one is its author's.
    """
    place = pods.has_place(spec)
    for kind in _KINDS:
        listed = spec.get(kind) or ()
        own = [each for each in listed if not (place and kind == "initContainers" and pods.is_sidecar(each))]
        for index, each in enumerate(own):
            yield f"{prefix}spec.{kind}[{index}]", each


def _actions(container: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    handlers = [(name, container.get(name)) for name in probes.PROBES]
    lifecycle = container.get("lifecycle") or {}
    handlers += [(f"lifecycle.{name}", lifecycle.get(name)) for name in probes.HOOKS]
    for name, handler in handlers:
        for kind in ("httpGet", "tcpSocket", "grpc"):
            action = (handler or {}).get(kind)
            if action:
                yield f"{name}.{kind}", action
