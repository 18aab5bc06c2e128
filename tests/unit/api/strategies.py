"""Random resources: whatever the schema describes, and whatever people and attackers make of it."""

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st
from ringfence.api import schema
from ringfence.api.v1alpha1 import RESOURCES, fetched_keys, peers, tokens
from ringfence.model import durations, sizes
from ringfence.model.names import identity_secret

from tests.unit.api import corpus_making

Strategy = st.SearchStrategy[Any]

_NETWORKS = (
    {"cidr": "10.0.0.0/8"},
    {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.2.3.0/24"]},
    {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]},
    {"cidr": "2001:db8::/32", "except": ["2001:db8:1::/48"]},
    {"cidr": "::1/128"},
)
_HOSTS = ("api.example.com", "*.example.com", "xn--bcher-kva.example", "a.b-c.example")
_LIVES = ("10m", "4h", "1h30m", "600s", "24h", "23h59m60s", "0h0m3600s")
_SIZES = ("1Ki", "64Ki", "98304", "96Ki")
_TIMES = ("2027-03-31T00:00:00Z", "2028-02-29T23:59:59+14:00", "2000-01-01T00:00:00-12:30")
#: By the node's id; the node is kept so that no other gets it.
_MADE: dict[int, tuple[Strategy, schema.Node]] = {}


_CONDITIONS = (
    {"attribute": "request.headers[x-env]", "in": ["prod", "a b"]},
    {"attribute": "request.headers[x]", "absent": True},
    {"attribute": "request.query[a.b_c]", "notIn": ["prod"]},
    {"attribute": "request.query[A]", "prefix": ["p", "q.r"]},
    {"attribute": "request.query[A]", "exists": True},
    {"attribute": "request.time", "within": [{"days": ["Mon", "Sun"], "from": "22:00", "to": "06:00"}]},
    {"attribute": "request.time", "outside": [{"notAfter": "2026-01-31T23:59:59Z"}, {"to": "24:00"}]},
    {"attribute": "request.time", "within": [{"from": "00:00", "to": "00:01", "offset": "-12:30"}]},
)


def of(node: schema.Node) -> Strategy:
    """Values that fit the node. Made once: most of the time of a test would go into making them."""
    if id(node) not in _MADE:
        _MADE[id(node)] = _STRATEGIES[type(node)](node), node
    return _MADE[id(node)][0]


def _text(node: schema.Text) -> Strategy:
    if node.pattern == durations.PATTERN:
        return st.sampled_from(_LIVES)
    if node.pattern == sizes.PATTERN:
        return st.sampled_from(_SIZES)
    if node.format == "date-time":
        return st.sampled_from(_TIMES)
    if node is peers.HOST:
        return st.sampled_from(_HOSTS)
    if node.max_length == tokens.MAX_JWKS or node is fetched_keys.CA_BUNDLE:
        return st.just(corpus_making.ROOT if node is fetched_keys.CA_BUNDLE else corpus_making.jwks())
    pattern = re.sub(r"\\x\{([0-9a-f]{4})\}", r"\\u\1", node.pattern)
    fitting = st.from_regex(re.compile(pattern), fullmatch=True)
    return fitting.filter(
        lambda text: (
            node.min_length <= len(text) <= node.max_length
            and _encodable(text)
            and not any(rule.test(text) for rule in node.rules)
        )
    )


def _encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _list(node: schema.ListOf) -> Strategy:
    by = (lambda item: item[node.key]) if node.key else repr
    return st.lists(of(node.items), min_size=node.min_items, max_size=3, unique_by=by)


def _port(node: schema.Obj) -> Strategy:
    def ordered(value: dict[str, Any]) -> bool:
        return "endPort" not in value or (isinstance(value["port"], int) and value["endPort"] >= value["port"])

    return _fields(node).filter(ordered)


def _object(node: schema.Obj) -> Strategy:
    names = node.by_name.keys()
    if {"identity", "zone"} <= names:
        kinds = [st.fixed_dictionaries({f.name: of(f.node)}) for f in node.fields if f.name not in {"cidr", "except"}]
        return st.one_of(*kinds, st.sampled_from(_NETWORKS))
    if "attribute" in names:
        return st.sampled_from(_CONDITIONS)
    if {"identities", "podSelector"} == names:
        return st.one_of(*(st.fixed_dictionaries({f.name: of(f.node)}) for f in node.fields))
    if {"key", "operator", "values"} == names:
        return _fields(node).filter(lambda value: ("values" in value) == (value["operator"] in {"In", "NotIn"}))
    return _fields(node).map(_fitting).filter(lambda value: not any(rule.test(value) for rule in node.rules))


