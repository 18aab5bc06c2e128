"""From the command line to the world that it speaks of: files if any are named, else the live cluster."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

from ringfence import settings
from ringfence.cli import documents, options, world
from ringfence.cli.console import Console
from ringfence.cli.documents import Document
from ringfence.cli.problems import Problem
from ringfence.cli.world import Loaded
from ringfence.model.effective import EffectivePolicy, Finding
from ringfence.model.errors import CannotTell
from ringfence.model.names import LABEL_ENROLL
from ringfence.model.resources import HostPeer
from ringfence.model.tokens import served_at
from ringfence.model.world import Enrolment, Installation, World
from ringfence.policy import resolve


def given(arguments: argparse.Namespace) -> tuple[Document, ...]:
    """The documents that ``-f`` names; raises BadInput."""
    return documents.read(arguments.filename, sys.stdin.buffer)


def configured(arguments: argparse.Namespace) -> settings.Settings:
    """The settings that ``--config`` names, else the defaults; raises InvalidSettings."""
    path = arguments.config
    return _with_ranges(settings.parse("", {}) if path is None else settings.load(path, {}), arguments)


def with_proxies(found: settings.Settings, arguments: argparse.Namespace) -> settings.Settings:
    """The same with proxies, as the chart has it, unless a file says otherwise: for those who judge pods.

    What a container beside a proxy may not do would else come to light in the cluster only.
    """
    if arguments.config is not None:
        return found
    installation = replace(found.installation, proxies=True)
    return replace(found, installation=installation, proxy=replace(found.proxy, enabled=True))


def _with_ranges(found: settings.Settings, arguments: argparse.Namespace) -> settings.Settings:
    """The settings, with the pods' ranges of the command line if it names any."""
    if not arguments.pod_cidr:
        return found
    return replace(found, installation=replace(found.installation, pod_cidrs=tuple(arguments.pod_cidr)))


def load(arguments: argparse.Namespace, console: Console) -> tuple[Loaded, settings.Settings]:
    """The world of the command line, with remarks on what it rests on."""
    if arguments.filename:
        found = configured(arguments)
        documents_ = given(arguments)
        loaded = world.load(documents_, found.installation, default_namespace=arguments.namespace)
        if arguments.config is None and (why := needs_proxies(loaded)):
            # What nobody has configured is not to make rules about requests say nothing.
            found = replace(found, installation=assumed(found.installation, loaded))
            loaded = world.load(documents_, found.installation, default_namespace=arguments.namespace)
            console.note(f"rules {why}: taken as an installation with proxies, since --config names none")
        remark(loaded, console)
        return loaded, found
    return from_cluster(arguments, console)


def assumed(known: Installation, *loaded: Loaded) -> Installation:
    """The installation that files ask for whose settings nobody has given: with proxies, and with the hosts listed from
    which they would fetch keys."""
    specs = [policy.spec for each in loaded for found in each.world.policies.values() for policy in found]
    specs += [policy.spec for each in loaded for policy in each.world.cluster_policies]
    issuers = [issuer for spec in specs for issuer in spec.issuers if issuer.fetched]
    hosts = {served_at(issuer.jwks_uri)[0] for issuer in issuers}
    return replace(known, proxies=True, jwks_hosts=tuple(sorted(hosts)))


def needs_proxies(loaded: Loaded) -> str:
    """What rules say that only proxies can judge: "are about requests", "name hosts"; "" for nothing."""
    world_ = loaded.world
    specs = [policy.spec for policies in world_.policies.values() for policy in policies]
    specs += [policy.spec for policy in world_.cluster_policies]
    if any(rule.requests is not None for spec in specs for rule in spec.ingress or ()):
        return "are about requests"
    peers = (peer for spec in specs for rule in spec.egress or () for peer in rule.peers or ())
    return "name hosts" if any(isinstance(peer, HostPeer) for peer in peers) else ""


def from_cluster(arguments: argparse.Namespace, console: Console) -> tuple[Loaded, settings.Settings]:
    """The world of the cluster."""
    found_documents, found = cluster_documents(arguments, console)
    loaded = world.load(found_documents, found.installation, default_namespace=arguments.namespace, tolerant=True)
    remark(loaded, console)
    return loaded, found


def cluster_documents(
    arguments: argparse.Namespace, console: Console, context: str = ""
) -> tuple[tuple[Document, ...], settings.Settings]:
    """What the cluster says, and the settings of its installation; ``context`` instead of the command line's."""
    # The client takes half a second that files need not wait.
    from ringfence.cli import live  # noqa: PLC0415
    from ringfence.kube import resources  # noqa: PLC0415

    more: tuple[resources.Resource, ...] = (resources.SERVICES,) if getattr(arguments, "services", False) else ()
    if getattr(arguments, "proxy", None):
        more = (resources.SERVICES, resources.ENDPOINT_SLICES)
    target = options.target(arguments)
    answered = asyncio.run(live.ask(replace(target, context=context) if context else target, more))
    for text in answered.remarks:
        console.note(text)
    return answered.documents, _with_ranges(answered.settings, arguments)


def remark(loaded: Loaded, console: Console) -> None:
    """Say what was assumed, what was left out because it is wrong, and (with -v) what was ignored."""
    for name, enrolment in sorted(loaded.assumed.items()):
        if enrolment is Enrolment.ENFORCE:
            console.note(f"Namespace {name} is not among the files: taken as enrolled ({LABEL_ENROLL}: enforce)")
        else:
            console.note(f"Namespace {name} is not among the files: taken as not enrolled")
    for problem in loaded.invalid:
        console.warn(f"{problem}; its last good version may be in force")
    for text in loaded.ignored:
        console.detail(text)


def must_be_readable(loaded: Loaded, namespaces: Iterable[str]) -> None:
    """Raise CannotTell when a resource that may govern one of these namespaces could not be understood.

    The controller and the webhook may hold a former version of it in force, which is not known here.
    """
    concerned = {*namespaces, ""}
    found = [
        f"{kind} {namespace}/{name}".replace(" /", " ")
        for kind, namespace, name in loaded.unreadable
        if namespace in concerned
    ]
    if found:
        raise CannotTell(
            f"{', '.join(found)} cannot be understood, and a former version may be in force: mend it first"
        )


def effective(world_: World) -> Callable[[str], EffectivePolicy]:
    """The effective policy of each namespace, resolved once."""
    return cache(lambda namespace: resolve.resolve(world_, namespace))


def findings(policies: Iterable[EffectivePolicy]) -> tuple[Finding, ...]:
    """What a person must know, each thing once, sorted."""
    return tuple(sorted({finding for policy in policies for finding in policy.findings}))


def report(found: Iterable[Finding], loaded: Loaded, console: Console) -> None:
    """Say each finding with the place where its resource was written."""
    for finding in found:
        kind, namespace, name = finding.subject
        shown = f"{namespace}/{name}" if namespace else name
        document = loaded.resources.get(finding.subject) or (
            loaded.namespaces.get(name) if kind == "Namespace" else None
        )
        source, line = (document.source, document.position.line) if document is not None else ("", 0)
        message = f"{finding.reason}: {finding.message}"
        console.warn(str(Problem(source, line, f"{kind} {shown}", "", message)))
