"""Where the trust bundle is published: a ConfigMap in every enrolled namespace and in Ringfence's own, and one
ClusterTrustBundle where the API server has such objects.

The ClusterTrustBundle is what the kubelet projects into pods of any namespace, those that are not enrolled among them.
Its name begins with its signer's, as Kubernetes demands, so nobody without the right to attest for that signer can take
it. A cluster without the kind lacks nothing else.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

from ringfence.model.errors import RingfenceError
from ringfence.model.names import GROUP, LABEL_MANAGED_BY, LABEL_PURPOSE, MANAGED_BY
from ringfence.model.ports import Object
from ringfence.pki import bundle, store
from ringfence.reconcile.live import ClusterBundles
from ringfence.reconcile.means import Means
from ringfence.reconcile.meter import Meter

_log = logging.getLogger(__name__)

#: Of the trust bundles and of the rights to Secrets, wherever they are.
PURPOSE: Final = "certificates"
SIGNER: Final = f"{GROUP}/identity"
CLUSTER_NAME: Final = f"{SIGNER.replace('/', ':')}:root"
CLUSTER_KIND: Final = "ClusterTrustBundle"
_LABELS: Final = {LABEL_MANAGED_BY: MANAGED_BY, LABEL_PURPOSE: PURPOSE}


async def write(means: Means, meter: Meter, namespace: str, data: Mapping[str, str], held: Object | None) -> None:
    """Have the ConfigMap of a namespace hold exactly this data. The name is Ringfence's, whoever made the object."""
    try:
        await _write(means, namespace, data, held)
    except RingfenceError:
        meter.bundle_failed("ConfigMap")
        raise


async def _write(means: Means, namespace: str, data: Mapping[str, str], held: Object | None) -> None:
    if held is not None:
        have = held["metadata"].get("labels") or {}
        same = held.get("data") == data and not held.get("binaryData") and not held.get("immutable")
        if same and _LABELS.items() <= have.items():
            return
        if held.get("immutable"):
            await _remove(means, namespace, held)
            held = None
    metadata: dict[str, Any]
    metadata = dict(held["metadata"]) if held is not None else {"name": store.MARKER_NAME, "namespace": namespace}
    metadata["labels"] = {**(metadata.get("labels") or {}), **_LABELS}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)}
    if held is None:
        # Applied, not created: a POST cannot be limited to a name by RBAC, a PATCH can.
        await means.applier.apply(body)
    else:
        await means.applier.replace(body)


async def _remove(means: Means, namespace: str, held: Object) -> None:
    """Take away a ConfigMap that cannot be changed. Finalizers of its maker's would keep what it says for ever."""
    if held["metadata"].get("finalizers"):
        metadata = {key: value for key, value in held["metadata"].items() if key != "finalizers"}
        await means.applier.replace({**held, "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    await means.applier.delete("v1", "ConfigMap", namespace, store.MARKER_NAME, uid=held["metadata"]["uid"])


def carried_by(held: Object | None, roots: bytes) -> bool:
    """Whether the ConfigMap (None: there is none) holds exactly these roots."""
    return bundle.same(str(((held or {}).get("data") or {}).get(store.BUNDLE_KEY, "")).encode(), roots)


class ClusterTrust:
    """Keeps the ClusterTrustBundle as it shall be."""

    def __init__(self, bundles: ClusterBundles, means: Means, meter: Meter) -> None:
        self._bundles = bundles
        self._means = means
        self._meter = meter
        self._said: str | None = None

    async def publish(self, roots: bytes) -> RingfenceError | None:
        """Have it hold these roots; why it does not, None when it does or the API server has no such kind."""
        try:
            place = await self._bundles.open(CLUSTER_NAME)
            self._say(place[0] if place else "")
            if place is None:
                return None
            version, lister = place
            if not _cluster_carries(lister.get("", CLUSTER_NAME), roots):
                await self._means.applier.apply(_cluster_object(version, roots))
        except RingfenceError as error:
            self._meter.bundle_failed(CLUSTER_KIND)
            return error
        return None

    def _say(self, version: str) -> None:
        """Tell once where the bundle goes, and again when that changes."""
        if version == self._said:
            return
        if version:
            _log.info("the trust bundle is also in the ClusterTrustBundle %s (%s)", CLUSTER_NAME, version)
        else:
            _log.info("this API server has no ClusterTrustBundles: the trust bundle is in the ConfigMaps alone")
        self._said = version


def _cluster_carries(held: Object | None, roots: bytes) -> bool:
    if held is None or not _LABELS.items() <= (held["metadata"].get("labels") or {}).items():
        return False
    return bool((held.get("spec") or {}).get("trustBundle") == roots.decode())


def _cluster_object(version: str, roots: bytes) -> Object:
    return {
        "apiVersion": version,
        "kind": CLUSTER_KIND,
        "metadata": {"name": CLUSTER_NAME, "labels": _LABELS},
        "spec": {"signerName": SIGNER, "trustBundle": roots.decode()},
    }
