"""Two worlds to compare, each from files, a git revision or the cluster; where nothing tells of it, seen alike."""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
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

#: What stands for the cluster where a file could.
CLUSTER: Final = "cluster"

_CLUSTER_WIDE: Final = frozenset({"Namespace", Kind.CLUSTER_SECURITY_POLICY.value})


@dataclass(frozen=True)
class Compared:
    """Both sides, of the same kinds of ends, with how each was read."""

    old: Side
    new: Side
    loaded_old: Loaded
    loaded_new: Loaded


@dataclass(frozen=True)
class _Reader:
    """Reads both ends of a comparison."""

    arguments: argparse.Namespace
    console: Console

    @cached_property
    def common(self) -> tuple[Document, ...]:
        """What ``-f`` says of both."""
        return inputs.given(self.arguments) if self.arguments.filename else ()

    @cached_property
    def cluster(self) -> tuple[tuple[Document, ...], Installation]:
        """What the cluster says, and its settings."""
        found, settings = inputs.cluster_documents(self.arguments, self.console)
        return found, settings.installation

    @cached_property
    def installation(self) -> Installation:
        """The settings that hold for both sides: the cluster's where one of them is the cluster."""
        if CLUSTER in (self.arguments.old, self.arguments.new):
            return self.cluster[1]
        return inputs.configured(self.arguments).installation

    def documents(self, name: str, other: str) -> tuple[Document, ...]:
        """What one end names. Where the other is the cluster, it is what the cluster would be with these files."""
        if name == CLUSTER:
            return self.cluster[0]
        found = revisions.read(name) if revisions.names_revision(name) else documents.read([name], sys.stdin.buffer)
        own = (*self.common, *found)
        return (*_less(self.cluster[0], own, self.arguments.namespace), *own) if other == CLUSTER else own


def read(arguments: argparse.Namespace, console: Console) -> Compared:
    """Both sides of the command line. Raises BadInput, CannotTell and Usage."""
    old, new = arguments.old, arguments.new
    if old == new:
        raise Usage(f"OLD and NEW are the same: {old}")
    if CLUSTER in (old, new) and arguments.config is not None:
        raise Usage("the cluster has settings of its own: leave --config out")
    reader = _Reader(arguments, console)
    found = [reader.documents(old, new), reader.documents(new, old)]
    loaded = _load(found, reader.installation, arguments)
    if (
        arguments.config is None
        and CLUSTER not in (old, new)
        and any(why := [inputs.needs_proxies(each) for each in loaded])
    ):
        # What nobody has configured is not to make rules about requests say nothing.
        loaded = _load(found, replace(reader.installation, proxies=True), arguments)
        console.note(
            f"rules {next(filter(None, why))}: taken as an installation with proxies, since --config names none"
        )
    before, after = _alike(*loaded)
    for each in (before, after):
        inputs.must_be_readable(each, each.world.namespaces)
    _remark(before, after, console)
    return sides(before, after, audit=arguments.audit)


def _load(
    found: Iterable[tuple[Document, ...]], installation: Installation, arguments: argparse.Namespace
) -> list[Loaded]:
    """The worlds of both sides. What a cluster holds may be wrong; what a person gives may not."""
    tolerant = CLUSTER in (arguments.old, arguments.new)
    return [world.load(each, installation, default_namespace=arguments.namespace, tolerant=tolerant) for each in found]


def _less(standing: Iterable[Document], laid: Iterable[Document], namespace: str) -> list[Document]:
    """The objects that no other one takes the place of."""
    replaced = {_key(each, namespace) for each in laid}
    return [each for each in standing if _key(each, namespace) not in replaced]


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
