"""The command line of `ringfence proxy …`."""

from typing import Final

from ringfence.cli import options
from ringfence.cli.commands import lazily

_LIST: Final = """
Show every proxy as proxyd's replicas know it: its identity, its certificate, whether it uses all of its configuration
and the present trust bundle, and what it has refused last.

CONFIGURATION is `current` when the proxy has said to use all that it was sent, `behind` when it has not (yet),
`refused` when it does not take a part of it, and `away` when it is not connected: what it had last stays in force.
"""
_LIST_EXAMPLES: Final = """
  {prog} list
  {prog} list -n shop
  {prog} list -o json | jq '.proxies[] | select(.configuration != "current")'

exit status: 0 all are current, 1 some are not, 2 the cluster cannot be asked
"""
_SHOW: Final = """
Show all that is known of the proxy of one pod. What its identity's proxies are told in full, `compile --proxy` shows.
"""
_SHOW_EXAMPLES: Final = """
  {prog} show -n shop web-5d8f7c6b9-abcde
  {prog} show -n shop web-5d8f7c6b9-abcde -o json

exit status: 0 it is current, 1 it is not, 2 there is none, or the cluster cannot be asked
"""


def add(subparsers: options.Subparsers) -> None:
    """Define the commands."""
    parser = subparsers.add_parser(
        "proxy",
        help="show the proxies",
        description="What the proxies of pods have been told, and what they have said to use.",
        formatter_class=options.Formatter,
        allow_abbrev=False,
    )
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", dest="proxy_command", required=True)
    listing = options.command(inner, "list", "each proxy in a line", _LIST, _LIST_EXAMPLES)
    listing.add_argument("-n", "--namespace", default="", help="only of this one")
    listing.set_defaults(run=lazily("ringfence.cli.proxy_list"))
    showing = options.command(inner, "show", "one proxy in full", _SHOW, _SHOW_EXAMPLES)
    showing.add_argument("pod", metavar="POD")
    showing.add_argument("-n", "--namespace", default="default", help="of the pod (default: default)")
    showing.set_defaults(run=lazily("ringfence.cli.proxy_list", "show"))
    for each in (listing, showing):
        options.cluster(each)
        options.output(each)
