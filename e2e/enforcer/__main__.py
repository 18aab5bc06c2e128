"""``python -m e2e.enforcer --kubeconfig FILE --node NAME``: enforce NetworkPolicies in this network namespace."""

import argparse
import logging
import sys
from ipaddress import ip_network
from pathlib import Path

from e2e.enforcer import api, process
from e2e.enforcer.addresses import RESULTS
from e2e.enforcer.kernel import KernelError
from e2e.enforcer.model import NodeFacts
from e2e.enforcer.netns import Namespace


def main() -> int:
    """Run until SIGTERM; 0 then, 1 after an error that was said."""
    parser = argparse.ArgumentParser(
        prog="python -m e2e.enforcer",
        description="Test-only NetworkPolicy enforcer for one node: run it, as root, in the node's network namespace.",
    )
    parser.add_argument("--kubeconfig", type=Path, required=True)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--node", help="name of the node; its spec.podCIDRs are the addresses that its pods may get")
    where.add_argument(
        "--pod-range", type=ip_network, action="append", help="instead: such a range (may be given several times)"
    )
    parser.add_argument(
        "--netns",
        action="append",
        metavar="PATH",
        help="enforce in this network namespace (may be given several times), not in the one where this runs",
    )
    parser.add_argument(
        "--cni-results",
        type=Path,
        default=RESULTS,
        metavar="DIR",
        help="where the container runtime keeps the network plugin's answers (default: %(default)s)",
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(message)s", datefmt="%H:%M:%S")
    try:
        server = api.server(arguments.kubeconfig)
        if arguments.pod_range:
            node = NodeFacts(tuple(arguments.pod_range))
        else:
            node = process.node_facts(server, arguments.node)
        namespaces: list[Namespace | None] = [Namespace.at(path) for path in arguments.netns or ()]
        process.Enforcer(server, node, namespaces or [None], arguments.cni_results).run()
    except (OSError, KeyError, api.ApiError, KernelError) as error:
        print(f"enforcer: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
