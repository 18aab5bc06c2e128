"""`ringfence explain`: what a policy says in plain words, what it changes for whom, and what of it has no effect."""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ringfence.cli import compared, differing, inputs, meant, options, traffic_words, words
from ringfence.cli.compared import Compared
from ringfence.cli.console import Cell, Console, Output, Style
from ringfence.cli.diff import SIGNS, line_data, some
from ringfence.cli.differing import Line, Told
from ringfence.cli.problems import Usage
from ringfence.cli.unused import Records
from ringfence.cli.world import Loaded
from ringfence.model.effective import Direction, EffectiveRule, RuleRef
from ringfence.model.errors import CannotTell
from ringfence.model.resources import Action, ClusterSecurityPolicy, Kind, Mode, SecurityPolicy
from ringfence.model.world import Enrolment, World
from ringfence.policy import traffic
from ringfence.policy.algebra.diagram import Diagram
from ringfence.policy.algebra.ports import Names, names_in
from ringfence.policy.reasoning import wording
from ringfence.policy.reasoning.naming import Naming
from ringfence.policy.reasoning.side import requests_of
from ringfence.policy.reasoning.standing import Note, Remark, Standing, standings

#: Before the name of a ClusterSecurityPolicy.
CLUSTER: Final = "cluster:"

_DESCRIPTION = f"""
Say in plain words what a policy does: a sentence for each rule with whom it means now, what of it has no effect and
why, and which calls are allowed or denied because the policy is there: what would change without it.

POLICY is NAMESPACE/NAME of a SecurityPolicy (NAME where only one has it, or with -n), or {CLUSTER}NAME of a
ClusterSecurityPolicy.
"""
_EXAMPLES = """
  {prog} explain -f examples/shop shop-data/ledger
  {prog} explain -f examples/shop cluster:floor
  {prog} explain -n shop checkout                # the cluster's own
  {prog} explain -f examples/shop shop-data/payments --flows examples/flows/shop.jsonl    # which rules nobody uses
  {prog} explain -f policies/ shop/api -o json | jq '.rules[] | select(.notes != [])'

exit status: 0 explained, 2 cannot tell (there is no such policy, input that cannot be used)
"""
#: ``{by}`` are the rules that it comes from.
_NOTES: Final[Mapping[Remark, str]] = {
    Remark.IMPOSSIBLE: "impossible: it names nobody, or governs nobody",
    Remark.SUSPENDED: "suspended: {by} overlaps it and cannot be taken out of it (`ringfence compile` says why)",
    Remark.CONTRADICTORY: "contradictory: all that it allows is denied by {by}",
    Remark.PARTLY_DENIED: "some of it is denied by {by}",
    Remark.REDUNDANT: "redundant: without it the same holds by {by}",
    Remark.REFUSED_ELSEWHERE: "without effect: the other end of every such call refuses it",
    Remark.GUARD: "a guard: nothing that it denies is allowed by any rule now",
}
_VERBS: Final = {Action.ALLOW: "may call", Action.DENY: "may never call"}
_DEFAULT: Final = "the default for calls inside"


@dataclass(frozen=True, slots=True)
class _Explained:
    """A policy with what there is to say of it."""

    policy: SecurityPolicy | ClusterSecurityPolicy
    both: Compared
    rules: tuple[Standing, ...]
    told: Told
    remarks: tuple[str, ...]


