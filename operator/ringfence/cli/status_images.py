"""What `ringfence status` says of images' signatures: how many are verified, failed or pending, and why they failed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from ringfence.model.ports import Object
from ringfence.model.signatures import Held
from ringfence.reconcile import verdict_objects

#: Failures in the table; -o json has them all.
SHOWN: Final = 10

VERIFIED: Final = "verified"
FAILED: Final = "failed"
PENDING: Final = "pending"


def images(verdicts: Iterable[Object], now: float) -> list[dict[str, Any]]:
    """By namespace how many images are in each state, and the failures; ``now`` in seconds since the epoch.

    A good answer that has ended is pending, a bad one is what is known until it is looked at again. The failures that
    have been wanted longest come first.
    """
    found: dict[str, dict[str, Any]] = {}
    for obj in verdicts:
        namespace = obj["metadata"].get("namespace", "")
        empty: dict[str, Any] = {"namespace": namespace, VERIFIED: 0, FAILED: 0, PENDING: 0, "failures": []}
        told = found.setdefault(namespace, empty)
        state, failures = _judged(obj, now)
        told[state] += 1
        told["failures"] += failures
    for told in found.values():
        told["failures"].sort(key=lambda each: (each["since"], each["image"], each["rule"]))
    return [found[namespace] for namespace in sorted(found)]


def failures(told: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Those of all namespaces, the oldest first, each with its namespace."""
    flat = [{"namespace": each["namespace"], **failure} for each in told for failure in each["failures"]]
    return sorted(flat, key=lambda each: (each["since"], each["namespace"], each["image"], each["rule"]))


def _judged(obj: Object, now: float) -> tuple[str, list[dict[str, Any]]]:
    """The state of one image, and the answers that are against it."""
    kept = verdict_objects.read(obj)
    if kept is None or not kept.answers:
        return PENDING, []
    bad = {rule: held for rule, held in kept.answers.items() if not held.answer.verified}
    if bad:
        names = _names(obj)
        since = obj["metadata"].get("creationTimestamp") or verdict_objects.text(kept.requested)
        return FAILED, [_failure(kept.wanted.image, names.get(rule, ""), since, held) for rule, held in bad.items()]
    return (VERIFIED if all(held.until > now for held in kept.answers.values()) else PENDING), []


def _names(obj: Object) -> dict[str, str]:
    """By fingerprint, the rules for people."""
    return {each["rule"]: each.get("names") or "" for each in (obj.get("status") or {}).get("answers") or ()}


def _failure(image: str, rule: str, since: str, held: Held) -> dict[str, Any]:
    answer = held.answer
    return {"image": image, "rule": rule, "since": since, "reason": answer.reason.value, "message": answer.message}
