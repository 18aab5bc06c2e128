"""`ringfence enroll`: labels a namespace and restarts, by rollout, what runs there without its identity."""

import argparse
import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ringfence.cli import inputs, live, options, rollout, world
from ringfence.cli.console import Cell, Console, Style
from ringfence.cli.documents import Document
from ringfence.cli.rollout import Owner
from ringfence.controls import evaluate, text
from ringfence.controls.evaluate import Context
from ringfence.inject.injection import Injection
from ringfence.kube import client, errors, resources
from ringfence.model.names import GROUP, LABEL_ENROLL, VERB_ENROLL
from ringfence.policy.closing import is_exempt, listing
from ringfence.reconcile import plan, staging
from ringfence.translate.network_policy import PURPOSE

DONE: Final = 0
IN_THE_WAY: Final = 1
#: Seconds between looks at the cluster while waiting.
PAUSE: Final = 1.0
FIELD_MANAGER: Final = "ringfence-cli"

Object = Mapping[str, Any]


class Refused(live.NoCluster):
    """The API server said no."""


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Enrol."""
    return asyncio.run(_with_client(arguments, console, _enroll))


def undo(arguments: argparse.Namespace, console: Console) -> int:
    """Take the namespace out again."""
    return asyncio.run(_with_client(arguments, console, _unenroll))


Action = Callable[[client.Client, argparse.Namespace, Console], Any]


async def _with_client(arguments: argparse.Namespace, console: Console, action: Action) -> int:
    api = await live.connect(options.target(arguments))
    try:
        status: int = await action(api, arguments, console)
    except errors.KubeError as error:
        raise live.NoCluster(str(error)) from error
    finally:
        await api.close()
    return status


@dataclass(frozen=True, slots=True)
class Plan:
    """What enrolling means here.

    ``refused`` holds, by workload, the sentences of admission about its pods;
    ``proxy`` is how pods get their proxy.
    """

    pods: tuple[str, ...]
    restart: tuple[Owner, ...]
    left: tuple[str, ...]
    refused: Mapping[str, tuple[str, ...]]
    strangers: tuple[str, ...]
    proxy: Injection | None = None


async def _enroll(api: client.Client, arguments: argparse.Namespace, console: Console) -> int:
    name: str = arguments.namespace
    namespace = await live.one_namespace(api, name)
    plan = await _plan(api, namespace, arguments)
    _show(plan, namespace, arguments, console)
    if plan.refused and not arguments.force:
        console.error("nothing was changed: mend what is listed, or say --force to go on all the same")
        return IN_THE_WAY
    if arguments.dry_run:
        console.print("nothing was changed: this was a dry run")
        return DONE
    await _label(api, name, arguments.mode)
    console.print(Cell("labelled", Style.GOOD), f" namespace {name} {LABEL_ENROLL}={arguments.mode}")
    restarter = rollout.Restarter(api, name, console, plan.proxy, enforced=arguments.mode == "enforce")
    if not arguments.no_restart:
        await restarter.restart(await restarter.waiting())
    if not arguments.wait:
        console.print(f"`ringfence status -n {name}` shows how far it is")
        return DONE
    return await _wait(api, arguments, restarter, console)


async def _plan(api: client.Client, namespace: Object, arguments: argparse.Namespace) -> Plan:
    """Look before anything is changed."""
    name: str = arguments.namespace
    answered = await live.read(options.target(arguments), api)
    documents = [_enrolled(each, name, arguments.mode) for each in answered.documents]
    proxy = answered.settings.injection
    found = await live.pages(api, resources.PODS, namespace=name)
    owned = rollout.waiting(found, proxy, enforced=arguments.mode == "enforce")
    owners, left = await rollout.owners(api, name, owned)
    templates = [Document.answered(each) for each in await rollout.templates(api, name)]
    loaded = world.load([*documents, *templates], answered.settings.installation, tolerant=True)
    if is_exempt(loaded.world, name):
        raise live.NoCluster(f"namespace {name} is exempt: it cannot be enrolled")
    policy = inputs.effective(loaded.world)(name)
    context = Context(loaded.world.namespaces[name], policy, time.time(), proxy=proxy)
    refused = {}
    for judged in loaded.judged:
        if judged.namespace == name and judged.kind != "Pod":
            violations = evaluate.admit(judged.document.value, context).violations
            if violations:
                refused[f"{judged.kind} {judged.name}"] = text.sentences(violations)
    return Plan(
        pods=tuple(sorted(each["metadata"]["name"] for each in owned)),
        restart=owners,
        left=left,
        refused=refused,
        strangers=loaded.world.strangers.get(name, ()),
        proxy=proxy,
    )


def _enrolled(document: Document, name: str, mode: str) -> Document:
    """The Namespace as it will be; every other object as it is."""
    value = document.value
    if value["kind"] != "Namespace" or value["metadata"]["name"] != name:
        return document
    metadata = value["metadata"]
    labels = {**(metadata.get("labels") or {}), LABEL_ENROLL: mode}
    return Document.answered({**value, "metadata": {**metadata, "labels": labels}})


def _show(plan: Plan, namespace: Object, arguments: argparse.Namespace, console: Console) -> None:
    name, mode = arguments.namespace, arguments.mode
    now = (namespace["metadata"].get("labels") or {}).get(LABEL_ENROLL, "not enrolled")
    console.print(f"namespace {name}: {now} -> {mode}" if now != mode else f"namespace {name}: {mode} already")
    if plan.pods:
        lack = rollout.lack(plan.proxy, enforced=mode == "enforce")
        console.print(f"  pods from before, without {lack}: {listing(plan.pods)}")
    for owner in plan.restart:
        verb = "stays as it is" if arguments.no_restart else "is restarted by rollout"
        console.print(f"  {owner} {verb}")
    for each in plan.left:
        console.warn(f"{each} cannot be restarted by rollout: restart it yourself; until then it is as it is")
    if plan.strangers and mode == "enforce":
        console.warn(
            f"NetworkPolicies that are not Ringfence's keep the network from closing: {listing(plan.strangers)}; "
            "say what they allow in a SecurityPolicy and delete them"
        )
    for workload, sentences in plan.refused.items():
        console.warn(f"the pods of {workload} would be refused:")
        for each in sentences:
            console.progress(f"    {each}")


async def _label(api: client.Client, name: str, mode: str | None) -> None:
    """Set or (None) remove the label."""
    body = {"metadata": {"labels": {LABEL_ENROLL: mode}}}
    try:
        await api.request(
            "PATCH",
            resources.NAMESPACES.path("", name),
            query={"fieldManager": FIELD_MANAGER},
            body=body,
            content_type=client.MERGE,
        )
    except (errors.Forbidden, errors.Rejected) as error:
        raise Refused(
            f"{error}\nTo enrol and un-enrol takes the right to patch the namespace and the verb `{VERB_ENROLL}` on "
            f"clustersecuritypolicies.{GROUP}: ask the platform team"
        ) from error


async def _wait(
    api: client.Client, arguments: argparse.Namespace, restarter: rollout.Restarter, console: Console
) -> int:
    """Until the network is closed, telling what it waits for whenever that changes."""
    deadline = time.monotonic() + arguments.timeout
    told = ""
    while True:
        reason = await _look(api, arguments, restarter)
        if not reason:
            closed = "its network is closed" if arguments.mode == "enforce" else "every pod has its identity"
            console.print(Cell("done", Style.GOOD), f": namespace {arguments.namespace} is enrolled, {closed}")
            return DONE
        if reason != told:
            console.progress(f"waiting: {reason}")
            told = reason
        if time.monotonic() > deadline:
            console.error(f"after {arguments.timeout:.0f} s still waiting: {reason}")
            return IN_THE_WAY
        await asyncio.sleep(PAUSE)


async def _look(api: client.Client, arguments: argparse.Namespace, restarter: rollout.Restarter) -> str:
    """Restart what came meanwhile; what is still to come, "" for nothing. A server that is away is waited for."""
    try:
        pods = await restarter.waiting()
        if not arguments.no_restart:
            await restarter.restart(pods)
        return _missing(await live.one_namespace(api, arguments.namespace), pods, arguments.mode, restarter.lack)
    except errors.KubeError as error:
        if not error.retriable:
            raise
        return str(error)


def _missing(namespace: Object, pods: Iterable[Object], mode: str, lack: str) -> str:
    """What is still to come, "" for nothing."""
    names = tuple(sorted(each["metadata"]["name"] for each in pods))
    if names:
        count = "1 pod" if len(names) == 1 else f"{len(names)} pods"
        return f"{count} without {lack}: {listing(names)}"
    if mode == "audit" or staging.latched(namespace):
        return ""
    condition = staging.recorded(namespace)
    return str(condition.get("message")) if condition else "the controller has not closed the network yet"


async def _unenroll(api: client.Client, arguments: argparse.Namespace, console: Console) -> int:
    name: str = arguments.namespace
    namespace = await live.one_namespace(api, name)
    before = (namespace["metadata"].get("labels") or {}).get(LABEL_ENROLL)
    console.print(f"namespace {name}: {before or 'not enrolled'} -> not enrolled; its network opens")
    if arguments.dry_run:
        console.print("nothing was changed: this was a dry run")
        return DONE
    if before is not None:
        await _label(api, name, None)
    deadline = time.monotonic() + arguments.timeout
    while arguments.wait and (left := await _own_policies(api, name)):
        if time.monotonic() > deadline:
            console.error(f"after {arguments.timeout:.0f} s there are still NetworkPolicies: {listing(left)}")
            return IN_THE_WAY
        await asyncio.sleep(PAUSE)
    console.print(Cell("done", Style.GOOD), f": namespace {name} is not enrolled")
    return DONE


async def _own_policies(api: client.Client, name: str) -> tuple[str, ...]:
    found = await live.pages(api, resources.NETWORK_POLICIES, namespace=name)
    return tuple(sorted(each["metadata"]["name"] for each in found if plan.owned(each, PURPOSE)))
