"""`ringfence simulate`: what recorded calls would meet under other policies, and which rules none of them uses."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from ringfence.cli import compared, flow_files, inputs, options, proxies, words
from ringfence.cli.compared import Given, Reader
from ringfence.cli.console import Cell, Console, Output, Style
from ringfence.cli.problems import Usage
from ringfence.cli.world import Loaded
from ringfence.flows import replay, times
from ringfence.flows.cast import Learned
from ringfence.flows.judge import Judge
from ringfence.flows.replay import Group, Replay, Seen
from ringfence.model.effective import Direction, RuleRef
from ringfence.model.names import LABEL_ENROLL
from ringfence.model.resources import Mode
from ringfence.model.world import Enrolment, World

HOLDS: Final = 0
BREAKS: Final = 1
PARTIAL: Final = 2

#: Lines of each kind that people are shown; programs get them all.
MANY: Final = 40

_DESCRIPTION = """
Replay recorded calls against policies and say which of them would break: who calls whom, how often and when, and which
rule of which policy decides; and which Allow rules no call has used. A call breaks when it got through as it was
recorded and the policies of -f deny it; with --from, when these allow it too.

Records are the access logs of Ringfence's proxies, Hubble's flows (`hubble observe -o jsonpb`), or Ringfence's own
format. The ends of logs are addresses: Pods in the files, or the cluster, tell whose.
"""
_EXAMPLES = """
  {prog} simulate -f examples/shop --flows shop.jsonl
  {prog} simulate -f proposed/ --from cluster --flows proxies.log         # what applying the files would break
  {prog} simulate --flows proxies.log                                     # rules of the cluster that nobody uses
  {prog} simulate -f shop/ --flows shop/checkout=checkout.log --audit     # as if all were enforced
  kubectl logs -n shop -l app=checkout -c ringfence-proxy | {prog} simulate -f shop/ --flows shop/checkout=-

exit status: 0 nothing breaks, 1 something breaks, 2 nothing is seen to break, but not all could be told
"""


def add(subparsers: options.Subparsers) -> None:
    """Define the command."""
    parser = options.command(
        subparsers, "simulate", "say which recorded calls other policies would break", _DESCRIPTION, _EXAMPLES
    )
    flow_files.add(parser)
    parser.add_argument(
        "--from",
        action="append",
        default=[],
        dest="base",
        metavar="OLD",
        help="policies as they are: a file, a directory, REVISION:PATH, cluster or cluster:CONTEXT; may be repeated",
    )
    parser.add_argument(
        "--audit", action="store_true", help="as if every policy and enrolment in audit mode were enforced"
    )
    options.files(parser, "policies as they would be, with namespaces and workloads; without it, those of the cluster")
    options.cluster(parser)
    options.output(parser)
    parser.set_defaults(run=run, services=True)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Replay and tell."""
    files = flow_files.opened(arguments, console)
    try:
        new, old = _worlds(arguments, console)
        learned = files.learn()
        replayed = Replay(judge(new, learned, arguments), None if old is None else judge(old, learned, arguments))
        for flow in files.flows():
            replayed.add(flow)
    finally:
        files.close()
    partial = bool(files.tally.bad or files.tally.truncated or replayed.unknown or not replayed.flows)
    flow_files.remark(files.tally, console)
    if not replayed.flows:
        console.warn("no calls are in there")
    told = Told(replayed, new, audit=arguments.audit, partial=partial)
    if console.output is Output.TEXT:
        told.text(console)
    else:
        console.data({**told.data(), "partial": partial, "read": flow_files.data(files.tally)})
    return BREAKS if replayed.broken else PARTIAL if partial else HOLDS


# --- the worlds -----------------------------------------------------------------------------------------------------


def judge(loaded: Loaded, learned: Learned, arguments: argparse.Namespace) -> Judge:
    """Who judges by what was read."""
    world = enforced(loaded.world) if arguments.audit else loaded.world
    services = proxies.services(loaded, arguments.namespace)
    return Judge(world, inputs.effective(world), services, learned.accounts)


def _worlds(arguments: argparse.Namespace, console: Console) -> tuple[Loaded, Loaded | None]:
    """The candidate, and what it would take the place of."""
    if not arguments.base:
        loaded, _ = inputs.load(arguments, console)
        inputs.must_be_readable(loaded, loaded.world.namespaces)
        return loaded, None
    if not arguments.filename:
        raise Usage("--from says what there is now: say with -f what would take its place")
    reader = Reader(arguments, console)
    clusters = [name for name in arguments.base if compared.is_cluster(name)]
    if clusters and len(arguments.base) > 1:
        raise Usage(f"--from {clusters[0]} stands for all that there is: give no other --from")
    if clusters:
        old = reader.cluster(clusters[0])
        new = compared.laid(reader.common, old, arguments.namespace)
    else:
        installation = inputs.configured(arguments).installation
        old = Given(reader.files(arguments.base), installation, live=False)
        new = Given(reader.common, installation, live=False)
    before, after = compared.pair([old, new], arguments, console)
    return after, before


def enforced(world: World) -> World:
    """The world with all that is in audit mode enforced, and closed."""
    namespaces = {
        name: replace(each, labels={**each.labels, LABEL_ENROLL: Enrolment.ENFORCE.value}, enforced=True)
        if each.enrolment is not Enrolment.NONE
        else each
        for name, each in world.namespaces.items()
    }
    policies = {
        name: tuple(replace(each, spec=replace(each.spec, mode=Mode.ENFORCE)) for each in found)
        for name, found in world.policies.items()
    }
    floors = tuple(replace(each, spec=replace(each.spec, mode=Mode.ENFORCE)) for each in world.cluster_policies)
    return replace(world, namespaces=namespaces, policies=policies, cluster_policies=floors)


