"""The ends of a question as people write them, and the pods and addresses that they stand for."""

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ringfence.api.v1alpha1 import identifiers
from ringfence.cli import meant, options
from ringfence.cli.problems import Usage
from ringfence.model.errors import CannotTell
from ringfence.model.spiffe import SpiffeId
from ringfence.model.world import Enrolment, Workload, World
from ringfence.policy import ends
from ringfence.policy.ends import Address, Called, End, Host

FORMS = "[NAMESPACE/]IDENTITY, pod:NAMESPACE/NAME, a SPIFFE ID, ip:ADDRESS, zone:NAME, apiserver or (as TO) host:NAME"


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


def read(text: str, world: World, namespace: str | None) -> Asked:
    """The end that ``text`` names; ``namespace`` is that of a bare name.

    Where it is None a bare name is the only identity that is called so, with a remark that says which; a bare pod is
    one of the default namespace. Raises Usage for what is no end at all and CannotTell for one that is not known, or
    where several could be meant.
    """
    check(text)
    kind, colon, rest = text.partition(":")
    if text == "apiserver":
        return _api_server(world)
    of_kind: dict[str, Callable[[], Asked]] = {
        "ip": lambda: _address(rest),
        "host": lambda: _host(rest),
        "zone": lambda: _zone(rest, world),
        "pod": lambda: _pod(*_owned(rest, namespace or options.NAMESPACE), world),
        "spiffe": lambda: _spiffe(text, world),
    }
    if colon and kind in of_kind:
        return of_kind[kind]()
    owner, slash, name = text.partition("/")
    if slash:
        return _identity(owner, name, world)
    return _identity(namespace, text, world) if namespace is not None else _bare(text, world)


def check(text: str) -> None:
    """Refuse what is no end whatever the world is; raises as ``read`` does."""
    kind, colon, rest = text.partition(":")
    if kind == "pod" and colon and rest.strip("/") == rest != "" and rest.count("/") <= 1:
        return
    if kind == "spiffe" and colon:
        _account(text)
        return
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


def _owned(text: str, namespace: str) -> tuple[str, str]:
    owner, slash, name = text.partition("/")
    return (owner, name) if slash else (namespace, text)


def _pod(namespace: str, name: str, world: World) -> Asked:
    """A pod, or a workload that makes pods, by its name."""
    running = [each for each in world.workloads.get(namespace, ()) if not each.finished]
    found = [each for each in running if each.name == name]
    if not found:
        near = meant.near(name, {each.name for each in running})
        raise CannotTell(f"there is no pod or workload {name} in namespace {namespace}{near}")
    return Asked(f"pod:{namespace}/{name}", _distinct(_member(ends.admitted(world, pod)) for pod in found))


def _account(text: str) -> tuple[str, tuple[str, str] | None]:
    """(trust domain, (namespace, ServiceAccount) or None) of a SPIFFE ID; raises Usage for what is none."""
    try:
        spiffe = SpiffeId.parse(text)
    except ValueError as error:
        raise Usage(f"{text} is no SPIFFE ID: {error}") from error
    return spiffe.trust_domain, spiffe.service_account()


def _spiffe(text: str, world: World) -> Asked:
    """The identity that a SPIFFE ID of this cluster names."""
    domain, account = _account(text)
    if domain != world.installation.trust_domain or account is None:
        raise CannotTell(
            f"{text} is no identity of this cluster, whose trust domain is {world.installation.trust_domain}"
        )
    namespace, name = account
    named = sorted(n for n, each in world.identities.get(namespace, {}).items() if each.service_account == name)
    return replace(_identity(namespace, named[0] if named else name, world), text=text)


def _api_server(world: World) -> Asked:
    addresses = sorted({address for address, _ in world.installation.api_server})
    if not addresses:
        raise CannotTell("the API server's addresses are not known: set apiServer in the settings (--config)")
    return Asked("apiserver", tuple(Member(f"apiserver ({ip})", Address(ip)) for ip in addresses))


def _zone(name: str, world: World) -> Asked:
    zones = sorted({each.zone for each in world.namespaces.values() if each.zone})
    if name not in zones:
        raise CannotTell(f"no namespace is in zone {name!r}{meant.near(name, zones)}")
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


def _bare(name: str, world: World) -> Asked:
    """The only identity of a name. What could have been meant before (pods of the default namespace) counts too."""
    known = [owner for owner, names in world.identities.items() if name in names]
    plain = (options.NAMESPACE,) if _running(options.NAMESPACE, name, world) else ()
    owner = meant.one(name, (*known, *plain), "identities") or options.NAMESPACE
    found = _identity(owner, name, world)
    if owner == options.NAMESPACE:
        return found
    remarks = (f"{name} is taken as {found.text}, the only identity of that name", found.remark)
    return replace(found, remark="; ".join(filter(None, remarks)))


def _running(namespace: str, account: str, world: World) -> list[Workload]:
    """The pods of a namespace that run under a ServiceAccount."""
    return [
        each for each in world.workloads.get(namespace, ()) if each.service_account == account and not each.finished
    ]


def _identity(namespace: str, name: str, world: World) -> Asked:
    text = f"{namespace}/{name}"
    if name in world.identities.get(namespace, {}):
        return Asked(text, _distinct(_bearers(namespace, name, world)), _not_enrolled(namespace, world))
    pods = _running(namespace, name, world)
    if pods:
        remark = f"{text} is no ServiceIdentity: taken as the pods that run under the ServiceAccount of that name"
        return Asked(text, _distinct(_member(pod) for pod in pods), remark)
    known = sorted(f"{owner}/{each}" for owner, names in world.identities.items() for each in names)
    same = [each for each in known if each.endswith(f"/{name}")]
    raise CannotTell(f"there is no ServiceIdentity {text}{meant.near(text, known, same)}")


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
