"""Checks of the whole namespace that end in a message to a person and change nothing."""

from collections import defaultdict
from functools import lru_cache

from ringfence.model import hosts
from ringfence.model.effective import AddressPeers, Direction, EffectivePolicy, EffectiveRule, PodPeers, Unidentified
from ringfence.model.labels import LabelBox
from ringfence.model.names import LABEL_ENROLL, MAX_LABEL_VALUE
from ringfence.model.net import IpSet
from ringfence.model.resources import Action, Kind, SecurityPolicy
from ringfence.model.world import Enrolment, Namespace, OpenService, World
from ringfence.policy import builtins
from ringfence.policy.closing import listing
from ringfence.policy.notes import Notes
from ringfence.policy.peers import ANY_IDENTITY
from ringfence.policy.reasons import FindingReason
from ringfence.policy.rules import Policy, kind_of


def identities(world: World, namespace: str, notes: Notes) -> None:
    """ServiceIdentities that cannot be one: two on one ServiceAccount, and names too long for a label."""
    by_account: dict[str, list[str]] = defaultdict(list)
    for name, identity in sorted(world.identities.get(namespace, {}).items()):
        by_account[identity.service_account].append(name)
        if len(identity.service_account) > MAX_LABEL_VALUE:
            notes.identity(
                namespace,
                name,
                FindingReason.INVALID_SERVICE_ACCOUNT,
                f"ServiceAccount {identity.service_account} has more than {MAX_LABEL_VALUE} characters, too many for "
                "a label: it cannot be an identity; use one with a shorter name",
            )
    for account, names in by_account.items():
        for name in names if len(names) > 1 else ():
            others = ", ".join(other for other in names if other != name)
            notes.identity(
                namespace,
                name,
                FindingReason.DUPLICATE_SERVICE_ACCOUNT,
                f"ServiceAccount {account} is also the identity of {others}: pods cannot be told apart by these; "
                "keep one of them, or give each its own ServiceAccount",
            )


def not_enrolled(namespace: str, governed: tuple[tuple[Policy, LabelBox], ...], notes: Notes) -> None:
    """Policies that stand in a namespace where they have no effect."""
    for policy, _ in governed:
        if isinstance(policy, SecurityPolicy):
            notes.add(
                (Kind.SECURITY_POLICY.value, namespace, policy.meta.name),
                FindingReason.NAMESPACE_NOT_ENROLLED,
                f"namespace {namespace} is not enrolled: the policy has no effect until it has the label "
                f"{LABEL_ENROLL}: audit or enforce",
            )


def selects_nothing(world: World, namespace: str, governed: tuple[tuple[Policy, LabelBox], ...], notes: Notes) -> None:
    """Policies that govern no pod of a namespace that has pods."""
    pods = [pod for pod in world.workloads.get(namespace, ()) if not pod.finished]
    if not pods:
        return
    for policy, subject in governed:
        if isinstance(policy, SecurityPolicy) and not any(subject.matches(pod.labels) for pod in pods):
            notes.add(
                (Kind.SECURITY_POLICY.value, namespace, policy.meta.name),
                FindingReason.SELECTS_NO_PODS,
                f"appliesTo selects none of the {len(pods)} pods of namespace {namespace}; compare it with their "
                f"labels (kubectl get pods -n {namespace} --show-labels)",
            )


def without_proxies(world: World, governed: tuple[tuple[Policy, LabelBox], ...], notes: Notes) -> None:
    """Policies that promise mutual TLS, or waive it, where nothing is encrypted."""
    if world.installation.proxies:
        return
    for policy, _ in governed:
        if policy.spec.transport is not None:
            notes.add(
                (kind_of(policy).value, policy.meta.namespace, policy.meta.name),
                FindingReason.NO_PROXIES,
                "transport has no effect: pods get no proxies here, and nothing is encrypted; set proxy.enabled in the "
                "chart, or leave transport out",
            )


