"""The commands `ringfence proxy …`: their options and help. Their code is loaded when one is run."""

from typing import Final

from ringfence.cli import options
from ringfence.cli.commands import lazily

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


def _list(inner: options.Subparsers) -> None:
    parser = options.command(inner, "list", "show each proxy and how far it is", _LIST, _LIST_EXAMPLES)
    parser.add_argument("-n", "--namespace", default="", help="only this one")
    parser.add_argument("-A", "--all", action="store_true", help="also proxies of pods that are gone or finished")
    options.cluster(parser)
    options.output(parser)
    parser.set_defaults(run=lazily("ringfence.cli.proxy_list"))
