"""Two worlds to compare, each from files, a git revision or a cluster; where nothing tells of it, seen alike."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from ringfence.cli import documents, inputs, revisions, world
from ringfence.cli.console import Console
from ringfence.cli.documents import Document
from ringfence.cli.problems import Usage
from ringfence.cli.world import Loaded
from ringfence.model.names import LABEL_ENROLL
from ringfence.model.resources import Kind
from ringfence.model.world import Enrolment, Installation, Namespace, World
from ringfence.policy.decide import Effective
from ringfence.policy.reasoning import kinds
from ringfence.policy.reasoning.side import Side

#: What stands for the cluster where a file could; ``cluster:CONTEXT`` for that of a context of the kubeconfig.
CLUSTER: Final = "cluster"

_CLUSTER_WIDE: Final = frozenset({"Namespace", Kind.CLUSTER_SECURITY_POLICY.value})
_POLICY: Final = frozenset(kind.value for kind in Kind)


@dataclass(frozen=True)
class Compared:
    """Both sides, of the same kinds of ends, with how each was read."""

    old: Side
    new: Side
    loaded_old: Loaded
    loaded_new: Loaded


@dataclass(frozen=True, slots=True)
class Given:
    """What one side is made of. ``live`` says that it is a cluster or lies over one, where something may be wrong."""

    documents: tuple[Document, ...]
    installation: Installation
    live: bool


def is_cluster(name: str) -> bool:
    """Whether ``name`` stands for a live cluster."""
    return name == CLUSTER or name.startswith(f"{CLUSTER}:")


@dataclass(frozen=True)
class Reader:
    """Reads the sides of comparisons; what is read once is kept."""

    arguments: argparse.Namespace
    console: Console
    _clusters: dict[str, Given] = field(default_factory=dict)

    @cached_property
    def common(self) -> tuple[Document, ...]:
        """What ``-f`` says of all sides."""
        return inputs.given(self.arguments) if self.arguments.filename else ()

    def cluster(self, name: str) -> Given:
        """What a cluster says, and its settings."""
        if name not in self._clusters:
            if self.arguments.config is not None:
                raise Usage("the cluster has settings of its own: leave --config out")
            _, colon, context = name.partition(":")
            if colon and not context:
                raise Usage(f"{name} names no context: write {CLUSTER}:CONTEXT, or {CLUSTER} for the current one")
            found, settings = inputs.cluster_documents(self.arguments, self.console, context)
            self._clusters[name] = Given(found, settings.installation, live=True)
        return self._clusters[name]

    def files(self, names: Sequence[str]) -> tuple[Document, ...]:
        """The documents of files, directories and revisions."""
        at_revisions = [name for name in names if revisions.names_revision(name)]
        plain = [name for name in names if name not in at_revisions]
        found = [document for name in at_revisions for document in revisions.read(name)]
        return (*found, *(documents.read(plain, sys.stdin.buffer) if plain else ()))

    def side(self, name: str, other: str, *, alone: bool = False) -> Given:
        """What one end names. Where the other is a cluster, it is what that would be with these files.

        ``alone``: policies and identities of that cluster do not belong to it.
        """
        if is_cluster(name):
            return self.cluster(name)
        own = (*self.common, *self.files([name]))
        if not is_cluster(other):
            return Given(own, inputs.configured(self.arguments).installation, live=False)
        base = self.cluster(other)
        standing = [each for each in base.documents if not (alone and _kind(each) in _POLICY)]
        return laid(own, replace(base, documents=tuple(standing)), self.arguments.namespace)


def laid(own: tuple[Document, ...], base: Given, namespace: str) -> Given:
    """What a base would be with these documents: they take the place of objects of the same kind and name."""
    return replace(base, documents=(*_less(base.documents, own, namespace), *own))


def read(arguments: argparse.Namespace, console: Console) -> Compared:
    """Both sides of the command line. Raises BadInput, CannotTell and Usage."""
    return compare(Reader(arguments, console), arguments.old, arguments.new)


def compare(reader: Reader, old: str, new: str, *, alone: bool = False) -> Compared:
    """Both sides by name. ``alone``: they are two environments, of which each is judged with the namespaces of both.

    Raises BadInput, CannotTell and Usage.
    """
    if old == new:
        raise Usage(f"OLD and NEW are the same: {old}")
    given = [reader.side(old, new, alone=alone), reader.side(new, old, alone=alone)]
    loaded = pair(given, reader.arguments, reader.console)
    return sides(*(_united(*loaded) if alone else loaded), audit=reader.arguments.audit)


def pair(given: Sequence[Given], arguments: argparse.Namespace, console: Console) -> list[Loaded]:
    """The worlds of both sides, seen alike, with remarks on what they rest on. Raises BadInput and CannotTell."""
    loaded = _load(given, arguments)
    files = not any(each.live for each in given)
    why = [found for each in loaded if (found := inputs.needs_proxies(each))]
    if arguments.config is None and files and why:
        # What nobody has configured is not to make rules about requests say nothing.
        given = [replace(each, installation=inputs.assumed(each.installation, *loaded)) for each in given]
        loaded = _load(given, arguments)
        console.note(f"rules {why[0]}: taken as an installation with proxies, since --config names none")
    before, after = _alike(*loaded)
    for each in (before, after):
        inputs.must_be_readable(each, each.world.namespaces)
    _remark(before, after, console)
    return [before, after]


def _load(given: Sequence[Given], arguments: argparse.Namespace) -> list[Loaded]:
    """The worlds of both sides. What a cluster holds may be wrong; what a person gives may not."""
    tolerant = any(each.live for each in given)
    return [
        world.load(each.documents, each.installation, default_namespace=arguments.namespace, tolerant=tolerant)
        for each in given
    ]


def _less(standing: Iterable[Document], laid_: Iterable[Document], namespace: str) -> list[Document]:
    """The objects that no other one takes the place of."""
    replaced = {_key(each, namespace) for each in laid_}
    return [each for each in standing if _key(each, namespace) not in replaced]


def _kind(document: Document) -> str:
    return str(document.value.get("kind")) if isinstance(document.value, dict) else ""


def _key(document: Document, namespace: str) -> tuple[str, ...]:
    """API group, kind, namespace and name; of what is no object, nothing that another has."""
    value = document.value if isinstance(document.value, dict) else {}
    found = value.get("metadata")
    metadata = found if isinstance(found, dict) else {}
    kind = str(value.get("kind"))
    where = "" if kind in _CLUSTER_WIDE else str(metadata.get("namespace") or namespace)
    return str(value.get("apiVersion")).rpartition("/")[0], kind, where, str(metadata.get("name"))


def _alike(*loaded: Loaded) -> list[Loaded]:
    """A namespace that no document describes is taken the same on both sides: as enforced if it is on one of them."""
    enforced = {name for each in loaded for name, how in each.assumed.items() if how is Enrolment.ENFORCE}
    found = []
    for each in loaded:
        mended = {n: Namespace.of(n, {LABEL_ENROLL: "enforce"}) for n in enforced & each.assumed.keys()}
        namespaces = dict(sorted({**each.world.namespaces, **mended}.items()))
        assumed = {**each.assumed, **dict.fromkeys(mended, Enrolment.ENFORCE)}
        found.append(replace(each, world=replace(each.world, namespaces=namespaces), assumed=assumed))
    return found


def _united(*loaded: Loaded) -> list[Loaded]:
    """Each with the namespaces of all, so that rules about one that is missing somewhere are compared too."""
    known = {name: each for one in reversed(loaded) for name, each in one.world.namespaces.items()}
    return [
        replace(one, world=replace(one.world, namespaces=dict(sorted({**known, **one.world.namespaces}.items()))))
        for one in loaded
    ]


def _remark(before: Loaded, after: Loaded, console: Console) -> None:
    """What was assumed of either, once."""
    assumed = {**before.assumed, **after.assumed}
    inputs.remark(replace(after, assumed=assumed, ignored=(*before.ignored, *after.ignored)), console)


def sides(before: Loaded, after: Loaded, *, audit: bool) -> Compared:
    """Both sides of two worlds that were read."""
    worlds: list[World] = [before.world, after.world]
    effective: list[Effective] = [inputs.effective(each) for each in worlds]
    policies = [{name: known(name) for name in each.namespaces} for each, known in zip(worlds, effective, strict=True)]
    found = kinds.of(worlds, policies)
    old, new = (Side(each, known, found, audit) for each, known in zip(worlds, effective, strict=True))
    return Compared(old, new, before, after)