def pods(world: World, policy: EffectivePolicy, notes: Notes) -> None:
    """Pods that NetworkPolicies do not govern, or whose addresses are not where pods should be."""
    running = [pod for pod in world.workloads.get(policy.namespace, ()) if not pod.finished]
    on_nodes = tuple(pod.name for pod in running if pod.host_network)
    if on_nodes:
        notes.namespace(
            policy.namespace,
            FindingReason.HOST_NETWORK_PODS,
            f"pods in the network of their node are governed by no NetworkPolicy and have no identity: "
            f"{listing(on_nodes)}; run them without hostNetwork, or in a namespace of their own that is not enrolled",
        )
    past = tuple(pod.name for pod in running if pod.ways_past and not pod.host_network)
    if past and policy.enrolment is Enrolment.ENFORCE:
        notes.namespace(
            policy.namespace,
            FindingReason.WAYS_PAST,
            "pods have what leads past NetworkPolicies or their proxy, by an exception or from before the namespace "
            f"was enforced: {listing(past)}; the namespace's PolicyReport says what; restart those that no exception "
            "frees",
        )
    ranges = world.installation.pod_cidrs
    outside = tuple(pod.name for pod in running if ranges and not pod.host_network and _outside(pod.ips, ranges))
    if outside:
        notes.namespace(
            policy.namespace,
            FindingReason.PODS_OUTSIDE_RANGES,
            f"pods have addresses outside `podCIDRs` ({', '.join(ranges)}), where `cidr` rules can match them: "
            f"{listing(outside)}; correct `podCIDRs` in the chart",
        )


@lru_cache(maxsize=16384)
def _outside(addresses: tuple[str, ...], ranges: tuple[str, ...]) -> bool:
    inside = IpSet(tuple((cidr, ()) for cidr in ranges))
    return any(address not in inside for address in addresses)


def builtin_stays_open(world: World, policy: EffectivePolicy, notes: Notes) -> None:
    """Denies of what cannot be denied."""
    denies = [rule for rule in policy.rules if rule.action is Action.DENY]
    for opened in (rule for rule in policy.rules if rule.builtin) if denies else ():
        service = next(s for s in world.installation.open_services if s.name == opened.ref.rule)
        for deny in denies:
            if deny.direction is opened.direction and _names(deny, opened, service, world):
                notes.rule(
                    deny.ref,
                    FindingReason.BUILTIN_STAYS_OPEN,
                    f"also denies {service.name} ({_place(service)}), which stays open to every pod; "
                    "the rest of the rule holds",
                )


def shadowed_hosts(policy: EffectivePolicy, notes: Notes) -> None:
    """Names that a wildcard of the same pods, ports and mode opens anyway."""
    allows = [rule for rule in policy.rules if rule.action is Action.ALLOW and rule.hosts]
    wide: dict[tuple[object, str], EffectiveRule] = {}
    for rule in allows:
        for name in _hosts(rule):
            if hosts.is_wildcard(name):
                wide.setdefault((_alike(rule), name), rule)
    for rule in allows:
        for name in _hosts(rule):
            pattern = f"*.{name.partition('.')[2]}"
            by = wide.get((_alike(rule), pattern))
            if by is not None and not hosts.is_wildcard(name):
                notes.rule(
                    rule.ref,
                    FindingReason.HOST_SHADOWED,
                    f"names {name}, which {pattern} of {by.ref} opens anyway; leave one of them out",
                )


def _hosts(rule: EffectiveRule) -> tuple[str, ...]:
    return tuple(name for peer in rule.hosts for name in peer.hosts)


def _alike(rule: EffectiveRule) -> object:
    return rule.direction, rule.mode, rule.subject, rule.ports


def _place(service: OpenService) -> str:
    return f"namespace {service.namespace}" if service.namespace else ", ".join(service.addresses)


def _names(deny: EffectiveRule, opened: EffectiveRule, service: OpenService, world: World) -> bool:
    if deny.ports.disjoint(opened.ports) or (deny.subject & opened.subject).empty:
        return False
    if opened.direction is Direction.INGRESS:
        return True
    namespace = world.namespaces.get(service.namespace) or Namespace.of(service.namespace)
    for peer in deny.peers:
        match peer:
            case PodPeers(namespaces, peers_pods) if peer != ANY_IDENTITY and service.namespace:
                if namespaces.matches(namespace.labels) and not (peers_pods & builtins.pod_box(service)).empty:
                    return True
            case AddressPeers(addresses):
                if addresses.overlaps(service.addresses):
                    return True
            case PodPeers() | Unidentified() | _:
                continue
    return False
