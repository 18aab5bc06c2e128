"""The commands that look after a cluster. Their code is loaded when one is run: the client takes half a second."""

import argparse
from collections.abc import Callable
from importlib import import_module

from ringfence.cli import options
from ringfence.cli.console import Console

_STATUS = """
Show what Ringfence makes of the cluster: which namespaces are enrolled and closed and which pods stand in the way, what
each policy's condition says, and the identities with their pods.

NETWORK is `closed` (what no rule allows is denied), `staged` (it closes once what MESSAGE names is settled), `pending`
(the controller has not looked yet) or `open`. Where pods get proxies, PODS says how many have none, or an old one.
"""
_STATUS_EXAMPLES = """
  {prog} status
  {prog} status -n shop
  {prog} status -o json | jq '.policies[] | select(.ready != true)'

exit status: 0 shown, 2 the cluster cannot be asked
"""
_ENROLL = """
Enrol a namespace: label it, and restart by rollout the workloads whose pods are from before, so that every pod gets its
identity and the network can close. With --mode audit nothing is blocked: what would be is reported. From audit to
enforce, workloads are restarted whose pods run with what could lead past their proxies.

First it shows what will happen and judges every workload as admission will. If any would be refused (it has no
ServiceIdentity, or violates a Pod Security level) nothing is changed, unless you say --force. Pods that no owner could
restart are listed and left alone.
"""
_ENROLL_EXAMPLES = """
  {prog} enroll shop --mode audit                # see what would be refused and denied, block nothing
  {prog} enroll shop --dry-run                   # what would happen? nothing is changed
  {prog} enroll shop --wait                      # enforce, restart, and return once the network is closed

exit status: 0 done, 1 something stands in the way or the time is up, 2 the cluster cannot be asked or says no
"""
_UNENROLL = """
Take a namespace out: its network opens again and its pods are no longer judged. The label on running pods stays until
they are restarted; nothing looks at it any more. You need the verb `enroll`.
"""
_UNENROLL_EXAMPLES = """
  {prog} unenroll shop
  {prog} unenroll shop --wait                    # return once Ringfence's NetworkPolicies are gone

exit status: 0 done, 1 the time is up, 2 the cluster cannot be asked or says no
"""
_UNINSTALL = """
Take away what Ringfence wrote outside of its release: webhook configurations, ValidatingAdmissionPolicies and their
bindings, NetworkPolicies, trust bundles, and its condition on Namespaces. Every closed namespace opens. `helm
uninstall` does this by itself; run it when a release is gone and left something behind. CRDs and their resources are
kept, and so are Secrets unless you say otherwise.
"""
_UNINSTALL_EXAMPLES = """
  {prog} uninstall --yes
  {prog} uninstall --yes --delete-secrets        # the CA and every certificate too

exit status: 0 nothing of it is left, 2 something resists (running it again does the rest)
"""


def lazily(module: str, function: str = "run") -> Callable[[argparse.Namespace, Console], int]:
    """What runs a command whose module is imported only then."""

    def run(arguments: argparse.Namespace, console: Console) -> int:
        status: int = getattr(import_module(module), function)(arguments, console)
        return status

    return run


def add(subparsers: options.Subparsers) -> None:
    """Define the commands."""
    _status(subparsers)
    _enroll(subparsers)
    _unenroll(subparsers)
    _uninstall(subparsers)


def _status(subparsers: options.Subparsers) -> None:
    parser = options.command(
        subparsers, "status", "show what Ringfence makes of the cluster", _STATUS, _STATUS_EXAMPLES
    )
    parser.add_argument("-n", "--namespace", help="only this one (and the cluster's policies)")
    parser.add_argument(
        "-A", "--all", action="store_true", help="also namespaces that are none of Ringfence's business"
    )
    options.cluster(parser)
    options.output(parser)
    parser.set_defaults(run=lazily("ringfence.cli.status"))


def _enroll(subparsers: options.Subparsers) -> None:
    parser = options.command(subparsers, "enroll", "enrol a namespace and restart its pods", _ENROLL, _ENROLL_EXAMPLES)
    parser.add_argument("namespace", metavar="NAMESPACE")
    parser.add_argument("--mode", choices=("audit", "enforce"), default="enforce", help="default: enforce")
    parser.add_argument("--dry-run", action="store_true", help="say what would happen, change nothing")
    parser.add_argument("--force", action="store_true", help="go on although workloads would be refused")
    parser.add_argument("--no-restart", action="store_true", help="label only; pods from before stay as they are")
    waiting(parser, "until the network is closed (audit: until every pod has its identity)")
    options.cluster(parser)
    options.verbosity(parser)
    parser.set_defaults(run=lazily("ringfence.cli.enroll"))


def _unenroll(subparsers: options.Subparsers) -> None:
    parser = options.command(subparsers, "unenroll", "take a namespace out again", _UNENROLL, _UNENROLL_EXAMPLES)
    parser.add_argument("namespace", metavar="NAMESPACE")
    parser.add_argument("--dry-run", action="store_true", help="say what would happen, change nothing")
    waiting(parser, "until the network is open")
    options.cluster(parser)
    options.verbosity(parser)
    parser.set_defaults(run=lazily("ringfence.cli.enroll", "undo"))


def _uninstall(subparsers: options.Subparsers) -> None:
    summary = "take away what would bind a cluster without Ringfence"
    parser = options.command(subparsers, "uninstall", summary, _UNINSTALL, _UNINSTALL_EXAMPLES)
    parser.add_argument("--yes", action="store_true", help="needed: every namespace that is closed opens")
    parser.add_argument(
        "--delete-secrets",
        action="store_true",
        help="also the CA and the Secrets of identities: after that only a backup brings them back",
    )
    options.cluster(parser)
    options.verbosity(parser)
    parser.set_defaults(run=lazily("ringfence.cli.uninstall"))


def waiting(parser: argparse.ArgumentParser, what: str) -> None:
    """The options of a command that can wait."""
    parser.add_argument("--wait", action="store_true", help=f"wait {what}")
    parser.add_argument("--timeout", type=_seconds, default=600.0, metavar="SECONDS", help="of --wait (default: 600)")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from error
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError("more than 0 and at most 86400 seconds")
    return value
