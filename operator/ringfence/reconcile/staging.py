"""What the Namespace says about the closing of its network, and what is read back from there.

Whether a namespace is closed is decided by policy.closing. Once closed it stays closed for as long as it is labelled
``enforce``: the condition written here is that latch, so that no pod that appears later can open the namespace. It is
written before the first NetworkPolicy and removed after the last, so a controller that is killed in between goes on
where it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from ringfence.model.effective import EffectivePolicy
from ringfence.model.ports import Object
from ringfence.model.world import Enrolment
from ringfence.policy.closing import listing
from ringfence.policy.reasons import FindingReason
from ringfence.reconcile import conditions
from ringfence.translate.admission_policy import CONDITION_ENFORCED

REASON_CLOSED: Final = "Closed"
REASON_UNDECIDED: Final = "Undecided"
#: What a closed namespace says when there is nothing more to say.
CLOSED: Final = "everything that no rule allows is denied"

#: What keeps a namespace open, the one that needs a decision first.
_IN_THE_WAY: Final = (FindingReason.STRANGERS_NETWORK_POLICIES, FindingReason.STAGED, FindingReason.TOO_COMPLEX)
#: What no NetworkPolicy can close, so that nobody takes "closed" for more than it is.
_WAYS_AROUND: Final = (FindingReason.HOST_NETWORK_PODS, FindingReason.WAYS_PAST, FindingReason.PODS_OUTSIDE_RANGES)


@dataclass(frozen=True, slots=True)
class Staging:
    """Whether a namespace's network is closed, and what to tell about it. ``reason`` is "" when not enforced."""

    closed: bool
    reason: str = ""
    message: str = ""


def of(policy: EffectivePolicy, strangers: Sequence[str] = ()) -> Staging:
    """What to record; ``strangers`` are the names of the namespace's NetworkPolicies that are not Ringfence's."""
    if policy.enrolment is not Enrolment.ENFORCE:
        return Staging(closed=False)
    findings = {each.reason: each.message for each in policy.findings if each.subject[0] == "Namespace"}
    if policy.closed:
        message = CLOSED
        if strangers:
            message += f"; but NetworkPolicies that are not Ringfence's may open more: {listing(tuple(strangers))}"
        message += "".join(f"; but {findings[reason]}" for reason in _WAYS_AROUND if reason in findings)
        return Staging(True, REASON_CLOSED, message)
    reasons = [reason for reason in _IN_THE_WAY if reason in findings] or [FindingReason.STAGED]
    return Staging(False, reasons[0], "; ".join(findings[reason] for reason in reasons if reason in findings))


def beside(told: Staging, foreign: Sequence[str]) -> Staging:
    """The same with policies in the network's own kinds (``foreign``: as people name them), which open more.

    They keep nothing from closing: whether a namespace is closed the webhook and the proxies work out for themselves,
    and what is closed but for a hole that is named is better than what is open.
    """
    if not told.reason or not foreign:
        return told
    named = listing(tuple(foreign))
    added = f"; but policies in the network's own kinds may open more, whatever Ringfence closes: {named}; remove them"
    return replace(told, message=told.message + added)


def undecided(latched: bool, names: Sequence[str]) -> Staging:
    """What to record of a namespace to be enforced whose policies include some that were never understood."""
    which = f"{listing(tuple(names))} cannot be understood"
    if latched:
        message = f"{CLOSED}; but {which}: the NetworkPolicies stay as they are until it is mended"
        return Staging(True, REASON_CLOSED, message)
    message = f"{which}: nobody can say what it denies; the namespace closes once it is mended"
    return Staging(False, REASON_UNDECIDED, message)


def latched(namespace: Object) -> bool:
    """Whether Ringfence has recorded on the Namespace that it is closed."""
    held = recorded(namespace)
    return held is not None and held.get("status") == "True"


def recorded(namespace: Object) -> dict[str, Any] | None:
    """The condition that the Namespace carries now."""
    return conditions.find((namespace.get("status") or {}).get("conditions"), CONDITION_ENFORCED)


def status_patch(namespace: Object, staging: Staging, now: float) -> dict[str, Any] | None:
    """What to apply to the Namespace's status subresource, None when it already says so. ``now``: epoch seconds."""
    held = recorded(namespace)
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": namespace["metadata"]["name"]},
        "status": {},
    }
    if not staging.reason:
        return body if held is not None else None
    wanted = conditions.Condition(CONDITION_ENFORCED, staging.closed, staging.reason, staging.message)
    rendered = wanted.render(held, now, generation=None)
    if rendered == held:
        return None
    body["status"] = {"conditions": [rendered]}
    return body
