"""What a policy's status says of the proxies that it shapes: how many enforce it, and which of it they refuse. Pure.

The condition Programmed speaks of the proxies alone. Where one of them refuses a part, Ready is False too: a policy of
which somebody has only the last good version is not in force as it is written.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from ringfence.model.acknowledgements import PolicyState
from ringfence.model.ports import Object
from ringfence.reconcile.conditions import Condition
from ringfence.reconcile.status import Said

PROGRAMMED: Final = "Programmed"
REASON_IN_USE: Final = "InUse"
REASON_PENDING: Final = "Pending"
REASON_REFUSED: Final = "RefusedByProxies"

_KEEPS: Final = "what they had of it before stays in force"


def joined(
    obj: Object, said: Said, known: Mapping[str, PolicyState]
) -> tuple[dict[str, Any], Condition, tuple[Condition, ...]]:
    """What ``said`` comes to with what is known of the proxies, by owner: fields, Ready, and the other conditions.

    The count of those that are ready is 0 while they have a former version; nothing is said where there are none.
    """
    numbers, ready = said
    metadata = obj["metadata"]
    found = known.get(_owner(obj))
    if found is None or not found.total:
        return numbers, ready, ()
    current = found.generation >= metadata.get("generation", 0)
    enforcing = found.ready if current else 0
    counted = {**numbers, "programmed": {"ready": enforcing, "total": found.total}}
    return counted, _judged(ready, found), (_condition(found, enforcing),)


def _owner(obj: Object) -> str:
    """The policy as reports of proxies name it, and ``RuleRef.owner``."""
    metadata = obj["metadata"]
    place = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
    return f"{obj['kind']} {place}{metadata['name']}"


def _judged(ready: Condition, found: PolicyState) -> Condition:
    """Ready, which is False while proxies refuse a part of what the policy comes to.

    It counts nobody, so that it is the same, and its Event, however many they are.
    """
    if not ready.status or not found.refused:
        return ready
    message = f"proxies refuse a part of it, and {_KEEPS}: {_words(found)}; the condition {PROGRAMMED} says how many"
    return replace(ready, status=False, reason=REASON_REFUSED, message=message)


def _condition(found: PolicyState, enforcing: int) -> Condition:
    if found.refused:
        message = (
            f"{found.refused} of {found.total} proxies refuse a part of their configuration, and {_KEEPS}:"
            f" {_words(found)}; `ringfence proxy list` names the proxies"
        )
        return Condition(PROGRAMMED, False, REASON_REFUSED, message)
    if enforcing < found.total:
        return Condition(PROGRAMMED, False, REASON_PENDING, f"{enforcing} of {found.total} proxies enforce it")
    return Condition(PROGRAMMED, True, REASON_IN_USE, f"all {found.total} proxies enforce it")


def _words(found: PolicyState) -> str:
    return "; ".join(found.refusals)
