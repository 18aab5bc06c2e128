"""Answers: allowed or denied, with the reason as a stable code and the rule that decided."""

from dataclasses import dataclass
from enum import StrEnum

from ringfence.model.effective import Direction, RuleRef


class Reason(StrEnum):
    """Why a call is allowed or denied. Codes are stable: logs, tests and scripts rely on them."""

    #: The end is an address outside, or a pod in the network of its node: no NetworkPolicy governs it.
    NOT_GOVERNED = "NotGoverned"
    NOT_ENROLLED = "NotEnrolled"
    NOT_CLOSED = "NotClosed"
    ALLOWED_BY_RULE = "AllowedByRule"
    #: A rule allows some requests; whether this one, nobody has asked.
    ALLOWED_FOR_REQUESTS = "AllowedForRequests"
    #: A rule allows hosts of some names there; of which, nobody has asked.
    ALLOWED_FOR_HOSTS = "AllowedForHosts"
    ALLOWED_BUILTIN = "AllowedBuiltin"
    ALLOWED_INSIDE = "AllowedInside"
    DENIED_BY_RULE = "DeniedByRule"
    NO_RULE_ALLOWS = "NoRuleAllows"
    #: The proxy answers such a request itself, whatever the rules say.
    REQUEST_REFUSED = "RequestRefused"
    #: Programs may read the request in another way than the rules that look at it.
    REQUEST_UNCLEAR = "RequestUnclear"
    RULE_SUSPENDED = "RuleSuspended"
    #: A rule would allow it, but the call shows no identity and the transport is Strict.
    NEEDS_MUTUAL_TLS = "NeedsMutualTLS"


@dataclass(frozen=True, slots=True)
class Half:
    """The answer of one end: of the target's ingress or of the source's egress.

    ``rule`` is the rule that decided, None where a default did. ``audit`` holds what policies in mode Audit would
    have changed: True allow, False deny, None nothing.
    """

    direction: Direction
    allowed: bool
    reason: Reason
    rule: RuleRef | None = None
    audit: bool | None = None
    audit_rule: RuleRef | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """May this call be made? Both halves must allow it."""

    egress: Half
    ingress: Half

    @property
    def allowed(self) -> bool:
        return self.egress.allowed and self.ingress.allowed

    @property
    def deciding(self) -> Half:
        """The half to name to a person: a denial first, else the target's."""
        return self.ingress if self.egress.allowed else self.egress


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """One thing that is wrong with a pod: the control's id, the field, what was found and what to write instead.

    ``policy`` is who asked, ``standard`` the Pod Security level and version that it asked for as Kubernetes writes
    them (``restricted:v1.31``), ``reason`` what Kubernetes' own Pod Security admission calls it; "" where there is
    none.
    """

    control: str
    field: str
    message: str
    fix: str
    policy: str = ""
    standard: str = ""
    reason: str = ""
