"""Schemas as CustomResourceDefinitions: structural OpenAPI v3 with CEL validations.

Two decisions make the API server refuse what a person did not mean instead of dropping it:

- Objects below ``spec`` keep fields that they do not know (``x-kubernetes-preserve-unknown-fields``). The API server
  drops such fields unless the client asks for strict validation, and many clients do not ask; a policy whose ``from``
  was mistyped would then open more than was meant. Kept, they reach the webhook and the controller, which refuse them.
- Fields that may be left out, and texts in maps, are ``nullable``, because null is otherwise dropped too, and ``from:``
  with nothing behind it would mean everybody. No validation of the API server can tell null from absence, so this too
  is for the webhook.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ringfence.api.schema import (
    NO_DEFAULT,
    Choice,
    Column,
    Either,
    Field,
    Flag,
    Integer,
    ListOf,
    MapOf,
    Node,
    Number,
    Obj,
    Resource,
    Rule,
    Text,
)
from ringfence.model.names import GROUP, VERSION

Schema = dict[str, Any]

#: Bounds that no number meets.
_NO_NUMBER: Final = Integer(description="", minimum=1, maximum=0)


def crd(resource: Resource) -> Schema:
    """The CustomResourceDefinition of a kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "shortNames": [resource.short_name],
                "categories": ["ringfence"],
            },
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _root(resource)},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in resource.columns],
                }
            ],
        },
    }


def _column(column: Column) -> Schema:
    printed: Schema = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.description:
        printed["description"] = column.description
    if column.priority:
        printed["priority"] = column.priority
    return printed


def _root(resource: Resource) -> Schema:
    spec = resource.spec
    root: Schema = {
        "type": "object",
        "description": resource.description,
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
            "kind": {"type": "string", "description": resource.kind},
            "metadata": {"type": "object"},
            "spec": _property(spec, strict=True),
            "status": _node(resource.status, strict=False),
        },
        "required": [spec.name] if spec.required else [],
        "x-kubernetes-preserve-unknown-fields": True,
    }
    return _with_rules(_without_empty(root), resource.rules)


def _node(node: Node, *, strict: bool) -> Schema:
    return _NODES[type(node)](node, strict)


def _property(field: Field, *, strict: bool) -> Schema:
    schema = _nullable(field) if strict else _node(field.node, strict=False)
    return schema if field.default is NO_DEFAULT else {**schema, "default": field.default}


def _object(node: Obj, strict: bool) -> Schema:
    schema: Schema = {
        "type": "object",
        "description": node.description,
        "properties": {field.name: _property(field, strict=strict) for field in node.fields},
        "required": [field.name for field in node.fields if field.required],
    }
    if strict:
        schema["x-kubernetes-preserve-unknown-fields"] = True
    if node.atomic:
        schema["x-kubernetes-map-type"] = "atomic"
    # CEL does not see fields that may be of several types, so a rule about one of them is said by the schema itself.
    several = {field.name for field in node.fields if isinstance(field.node, Either) and field.node.detail is not None}
    shaped = [rule for rule in node.rules if not several.isdisjoint(rule.any_of)]
    for rule in shaped:
        schema["anyOf"] = [{"required": [name]} for name in rule.any_of]
    return _with_rules(_without_empty(schema), [rule for rule in node.rules if rule not in shaped])


def _with_rules(schema: Schema, rules: Iterable[Rule]) -> Schema:
    said = [{"rule": rule.cel, "message": rule.message} for rule in rules if rule.cel]
    return {**schema, "x-kubernetes-validations": said} if said else schema


def _without_empty(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if value not in ([], {})}


def _text(node: Text, _strict: bool) -> Schema:
    schema: Schema = {"type": "string", "description": node.description, "maxLength": node.max_length}
    if node.min_length:
        schema["minLength"] = node.min_length
    schema["pattern"] = node.pattern
    if node.format:
        schema["format"] = node.format
    return _with_rules(schema, node.rules)


def _integer(node: Integer, _strict: bool) -> Schema:
    schema: Schema = {
        "type": "integer",
        "description": node.description,
        "minimum": node.minimum,
        "maximum": node.maximum,
    }
    if node.format:
        schema["format"] = node.format
    return schema