def add(subparsers: options.Subparsers) -> None:
    """Define the command."""
    parser = options.command(
        subparsers, "explain", "say in plain words what a policy does, and for whom", _DESCRIPTION, _EXAMPLES
    )
    parser.add_argument("policy", metavar="POLICY", help="which")
    Records.add(parser)
    options.files(parser, "policies, identities, namespaces and workloads; without it, those of the cluster")
    options.cluster(parser)
    options.output(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Find the policy and explain it."""
    kind, namespace, name = _asked(arguments.policy, options.of_bare(arguments))
    arguments.services = bool(arguments.flows)
    loaded, _ = inputs.load(arguments, console)
    inputs.must_be_readable(loaded, loaded.world.namespaces)
    if namespace is None:
        namespace = _only(loaded.world, name, console)
    policy = _found(loaded.world, kind, namespace, name)
    explained = _explained(policy, loaded)
    records = Records.read(explained.both.loaded_new, arguments, console, audit=explained.both.new.audit)
    if console.output is Output.TEXT:
        _text(explained, records, console)
    else:
        console.data(records.marked(_data(explained), explained.rules))
    return 0


def _asked(text: str, namespace: str | None) -> tuple[Kind, str | None, str]:
    """(kind, namespace, name) of what is asked about; the namespace is None where nobody has said it."""
    if text.startswith(CLUSTER):
        return Kind.CLUSTER_SECURITY_POLICY, "", text.removeprefix(CLUSTER)
    where, slash, name = text.rpartition("/")
    if not name or "/" in where or (slash and not where):
        raise Usage(f"{text!r} is no policy: write NAMESPACE/NAME or {CLUSTER}NAME")
    return Kind.SECURITY_POLICY, where or namespace, name


def _only(world: World, name: str, console: Console) -> str:
    """The namespace of the only SecurityPolicy of a name, the default one where there is none."""
    listed = (where for where, some in world.policies.items() if any(each.meta.name == name for each in some))
    namespace = meant.one(name, listed, "SecurityPolicies") or options.NAMESPACE
    if namespace == options.NAMESPACE:
        return namespace
    console.note(f"{name} is taken as {namespace}/{name}, the only SecurityPolicy of that name")
    return namespace


def _found(world: World, kind: Kind, namespace: str, name: str) -> SecurityPolicy | ClusterSecurityPolicy:
    some: tuple[SecurityPolicy | ClusterSecurityPolicy, ...]
    some = world.cluster_policies if kind is Kind.CLUSTER_SECURITY_POLICY else world.policies.get(namespace, ())
    for policy in some:
        if policy.meta.name == name:
            return policy
    shown = f"{namespace}/{name}" if namespace else name
    everywhere = some if not namespace else [each for found in world.policies.values() for each in found]
    known = [(each.meta.namespace, each.meta.name) for each in everywhere]
    raise CannotTell(f"there is no {kind} {shown}{meant.of_namespace(namespace, name, known)}")


# --- what there is to say --------------------------------------------------------------------------------------------


def _explained(policy: SecurityPolicy | ClusterSecurityPolicy, loaded: Loaded) -> _Explained:
    without = replace(loaded, world=_without(loaded.world, policy))
    audited = policy.spec.mode is Mode.AUDIT or _only_audited(policy, loaded.world)
    both = compared.sides(without, loaded, audit=audited)
    rules = list(_rules(policy, both))
    return _Explained(policy, both, standings(both.new, rules), differing.told(both), tuple(_remarks(policy, both)))


def _without(world: World, policy: SecurityPolicy | ClusterSecurityPolicy) -> World:
    if isinstance(policy, ClusterSecurityPolicy):
        return replace(world, cluster_policies=tuple(each for each in world.cluster_policies if each is not policy))
    namespace = policy.meta.namespace
    rest = tuple(each for each in world.policies[namespace] if each is not policy)
    return replace(world, policies={**world.policies, namespace: rest})


def _namespaces(policy: SecurityPolicy | ClusterSecurityPolicy, world: World) -> list[str]:
    """Where a policy holds."""
    if isinstance(policy, SecurityPolicy):
        return [policy.meta.namespace]
    return [name for name, each in sorted(world.namespaces.items()) if policy.namespace_selector.matches(each.labels)]


def _only_audited(policy: SecurityPolicy | ClusterSecurityPolicy, world: World) -> bool:
    """Whether it stands in audited namespaces alone: then it is told as if these were enforced."""
    enrolments = {world.namespaces[name].enrolment for name in _namespaces(policy, world) if name in world.namespaces}
    return Enrolment.ENFORCE not in enrolments and Enrolment.AUDIT in enrolments


def _rules(policy: SecurityPolicy | ClusterSecurityPolicy, both: Compared) -> Iterator[EffectiveRule]:
    """Its rules as they stand in each namespace, in the order in which they are written."""
    written = [rule.name for section in (policy.spec.ingress, policy.spec.egress) for rule in section or ()]
    held = [
        rule
        for name in _namespaces(policy, both.new.world)
        for rule in both.new.effective(name).rules
        if _of(rule.ref, policy)
    ]
    yield from sorted(held, key=lambda rule: (rule.direction is Direction.EGRESS, written.index(rule.ref.rule)))


def _of(ref: RuleRef, policy: SecurityPolicy | ClusterSecurityPolicy) -> bool:
    kind = Kind.SECURITY_POLICY if isinstance(policy, SecurityPolicy) else Kind.CLUSTER_SECURITY_POLICY
    return (ref.kind, ref.namespace, ref.policy) == (kind.value, policy.meta.namespace, policy.meta.name)


def _remarks(policy: SecurityPolicy | ClusterSecurityPolicy, both: Compared) -> Iterator[str]:
    if policy.spec.mode is Mode.AUDIT:
        yield "it is in mode Audit: nothing of it is enforced; told as if it were, with all others in audit"
    elif both.new.audit:
        yield "its namespaces are audited: nothing is blocked there; told as if they were enforced"
    if isinstance(policy, SecurityPolicy) and policy.spec.egress is not None:
        yield "it lists egress: what its pods call and no rule for them allows is closed"
    kind = Kind.SECURITY_POLICY if isinstance(policy, SecurityPolicy) else Kind.CLUSTER_SECURITY_POLICY
    subject = (kind.value, policy.meta.namespace, policy.meta.name)
    found = {
        f"{each.reason}: {each.message}"
        for name in _namespaces(policy, both.new.world)
        for each in both.new.effective(name).findings
        if each.subject == subject
    }
    yield from sorted(found)


# --- in words --------------------------------------------------------------------------------------------------------


def _title(policy: SecurityPolicy | ClusterSecurityPolicy) -> str:
    if isinstance(policy, SecurityPolicy):
        return f"{Kind.SECURITY_POLICY} {policy.meta.namespace}/{policy.meta.name}"
    return f"{Kind.CLUSTER_SECURITY_POLICY} {policy.meta.name}"


def _sentence(standing: Standing, naming: Naming) -> str:
    """What a rule says, with those whom it means now."""
    governed = some(naming.names(standing.governed)) or "no pod"
    others = some(naming.names(standing.others)) or "nobody"
    who, whom = (others, governed) if standing.direction is Direction.INGRESS else (governed, others)
    names, requests = _requests(standing)
    first = standing.rules[0]
    named = ", ".join(name for peer in first.hosts for name in peer.hosts) if first.others else ""
    outside = f"; outside only hosts {named}" if named else ""
    return f"{who} {_VERBS[standing.action]} {whom} on {' and '.join(wording.lines(requests, names))}{outside}"


def _requests(standing: Standing) -> tuple[tuple[str, ...], Diagram]:
    """What the rule says of calls, its ports by the names that it gives them, and these names."""
    names = names_in(rule.ports for rule in standing.rules)
    return names, requests_of(standing.rules[0], Names(unknown=names))


def _note(note: Note) -> str:
    by = " and ".join(map(str, note.by[:3])) or _DEFAULT
    more = f" and {len(note.by) - 3} more" if len(note.by) > 3 else ""
    return _NOTES[note.remark].format(by=by + more)


def _text(explained: _Explained, records: Records, console: Console) -> None:
    place = explained.policy.meta.source
    console.print(Cell(_title(explained.policy), Style.STRONG), f" ({place})" if place else "")
    for remark in explained.remarks:
        console.print(f"  {remark}")
    naming = Naming(explained.both.new)
    for standing in explained.rules:
        console.print("")
        console.print(Cell(f"{standing.direction} rule {standing.ref.rule}", Style.STRONG))
        console.print(f"  {_sentence(standing, naming)}")
        if records.unused(standing):
            console.print("  ", Cell("unused: no recorded call is let in or out by it", Style.CAUTION))
        for note in standing.notes:
            console.print("  ", Cell(_note(note), Style.CAUTION))
    for entry in explained.policy.spec.traffic:
        console.print("")
        console.print(Cell(f"traffic {entry.name}", Style.STRONG), f" on {traffic.in_words(entry)}")
        for sentence in traffic_words.sentences(entry):
            console.print(f"  {sentence}")
    if not explained.rules:
        console.print("")
        console.print("  it has no rules about calls")
    for title, sign, lines in (
        ("Allowed because of it:", "gained", explained.told.gained),
        ("Denied because of it:", "lost", explained.told.lost),
    ):
        console.print("")
        console.print(Cell(title if lines else f"{title} nothing", Style.STRONG))
        for line in lines:
            _line(line, sign, console)


def _line(line: Line, sign: str, console: Console) -> None:
    console.print(SIGNS[sign], f"{some(line.sources)} -> {some(line.targets)}")
    for requests in line.requests:
        console.print(f"    {requests}")


# --- for programs ----------------------------------------------------------------------------------------------------


def _data(explained: _Explained) -> dict[str, Any]:
    naming = Naming(explained.both.new)
    return {
        "policy": _title(explained.policy),
        "source": explained.policy.meta.source,
        "mode": explained.policy.spec.mode,
        "remarks": list(explained.remarks),
        "rules": [_rule_data(standing, naming, explained.both.loaded_new) for standing in explained.rules],
        "traffic": [
            {"name": each.name, "ports": traffic.in_words(each), "texts": list(traffic_words.sentences(each))}
            for each in explained.policy.spec.traffic
        ],
        "gained": [line_data(line) for line in explained.told.gained],
        "lost": [line_data(line) for line in explained.told.lost],
    }


def _rule_data(standing: Standing, naming: Naming, loaded: Loaded) -> dict[str, Any]:
    names, requests = _requests(standing)
    return {
        "name": standing.ref.rule,
        "source": words.place(standing.ref, standing.direction, loaded),
        "direction": standing.direction,
        "action": standing.action,
        "governs": list(naming.names(standing.governed)),
        "names": list(naming.names(standing.others)),
        "requests": wording.data(requests, names),
        "text": _sentence(standing, naming),
        "notes": [
            {"reason": note.remark, "by": [str(ref) for ref in note.by], "text": _note(note)} for note in standing.notes
        ],
    }
