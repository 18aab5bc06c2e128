"""``python -m e2e.netpol --spread | --all``: exit 0 when everything agrees, 1 when not, 2 when it could not be run."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from e2e.cluster import backend, debian
from e2e.cluster.errors import ClusterError
from e2e.enforcer import api
from e2e.enforcer.api import ApiError
from e2e.enforcer.kernel import KernelError
from e2e.goprogram.build import BuildError
from e2e.goprogram.lines import JudgeError
from e2e.judge.client import Case, Judge
from e2e.netpol import checks, report, run, state
from e2e.netpol.cluster import ClusterGround, ClusterGroundError
from e2e.netpol.fabric import FabricError
from e2e.netpol.ground import FabricGround, Ground
from e2e.netpol.run import Outcome

Open = Callable[[], AbstractContextManager[Ground]]
PROGRESS_SECONDS = 10.0
ERRORS = (ApiError, BuildError, ClusterError, ClusterGroundError, FabricError, JudgeError, KernelError, OSError)
TARGET = "z/c"
"""The pod that cyclonus builds its ipBlock cases around."""


def main() -> int:
    """Run what the command line asks for."""
    arguments = _parser().parse_args()
    if os.geteuid() != 0:
        print("netpol: needs root, for network namespaces and raw sockets: run it with sudo", file=sys.stderr)
        return 2
    # So that being told to end, by a person or by make, cleans up as any other end does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        debian.ensure(("nft", "ip"))
        return _run(arguments)
    except ERRORS as error:
        print(f"netpol: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("netpol: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m e2e.netpol",
        description="Run cyclonus' NetworkPolicy cases with real packets and compare what passes with its verdicts: "
        "between network namespaces (IPv4 and IPv6) and, with --cluster, between the pods of a cluster.",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--spread", action="store_true", help="one case of each kind, always the same ones")
    which.add_argument("--all", action="store_true", help="every case")
    parser.add_argument("--cluster", metavar="NAME", help="on the pods of this cluster too (see python -m e2e.cluster)")
    parser.add_argument(
        "--only-cluster", action="store_true", help="leave out the network namespaces (useful with --cluster)"
    )
    return parser


def _run(arguments: argparse.Namespace) -> int:
    grounds = list(_grounds(arguments))
    outcomes: list[Outcome] = []
    failed = [] if arguments.only_cluster else checks.failures()
    total = 0
    with Judge() as judge:
        for opened in grounds:
            with opened() as ground:
                ground.become(state.initial())
                cases = judge.cases(ground.places[TARGET].address)
                total = len(cases)
                chosen = cases if arguments.all else run.spread(cases)
                outcomes.append(run.run(ground, judge, chosen, _progress(len(chosen))))
    print(report.summary(outcomes))
    if not arguments.only_cluster:
        print(f"further checks of the enforcer's rules: {len(checks.CHECKS)}, failed: {len(failed)}")
    left = total - min(outcome.cases for outcome in outcomes)
    print(f"not run: {left} cases{' that are not in the spread: --all runs them' if left else ''}")
    for line in failed:
        print(f"FAILED {line}")
    for outcome in outcomes:
        if outcome.disagreements:
            print("\n" + report.disagreements(outcome))
    return 1 if failed or any(outcome.disagreements for outcome in outcomes) else 0


def _grounds(arguments: argparse.Namespace) -> Iterator[Open]:
    if not arguments.only_cluster:
        yield lambda: FabricGround(4)
        yield lambda: FabricGround(6)
    if arguments.cluster:
        cluster = backend.find(arguments.cluster)
        if cluster is None:
            raise ClusterError(f"there is no cluster {arguments.cluster}; start it with: python -m e2e.cluster up")
        server, image = api.server(cluster.kubeconfig), f"{cluster.registry}/agnhost:dev"
        yield lambda: ClusterGround(server, image)
    elif arguments.only_cluster:
        raise ClusterError("--only-cluster: name the cluster with --cluster")


def _progress(total: int) -> Callable[[Case, Outcome], None]:
    """Say now and then, on standard error, how far it is."""
    said = time.monotonic()

    def done(_: Case, outcome: Outcome) -> None:
        nonlocal said
        if time.monotonic() > said + PROGRESS_SECONDS:
            said = time.monotonic()
            wrong = len(outcome.disagreements)
            print(f"  {outcome.ground}: {outcome.cases} of {total} cases, {wrong} wrong", file=sys.stderr)

    return done


if __name__ == "__main__":
    sys.exit(main())
