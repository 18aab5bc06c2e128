"""The vocabulary in which the resources are described: a schema as data.

One description gives the CustomResourceDefinitions (openapi), the offline validator (validate) and the reference for
people (reference), so they cannot disagree. What a shape cannot say is a Rule, which carries both its CEL text for the
API server and the same test in Python.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

#: Value of ``Field.default`` for a field that has none.
NO_DEFAULT: Final = object()


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong with a value; ``at`` names the field below it that is to blame ("" for the value itself)."""

    message: str
    fix: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A validation that a shape cannot say.

    ``test`` sees a value whose shape is right and returns what is wrong, or None. ``cel`` is the same for the API
    server, with ``message`` as its answer; it is empty where CEL cannot say it, so that only the webhook and the
    command line refuse such a value. ``any_of`` are fields of which one must be there: the same as ``cel`` where that
    cannot see one of them (it sees no field that may be of several types).
    """

    test: Callable[[Any], Complaint | None]
    cel: str = ""
    message: str = ""
    any_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A string that matches ``pattern`` as a whole, with ``min_length`` to ``max_length`` characters.

    ``what`` says in words what the pattern wants, ``misread`` how one that does not match would be written ("" where
    there is no telling). Patterns mean the same to Go and to Python: ASCII classes only,
    no look-around.
    """

    description: str
    pattern: str
    what: str
    max_length: int
    min_length: int = 1
    format: str = ""
    rules: tuple[Rule, ...] = ()
    misread: Callable[[str], str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer:
    """A whole number from ``minimum`` to ``maximum``, both included; ``1.0`` is one, as in JSON, a boolean is not."""

    description: str
    minimum: int
    maximum: int
    format: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number from ``minimum`` to ``maximum``, both included; a boolean is none."""

    description: str
    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of a closed list of strings."""

    description: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A field that is ``true`` or left out: false would say nothing."""

    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOf:
    """A list of ``min_items`` to ``max_items``.

    ``key`` names the field of the items that tells them apart, ``unique`` says that equal items are refused.
    """

    description: str
    items: "Node"
    max_items: int
    min_items: int = 1
    key: str = ""
    unique: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MapOf:
    """A map from strings to strings, or to lists of them, of 1 to ``max_items`` entries.

    The keys of one with lists are looked at by the webhook and the command line only: where maps stand in long lists,
    the API server has no budget for it.
    """

    description: str
    keys: Text
    values: "Text | ListOf"
    max_items: int
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Either:
    """A number (where ``number`` is given), a word or, where ``detail`` is given, an object that says more."""

    description: str
    word: "Text | Choice"
    number: Integer | None = None
    detail: "Obj | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of an object. One that has no default and is not required may be left out, but is never null."""

    name: str
    node: "Node"
    required: bool = False
    default: Any = NO_DEFAULT

    @property
    def optional(self) -> bool:
        """Whether a person may leave it out."""
        return not self.required


@dataclass(frozen=True, slots=True, kw_only=True)
class Obj:
    """An object with these fields and no others.

    ``hints`` answer for fields that do not exist here but that people will try: why not, and what instead.
    ``atomic`` objects are replaced as a whole by server-side apply.
    """

    description: str
    fields: tuple[Field, ...]
    rules: tuple[Rule, ...] = ()
    hints: Mapping[str, Complaint] = field(default_factory=dict)
    atomic: bool = False
    by_name: Mapping[str, Field] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {f.name: f for f in self.fields})


Node = Text | Integer | Number | Choice | Flag | ListOf | MapOf | Either | Obj


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of ``kubectl get``; those of ``priority`` above 0 show with ``-o wide`` only."""

    name: str
    path: str
    type: str = "string"
    description: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A kind: its names, its scope and its schema.

    ``rules`` see {"name": metadata.name, "spec": the spec with its defaults}. ``example`` is a whole resource in YAML.
    """

    kind: str
    plural: str
    short_name: str
    namespaced: bool
    description: str
    spec: Field
    status: Obj
    example: str
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...] = ()


def exactly_one_of(names: Iterable[str], subject: str) -> Rule:
    """One of these fields, and only one, is there."""
    wanted = tuple(names)
    listed = ", ".join(wanted)

    def test(value: Mapping[str, Any]) -> Complaint | None:
        given = [name for name in wanted if name in value]
        if len(given) == 1:
            return None
        if not given:
            return Complaint(f"{subject} says nothing", f"give one of {listed}")
        return Complaint(f"{subject} has {' and '.join(given)}", "give one of them")

    present = ", ".join(f"has(self.{cel_name(name)})" for name in wanted)
    return Rule(
        test=test,
        cel=f"[{present}].filter(given, given).size() == 1",
        message=f"{subject} has exactly one of {listed}",
    )


def at_least_one_of(names: Iterable[str], subject: str) -> Rule:
    """At least one of these fields is there."""
    wanted = tuple(names)
    listed = ", ".join(wanted)

    def test(value: Mapping[str, Any]) -> Complaint | None:
        if any(name in value for name in wanted):
            return None
        return Complaint(
            f"{subject} says nothing", f"give it {listed}" if len(wanted) == 1 else f"give one of {listed}"
        )

    return Rule(
        test=test,
        cel=" || ".join(f"has(self.{cel_name(name)})" for name in wanted),
        message=f"{subject} says nothing: give {'one of ' if len(wanted) > 1 else ''}{listed}",
        any_of=wanted,
    )


def only_with(name: str, companion: str) -> Rule:
    """The field ``name`` makes sense beside ``companion`` only."""

    def test(value: Mapping[str, Any]) -> Complaint | None:
        if name not in value or companion in value:
            return None
        return Complaint(f"needs {companion} beside it", f"give {companion}, or leave {name} out", at=name)

    return Rule(
        test=test,
        cel=f"!has(self.{cel_name(name)}) || has(self.{cel_name(companion)})",
        message=f"{name} needs {companion} beside it",
    )


#: Words that CEL reserves and that a field must be escaped for (Kubernetes' CEL documentation).
_CEL_RESERVED: Final = frozenset(
    {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"}
    | {"let", "loop", "package", "namespace", "return", "var", "void", "while"}
)


def cel_name(name: str) -> str:
    """The name of a field as CEL writes it: ``namespace`` is ``__namespace__``."""
    return f"__{name}__" if name in _CEL_RESERVED else name
