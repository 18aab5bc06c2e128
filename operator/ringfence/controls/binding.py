"""What ties a pod to its identity: the label, the ServiceAccount's name, the ServiceIdentity, the closed network.

NetworkPolicies can only select labels, so the label ``ringfence.dev/identity`` stands for the ServiceAccount, and
everything under ``ringfence.dev/`` on a pod is Ringfence's. These hold in every enrolled namespace, audited ones
among them; outside no pod may carry such a label at all.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

from ringfence.controls.control import quoted
from ringfence.controls.pod import Subject
from ringfence.model.names import LABEL_ENROLL, LABEL_IDENTITY, MAX_LABEL_VALUE, RESERVED_PREFIX, is_dns_subdomain
from ringfence.model.verdict import Violation

IDENTITY_LABEL: Final = "identity-label"
RESERVED_LABELS: Final = "reserved-labels"
SERVICE_ACCOUNT_NAME: Final = "service-account-name"
SERVICE_IDENTITY: Final = "service-identity"
NETWORK_CLOSED: Final = "network-closed"
MIRROR_POD: Final = "mirror-pod"

#: Everything that this module may report, beside the ids of the controls.
IDS: Final = frozenset(
    {IDENTITY_LABEL, RESERVED_LABELS, SERVICE_ACCOUNT_NAME, SERVICE_IDENTITY, NETWORK_CLOSED, MIRROR_POD}
)


def usable(service_account: str) -> bool:
    """Whether a ServiceAccount can be an identity: its name must fit into a label."""
    return len(service_account) <= MAX_LABEL_VALUE and _subdomain(service_account)


#: Kept for names that can be right only, so that nobody fills the memory with others.
_subdomain: Final = lru_cache(maxsize=4096)(is_dns_subdomain)


def name(subject: Subject, service_account: str) -> Iterator[Violation]:
    """The ServiceAccount's name can be written as a label."""
    if not usable(service_account):
        yield Violation(
            SERVICE_ACCOUNT_NAME,
            f"{subject.prefix}spec.serviceAccountName",
            f"is {quoted([service_account])} ({len(service_account)} characters), which cannot be an identity",
            f"use a ServiceAccount whose name has at most {MAX_LABEL_VALUE} characters",
        )


def label(subject: Subject, expected: str) -> Iterator[Violation]:
    """The identity label says ``expected``; "" for no label at all."""
    found = (subject.meta.labels or {}).get(LABEL_IDENTITY)
    if found == (expected or None):
        return
    field = f"{subject.prefix}metadata.labels[{LABEL_IDENTITY}]"
    if not expected:
        message = f"is {quoted([found or ''])}, but this pod has no identity"
        yield Violation(IDENTITY_LABEL, field, message, "remove the label: Ringfence sets it in enrolled namespaces")
    elif found is None:
        message = "is missing, so the pod would have no identity"
        yield Violation(IDENTITY_LABEL, field, message, f"set it to {quoted([expected])}, the pod's ServiceAccount")
    else:
        message = f"is {quoted([found])}, but the pod runs under ServiceAccount {quoted([expected])}"
        fix = "remove the label (Ringfence sets it) or set spec.serviceAccountName to the identity that it shall have"
        yield Violation(IDENTITY_LABEL, field, message, fix)


def reserved(subject: Subject) -> Iterator[Violation]:
    """No label of Ringfence's beside the identity."""
    for key in subject.meta.labels or ():
        if key.startswith(RESERVED_PREFIX) and key != LABEL_IDENTITY:
            yield _reserved(subject, key, "is reserved")


def unchanged(subject: Subject, old: Mapping[str, str] | None, *, enrolled: bool) -> Iterator[Violation]:
    """On an update nobody adds, changes or removes a label of Ringfence's; removing is fine outside.

    ``old`` are the labels before.
    """
    before, after = old or {}, subject.meta.labels or {}
    for key in sorted(before.keys() | after.keys()):
        if not key.startswith(RESERVED_PREFIX) or before.get(key) == after.get(key):
            continue
        if key not in after and not (enrolled and key == LABEL_IDENTITY):
            continue
        if key == LABEL_IDENTITY:
            change = f"changes from {_shown(before.get(key))} to {_shown(after.get(key))}; it is set once, at creation"
            field = f"{subject.prefix}metadata.labels[{key}]"
            yield Violation(IDENTITY_LABEL, field, change, "leave it as it is, or create the pod anew")
        else:
            yield _reserved(subject, key, "is reserved and changes")


def has_identity(subject: Subject, service_account: str, namespace: str) -> Violation:
    """The ServiceAccount has no ServiceIdentity."""
    return Violation(
        SERVICE_IDENTITY,
        f"{subject.prefix}spec.serviceAccountName",
        f"is {quoted([service_account])}, which no ServiceIdentity in namespace {quoted([namespace])} names",
        f"create a ServiceIdentity with serviceAccountName {service_account}, or use another ServiceAccount",
    )


def network_open(subject: Subject, namespace: str) -> Violation:
    """The default deny is not there yet."""
    return Violation(
        NETWORK_CLOSED,
        f"{subject.prefix}metadata.namespace",
        f"is {quoted([namespace])}, whose network is being closed",
        "try again; controllers do so by themselves",
        f"label {LABEL_ENROLL}: enforce",
    )


def forged_mirror(subject: Subject, annotation: str) -> Violation:
    """Somebody who is no kubelet says that a kubelet runs this pod from a file."""
    return Violation(
        MIRROR_POD,
        f"{subject.prefix}metadata.annotations[{annotation}]",
        "is set, but this request does not come from a kubelet",
        "remove the annotation",
    )


def _reserved(subject: Subject, key: str, what: str) -> Violation:
    field = f"{subject.prefix}metadata.labels[{key}]"
    return Violation(RESERVED_LABELS, field, f"{what}: labels under {RESERVED_PREFIX} are Ringfence's", "remove it")


def _shown(value: str | None) -> str:
    return "absent" if value is None else quoted([value])
