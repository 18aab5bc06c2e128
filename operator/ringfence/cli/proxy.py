"""The commands `ringfence proxy …`: their options and help. Their code is loaded when one is run."""

import argparse
from typing import Final

from ringfence.cli import options
from ringfence.cli.commands import lazily, waiting
from ringfence.model.names import is_dns_label, is_dns_subdomain

_DESCRIPTION: Final = """
See what the proxies of the pods are, and what they do: who is connected and up to date, what each enforces, who still
comes to a workload in plaintext, and whom policies in mode Audit would deny.
"""
_LIST: Final = """
List the proxies: identity, certificate, and whether each uses the newest configuration. It is what the replicas of
proxyd publish of their proxies; what a replica has said that is silent now is shown as such.

STATE is `connected`; `away` (it has left, and no replica has it now); `unknown` (the replica that knew it is silent, so
whatever it has acknowledged is not known either); `absent` (a pod with a proxy of which no replica has ever said
anything) or `ended` (the pod is gone or finished, and the certificate may still be in use).
"""
_LIST_EXAMPLES: Final = """
  {prog} list
  {prog} list -n shop
  {prog} list -A                              # also those of pods that are gone, while their certificates last
  {prog} list -o json | jq '.proxies[] | select(.newest | not) | .pod'

exit status: 0 every proxy is connected, up to date and has a valid certificate; 1 some are not;
2 the cluster cannot be asked
"""
_SHOW: Final = """
Show what the proxy of a pod enforces, in the words of the policies: for each port who may come in, by which rule, and
how (mutual TLS or plaintext); and where its program may go. With -f the pods are those that the manifests would make,
and every pod of an enrolled namespace counts as having its proxy.

In a cluster it is worked out from what the API server has now, just as proxyd does it, and compared with the revision
that the proxy has said to use.
"""
_SHOW_EXAMPLES: Final = """
  {prog} show shop/checkout-7d9c5-x2x4v               # or: -n shop checkout-7d9c5-x2x4v
  {prog} show shop/checkout -f examples/shop          # of a Deployment that is not there yet
  {prog} show shop/checkout-7d9c5-x2x4v --raw         # the configuration, as one Envoy bootstrap
  {prog} show shop/checkout-7d9c5-x2x4v -o json | jq '.inbound[] | {ports, rules}'

exit status: 0 shown, 2 cannot tell (no such pod, it has no proxy, input that cannot be used)
"""
_PEERS: Final = """
Say by the access logs of a workload's proxies who came to it in plaintext, whom policies in mode Audit would have
denied, and who was denied; by rule. NAME is a ServiceAccount (a ServiceIdentity of that name) or a pod; without it, all
of the namespace.

It says whether `transport: {mtls: Strict}` is safe: no connection in plaintext that Strict would refuse, over all
proxies, for as long as their logs reach back. What a rule opens to anonymous, cidr, namespace or apiServer goes on to
pass under Strict. Connections that are open are written into the log each minute.
"""
_PEERS_EXAMPLES: Final = """
  {prog} peers shop/checkout
  {prog} peers shop                               # all of the namespace
  {prog} peers shop/checkout --since 24h
  {prog} peers shop/checkout --for 10m            # where logs do not reach back that far
  {prog} peers shop/checkout -o json | jq '.auditDenied[] | {peer, port, rule}'

exit status: 0 safe for Strict, 1 not safe, 2 cannot tell (no proxies, a log that cannot be read or is too short)
"""
_ROLL: Final = """
Restart, by rollout, the workloads of an enrolled namespace whose pods have no proxy, or one of another image than the
present: after proxies were turned on, and after an upgrade. Pods that no owner could restart are listed and left alone.
Enrolment stays as it is; you need the rights to list pods, and to patch the workloads.
"""
_ROLL_EXAMPLES: Final = """
  {prog} roll shop --dry-run                      # which pods, and what would be restarted?
  {prog} roll shop
  {prog} roll shop --wait                         # return once every pod has the present proxy

exit status: 0 done, 1 pods are left that have not the present proxy, 2 the cluster cannot be asked or says no
"""
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add(subparsers: options.Subparsers) -> None:
    """Define the commands."""
    parser = subparsers.add_parser(
        "proxy",
        help="see the proxies of the pods and what they enforce",
        description=_DESCRIPTION.strip(),
        formatter_class=options.Formatter,
        allow_abbrev=False,
    )
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", dest="proxy_command", required=True)
    _list(inner)
    _show(inner)
    _peers(inner)
    _roll(inner)


