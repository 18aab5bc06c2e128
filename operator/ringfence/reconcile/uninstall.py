"""Takes everything away that would block or bind a cluster without Ringfence.

The order keeps the cluster working at every step: first what fails closed (webhook configurations), then what refuses
(ValidatingAdmissionPolicies), then the networks, the trust bundles, the rights to Secrets and the reports, then the
latch on the Namespaces, so that a later installation stages them anew. CRDs and people's resources stay, and so do
Secrets, the CA's among them, unless they are asked for: then they go last, that of the CA after everything else.
Running it again does the rest of what was left.
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from ringfence.model.errors import RingfenceError
from ringfence.model.names import LABEL_MANAGED_BY, MANAGED_BY
from ringfence.model.ports import Applier, Object
from ringfence.pki import identity_secret
from ringfence.pki.store import MARKER_NAME, SECRET_NAME
from ringfence.reconcile import ca, plan, scan, serving, staging, trust_bundle
from ringfence.reconcile.secret_access import SECRETS_BINDING
from ringfence.translate.network_policy import PURPOSE

_log = logging.getLogger(__name__)

#: The API server goes on applying a deleted ValidatingAdmissionPolicy for a moment.
ATTEMPTS = 12
PAUSE_SECONDS = 1.0

SELECTOR = f"{LABEL_MANAGED_BY}={MANAGED_BY}"

#: What the certificates need beside Secrets: kind, and the one name that it has everywhere.
_BESIDE = (
    ("RoleBinding", SECRETS_BINDING),
    (trust_bundle.CLUSTER_KIND, trust_bundle.CLUSTER_NAME),
    ("ConfigMap", MARKER_NAME),
)

#: What holds keys: purpose, and the one name that it has ("": any). The CA's goes after the mark that there was one and
#: after all that it has signed, so whatever is left after an interruption is still of use to a later installation.
_SECRETS = (
    (identity_secret.PURPOSE, ""),
    (serving.PURPOSE, serving.LEAF_SECRET),
    (serving.PURPOSE, serving.PROXYD_SECRET),
    (serving.PURPOSE, serving.CA_SECRET),
    (ca.PURPOSE, SECRET_NAME),
)

_GUARDS = (
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingAdmissionPolicy",
)


class Cluster(Protocol):
    """What uninstalling needs beside writes."""

    async def list(self, kind: str, *, labels: str = "", name: str = "") -> list[dict[str, Any]]:
        """All objects of a kind, with apiVersion and kind; none when the API server does not know the kind.

        With ``name`` those of that name, in all namespaces.
        """
        ...

    async def stop_controller(self) -> None:
        """Scale the controller to nothing and return when its pods are gone; it would restore what is deleted."""
        ...


async def uninstall(
    cluster: Cluster,
    applier: Applier,
    *,
    secrets: bool = False,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Do it, with ``secrets`` those that hold keys too; raises RingfenceError when something resists to the last."""
    await cluster.stop_controller()
    for kind in _GUARDS:
        await _until_gone(lambda kind=kind: _delete(cluster, applier, kind), pause)  # type: ignore[misc]
    await _until_gone(lambda: _delete(cluster, applier, "NetworkPolicy", PURPOSE), pause)
    for kind, name in _BESIDE:
        attempt = functools.partial(_delete, cluster, applier, kind, trust_bundle.PURPOSE, name)
        await _until_gone(attempt, pause)
    for _, kind in scan.KINDS:
        await _until_gone(functools.partial(_delete, cluster, applier, kind, scan.PURPOSE, scan.NAME), pause)
    await _until_gone(lambda: _forget(cluster, applier), pause)
    for purpose, name in _SECRETS if secrets else ():
        await _until_gone(functools.partial(_delete, cluster, applier, "Secret", purpose, name), pause)


async def _until_gone(attempt: Callable[[], Awaitable[int]], pause: Callable[[float], Awaitable[None]]) -> None:
    for number in range(1, ATTEMPTS + 1):
        try:
            if await attempt() == 0:
                return
        except RingfenceError as error:
            if number == ATTEMPTS:
                raise
            _log.info("not yet: %s", error)
            await pause(PAUSE_SECONDS)
    raise RingfenceError("objects of Ringfence come back as they are deleted: is another controller running?")


async def _delete(cluster: Cluster, applier: Applier, kind: str, purpose: str = "", name: str = "") -> int:
    """Delete Ringfence's objects of a kind, with ``purpose`` and ``name`` only such; how many there were."""
    found = [
        obj
        for obj in await cluster.list(kind, labels=SELECTOR, name=name)
        if "deletionTimestamp" not in obj["metadata"] and (not purpose or plan.owned(obj, purpose))
    ]
    await _each(found, lambda obj: applier.delete(obj["apiVersion"], kind, *_place(obj), uid=obj["metadata"]["uid"]))
    for obj in found:
        _log.info("deleted %s %s", kind, "/".join(part for part in _place(obj) if part))
    return len(found)


async def _forget(cluster: Cluster, applier: Applier) -> int:
    """Remove the condition from Namespaces; how many had it."""
    found = [obj for obj in await cluster.list("Namespace") if staging.recorded(obj) is not None]

    async def remove(obj: Object) -> None:
        patch = staging.status_patch(obj, staging.Staging(closed=False), now=0.0)
        if patch is not None:
            await applier.apply(patch, subresource="status")

    await _each(found, remove)
    return len(found)


async def _each(objects: Iterable[Object], act: Callable[[Object], Awaitable[None]]) -> None:
    """Try all of them, then raise the first failure."""
    failure: RingfenceError | None = None
    for obj in objects:
        try:
            await act(obj)
        except RingfenceError as error:
            failure = failure or error
    if failure is not None:
        raise failure


def _place(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
