"""`ringfence drift`: do environments have the same policy, and if not, for which workloads do they differ."""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from ringfence.cli import compared, differing, options
from ringfence.cli.compared import Compared, Reader
from ringfence.cli.console import Cell, Console, Output, Style
from ringfence.cli.diff import limit_data, line_data, some, where_held
from ringfence.cli.differing import Line, Told
from ringfence.cli.problems import Usage

SAME: Final = 0
DIFFERS: Final = 1

_DESCRIPTION = """
Say whether environments have the same policy, and where they differ: for each workload which calls only one of them
allows, and by which rule. What counts is what policies mean, not how they are written. The first is what the others
are compared with.

Each is a directory, a file, REVISION:PATH of the git repository here, `cluster` for the live one, or cluster:CONTEXT
for that of a context of the kubeconfig. What -f names belongs to all. Files beside a cluster are judged with the
cluster's namespaces and workloads, but with no policy or identity of it; a namespace that one has not is taken as it is
in the other.
"""
_EXAMPLES = """
  {prog} drift policies/dev policies/test policies/prod
  {prog} drift cluster:dev cluster:prod
  {prog} drift main:policies cluster                       # has anybody changed the cluster by hand?

exit status: 0 all are the same, 1 some differ, 2 cannot tell
"""
_MORE: Final = Cell("+ ", Style.CAUTION)
_LESS: Final = Cell("- ", Style.CAUTION)


def add(subparsers: options.Subparsers) -> None:
    """Define the command."""
    parser = options.command(
        subparsers, "drift", "say where the policies of environments differ in meaning", _DESCRIPTION, _EXAMPLES
    )
    parser.add_argument("environments", metavar="DIR|CLUSTER", nargs="+", help="two or more; the first is the measure")
    parser.add_argument(
        "--audit", action="store_true", help="as if every policy and enrolment in audit mode were enforced"
    )
    options.files(parser, "what belongs to all: namespaces, identities, workloads")
    options.cluster(parser)
    options.output(parser)
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True)
class Drift:
    """How an environment differs from the measure.

    ``missing`` are namespaces that the measure alone has, ``beyond`` those that this one alone has.
    """

    name: str
    told: Told
    missing: tuple[str, ...]
    beyond: tuple[str, ...]

    @property
    def same(self) -> bool:
        return not (self.told.gained or self.told.lost or self.told.transport or self.told.traffic)

    def workloads(self) -> Iterator[tuple[str, list[Line], list[Line]]]:
        """For each that is called: calls that only this one allows, and that only the measure allows."""
        found: dict[str, tuple[list[Line], list[Line]]] = defaultdict(lambda: ([], []))
        for place, lines in enumerate((self.told.gained, self.told.lost)):
            for line in lines:
                for target in line.targets if len(line.targets) <= _FEW else (some(line.targets),):
                    found[target][place].append(line)
        for target, (more, less) in sorted(found.items()):
            yield target, more, less


#: Workloads that are told of one by one where they change alike.
_FEW: Final = 8


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Compare each with the first."""
    names = list(dict.fromkeys(arguments.environments))
    if len(names) < 2:
        raise Usage("there is nothing to compare with: name two environments or more")
    reader = Reader(arguments, console)
    measure = names[0]
    drifts = [_drift(name, compared.compare(reader, measure, name, alone=True)) for name in names[1:]]
    if console.output is Output.TEXT:
        for each in drifts:
            _text(each, measure, console)
    else:
        data = [_data(each) for each in drifts]
        console.data({"measure": measure, "same": all(each.same for each in drifts), "environments": data})
    return SAME if all(each.same for each in drifts) else DIFFERS


def _drift(name: str, both: Compared) -> Drift:
    told = differing.told(both)
    described = [each.namespaces.keys() for each in (both.loaded_old, both.loaded_new)]
    return Drift(name, told, tuple(sorted(described[0] - described[1])), tuple(sorted(described[1] - described[0])))


def _text(drift: Drift, measure: str, console: Console) -> None:
    if drift.same:
        console.print(Cell(f"{drift.name}: the same as {measure}", Style.GOOD))
    else:
        console.print(Cell(f"{drift.name}: not the same as {measure}", Style.BAD))
    for target, more, less in drift.workloads():
        console.print(f"  {target}")
        for sign, where, lines in ((_MORE, drift.name, more), (_LESS, measure, less)):
            for line in lines:
                console.print("    ", sign, f"only in {where}: from {some(line.sources)}")
                for requests in line.requests:
                    console.print(f"        {requests}")
                console.print(f"        {measure}: {line.before.text}")
                console.print(f"        {drift.name}: {line.now.text}")
    for each in drift.told.transport:
        console.print(f"  transport of {some(each.pods)}: {each.before} in {measure}, {each.after} in {drift.name}")
    for held, limits in groupby(drift.told.traffic, key=where_held):
        console.print(f"  limits of {held}")
        for limit in limits:
            console.print(f"    {limit.what}: {limit.shown[0]} in {measure}, {limit.shown[1]} in {drift.name}")
    for where, names in ((measure, drift.missing), (drift.name, drift.beyond)):
        if names:
            console.note(f"only {where} has the namespaces {some(names)}")


def _data(drift: Drift) -> dict[str, Any]:
    return {
        "name": drift.name,
        "same": drift.same,
        "workloads": [
            {"workload": target, "more": [line_data(each) for each in more], "less": [line_data(each) for each in less]}
            for target, more, less in drift.workloads()
        ],
        "transport": [
            {"of": list(each.pods), "measure": each.before, "here": each.after} for each in drift.told.transport
        ],
        "traffic": [limit_data(each, "measure", "here") for each in drift.told.traffic],
        "namespaces": {"missing": list(drift.missing), "beyond": list(drift.beyond)},
    }
