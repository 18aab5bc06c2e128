"""What SecurityPolicy and ClusterSecurityPolicy share: rules, modes, admission levels and conditions."""

from dataclasses import replace
from typing import Final

from ringfence.api.schema import (
    Choice,
    Column,
    Complaint,
    Either,
    Field,
    Integer,
    ListOf,
    Obj,
    Rule,
    Text,
    at_least_one_of,
)
from ringfence.api.v1alpha1 import admission, conditions, identifiers, peers, requests, tokens, traffic
from ringfence.model.resources import MTLS, NEWEST_POD_SECURITY, Action, Mode, PodSecurityLevel

MAX_RULES: Final = 100
MAX_PEERS: Final = 64
MAX_PORTS: Final = 64

_RULE_HINTS: Final = {
    "port": Complaint("is not a field", "write ports, a list"),
    "protocol": Complaint("is not a field", "write ports: [{port: …, protocol: …}]"),
}
_AT_THE_TARGET: Final = Complaint("is for ingress rules: the target's proxy judges requests", "write it at the target")
_HOSTS: Final = Rule(test=peers.hosts_fit)
_EGRESS_HINTS: Final = {"http": _AT_THE_TARGET, "when": _AT_THE_TARGET, "jwt": _AT_THE_TARGET}
_OF_REQUESTS: Final = (*requests.FIELDS, *tokens.FIELDS)


def _rule(*, ingress: bool, own_namespace: bool) -> Obj:
    ends, other = ("from", "to") if ingress else ("to", "from")
    hints = {**_RULE_HINTS, other: Complaint(f"is not for {'ingress' if ingress else 'egress'} rules", f"write {ends}")}
    hints |= {} if ingress else _EGRESS_HINTS
    of_requests = (
        *(requests.needs_ports(field.name) for field in _OF_REQUESTS),
        *conditions.RULES,
        *tokens.RULES,
    )
    return Obj(
        description=f"A rule for calls {'to' if ingress else 'from'} the pods that the policy governs.",
        fields=(
            _NAME,
            _ACTION,
            _ends(ends, ingress=ingress, own_namespace=own_namespace),
            _ports("of the governed pods" if ingress else "at the target"),
            *(_OF_REQUESTS if ingress else ()),
        ),
        rules=of_requests if ingress else (_HOSTS,),
        hints=hints,
    )


_NAME: Final = Field(
    name="name",
    node=replace(
        identifiers.DNS_LABEL,
        description="Tells the rule from the others of its list; answers and logs name it.",
    ),
    required=True,
)
_ACTION: Final = Field(
    name="action",
    node=Choice(
        description="What happens to calls that match. Deny wins over every Allow. Default: Allow.",
        values=tuple(action.value for action in Action),
    ),
    default=Action.ALLOW.value,
)


def _ends(name: str, *, ingress: bool, own_namespace: bool) -> Field:
    who = "callers" if ingress else "targets"
    return Field(
        name=name,
        node=ListOf(
            description=f"The {who} that the rule matches: any of these. If left out, every authenticated identity.",
            items=peers.peer(ingress=ingress, own_namespace=own_namespace, hosts=not ingress),
            max_items=MAX_PEERS,
        ),
    )


def _ports(where: str) -> Field:
    return Field(
        name="ports",
        node=ListOf(
            description=(
                f"The ports {where} that the rule matches: any of these. If left out, every port. Ports are those of"
                " pods, not of Services."
            ),
            items=peers.PORT,
            max_items=MAX_PORTS,
        ),
    )


def _rules(*, ingress: bool, own_namespace: bool) -> Field:
    says = (
        "Who may call the pods that the policy governs. A call needs a rule that allows it and none that denies it."
        if ingress
        else "What the pods that the policy governs may call. Once a policy that applies to a pod has egress, its calls"
        " need a rule here that allows them; until then calls inside the cluster follow the target's ingress and calls"
        " to the outside are denied. DNS stays open."
    )
    return Field(
        name="ingress" if ingress else "egress",
        node=ListOf(
            description=says,
            items=_rule(ingress=ingress, own_namespace=own_namespace),
            max_items=MAX_RULES,
            key="name",
        ),
    )


_TRANSPORT: Final = Obj(
    description=(
        "What the pods' proxies take from callers. Where policies differ the strictest holds; where none says anything,"
        " Strict. It has a meaning only where pods have proxies."
    ),
    fields=(
        Field(
            name="mtls",
            node=Choice(
                description=(
                    "Strict: callers show their identity in mutual TLS; anything else is taken only on ports that a"
                    " rule opens to anonymous, cidr, namespace or apiServer. Permissive: plaintext too, its callers"
                    " told by their address, while callers move to proxies. Disabled: other proxies do not speak TLS"
                    " to these pods either."
                ),
                values=tuple(each.value for each in MTLS),
            ),
            required=True,
        ),
    ),
    hints={"minTLSVersion": Complaint("is not available: proxies speak TLS 1.3 and nothing older", "leave it out")},
)


def shared_fields(*, own_namespace: bool) -> tuple[Field, ...]:
    """mode, transport, ingress, egress, traffic and admission."""
    return (
        Field(
            name="mode",
            node=Choice(
                description=(
                    "Enforce, or Audit: evaluate and report what would have been blocked, but block nothing."
                    " Default: Enforce."
                ),
                values=tuple(mode.value for mode in Mode),
            ),
            default=Mode.ENFORCE.value,
        ),
        Field(name="transport", node=_TRANSPORT),
        _rules(ingress=True, own_namespace=own_namespace),
        _rules(ingress=False, own_namespace=own_namespace),
        traffic.field(own_namespace=own_namespace),
        Field(name="admission", node=_ADMISSION),
        tokens.ISSUERS,
    )


