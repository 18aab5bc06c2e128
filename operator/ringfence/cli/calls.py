"""The ends of a question as people write them, and the pods and addresses that they stand for."""

import difflib
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ringfence.api.v1alpha1 import identifiers
from ringfence.cli.problems import Usage
from ringfence.model.errors import CannotTell
from ringfence.model.world import Enrolment, Workload, World
from ringfence.policy import ends
from ringfence.policy.ends import Address, Called, End, Host

FORMS = "NAMESPACE/IDENTITY, ip:ADDRESS, zone:NAME, apiserver or (as TO) host:NAME"


@dataclass(frozen=True, slots=True)
class Member:
    """One of those that an end stands for, and how to name it."""

    shown: str
    end: Called


@dataclass(frozen=True, slots=True)
class Asked:
    """An end of the question: its text, whom it stands for (never nobody), and a remark for the reader."""

    text: str
    members: tuple[Member, ...]
    remark: str = ""


def read(text: str, world: World, namespace: str) -> Asked:
    """The end that ``text`` names; ``namespace`` is that of a bare identity.

    Raises Usage for what is no end at all and CannotTell for one that is not known.
    """
    check(text)
    kind, colon, rest = text.partition(":")
    if text == "apiserver":
        return _api_server(world)
    if kind == "ip" and colon:
        return _address(rest)
    if kind == "host" and colon:
        return _host(rest)
    if kind == "zone" and colon:
        return _zone(rest, world)
    owner, slash, name = text.partition("/")
    return _identity(owner, name, world) if slash else _identity(namespace, text, world)


def check(text: str) -> None:
    """Refuse what is no end whatever the world is; raises as ``read`` does."""
    kind, colon, _ = text.partition(":")
    bare = not colon and text.count("/") <= 1 and text.strip("/") == text != ""
    if not (bare or (colon and kind in {"ip", "zone", "host"})):
        raise Usage(f"{text!r} is no end of a call: write {FORMS}")
    if kind == "ip" and colon:
        _address(text.removeprefix("ip:"))
    if kind == "host" and colon:
        _host(text.removeprefix("host:"))


def _address(text: str) -> Asked:
    try:
        ip = str(ipaddress.ip_address(text))
    except ValueError as error:
        raise Usage(f"ip:{text} is no address: write one like ip:10.0.0.1 or ip:2001:db8::1") from error
    return Asked(f"ip:{ip}", (Member(f"ip:{ip}", Address(ip)),))


def caller(member: Member) -> End:
    """One of those that call; raises Usage for the name of a host."""
    if isinstance(member.end, Host):
        raise Usage(f"host:{member.end.name} is no caller: names of hosts can only be called")
    return member.end


def _host(text: str) -> Asked:
    name = text.lower().removesuffix(".")
    if not re.fullmatch(identifiers.DNS_NAME.pattern, name):
        raise Usage(f"host:{text} is no name of one host: write one like host:api.example.com")
    return Asked(f"host:{name}", (Member(f"host:{name}", Host(name)),))


def _api_server(world: World) -> Asked:
    addresses = sorted({address for address, _ in world.installation.api_server})
    if not addresses:
        raise CannotTell("the API server's addresses are not known: set apiServer in the settings (--config)")
    return Asked("apiserver", tuple(Member(f"apiserver ({ip})", Address(ip)) for ip in addresses))


def _zone(name: str, world: World) -> Asked:
    zones = sorted({each.zone for each in world.namespaces.values() if each.zone})
    if name not in zones:
        raise CannotTell(f"no namespace is in zone {name!r}{_near(name, zones)}")
    namespaces = [each.name for each in world.namespaces.values() if each.zone == name]
    members = [
        member
        for namespace in sorted(namespaces)
        for identity in sorted(world.identities.get(namespace, {}))
        for member in _bearers(namespace, identity, world)
    ]
    if not members:
        raise CannotTell(f"zone {name} has no identities")
    return Asked(f"zone:{name}", _distinct(members))


def _identity(namespace: str, name: str, world: World) -> Asked:
    text = f"{namespace}/{name}"
    if name in world.identities.get(namespace, {}):
        return Asked(text, _distinct(_bearers(namespace, name, world)), _not_enrolled(namespace, world))
    pods = [each for each in world.workloads.get(namespace, ()) if each.service_account == name and not each.finished]
    if pods:
        remark = f"{text} is no ServiceIdentity: taken as the pods that run under the ServiceAccount of that name"
        return Asked(text, _distinct(_member(pod) for pod in pods), remark)
    known = sorted(f"{owner}/{each}" for owner, names in world.identities.items() for each in names)
    same = [each for each in known if each.endswith(f"/{name}")]
    raise CannotTell(f"there is no ServiceIdentity {text}{_near(text, known, same)}")


def _not_enrolled(namespace: str, world: World) -> str:
    known = world.namespaces.get(namespace)
    if known is not None and known.enrolment is not Enrolment.NONE:
        return ""
    return f"namespace {namespace} is not enrolled, so its pods have no identity yet"


def _bearers(namespace: str, identity: str, world: World) -> list[Member]:
    found = ends.bearers(world, namespace, identity)
    return [_member(each) if len(found) > 1 else Member(f"{namespace}/{identity}", each) for each in found]


def _member(workload: Workload) -> Member:
    return Member(f"{workload.kind} {workload.namespace}/{workload.name}", workload)


def _distinct(members: Iterable[Member]) -> tuple[Member, ...]:
    """One of those that no policy can tell apart."""
    found: dict[object, Member] = {}
    for member in members:
        end = member.end
        key: object = end
        if isinstance(end, Workload):
            labels = tuple(sorted(end.labels.items()))
            key = (end.namespace, labels, end.ips, tuple(sorted(end.ports, key=repr)), end.host_network)
        found.setdefault(key, member)
    return tuple(found.values())


def _near(name: str, known: Iterable[str], first: Iterable[str] = ()) -> str:
    """What may have been meant."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.75)
    candidates = list(dict.fromkeys([*first, *close]))[:3]
    return f"; did you mean {' or '.join(candidates)}?" if candidates else ""
