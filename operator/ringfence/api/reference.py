"""The reference of the fields for people, as Markdown, from the same schema as everything else."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ringfence.api.schema import (
    NO_DEFAULT,
    Choice,
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
    Text,
)
from ringfence.api.wording import alternatives
from ringfence.model.names import API_VERSION

_INTRODUCTION = f"""# Reference of the resources

Group and version: `{API_VERSION}`. The same is in `kubectl explain securitypolicy.spec` and so on; all kinds
are in the category `ringfence` (`kubectl get ringfence -A`).

How they are read:

- A field that does not exist, a value of the wrong type, an empty list and a field with nothing behind it are errors,
  never ignored: the webhook refuses them with the name that was probably meant, whether or not the client asked for
  strict validation.
- Names are ASCII. Numbers have limits, and so have lists: a policy has at most 256 KiB.
- `ringfence compile -f FILE` finds the same errors before anything is applied.
"""


@dataclass(frozen=True, slots=True)
class _Row:
    path: str
    type: str
    presence: str
    description: str


def markdown(resources: Iterable[Resource]) -> str:
    """The page docs/api.md."""
    kinds = tuple(resources)
    places = " · ".join(f"[{each.kind}](#{each.kind.lower()})" for each in kinds)
    return "\n".join([_INTRODUCTION, f"On this page: {places}\n", *(_section(each) for each in kinds)])


def _section(resource: Resource) -> str:
    scope = "namespaced" if resource.namespaced else "cluster-scoped"
    names = f"`{resource.plural}`, `{resource.short_name}`; {scope}"
    status = Field(name="status", node=resource.status)
    return "\n".join(
        [
            f"## {resource.kind}",
            "",
            f"{resource.description} ({names}.)",
            "",
            "```yaml",
            resource.example.strip(),
            "```",
            "",
            *_table(_rows(resource.spec, "spec")),
            "",
            "What Ringfence answers:",
            "",
            *_table(row for row in _rows(status, "status") if row.path != "status"),
            "",
        ]
    )


def _table(rows: Iterable[_Row]) -> list[str]:
    body = [f"| `{row.path}` | {row.type} | {row.presence} | {row.description} |" for row in rows]
    return ["| field | type | | meaning |", "|---|---|---|---|", *body]


def _rows(field: Field, path: str) -> Iterator[_Row]:
    yield _Row(path, _type(field.node), _presence(field), _cell(field.node.description))
    node = field.node
    while isinstance(node, ListOf):
        path, node = f"{path}[]", node.items
    if isinstance(node, Either) and node.detail is not None:
        node = node.detail
    if isinstance(node, Obj):
        for child in node.fields:
            yield from _rows(child, f"{path}.{child.name}")


def _presence(field: Field) -> str:
    if field.required:
        return "required"
    return "" if field.default in (NO_DEFAULT, {}) else f"default `{field.default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")


def _type(node: Node) -> str:
    return _TYPES[type(node)](node)


def _members(node: MapOf) -> str:
    return "lists of strings" if isinstance(node.values, ListOf) else "strings"


def _forms(node: Either) -> str:
    forms = ["name" if isinstance(node.word, Text) else _type(node.word)]
    if node.number is not None:
        forms.insert(0, "number")
    if node.detail is not None:
        forms.append("object")
    return alternatives(forms)


_TYPES: Final[Mapping[type[Node], Callable[[Any], str]]] = {
    Text: lambda node: f"string, at most {node.max_length} characters",
    Integer: lambda node: f"number, {node.minimum} to {node.maximum}" if node.maximum < 2**31 - 1 else "number",
    Number: lambda node: f"number, {node.minimum:g} to {node.maximum:g}",
    Choice: lambda node: ", ".join(f"`{value}`" for value in node.values),
    Flag: lambda _: "`true`",
    ListOf: lambda node: f"list, {node.min_items} to {node.max_items} entries, of: {_type(node.items)}",
    MapOf: lambda node: f"map of {_members(node)}, 1 to {node.max_items} entries",
    Either: _forms,
    Obj: lambda _: "object",
}
