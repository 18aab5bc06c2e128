"""What is said of an identity's certificate on its ServiceIdentity. Pure.

The condition CertificateReady speaks of the certificate alone; where it is False, Ready says the same, since an
identity whose program has no certificate cannot be used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ringfence.model.certificates import CertificateSummary
from ringfence.model.ports import Object
from ringfence.pki.identity_secret import Reason
from ringfence.pki.store import CaUnusable
from ringfence.reconcile import conditions
from ringfence.reconcile.conditions import Condition

CERTIFICATE_READY: Final = "CertificateReady"
REASON_ISSUED: Final = "Issued"
REASON_NOT_GRANTED: Final = "NamesNotGranted"
REASON_REFUSED: Final = "CertificateRefused"


@dataclass(frozen=True, slots=True)
class Told:
    """What the status of an identity says of its certificate; ``condition`` None: it asked for none."""

    certificate: Mapping[str, str] | None = None
    condition: Condition | None = None


def good(secret_name: str, refused: Sequence[str], summary: CertificateSummary | None) -> Told:
    """There is a good certificate; ``refused`` are names that were asked for and are not in it."""
    condition = Condition(CERTIFICATE_READY, True, REASON_ISSUED, f"the certificate is in Secret {secret_name}")
    if refused:
        condition = Condition(
            CERTIFICATE_READY,
            False,
            REASON_NOT_GRANTED,
            f"issued without {', '.join(refused)}: they need a grant in a ClusterSecurityPolicy"
            " (spec.grants: namespace, identities, dnsNames)",
        )
    return Told(fields(summary), condition)


def bad(reason: Reason | str, message: str, summary: CertificateSummary | None) -> Told:
    """There is none, or not the one that was asked for; ``summary`` is of the one that is there."""
    return Told(fields(summary), Condition(CERTIFICATE_READY, False, str(reason), message))


def unchanged(obj: Object) -> Told:
    """What the status says already: nothing new is known."""
    held = obj.get("status") or {}
    known = conditions.find(held.get("conditions"), CERTIFICATE_READY)
    condition = None
    if known is not None:
        condition = Condition(CERTIFICATE_READY, known["status"] == "True", known["reason"], known["message"])
    return Told(held.get("certificate"), condition)


def without_ca(obj: Object, problem: CaUnusable | None) -> Told:
    """The CA cannot be used; without a ``problem`` it is about to be loaded, and there is nothing to say yet."""
    if problem is None:
        return unchanged(obj)
    return Told(
        (obj.get("status") or {}).get("certificate"),
        Condition(CERTIFICATE_READY, False, problem.reason, f"{problem}; nothing is issued or renewed meanwhile"),
    )


def fields(summary: CertificateSummary | None) -> dict[str, str] | None:
    """``status.certificate``; None for no certificate."""
    if summary is None:
        return None
    return {
        "serial": summary.serial,
        "notBefore": conditions.timestamp(summary.not_before),
        "notAfter": conditions.timestamp(summary.not_after),
        "renewalTime": conditions.timestamp(summary.renewal_time),
        "issuer": summary.issuer,
    }


def joined(
    numbers: Mapping[str, Any], ready: Condition, told: Told
) -> tuple[dict[str, Any], Condition, list[Condition]]:
    """The status of an identity with what is to be said of its certificate: fields, Ready, and other conditions."""
    joint = dict(numbers)
    if told.certificate:
        joint["certificate"] = dict(told.certificate)
    if told.condition is None:
        return joint, ready, []
    if ready.status and not told.condition.status:
        ready = Condition(ready.type, False, told.condition.reason, told.condition.message)
    return joint, ready, [told.condition]
