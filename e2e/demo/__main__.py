"""The command: python -m e2e.demo [down]. Ends with 1 when anything went another way than the policy says."""

import argparse
import sys
import time
from collections.abc import Sequence

from e2e.cluster import backend
from e2e.cluster.errors import ClusterError
from e2e.cluster.progress import say, step
from e2e.demo import (
    admission,
    attempts,
    certificates,
    hosts,
    install,
    people,
    proxies,
    reasoning,
    requests,
    shop,
    table,
    tokens,
)
from e2e.demo.client import Client, until

NEXT = """\
What to try next
  eval "$(.venv/bin/python -m e2e.cluster env)"; export PATH="$PWD/.venv/bin:$PATH"
  ringfence status                                                     what is closed, what is staged and why
  ringfence can-i shop/checkout shop-data/payments --port 8443         may A call B, and by which rule
  ringfence can-i shop/frontend shop-data/ledger --port 5432           ... and why not
  kubectl get secpol,svcid -A                                          what the teams wrote, and whether it is in force
  kubectl explain securitypolicy.spec.ingress                          how to write a rule
  kubectl -n shop get networkpolicy                                    what Ringfence made of it
  ringfence test examples/policy-tests                                 policies have tests of their own
  ringfence compile -f examples/shop                                   the same without a cluster
  ringfence ca status                                                  the roots, and how far a rotation is
  kubectl -n shop-tls get svcid --watch                                certificates that renew themselves every minute
  kubectl -n shop-tls logs deploy/orders -f                            ... and a program that counts its handshakes
  ringfence proxy list -n shop-mesh                                    every proxy, its certificate and revision
  kubectl -n shop-mesh logs deploy/store -c ringfence-proxy            who called, and which rule decided
  ringfence ca rotate --compromised                                    what it would break; say no
  make demo-down                                                       take all of it away"""


def main(argv: Sequence[str]) -> int:
    """Runs the demo, or takes it down."""
    parser = argparse.ArgumentParser(prog="python -m e2e.demo", description=__doc__)
    parser.add_argument("action", nargs="?", choices=["up", "down"], default="up", help="default: %(default)s")
    parser.add_argument("--name", default=install.CLUSTER, help="which cluster (default: %(default)s)")
    options = parser.parse_args(argv)
    try:
        return _down(options.name) if options.action == "down" else _up(options.name)
    except ClusterError as error:
        say(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        say("interrupted; `make demo-down` takes down what stands")
        return 130


def _down(name: str) -> int:
    stopped = backend.stop(name)
    say("the demo and its cluster are gone" if stopped else "there was no cluster")
    return 0


def _up(name: str) -> int:
    begin = time.monotonic()
    with step("a cluster to try it on"):
        cluster = backend.start(name)
    admin = install.client(cluster)
    with step("building and pushing Ringfence's image"):
        image = install.push_images(name)
    with step(f"helm install {install.RELEASE}"):
        install.install(cluster, image)
        install.wait_ready(cluster)
    certificates.start(admin, image)
    with step("kubectl apply -f examples/shop, and waiting until it is open and closed"):
        _open_shop(admin, install.agnhost(cluster))
    rows = _try_everything(admin, install.agnhost(cluster)) + certificates.show(cluster, admin, image)
    rows += proxies.show(cluster, admin, image) + requests.show(admin, image) + tokens.show(admin)
    rows += hosts.show(cluster, admin, image, proxies.SPACE, proxies.PLAIN)
    table.show(rows)
    print(table.summary(rows), f"{time.monotonic() - begin:.0f} s in all.")
    print()
    print(NEXT)
    return 0 if all(row.as_said for row in rows) else 1


def _open_shop(admin: Client, image: str) -> None:
    admin.apply([*shop.objects(image), *people.rights()])
    shop.wait_ready(admin)
    until(lambda: all(_closed(admin, each) for each in shop.CLOSED), "the shop's namespaces are closed")


def _closed(admin: Client, namespace: str) -> bool:
    conditions = admin.get("namespace", namespace)["status"].get("conditions", [])
    return any(each["type"] == "ringfence.dev/Enforced" and each["status"] == "True" for each in conditions)


def _try_everything(admin: Client, image: str) -> list[attempts.Row]:
    with step("trying connections, and asking `ringfence can-i` about each"):
        rows = attempts.connections(admin, lambda *call: attempts.can_i(admin, *call))
    with step("trying pods that should and should not be let in"):
        rows += attempts.pods(admin, image)
    with step("applying a careless Deployment"):
        rows += admission.careless(admin, image)
    with step("trying again with every webhook pod gone"):
        rows += admission.without_webhooks(admin, image)
    with step("trying what people should and should not be able to do"):
        rows += people.namespace_admin(admin) + people.platform_admin(admin)
    return rows + reasoning.show(admin)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
