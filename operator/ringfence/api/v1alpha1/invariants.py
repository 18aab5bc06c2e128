"""Invariants of a ClusterSecurityPolicy: what no policy may ever open, and what none may ever close."""

from dataclasses import replace
from typing import Final

from ringfence.api.schema import Choice, Complaint, Field, ListOf, Node, Obj, at_least_one_of
from ringfence.api.v1alpha1 import identifiers, peers, requests

MAX_INVARIANTS: Final = 32
MAX_PEERS: Final = 32
MAX_PORTS: Final = 16
MAX_HTTP: Final = 4

TRANSITIVE: Final = "Transitive"
DIRECT: Final = "Direct"

_HINTS: Final = {
    "methods": Complaint("is not a field here", "write http: [{methods: […]}]"),
    "paths": Complaint("is not a field here", "write http: [{paths: […]}]"),
    "when": Complaint("is not a field", "write http: an invariant holds whatever else a request has"),
    "port": Complaint("is not a field", "write ports, a list"),
    "action": Complaint("is not a field", "an invariant stands in neverAllow or in alwaysAllow"),
    "except": Complaint("is not a field", "write unless, the callers that it says nothing of"),
}


def _name() -> Field:
    description = "Tells the invariant from the others of its list; answers and refusals name it."
    return Field(name="name", node=replace(identifiers.DNS_LABEL, description=description), required=True)


def _peers(name: str, description: str, *, ingress: bool, required: bool = False) -> Field:
    items = peers.peer(ingress=ingress, own_namespace=False)
    return Field(name=name, node=ListOf(description=description, items=items, max_items=MAX_PEERS), required=required)


def _ports(description: str, *, required: bool = False) -> Field:
    node = ListOf(description=description, items=peers.PORT, max_items=MAX_PORTS)
    return Field(name="ports", node=node, required=required)


_TO: Final = (
    "The targets: any of these. A zone or a namespace means every pod of it, those with no identity too. If left out,"
    " every pod of every enrolled namespace."
)

_NEVER: Final = Obj(
    description="Calls that no policy may allow, proven for every pod that admission could let in.",
    fields=(
        _name(),
        _peers(
            "from",
            "The callers: any of these. A zone or a namespace means every pod of it, those with no identity too;"
            " anonymous means addresses outside the cluster and pods with no identity. If left out, everyone.",
            ingress=True,
        ),
        _peers("unless", "Callers of whom this says nothing, whatever from names.", ingress=True),
        _peers("to", _TO, ingress=False),
        _ports("The ports at the targets: any of these. If left out, every port."),
        requests.http(
            "The requests that may never come: any of these. Bytes in which no proxy sees requests may be any of them."
            " If left out, whatever is sent.",
            MAX_HTTP,
            tunnels=False,
        ),
        Field(
            name="reach",
            node=Choice(
                description=(
                    "Transitive: nor may they reach them through others, pods that they may call and that may call on."
                    " Direct: only calls of theirs count. Default: Transitive."
                ),
                values=(TRANSITIVE, DIRECT),
            ),
            default=TRANSITIVE,
        ),
        _peers(
            "through",
            "Pods that stand guard: what goes through them does not count, such as a gateway that is the only way in.",
            ingress=False,
        ),
    ),
    rules=(at_least_one_of(("from", "to"), "an invariant"),),
    hints=_HINTS,
)

_ALWAYS: Final = Obj(
    description="Calls that the policies must allow, for every pod that admission could let in.",
    fields=(
        _name(),
        _peers(
            "from",
            "The callers: each of these, as far as it has an identity or is outside.",
            ingress=True,
            required=True,
        ),
        _peers("to", _TO + " Identities that do not exist yet do not count.", ingress=False),
        _ports("The ports at the targets: all of these must be open.", required=True),
        requests.http(
            "The requests that must always pass: all of these. If left out, whatever is sent.", MAX_HTTP, tunnels=False
        ),
    ),
    hints={**_HINTS, "reach": Complaint("is for neverAllow", "leave it out: what is always allowed is one call")},
)


def _list(name: str, description: str, items: Node) -> Field:
    return Field(name=name, node=ListOf(description=description, items=items, max_items=MAX_INVARIANTS, key="name"))


#: They hold in the whole cluster, whatever namespaceSelector says.
FIELDS: Final = (
    _list(
        "neverAllow",
        "What can never be called. Proven over all policies of the cluster, whatever namespaceSelector says: where the"
        " policy enforces, a change that would break it is refused with the calls that it would allow.",
        _NEVER,
    ),
    _list(
        "alwaysAllow",
        "What can always be called. Proven over all policies of the cluster, whatever namespaceSelector says: where the"
        " policy enforces, a change that would break it is refused with the call that it would close.",
        _ALWAYS,
    ),
)
NAMES: Final = tuple(field.name for field in FIELDS)
