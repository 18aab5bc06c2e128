"""Names inside Envoy's configuration, and back: logs and statistics carry them, people read them."""

from typing import Final

from ringfence.model.effective import RuleRef
from ringfence.model.resources import Kind
from ringfence.policy.builtins import BUILTIN

INBOUND: Final = "inbound"
OUTBOUND: Final = "outbound"
STATUS: Final = "status"
#: Clusters: to the own program (as TCP, and as the HTTP that came in), on to where it was going, to nowhere.
TO_PROGRAM: Final = "inbound"
TO_PROGRAM_HTTP: Final = "inbound-http"
PASSTHROUGH: Final = "passthrough"
REFUSED: Final = "refused"
#: To hosts outside by their names: the cluster that resolves them, and the way of TLS there.
BY_NAME: Final = "hosts"
TO_NAMES: Final = "names"
#: The collector of spans.
TRACING: Final = "tracing"
#: In the names of chains for what Audit would deny; the rule follows it.
AUDIT_DENIED: Final = "audit-denied"
#: HTTP filters; routes carry the policy for them.
DENY_FILTER: Final = "ringfence.deny"
ALLOW_FILTER: Final = "ringfence.allow"
#: Takes out what callers say in the place of proxies, or where no rule looks.
SPOOFED_FILTER: Final = "ringfence.spoofed"
#: What tells the log which limit has refused, and what keeps callers from saying it.
LIMITS_SAID: Final = "ringfence.limits-said"
LIMITS_HUSH: Final = "ringfence.limits-hush"
#: Where the log finds it.
LIMITS: Final = "ringfence.limits"
#: Holds bodies whose length is not told.
BODY_FILTER: Final = "ringfence.body"

#: In the place of a namespace, which cannot have a colon.
_CLUSTER: Final = ":cluster"
_BUILTIN: Final = ":builtin"


def unclear_ref(number: int) -> RuleRef:
    """What refuses requests about which rules cannot be asked."""
    return RuleRef(BUILTIN, "", "unclear", str(number))


def policy_id(ref: RuleRef) -> str:
    """``namespace/policy#rule``; ``:cluster`` and ``:builtin`` stand for the namespace of what has none."""
    place = {Kind.CLUSTER_SECURITY_POLICY.value: _CLUSTER, BUILTIN: _BUILTIN}.get(ref.kind, ref.namespace)
    return f"{place}/{ref.policy}#{ref.rule}"


def rule_ref(policy: str) -> RuleRef:
    """The rule that ``policy_id`` wrote; raises ValueError for anything else."""
    place, slash, rest = policy.partition("/")
    name, hash_, rule = rest.partition("#")
    if not (place and slash and name and hash_ and rule):
        raise ValueError(f"{policy!r} is no namespace/policy#rule")
    if place == _CLUSTER:
        return RuleRef(Kind.CLUSTER_SECURITY_POLICY.value, "", name, rule)
    if place == _BUILTIN:
        return RuleRef(BUILTIN, "", name, rule)
    return RuleRef(Kind.SECURITY_POLICY.value, place, name, rule)
