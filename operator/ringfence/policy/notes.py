"""Where resolving leaves its findings: a set that is read out sorted, so order of discovery never shows."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ringfence.model.effective import Finding, RuleRef
from ringfence.model.resources import Kind
from ringfence.policy.reasons import FindingReason

Subject = tuple[str, str, str]


@dataclass(slots=True)
class Notes:
    """Findings so far; the same one twice counts once."""

    _found: set[Finding] = field(default_factory=set)

    def add(self, subject: Subject, reason: FindingReason, message: str) -> None:
        """Note something about the resource ``subject`` (kind, namespace, name)."""
        self._found.add(Finding(subject, reason.value, message))

    def include(self, findings: Iterable[Finding]) -> None:
        """Note what was found elsewhere."""
        self._found.update(findings)

    def rule(self, ref: RuleRef, reason: FindingReason, message: str) -> None:
        """Note something about a rule, on the policy that holds it; the message continues ``rule X …``."""
        self.add((ref.kind, ref.namespace, ref.policy), reason, f"rule {ref.rule} {message}")

    def namespace(self, name: str, reason: FindingReason, message: str) -> None:
        """Note something about a Namespace."""
        self.add(("Namespace", "", name), reason, message)

    def identity(self, namespace: str, name: str, reason: FindingReason, message: str) -> None:
        """Note something about a ServiceIdentity."""
        self.add((Kind.SERVICE_IDENTITY.value, namespace, name), reason, message)

    def sorted(self) -> tuple[Finding, ...]:
        """Every finding, sorted."""
        return tuple(sorted(self._found))