def _list(inner: options.Subparsers) -> None:
    parser = options.command(inner, "list", "show each proxy and how far it is", _LIST, _LIST_EXAMPLES)
    parser.add_argument("-n", "--namespace", default="", help="only this one")
    parser.add_argument("-A", "--all", action="store_true", help="also proxies of pods that are gone or finished")
    options.cluster(parser)
    options.output(parser)
    parser.set_defaults(run=lazily("ringfence.cli.proxy_list"))


def _show(inner: options.Subparsers) -> None:
    parser = options.command(inner, "show", "show what the proxy of a pod enforces", _SHOW, _SHOW_EXAMPLES)
    parser.add_argument("proxy", type=_pod, metavar="NAMESPACE/POD")
    parser.add_argument(
        "--raw", action="store_true", help="instead, its configuration as one Envoy bootstrap (YAML, or -o json)"
    )
    options.files(parser, "policies, identities, namespaces, workloads and Services; without it, those of the cluster")
    options.cluster(parser)
    options.output(parser)
    parser.set_defaults(run=lazily("ringfence.cli.proxy_show"))


def _roll(inner: options.Subparsers) -> None:
    summary = "restart, by rollout, workloads whose pods have not the present proxy"
    parser = options.command(inner, "roll", summary, _ROLL, _ROLL_EXAMPLES)
    parser.add_argument("namespace", metavar="NAMESPACE")
    parser.add_argument("--dry-run", action="store_true", help="say what would happen, change nothing")
    waiting(parser, "until every pod has the present proxy")
    options.cluster(parser)
    options.verbosity(parser)
    parser.set_defaults(run=lazily("ringfence.cli.proxy_roll"))


def _pod(text: str) -> str:
    """NAMESPACE/POD, or POD alone, as argparse takes it."""
    namespace, slash, name = text.rpartition("/")
    if (slash and not is_dns_label(namespace)) or not is_dns_subdomain(name):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAMESPACE/POD")
    return text


def _peers(inner: options.Subparsers) -> None:
    parser = options.command(
        inner, "peers", "show who comes in plaintext, and whom policies deny or would deny", _PEERS, _PEERS_EXAMPLES
    )
    parser.add_argument("workload", type=_workload, metavar="NAMESPACE[/NAME]")
    span = parser.add_mutually_exclusive_group()
    span.add_argument(
        "--since", type=_span, default=3600.0, metavar="TIME", help="how far back: 30m, 2h, 7d (default: 1h)"
    )
    span.add_argument(
        "--for",
        type=_span,
        default=0.0,
        metavar="TIME",
        dest="listen",
        help="instead listen from now on for so long: where much goes through, logs reach back a minute or less",
    )
    parser.add_argument(
        "--lines", type=_lines, default=50_000, metavar="N", help="read so many lines of each log (default: 50000)"
    )
    options.cluster(parser)
    options.output(parser)
    parser.set_defaults(run=lazily("ringfence.cli.proxy_peers"))


def _workload(text: str) -> str:
    """NAMESPACE or NAMESPACE/NAME as argparse takes it."""
    namespace, slash, name = text.partition("/")
    if not is_dns_label(namespace) or (slash and not is_dns_subdomain(name)):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAMESPACE or NAMESPACE/NAME")
    return text


def _span(text: str) -> float:
    """A time such as 90s, 30m, 2h or 7d, in seconds."""
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit() and unit in _UNITS and len(number) < 7 and int(number)):
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write it as 90s, 30m, 2h or 7d")
    return float(int(number) * _UNITS[unit])


def _lines(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 1_000_000):
        raise argparse.ArgumentTypeError("a whole number from 1 to 1000000")
    return int(text)
