"""ImageVerdicts as objects and as values: the webhook reads what the controller writes, so both are here."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from ringfence.model.names import API_VERSION
from ringfence.model.ports import Object
from ringfence.model.signatures import Answer, Held, SignatureReason, Wanted, verdict_name

KIND: Final = "ImageVerdict"
_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
_MAX_MESSAGE: Final = 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """What an ImageVerdict says: the request, and the answers by the fingerprint of the rule. Times in seconds."""

    wanted: Wanted
    requested: float
    answers: dict[str, Held]
    checked: float
    failures: int
    trust_root: str


def read(obj: Object) -> Kept | None:
    """The value of an object; None for one that is not what its name says, or cannot be read."""
    try:
        spec, status, metadata = obj["spec"], obj.get("status") or {}, obj["metadata"]
        if verdict_name(spec["image"]) != metadata["name"]:
            return None
        return Kept(
            Wanted(
                metadata["namespace"],
                spec["image"],
                spec.get("serviceAccountName") or "",
                tuple(spec.get("imagePullSecrets") or ()),
            ),
            moment(spec["requested"]),
            {each["rule"]: _held(each) for each in status.get("answers") or ()},
            moment(status["checked"]) if "checked" in status else 0.0,
            int(status.get("failures") or 0),
            str(status.get("trustRoot") or ""),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def request(wanted: Wanted, now: float) -> dict[str, Any]:
    """What the webhook writes: the image and with whose credentials; the time to the minute, so that it is rare."""
    spec: dict[str, Any] = {"image": wanted.image, "requested": text(now - now % 60)}
    if wanted.service_account:
        spec["serviceAccountName"] = wanted.service_account
    if wanted.pull_secrets:
        spec["imagePullSecrets"] = list(wanted.pull_secrets)
    return {**_head(wanted), "spec": spec}


def answered(kept: Kept, names: dict[str, str]) -> dict[str, Any]:
    """What the controller writes into the status. ``names`` says for people which rules a fingerprint is of."""
    status: dict[str, Any] = {
        "answers": [_answer(rule, held, names.get(rule, "")) for rule, held in sorted(kept.answers.items())],
        "failures": min(kept.failures, 1000),
        "trustRoot": kept.trust_root,
    }
    if kept.checked:
        status["checked"] = text(kept.checked)
    return {**_head(kept.wanted), "status": status}


def moment(value: str) -> float:
    """Seconds since the epoch; raises ValueError."""
    found = datetime.fromisoformat(value)
    if found.tzinfo is None:
        raise ValueError("a time without its zone")
    return found.timestamp()


def text(seconds: float) -> str:
    """The moment as Kubernetes writes it."""
    return datetime.fromtimestamp(int(seconds), tz=UTC).strftime(_FORMAT)


def names_of(rules: Iterable[tuple[str, str]]) -> dict[str, str]:
    """For each fingerprint the rules that have it, as far as fits."""
    found: dict[str, list[str]] = {}
    for fingerprint, name in rules:
        found.setdefault(fingerprint, []).append(name)
    return {fingerprint: ", ".join(sorted(names))[:_MAX_MESSAGE] for fingerprint, names in found.items()}


def _head(wanted: Wanted) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": wanted.name, "namespace": wanted.namespace},
    }


def _held(value: Any) -> Held:
    return Held(Answer(SignatureReason(value["reason"]), value.get("message") or ""), moment(value["until"]))


def _answer(rule: str, held: Held, names: str) -> dict[str, Any]:
    return {
        "rule": rule,
        "names": names,
        "reason": held.answer.reason.value,
        "message": held.answer.message[:_MAX_MESSAGE],
        "until": text(held.until),
    }
