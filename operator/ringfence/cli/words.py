"""A verdict in words: who decided, by which rule, and where that rule is written."""

from collections.abc import Mapping
from typing import Any, Final

from ringfence.cli.world import Loaded, ResourceKey
from ringfence.model.effective import RuleRef
from ringfence.model.verdict import Half, Reason
from ringfence.model.world import Enrolment, Workload
from ringfence.policy.ends import Address, Called, Host


def place(ref: RuleRef, section: str, loaded: Loaded) -> str:
    """``file:line`` of a rule or another entry of a section of the spec; "" for one that comes from no file."""
    document = loaded.resources.get((ref.kind, ref.namespace, ref.policy))
    if document is None or not document.position.line:
        return ""
    rules = document.value["spec"].get(section) or []
    field = next((f"spec.{section}[{i}]" for i, rule in enumerate(rules) if rule["name"] == ref.rule), "spec")
    return f"{document.source}:{document.position.line_of(field)}"


def place_of(key: ResourceKey, field: str, loaded: Loaded) -> str:
    """``file:line`` of a field of a resource; "" for one that comes from no file."""
    document = loaded.resources.get(key)
    if document is None or not document.position.line:
        return ""
    return f"{document.source}:{document.position.line_of(field)}"


def because(half: Half, governed: Called, loaded: Loaded) -> str:
    """Why one end says what it says."""
    audit = _audit(half, loaded)
    return _reason(half, governed, loaded) + audit


#: What needs nothing looked up; ``{rule}`` is the rule that decided, ``{where}`` the namespace that is governed.
_SENTENCES: Final[Mapping[Reason, str]] = {
    Reason.NOT_ENROLLED: "{where} is not enrolled, so nothing is closed there",
    Reason.ALLOWED_INSIDE: "no policy lists its egress, so calls inside the cluster are up to the target",
    Reason.NO_RULE_ALLOWS: "no rule allows it",
    Reason.ALLOWED_BUILTIN: "{name} is always open",
    Reason.RULE_SUSPENDED: "{rule} would allow it but is suspended (`ringfence compile` says why)",
    Reason.NEEDS_MUTUAL_TLS: "{rule} would allow it in mutual TLS; without, the caller has no identity",
    Reason.ALLOWED_BY_RULE: "{rule}",
    Reason.DENIED_BY_RULE: "{rule}",
    Reason.ALLOWED_FOR_REQUESTS: "{rule} allows some requests",
    Reason.ALLOWED_FOR_HOSTS: "{rule} allows hosts of some names there (ask for host:NAME)",
    Reason.REQUEST_REFUSED: "a proxy refuses such a request whatever the rules say (path, method or upgrade)",
    Reason.REQUEST_UNCLEAR: "programs may read such a path, query or header in another way than rules that look at it",
}


def _reason(half: Half, governed: Called, loaded: Loaded) -> str:
    if half.reason is Reason.NOT_GOVERNED:
        kinds = {Address: "it is an address", Host: "it is a host outside"}
        what = kinds.get(type(governed), "it uses the network of its node")
        return f"{what}, which no policy governs"
    where = f"namespace {governed.namespace}" if isinstance(governed, Workload) else "it"
    if half.reason is Reason.NOT_CLOSED:
        return f"{where} {_open(governed, loaded)}"
    name = half.rule.rule if half.rule is not None else "it"
    return _SENTENCES[half.reason].format(where=where, name=name, rule=_rule(half.rule, half, loaded))


def _open(governed: Called, loaded: Loaded) -> str:
    known = loaded.world.namespaces.get(governed.namespace) if isinstance(governed, Workload) else None
    if known is not None and known.enrolment is Enrolment.AUDIT:
        return "is audited, so nothing is blocked there"
    return "is enrolled but not closed yet (`ringfence compile` says why)"


def _rule(ref: RuleRef | None, half: Half, loaded: Loaded) -> str:
    if ref is None:
        return "a rule"
    where = place(ref, half.direction, loaded)
    return f"{ref} ({where})" if where else str(ref)


def _audit(half: Half, loaded: Loaded) -> str:
    if half.audit is None or half.audit == half.allowed:
        return ""
    would = "allow" if half.audit else "deny"
    by = f" by {_rule(half.audit_rule, half, loaded)}" if half.audit_rule else ""
    return f"; if all were enforced, it would {would} it{by}"


def half_data(half: Half, governed: Called, loaded: Loaded) -> dict[str, Any]:
    """One end's answer for programs."""
    return {
        "allowed": half.allowed,
        "reason": str(half.reason),
        "rule": rule_data(half.rule, half.direction, loaded),
        "because": because(half, governed, loaded),
        "audit": None
        if half.audit is None
        else {
            "allowed": half.audit,
            "rule": rule_data(half.audit_rule, half.direction, loaded),
        },
    }


def rule_data(ref: RuleRef | None, section: str, loaded: Loaded) -> dict[str, str] | None:
    """A rule, or another entry of a section, for programs."""
    if ref is None:
        return None
    return {
        "kind": ref.kind,
        "namespace": ref.namespace,
        "policy": ref.policy,
        "rule": ref.rule,
        "source": place(ref, section, loaded),
    }