def _fitting(value: dict[str, Any]) -> dict[str, Any]:
    """The value; a rule that names hosts with an action and ports that go with them, an issuer with keys or an address
    of some."""
    if {"name", "issuer", "audiences"} <= value.keys():
        if "jwks" in value or "jwksUri" not in value:
            kept = {name: each for name, each in value.items() if name not in {"jwksUri", "caBundle"}}
            return {"jwks": corpus_making.jwks(), **kept}
        return value
    if any("host" in each for each in value.get("to", ())):
        return {**value, "action": "Allow", "ports": [443, {"port": 8443, "protocol": "TCP"}]}
    return value


def _fields(node: schema.Obj) -> Strategy:
    required = {f.name: of(f.node) for f in node.fields if f.required}
    return st.fixed_dictionaries(required, optional={f.name: of(f.node) for f in node.fields if not f.required})


def _either(node: schema.Either) -> Strategy:
    forms = [of(node.number)] if node.number else []
    detail = [_port(node.detail) if node.number else _fields(node.detail)] if node.detail else []
    return st.one_of(*forms, of(node.word), *detail)


_STRATEGIES: Mapping[type[schema.Node], Callable[[Any], Strategy]] = {
    schema.Text: _text,
    schema.Number: lambda node: st.floats(node.minimum, node.maximum),
    schema.Integer: lambda node: st.integers(node.minimum, node.maximum),
    schema.Choice: lambda node: st.sampled_from(node.values),
    schema.Flag: lambda _: st.just(True),
    schema.ListOf: _list,
    schema.MapOf: lambda node: st.dictionaries(of(node.keys), of(node.values), min_size=1, max_size=3),
    schema.Either: _either,
    schema.Obj: _object,
}


@st.composite
def resources(draw: st.DrawFn) -> dict[str, Any]:
    """Good resources of every kind."""
    resource = draw(st.sampled_from(RESOURCES))
    metadata = {"name": "random", **({"namespace": "shop"} if resource.namespaced else {})}
    spec = draw(of(resource.spec.node))
    if "secretName" in spec.get("certificate", ()):
        spec["certificate"]["secretName"] = identity_secret(spec.get("serviceAccountName", "random"))
    return {"apiVersion": "ringfence.dev/v1alpha1", "kind": resource.kind, "metadata": metadata, "spec": spec}


JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1.5, 80, 65536, 10**20, "", "a", "A", "-", "a\n", "a\x00", "\u0430", "*", "80"),
    *(
        "10.0.0.0/8",
        "10.0.0.1/8",
        "::/0",
        "x" * 300,
        [],
        [None],
        ["a"],
        [[]],
        {},
        {"a": "b"},
        {"port": 80},
        {"name": "a"},
    ),
)
FIELDS = ("form", "host", "http", "cidr", "zone", "except", "anonymous", "ports", "name", "action", "endPort", "x" * 70)


@st.composite
def broken(draw: st.DrawFn, obj: dict[str, Any]) -> dict[str, Any]:
    """The resource with one to three things changed below ``spec``."""
    changed = copy.deepcopy(obj)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(changed, "spec"))
        holder, key = draw(st.sampled_from(places))
        change = draw(st.sampled_from(("replace", "remove", "add", "repeat")))
        value = holder[key]
        if change == "replace":
            holder[key] = copy.deepcopy(draw(st.sampled_from(JUNK)))
        elif change == "remove" and holder is not changed:
            del holder[key]
        elif change == "add" and isinstance(value, dict):
            value[draw(st.sampled_from(FIELDS))] = copy.deepcopy(draw(st.sampled_from(JUNK)))
        elif change == "repeat" and isinstance(value, list):
            value.extend(copy.deepcopy(value))
    return changed


def _places(holder: Any, key: Any) -> Any:
    """Every (container, key) at and below ``holder[key]``."""
    yield holder, key
    value = holder[key]
    if isinstance(value, dict):
        for name in list(value):
            yield from _places(value, name)
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from _places(value, index)
