"""`ringfence uninstall`: takes away what would bind or block a cluster without Ringfence; the chart runs it."""

import argparse
import asyncio
import logging
import sys
import time
from typing import Any, Final

from ringfence.cli import live, options
from ringfence.cli.console import Console
from ringfence.cli.problems import Usage
from ringfence.kube import apply, client, errors, resources
from ringfence.reconcile import uninstall

CONTROLLER: Final = "ringfence-controller"
_CONTROLLER_PODS: Final = "app.kubernetes.io/component=controller,app.kubernetes.io/name=ringfence"
#: Seconds that the controller gets to end: its own grace period and a bit.
STOP_SECONDS: Final = 90.0

_BY_KIND: Final = {
    kind: [each for each in resources.ALL if each.kind == kind] for kind in {each.kind for each in resources.ALL}
}


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Do it."""
    # Also where nobody sits at a terminal: a script that has it by mistake must not open a cluster.
    if not arguments.yes:
        raise Usage("this opens every namespace that Ringfence has closed: say --yes if that is what you want")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    asyncio.run(_run(options.target(arguments), secrets=arguments.delete_secrets))
    kept = "CRDs and their resources are kept, the CA and every certificate are gone"
    if not arguments.delete_secrets:
        kept = "CRDs, their resources and Secrets are kept"
    console.print(f"Ringfence no longer binds this cluster; {kept}")
    return 0


async def _run(target: options.Target, *, secrets: bool) -> None:
    api = await live.connect(target)
    try:
        await uninstall.uninstall(_Cluster(api, target.namespace), apply.KubeApplier(api), secrets=secrets)
    finally:
        await api.close()


class _Cluster:
    """Fulfils uninstall.Cluster."""

    def __init__(self, api: client.Client, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    async def list(self, kind: str, *, labels: str = "", name: str = "") -> list[dict[str, Any]]:
        """All objects of a kind, or those of a name; none when the API server does not know the kind."""
        fields = f"metadata.name={name}" if name else ""
        for resource in _BY_KIND[kind]:
            try:
                return await live.pages(self._api, resource, labels=labels, fields=fields)
            except errors.NotFound:
                continue
        return []

    async def stop_controller(self) -> None:
        """Scale it to nothing and wait until its pods are gone."""
        path = resources.DEPLOYMENTS.path(self._namespace, CONTROLLER, "scale")
        try:
            body = {"spec": {"replicas": 0}}
            await self._api.request("PATCH", path, body=body, content_type=client.MERGE)
        except errors.NotFound:
            return
        deadline = time.monotonic() + STOP_SECONDS
        while await live.pages(self._api, resources.PODS, namespace=self._namespace, labels=_CONTROLLER_PODS):
            if time.monotonic() > deadline:
                raise live.NoCluster(f"the controller still runs after {STOP_SECONDS:.0f} s: delete its pod, try again")
            await asyncio.sleep(1.0)
