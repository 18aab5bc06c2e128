"""The rules that govern a port of a pod as Envoy's RBAC, and as a partition of all addresses.

Two filters, one after the other: what a Deny names is refused, then what no Allow names. Beside them stand the same two
as they would be if the policies in mode Audit were enforced, which only count and report.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac_pb2
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_rbac_pb2
from envoy.type.v3 import range_pb2

from ringfence.model.effective import EffectivePeer, EffectiveRule
from ringfence.model.resources import Action, Mode
from ringfence.model.spans import ALL, Spans
from ringfence.model.tokens import TokenMatch
from ringfence.policy import tunnels
from ringfence.policy.callers import Callers, Identities
from ringfence.policy.order import peer_key
from ringfence.policy.peers import ANY_IDENTITY
from ringfence.policy.requests import looked_at
from ringfence.translate.envoy import messages, names, principals, requests
from ringfence.translate.envoy.messages import Message

_NETWORK: Final = "envoy.filters.network.rbac"
#: Prefixes of what the filters count and report.
DENY_PREFIX, ALLOW_PREFIX = "deny.", "allow."
AUDIT_DENY_PREFIX, AUDIT_ALLOW_PREFIX = "audit_deny.", "audit_allow."


@dataclass(frozen=True, slots=True)
class PortRules:
    """The ingress rules that govern a port, in the order of their refs, and how they hold.

    ``spans`` gives for each rule the ports of a chain that carries several; None where the chain has only one.
    ``enforced``: the namespace is closed. ``strict``: callers without mutual TLS have no identity.
    """

    rules: tuple[EffectiveRule, ...]
    enforced: bool
    strict: bool
    spans: tuple[Spans, ...] | None = None

    @property
    def audited(self) -> bool:
        """Whether the rules would say something else with the policies in mode Audit, or were they enforced at all."""
        return not self.enforced or any(rule.mode is Mode.AUDIT for rule in self.rules)

    def tokens(self, *, audit: bool) -> tuple[TokenMatch, ...]:
        """What the rules ask of tokens; without ``audit`` only those that are enforced."""
        counted = self.rules if audit else [r for r in self.rules if self.enforced and r.mode is Mode.ENFORCE]
        found = (rule.requests.token for rule in counted if rule.requests is not None)
        return tuple(token for token in found if token is not None)

    @property
    def looked_at(self) -> frozenset[str]:
        """The names of headers that any of the rules looks at."""
        asked = (rule.requests for rule in self.rules if rule.requests is not None)
        return frozenset(name for each in asked for name in looked_at(each))

    @property
    def tunnels(self) -> bool:
        """Whether a rule names CONNECT, so that the rules are asked about it."""
        return tunnels.named(self.rules)

    def opaque(self) -> "PortRules":
        """The rules where bytes are carried in which nobody sees a request: no Allow of some, every Deny of some."""
        kept = [n for n, rule in enumerate(self.rules) if rule.requests is None or rule.action is Action.DENY]
        rules = tuple(replace(self.rules[n], requests=None) if self.rules[n].requests else self.rules[n] for n in kept)
        spans = None if self.spans is None else tuple(self.spans[n] for n in kept)
        return replace(self, rules=rules, spans=spans)

    def for_some(self) -> "PortRules":
        """The rules that say whether any request at all may pass (of a port with one chain)."""
        denies_some = (rule.action is Action.DENY and rule.requests is not None for rule in self.rules)
        return replace(self, rules=tuple(r for r, some in zip(self.rules, denies_some, strict=True) if not some))

    def digest(self) -> str:
        """Changes with the rules, not with the pods that they name, nor with what they say of other ports."""
        told = [
            (rule.ref, rule.action.value, rule.mode.value, [peer_key(p) for p in rule.peers], held)
            for rule in self.rules
            for held in [(rule.suspended_by, rule.suspended_in_audit)]
        ]
        return messages.digest(repr((told, self.spans, self.enforced, self.strict)))[:8]


@dataclass(frozen=True, slots=True)
class _Half:
    """The policies of one filter: names to rules, with the place of each."""

    found: tuple[tuple[int, EffectiveRule], ...]


def _denies(rules: PortRules, *, audit: bool) -> _Half:
    if any(rule.builtin for rule in rules.rules) and rules.spans is None:
        return _Half(())  # what is builtin cannot be denied, and it opens the port to everyone
    found = ((n, r) for n, r in enumerate(rules.rules) if r.action is Action.DENY and (audit or r.mode is Mode.ENFORCE))
    return _Half(tuple(found))


def _allows(rules: PortRules, *, audit: bool) -> _Half:
    return _Half(tuple((n, r) for n, r in enumerate(rules.rules) if in_force(r, audit=audit)))


def in_force(rule: EffectiveRule, *, audit: bool) -> bool:
    """Whether an Allow allows; with ``audit`` as if the policies in mode Audit were enforced."""
    if rule.action is not Action.ALLOW or (rule.mode is Mode.AUDIT and not audit):
        return False
    return (rule.suspended_in_audit if audit else rule.suspended_by) is None


@dataclass(frozen=True, slots=True)
class Who:
    """Turns peers into principals: of callers in mutual TLS, or of those without (``mesh`` False)."""

    callers: Callers
    trust_domain: str
    mesh: bool
    strict: bool = True

    def principals(self, peers: tuple[EffectivePeer, ...]) -> list[Message]:
        """Principals that together are these peers."""
        if self.mesh:
            return principals.of_identities(self.callers.identities(peers), self.trust_domain)
        spans = self.callers.addresses(peers, strict=self.strict)
        return [rbac_pb2.Principal(any=True)] if spans == ALL else principals.of_addresses(spans)


def _rbac(half: _Half, rules: PortRules, who: Who, action: Action) -> Message:
    made = rbac_pb2.RBAC(action=rbac_pb2.RBAC.DENY if action is Action.DENY else rbac_pb2.RBAC.ALLOW)
    for place, rule in half.found:
        whom = who.principals(rule.peers)
        where = [rbac_pb2.Permission(any=True)] if rules.spans is None else permissions(rules.spans[place])
        only_if = None
        if rule.requests is not None:
            where = [requests.permission(rule.requests, action, tunnels=rules.tunnels)]
            only_if = requests.condition(rule.requests)
        elif action is Action.ALLOW and rules.tunnels:
            where = [requests.no_tunnel()]
        if whom and where:
            policy = rbac_pb2.Policy(permissions=where, principals=whom, condition=only_if)
            made.policies[names.policy_id(rule.ref)].CopyFrom(policy)
    return made


def _unclear(found: Message, rules: PortRules, who: Who, *, audit: bool) -> None:
    """Refuse what rules that look at requests cannot be asked about, of the callers that they name."""
    if any(rule.builtin for rule in rules.rules):
        return
    # By what is refused: whom the rules that ask for it name.
    alike: dict[bytes, dict[EffectivePeer, None]] = {}
    for _, rule in (*_denies(rules, audit=audit).found, *_allows(rules, audit=audit).found):
        asked = () if rule.requests is None else requests.unclear(rule.requests, tunnels=rules.tunnels)
        for policy in asked:
            alike.setdefault(policy.SerializeToString(deterministic=True), {}).update(dict.fromkeys(rule.peers))
    for number, policy in enumerate(sorted(alike), start=1):
        whom = who.principals(tuple(alike[policy]))
        if whom:
            made = found.policies[names.policy_id(names.unclear_ref(number))]
            made.MergeFromString(policy)
            made.principals.extend(whom)


def permissions(ports: Spans) -> list[Message]:
    """Permissions that together are these ports."""
    found = []
    for _, first, last in ports.spans:
        if first == last:
            found.append(rbac_pb2.Permission(destination_port=first))
        else:
            found.append(rbac_pb2.Permission(destination_port_range=range_pb2.Int32Range(start=first, end=last + 1)))
    return found


def only_to(ports: Spans) -> Message:
    """The filter that ends connections to other ports than these, whoever makes them."""
    allow = rbac_pb2.RBAC(action=rbac_pb2.RBAC.ALLOW)
    policy = rbac_pb2.Policy(permissions=permissions(ports), principals=[rbac_pb2.Principal(any=True)])
    allow.policies["ports"].CopyFrom(policy)
    settings = network_rbac_pb2.RBAC(stat_prefix=ALLOW_PREFIX, rules=allow)
    return messages.extension(listener_components_pb2.Filter, _NETWORK, settings)


def _settings(rules: PortRules, who: Who, action: Action) -> dict[str, Any]:
    """The fields ``rules`` and ``shadow_rules`` of a filter."""
    halves = _denies if action is Action.DENY else _allows
    found: dict[str, Any] = {}

    def made(*, audit: bool) -> Message:
        rbac = _rbac(halves(rules, audit=audit), rules, who, action)
        if action is Action.DENY:
            _unclear(rbac, rules, who, audit=audit)
        return rbac

    if rules.enforced:
        found["rules"] = made(audit=False)
    if rules.audited:
        found["shadow_rules"] = made(audit=True)
        found["shadow_rules_stat_prefix"] = AUDIT_DENY_PREFIX if action is Action.DENY else AUDIT_ALLOW_PREFIX
    return found


def network_filters(rules: PortRules, who: Who) -> list[Message]:
    """The filters in front of a chain that carries bytes."""
    return [
        messages.extension(
            listener_components_pb2.Filter,
            _NETWORK,
            network_rbac_pb2.RBAC(stat_prefix=prefix, **_settings(rules, who, action)),
        )
        for action, prefix in ((Action.DENY, DENY_PREFIX), (Action.ALLOW, ALLOW_PREFIX))
        if action is Action.ALLOW or _denies(rules, audit=True).found
    ]


def of_routes(rules: PortRules, who: Who) -> dict[str, Message]:
    """The policy of a port that speaks HTTP, for the filters of those names."""
    return {
        name: messages.packed(
            http_rbac_pb2.RBACPerRoute(
                rbac=http_rbac_pb2.RBAC(
                    rules_stat_prefix=prefix, track_per_rule_stats=True, **_settings(rules, who, action)
                )
            )
        )
        for action, prefix, name in (
            (Action.DENY, DENY_PREFIX, names.DENY_FILTER),
            (Action.ALLOW, ALLOW_PREFIX, names.ALLOW_FILTER),
        )
    }


@dataclass(frozen=True, slots=True)
class Expected:
    """The identities that any call in mutual TLS can come from, None for all of the mesh.

    ``exact``: each of them is allowed, so that nothing is left to ask.
    """

    identities: Identities | None
    exact: bool = True


def expected(rules: PortRules, callers: Callers) -> Expected:
    """Who may get through the handshake of a port.

    Envoy asks its network RBAC at the first byte that a caller sends. So a program that speaks first would talk to
    whoever holds an identity, were it not told in the handshake who is expected.
    """
    if not rules.enforced:
        return Expected(None)
    allowed = callers.identities(p for _, r in _allows(rules, audit=False).found for p in r.peers)
    denied = callers.identities(p for _, r in _denies(rules, audit=False).found for p in r.peers)
    if rules.spans is not None:
        # What holds on some of the ports only is left to the filters.
        return Expected(None if allowed.everyone or not allowed.addresses.empty else allowed, exact=False)
    if not allowed.addresses.empty and not allowed.everyone:
        return Expected(None, exact=False)
    if denied.empty:
        return Expected(None if allowed.everyone else allowed)
    if allowed.everyone:
        allowed = Identities(namespaces=frozenset(callers.namespaces(ANY_IDENTITY.namespaces)))
    return Expected(_less(allowed, denied, callers), exact=denied.addresses.empty)


def _less(allowed: Identities, denied: Identities, callers: Callers) -> Identities:
    if denied.everyone:
        return Identities()
    spaces = allowed.namespaces - denied.namespaces
    accounts = {a for a in allowed.accounts if a[0] not in denied.namespaces} - denied.accounts
    for namespace in sorted(spaces & {account[0] for account in denied.accounts}):
        # A matcher cannot say "all but": those that are known are named, and a new one when it is known.
        spaces -= {namespace}
        accounts |= callers.accounts_of(namespace) - denied.accounts
    return Identities(namespaces=frozenset(spaces), accounts=frozenset(accounts))


@dataclass(frozen=True, slots=True, order=True)
class Told:
    """What is known of all callers at some addresses: allowed or not, and the rule that decides ("" for a default)."""

    allowed: bool
    rule: str = ""


NOBODY_ALLOWS: Final = Told(allowed=False)


def partition(rules: PortRules, callers: Callers, *, audit: bool) -> list[tuple[Spans, Told]]:
    """All addresses, by what the rules say of callers without mutual TLS there; in the order of decision."""
    left, found = ALL, []
    for rule, told in _ordered(rules.rules, audit=audit):
        if left.empty:
            break
        hit = callers.addresses(rule.peers, strict=rules.strict) & left
        if not hit.empty:
            found.append((hit, told))
            left -= hit
    return [*found, (left, NOBODY_ALLOWS)] if not left.empty else found


def _ordered(rules: Sequence[EffectiveRule], *, audit: bool) -> Iterator[tuple[EffectiveRule, Told]]:
    """Rules in the order in which they decide: builtin, Deny, Allow, Allows that are suspended."""
    counted = [rule for rule in rules if audit or rule.mode is Mode.ENFORCE]
    steps = (
        ((r for r in counted if r.builtin), True),
        ((r for r in counted if r.action is Action.DENY), False),
        ((r for r in counted if not r.builtin and in_force(r, audit=audit)), True),
        ((r for r in counted if r.action is Action.ALLOW and not in_force(r, audit=audit)), False),
    )
    for group, allowed in steps:
        for rule in group:
            yield rule, Told(allowed, names.policy_id(rule.ref))


def crossed(
    one: Iterable[tuple[Spans, Told]], other: Sequence[tuple[Spans, Told | None]]
) -> Iterator[tuple[Spans, Told, Told | None]]:
    """The partition that is finer than both."""
    for spans, told in one:
        for others, other_told in other:
            both = spans & others
            if not both.empty:
                yield both, told, other_told
