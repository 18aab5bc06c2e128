"""The identity label: ``ringfence.dev/identity`` is the name of the pod's ServiceAccount.

A label that is there already is left alone: right, there is nothing to do; wrong, validation refuses it with the
reason, which helps its author more than a silent correction. Static pods have no ServiceAccount and get none.
"""

from typing import Any

import msgspec

from ringfence.controls import pod
from ringfence.controls.pod import Meta, Pod
from ringfence.inject.patch import add
from ringfence.model.names import LABEL_IDENTITY, MAX_LABEL_VALUE, is_dns_subdomain


def operations(target: Pod) -> list[dict[str, Any]]:
    """RFC 6902 operations that label the pod; empty when there is nothing to do or no legal label to set."""
    value = wanted(target)
    if not value:
        return []
    if target.metadata.labels is None:
        return [add(("metadata", "labels"), {LABEL_IDENTITY: value})]
    return [add(("metadata", "labels", LABEL_IDENTITY), value)]


def labelled(target: Pod) -> Pod:
    """The pod after the operations."""
    value = wanted(target)
    if not value:
        return target
    metadata: Meta = msgspec.structs.replace(
        target.metadata, labels={**(target.metadata.labels or {}), LABEL_IDENTITY: value}
    )
    return msgspec.structs.replace(target, metadata=metadata)


def wanted(target: Pod) -> str:
    """The value to set, "" for nothing to do."""
    if LABEL_IDENTITY in (target.metadata.labels or {}):
        return ""
    name = pod.service_account(target)
    return name if len(name) <= MAX_LABEL_VALUE and is_dns_subdomain(name) else ""