def _number(node: Number, _strict: bool) -> Schema:
    return {"type": "number", "description": node.description, "minimum": node.minimum, "maximum": node.maximum}


def _choice(node: Choice, _strict: bool) -> Schema:
    return {"type": "string", "description": node.description, "enum": list(node.values)}


def _flag(node: Flag, _strict: bool) -> Schema:
    return {"type": "boolean", "description": node.description, "enum": [True]}


def _list(node: ListOf, strict: bool) -> Schema:
    schema: Schema = {
        "type": "array",
        "description": node.description,
        "items": _node(node.items, strict=strict),
        "maxItems": node.max_items,
    }
    if node.min_items:
        schema["minItems"] = node.min_items
    if node.key:
        schema |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [node.key]}
    else:
        schema["x-kubernetes-list-type"] = "set" if node.unique else "atomic"
    return schema


def _map(node: MapOf, _strict: bool) -> Schema:
    schema: Schema = {
        "type": "object",
        "description": node.description,
        "additionalProperties": _node(node.values, strict=False),
        "minProperties": 1,
        "maxProperties": node.max_items,
    }
    if isinstance(node.values, ListOf):
        return schema
    schema["additionalProperties"]["nullable"] = True
    schema["x-kubernetes-validations"] = [
        {
            "rule": f"self.all(key, size(key) <= {node.keys.max_length})",
            "message": f"a key has more than {node.keys.max_length} characters",
        },
        {
            "rule": f"self.all(key, key.matches({_literal(node.keys.pattern)}))",
            "message": f"a key is not {node.keys.what}",
        },
        *(
            {"rule": f"self.all(key, {rule.cel.replace('self', 'key')})", "message": rule.message}
            for rule in node.keys.rules
        ),
    ]
    return schema


def _literal(text: str) -> str:
    """A CEL string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _either(node: Either, _strict: bool) -> Schema:
    if node.detail is None:
        return {"description": node.description, "x-kubernetes-int-or-string": True, **_bounds(node)}
    return _union(node, node.detail)


def _bounds(node: Either) -> Schema:
    number = node.number or _NO_NUMBER
    word = node.word
    pattern = word.pattern if isinstance(word, Text) else f"^({'|'.join(word.values)})$"
    longest = word.max_length if isinstance(word, Text) else max(map(len, word.values))
    return {"minimum": number.minimum, "maximum": number.maximum, "pattern": pattern, "maxLength": longest}


def _union(node: Either, detail: Obj) -> Schema:
    """Strings and objects, perhaps numbers: several types at once, which a structural schema cannot say so.

    Without ``type`` every value validation binds the values of its own type only. So booleans are refused by
    ``not``, fractions by ``multipleOf``, lists by bounds that none meets, and unknown fields of an object by listing
    the sets of fields that it may have.
    """
    return {
        "description": node.description,
        "x-kubernetes-preserve-unknown-fields": True,
        **_bounds(node),
        "multipleOf": 1,
        "not": {"enum": [True, False]},
        "minItems": 1,
        "maxItems": 0,
        "properties": {field.name: _nullable(field) for field in detail.fields},
        "anyOf": [{"required": names, "maxProperties": len(names)} for names in _field_sets(detail)],
    }


def _nullable(field: Field) -> Schema:
    """Without a default: the API server sets none where there is no type."""
    schema = _node(field.node, strict=True)
    return {**schema, "nullable": True} if field.optional else schema


def _field_sets(detail: Obj) -> list[list[str]]:
    sets: list[list[str]] = [[field.name for field in detail.fields if field.required]]
    for field in detail.fields:
        if field.optional:
            sets += [[*names, field.name] for names in sets]
    return sets


_NODES: Final[Mapping[type[Node], Callable[[Any, bool], Schema]]] = {
    Text: _text,
    Integer: _integer,
    Number: _number,
    Choice: _choice,
    Flag: _flag,
    ListOf: _list,
    MapOf: _map,
    Either: _either,
    Obj: _object,
}
