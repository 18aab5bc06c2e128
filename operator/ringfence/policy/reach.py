"""Who may call whom on which ports, for all pods at once: what each source can reach, without asking about each pair.

Pods are grouped into targets, alike to everyone who calls them. For each target the callers that its policies may let
in are written down once, the other way round; so what one source reaches is looked up among few.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from ringfence.model.effective import (
    Direction,
    EffectivePolicy,
    EffectiveRule,
    RuleRef,
)
from ringfence.model.labels import LabelBox
from ringfence.model.mesh import Mesh
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.net import FIRST_PORT, LAST_PORT, PortSet
from ringfence.model.resources import MTLS, Action, Mode, Protocol
from ringfence.model.spans import Spans
from ringfence.model.world import ContainerPort, Enrolment, Workload
from ringfence.policy import decide, tunnels
from ringfence.policy.builtins import is_inside
from ringfence.policy.callers import Account, Callers, on_network
from ringfence.policy.ends import End
from ringfence.policy.transport import transport_of

#: The kind of span that holds ports.
PORT: Final = 0
EVERY_PORT: Final = Spans(((PORT, FIRST_PORT, LAST_PORT),))

_KEY: Final = "reach"


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """Pods that are alike to whoever calls them.

    ``labels`` are those that policies ask for; ``ports`` the named ones; ``mesh`` says that they answer in mutual TLS.
    """

    namespace: str
    account: str
    labels: tuple[tuple[str, str], ...]
    ports: tuple[tuple[str, int], ...]
    mesh: bool

    def workload(self, ips: tuple[str, ...] = ()) -> Workload:
        """One of them."""
        named = tuple(ContainerPort(name, number) for name, number in self.ports)
        return Workload(self.namespace, self.account, self.account, dict(self.labels), ips, named)


def narrowed(policy: EffectivePolicy, direction: Direction, labels: Mapping[str, str]) -> EffectivePolicy:
    """The policy with only the rules of one direction for the pods with these labels."""
    rules = tuple(r for r in policy.rules if r.direction is direction and r.subject.matches(labels))
    return replace(policy, rules=rules)


def port_spans(ports: PortSet, names: Iterable[tuple[str, int]]) -> Spans:
    """The TCP ports of a set at a pod whose ports have these names."""
    if ports.everything:
        return EVERY_PORT
    found = [(PORT, r.first, r.last) for r in ports.ranges if r.protocol is Protocol.TCP]
    wanted = {named.name for named in ports.names if named.protocol is Protocol.TCP}
    found += [(PORT, number, number) for name, number in names if name in wanted]
    return Spans.of(found)


@dataclass(slots=True)
class Reach:
    """Answers for one snapshot; what it has worked out it keeps."""

    mesh: Mesh
    callers: Callers
    #: Running pods with an address, by target.
    targets: dict[Target, list[Workload]] = field(default_factory=dict)
    #: The target of each running pod, by (namespace, name).
    target_of: dict[tuple[str, str], Target] = field(default_factory=dict)
    _ungoverned: list[Target] = field(default_factory=list)
    _by_account: dict[Account, list[Target]] = field(default_factory=lambda: defaultdict(list))
    _by_namespace: dict[str, list[Target]] = field(default_factory=lambda: defaultdict(list))
    _ingress: dict[Target, EffectivePolicy] = field(default_factory=dict)
    _tunnels: dict[Target, Spans] = field(default_factory=dict)

    def candidates(self, source: Workload) -> Iterator[Target]:
        """The targets that may let the source in, each once; ``open_ports`` tells on which ports."""
        account = (source.namespace, source.service_account)
        found = dict.fromkeys(
            (*self._ungoverned, *self._by_account.get(account, ()), *self._by_namespace.get(source.namespace, ()))
        )
        yield from sorted(found)

    def let_in(self, source: Workload, target: Target) -> Spans:
        """The TCP ports on which the target lets the source in, as far as that does not rest on its address."""
        if target not in self._ingress:
            return EVERY_PORT
        return open_ports(
            self._ingress[target], Direction.INGRESS, target.workload(), source, self.mesh, names=target.ports
        )

    def guards(self, target: Target) -> tuple[EffectiveRule, ...] | None:
        """The rules that say who may call a target; None where it lets everybody in."""
        return self._ingress[target].rules if target in self._ingress else None

    def tunnels(self, target: Target) -> Spans:
        """The TCP ports of a target on which a rule names CONNECT, whoever may send one."""
        if target not in self._tunnels:
            policy = self.mesh.effective(target.namespace)
            rules = [] if policy.enrolment is Enrolment.NONE else policy.rules
            governing = [
                r for r in rules if r.direction is Direction.INGRESS and r.subject.matches(dict(target.labels))
            ]
            found = Spans()
            if any(map(tunnels.names, governing)):
                for rule in governing:
                    found |= port_spans(rule.ports, target.ports) if tunnels.names(rule) else Spans()
                for rule in governing:
                    found -= port_spans(rule.ports, target.ports) if rule.builtin else Spans()
            self._tunnels[target] = found
        return self._tunnels[target]

    def add(self, target: Target, pods: list[Workload]) -> None:
        """Write down whom a target may let in."""
        self.targets[target] = pods
        policy = self.mesh.effective(target.namespace)
        if policy.enrolment is Enrolment.NONE or not policy.closed:
            self._ungoverned.append(target)
            return
        self._ingress[target] = narrowed(policy, Direction.INGRESS, dict(target.labels))
        in_force = (r for r in self._ingress[target].rules if _allows(r, audit=False))
        let_in = self.callers.identities(peer for rule in in_force for peer in rule.peers)
        if let_in.everyone or not let_in.addresses.empty:
            self._ungoverned.append(target)
            return
        for account in let_in.accounts:
            self._by_account[account].append(target)
        for namespace in let_in.namespaces:
            self._by_namespace[namespace].append(target)


def of(mesh: Mesh) -> Reach:
    """The answers for a snapshot, worked out at the first question."""
    if _KEY not in mesh.kept:
        mesh.kept[_KEY] = _made(mesh)
    found: Reach = mesh.kept[_KEY]
    return found


def _made(mesh: Mesh) -> Reach:
    reach = Reach(mesh, Callers(mesh.world))
    shown = {key for service in mesh.world.installation.open_services for key in service.pod_labels}
    grouped: dict[Target, list[Workload]] = defaultdict(list)
    for namespace in sorted(mesh.world.workloads):
        policy = mesh.effective(namespace)
        keys = asked_labels(policy) | shown
        for pod in mesh.world.workloads[namespace]:
            if on_network(pod):
                target = _target(pod, policy, keys)
                reach.target_of[namespace, pod.name] = target
                grouped[target].append(pod)
    for target in sorted(grouped):
        reach.add(target, grouped[target])
    return reach


def _target(pod: Workload, policy: EffectivePolicy, keys: frozenset[str]) -> Target:
    labels = {key: value for key, value in pod.labels.items() if key in keys}
    # Where nobody guards the namespace, its pods' proxies have been left behind: they pass on what comes.
    mesh = pod.proxied and policy.enrolment is not Enrolment.NONE and transport_of(policy, labels) is not MTLS.DISABLED
    named = sorted({(p.name, p.port) for p in pod.ports if p.name and p.protocol is Protocol.TCP})
    return Target(pod.namespace, pod.service_account, tuple(sorted(labels.items())), tuple(named), mesh)


def asked_labels(policy: EffectivePolicy) -> frozenset[str]:
    """The labels of pods that any policy of a namespace asks for, the identity label always."""
    boxes: Iterable[LabelBox] = (
        *(rule.subject for rule in policy.rules),
        *(box for box, _ in policy.transport),
        *(entry.subject for entry in policy.traffic),
        *policy.egress_listed,
        *policy.egress_listed_audit,
    )
    return frozenset({LABEL_IDENTITY, *(key for box in boxes for key, _ in box.conditions)})


def open_ports(
    policy: EffectivePolicy,
    direction: Direction,
    governed: Workload,
    other: End,
    mesh: Mesh,
    *,
    names: Iterable[tuple[str, int]] = (),
    audit: bool = False,
) -> Spans:
    """The TCP ports at the target that one end's rules open to the other end.

    The same answer as ``decide`` for every port. What rests on an address that is not known counts for the call: the
    other end decides. A port that some requests may use is open.
    """
    listed = policy.egress_listed + (policy.egress_listed_audit if audit else ())
    is_listed = direction is Direction.EGRESS and any(box.matches(governed.labels) for box in listed)
    always, allowed, denied = Spans(), Spans(), Spans()
    names = tuple(names)
    for rule in policy.rules:
        if rule.mode is Mode.AUDIT and not audit:
            continue
        if (is_listed and is_inside(rule.ref)) or not _names(rule, other, mesh):
            continue
        ports = port_spans(rule.ports, names)
        if rule.builtin:
            always |= ports
        elif rule.action is Action.DENY:
            denied |= ports if rule.requests is None else Spans()
        elif _allows(rule, audit=audit):
            allowed |= ports
    return always | (allowed - denied)


def denying(
    policy: EffectivePolicy, other: End, mesh: Mesh, names: Iterable[tuple[str, int]] = ()
) -> Iterator[tuple[RuleRef, Spans]]:
    """The Deny rules about the other end, those in mode Audit too, each with the ports that no earlier one denies."""
    named, left = tuple(names), EVERY_PORT
    for rule in policy.rules:
        if rule.action is Action.DENY and _names(rule, other, mesh):
            ports = port_spans(rule.ports, named) & left
            left -= ports
            if not ports.empty:
                yield rule.ref, ports


def _names(rule: EffectiveRule, other: End, mesh: Mesh) -> bool:
    hopeful = rule.action is Action.ALLOW
    for peer in rule.peers:
        answer = decide.matches(peer, other, mesh.world)
        if hopeful if answer is None else answer:
            return True
    return False


def _allows(rule: EffectiveRule, *, audit: bool) -> bool:
    held = rule.suspended_in_audit if audit else rule.suspended_by
    return rule.action is Action.ALLOW and held is None and (audit or rule.mode is Mode.ENFORCE)
