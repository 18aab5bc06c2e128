"""What proxies find in the trust bundle of their namespace beside the roots of identities: how to know proxyd.

It has the roots of the serving CA, the coming one among them from before it signs, and the two files that tell Envoy
where its token and these roots are. A kubelet brings them into the pods.
"""

from collections.abc import Mapping

from ringfence.inject import bootstrap
from ringfence.model.ports import Lister
from ringfence.model.proxy import BUNDLE_FILES
from ringfence.reconcile import serving


def data(ca: Lister, leaf: Lister, namespace: str, now: float) -> Mapping[str, str]:
    """The entries of the ConfigMap; empty while there is no serving CA, so that pods wait for one.

    ``ca`` and ``leaf`` hold the Secrets of the serving certificates in Ringfence's ``namespace``; ``now`` is in seconds
    since the epoch.
    """
    roots = serving.roots(ca.get(namespace, serving.CA_SECRET), leaf.get(namespace, serving.LEAF_SECRET), now)
    if not roots:
        return {}
    files = {"ca.crt": roots.decode(), **bootstrap.sds_files()}
    return {key: files[path] for key, path in BUNDLE_FILES}