#: Of the level as a word, and in the object.
_LEVELS: Final = tuple(level.value for level in PodSecurityLevel)


#: Every version that is known, and no other: what a later one will check cannot be promised.
_TENS, _UNITS = divmod(NEWEST_POD_SECURITY, 10)
_VERSION: Final = rf"^(latest|1\.([0-9]|[1-{_TENS - 1}][0-9]|{_TENS}[0-{_UNITS}]))$"

_POD_SECURITY: Final = Either(
    description=(
        "The level of the Pod Security Standards of Kubernetes that pods must satisfy: a word, or level and version."
    ),
    word=Choice(description="The level, as the newest version that Ringfence knows has it.", values=_LEVELS),
    detail=Obj(
        description="The level as a version of Kubernetes has it.",
        fields=(
            Field(name="level", node=Choice(description="The level.", values=_LEVELS), required=True),
            Field(
                name="version",
                node=Text(
                    description=(
                        'The version of Kubernetes whose standards are meant, such as "1.31" (quote it: 1.30 is the'
                        f' number 1.3), up to "1.{NEWEST_POD_SECURITY}"; or latest, the newest that Ringfence knows.'
                        " Default: latest."
                    ),
                    pattern=_VERSION,
                    what=f'a Kubernetes version, "1.0" to "1.{NEWEST_POD_SECURITY}" in quotes, or latest',
                    max_length=6,
                ),
            ),
        ),
    ),
)

_ADMISSION: Final = Obj(
    description="What pods must satisfy to be admitted.",
    fields=(Field(name="podSecurity", node=_POD_SECURITY), *admission.FIELDS),
    rules=(at_least_one_of(("podSecurity", *admission.NAMES), "admission"),),
)

SPEC_HINTS: Final = {
    "rules": Complaint("is not a field", "write ingress or egress"),
}

OBSERVED_GENERATION: Final = Field(
    name="observedGeneration",
    node=Integer(
        description="The metadata.generation that this status speaks of.",
        minimum=0,
        # A schema's bounds are floats, which the API server turns into int64: 2**63 - 1 would come out negative.
        maximum=2**53 - 1,
        format="int64",
    ),
)


def _line(description: str, length: int, *, minimum: int = 0) -> Text:
    return Text(description=description, pattern="(?s)^.*$", what="text", max_length=length, min_length=minimum)


#: Kubernetes' API conventions for conditions.
CONDITIONS: Final = Field(
    name="conditions",
    node=ListOf(
        description="What is to be said about the resource, by the conventions of Kubernetes. Ready sums them up.",
        items=Obj(
            description="One statement about the resource.",
            fields=(
                Field(
                    name="type",
                    node=Text(
                        description="What the statement is about, such as Ready.",
                        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
                        what="a CamelCase word with an optional prefix",
                        max_length=316,
                    ),
                    required=True,
                ),
                Field(
                    name="status",
                    node=Choice(description="Whether it holds.", values=("True", "False", "Unknown")),
                    required=True,
                ),
                OBSERVED_GENERATION,
                Field(
                    name="lastTransitionTime",
                    node=Text(
                        description="When status changed last.",
                        pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?Z$",
                        what="a time such as 2026-01-31T23:59:59Z",
                        max_length=35,
                        format="date-time",
                    ),
                    required=True,
                ),
                Field(
                    name="reason",
                    node=Text(
                        description="Why, as a word for programs.",
                        pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                        what="a CamelCase word",
                        max_length=1024,
                    ),
                    required=True,
                ),
                Field(name="message", node=_line("Why, and what to do, for people.", 32768), required=True),
            ),
        ),
        max_items=16,
        min_items=0,
        key="type",
    ),
)


def _count(description: str) -> Integer:
    return Integer(description=description, minimum=0, maximum=2**31 - 1, format="int32")


POLICY_STATUS: Final = Obj(
    description="What Ringfence made of the policy. Written by Ringfence only.",
    fields=(
        CONDITIONS,
        OBSERVED_GENERATION,
        Field(
            name="pods",
            node=Integer(description="How many pods the policy governs.", minimum=0, maximum=2**31 - 1, format="int32"),
        ),
        Field(
            name="networkPolicies",
            node=Integer(
                description="How many NetworkPolicies hold rules of this policy.",
                minimum=0,
                maximum=2**31 - 1,
                format="int32",
            ),
        ),
        Field(
            name="programmed",
            node=Obj(
                description="How far the policy has come at the proxies, where there are any.",
                fields=(
                    Field(name="ready", node=_count("How many have said that they enforce it as it is written.")),
                    Field(name="total", node=_count("How many are connected that it shapes.")),
                ),
            ),
        ),
    ),
)

READY: Final = Column(
    name="Ready",
    path='.status.conditions[?(@.type=="Ready")].status',
    description="Whether the policy is in force as it is written.",
)
REASON: Final = Column(
    name="Reason",
    path='.status.conditions[?(@.type=="Ready")].reason',
    description="Why, in one word.",
)
#: A sentence for each thing that is wrong: too long for a table that people did not ask to be wide.
MESSAGE: Final = Column(
    name="Message",
    path='.status.conditions[?(@.type=="Ready")].message',
    description="Why, and what to do.",
    priority=1,
)
AGE: Final = Column(name="Age", path=".metadata.creationTimestamp", type="date", description="When it was created.")
MODE: Final = Column(name="Mode", path=".spec.mode", description="Enforce or Audit.")
PODS: Final = Column(name="Pods", path=".status.pods", type="integer", description="How many pods it governs.")