# --- the answer -----------------------------------------------------------------------------------------------------


class Told:
    """What a replay has found, in words."""

    def __init__(self, found: Replay, new: Loaded, *, audit: bool, partial: bool) -> None:
        self._found = found
        self._new = new
        self._audit = audit
        self._partial = partial
        world = found.new.world
        self._unused = replay.unused((found.new.effective(name) for name in world.namespaces), found.used)
        self._kinds: tuple[tuple[str, str, Sequence[Group], Style], ...] = (
            ("broken", "Breaks", replay.ordered(found.broken.values()), Style.BAD),
            ("opened", "Was denied, and would be allowed", replay.ordered(found.opened.values()), Style.CAUTION),
            ("already", "Is denied as it is", replay.ordered(found.already.values()), Style.CAUTION),
            ("unknown", "Cannot be told", replay.ordered(found.unknown.values()), Style.CAUTION),
        )

    # --- for people --------------------------------------------------------------------------------------------------

    def text(self, console: Console) -> None:
        console.print(*self._summary())
        for _, title, groups, style in self._kinds:
            if not groups:
                continue
            console.print("")
            console.print(Cell(f"{title}: ", style), counted(sum(group.seen.count for group in groups)))
            for group in groups[:MANY]:
                self._group(group, console)
            if len(groups) > MANY:
                rest = sum(group.seen.count for group in groups[MANY:])
                console.print(f"  and {len(groups) - MANY} more, {counted(rest)} (all with -o json)")
        # Where nothing was read, that says nothing of rules.
        unused = self._unused if self._found.flows else []
        if unused:
            console.print("")
            console.print(Cell("Allow rules that no call has used:", Style.STRONG))
        for ref, direction in unused:
            console.print(f"  {self._rule(ref, direction)}")
        if not self._audit and any(e.enrolment is Enrolment.AUDIT for e in self._new.world.namespaces.values()):
            console.note("namespaces in audit block nothing; --audit asks as if they were enforced")

    def _summary(self) -> tuple[Cell | str, ...]:
        found = self._found
        read = f"{found.flows:,} {'record' if found.flows == 1 else 'records'}"
        holds = f"{counted(found.allowed.count)} allowed{when(found.allowed)}"
        if found.broken:
            broken = sum(group.seen.count for group in found.broken.values())
            return Cell(f"{counted(broken)} would break", Style.BAD), f", {holds} ({read})"
        if self._partial:
            return Cell("nothing is seen to break", Style.CAUTION), f", {holds} ({read})"
        return Cell("nothing breaks", Style.GOOD), f": {holds} ({read})"

    def _group(self, group: Group, console: Console) -> None:
        console.print(f"  {ends(group)}")
        console.print(f"    {counted(group.seen.count)}{when(group.seen)}")
        if group.requests:
            console.print(f"    {_listed(group)}")
        console.print(f"    {self._because(group)}")

    def _because(self, group: Group) -> str:
        if group.half is None or group.governed is None:
            return group.why
        return f"{group.half.direction}: {words.because(group.half, group.governed, self._new)}"

    def _rule(self, ref: RuleRef, direction: Direction) -> str:
        where = words.place(ref, direction, self._new)
        return f"{ref}{f' ({where})' if where else ''}, {direction}"

    # --- for programs ------------------------------------------------------------------------------------------------

    def data(self) -> dict[str, Any]:
        found = self._found
        return {
            "records": found.flows,
            "breaks": bool(found.broken),
            "allowed": _seen(found.allowed),
            "denied": _seen(found.denied),
            **{name: [self._group_data(group) for group in groups] for name, _, groups, _ in self._kinds},
            "unused": [
                {"direction": str(direction), **(words.rule_data(ref, direction, self._new) or {})}
                for ref, direction in self._unused
            ],
        }

    def _group_data(self, group: Group) -> dict[str, Any]:
        half = group.half
        data: dict[str, Any] = {
            "from": group.source or None,
            "to": group.target or None,
            "protocol": str(group.protocol),
            "port": group.port,
            **_seen(group.seen),
            "requests": dict(group.requests.most_common()),
            "addresses": dict(group.addresses.most_common()),
        }
        if half is None or group.governed is None:
            return {**data, "why": group.why}
        told = words.half_data(half, group.governed, self._new)
        del told["audit"]
        return {**data, "direction": str(half.direction), **told}


def counted(number: int) -> str:
    """A number of calls."""
    return f"{number:,} {'call' if number == 1 else 'calls'}"


def when(seen: Seen) -> str:
    """From when to when, with a comma before it; "" where records tell no time."""
    if not seen.first:
        return ""
    first, last = times.text(seen.first), times.text(seen.last)
    return f", {first}" if first == last else f", {first} to {last}"


def ends(group: Group) -> str:
    """Who calls whom, on which port."""
    names = (group.source or _addresses(group), group.target or _addresses(group))
    return f"{names[0]} -> {names[1]} {group.protocol} {group.port}"


def _addresses(group: Group) -> str:
    shown = [ip for ip in group.addresses if ip != "others"][:3]
    return ", ".join(shown) + (", ..." if len(group.addresses) > len(shown) else "")


def _listed(group: Group) -> str:
    return ", ".join(f"{text} ({count:,})" for text, count in group.requests.most_common())


def _seen(seen: Seen) -> dict[str, Any]:
    return {"calls": seen.count, "first": times.text(seen.first), "last": times.text(seen.last)}
