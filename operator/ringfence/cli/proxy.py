"""The commands `ringfence proxy …`: their options and help. Their code is loaded when one is run."""

import argparse
from typing import Final

from ringfence.cli import options
from ringfence.cli.commands import lazily
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


def _pod(text: str) -> str:
    """NAMESPACE/POD, or POD alone, as argparse takes it."""
    namespace, slash, name = text.rpartition("/")
    if (slash and not is_dns_label(namespace)) or not is_dns_subdomain(name):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAMESPACE/POD")
    return text
