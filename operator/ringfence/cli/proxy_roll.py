"""`ringfence proxy roll`: gives the pods of a namespace the present proxy, by restarting their workloads."""

import argparse
import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ringfence.cli import live, options, rollout
from ringfence.cli.console import Cell, Console, Style
from ringfence.cli.rollout import Lacks
from ringfence.inject.injection import Injection
from ringfence.kube import client, errors, resources
from ringfence.model.names import LABEL_ENROLL
from ringfence.model.world import Enrolment
from ringfence.policy.closing import listing

DONE: Final = 0
LEFT: Final = 1
#: Seconds between looks at the cluster while waiting.
PAUSE: Final = 1.0
_WORDS: Final = {Lacks.PROXY: "without a proxy", Lacks.IMAGE: "with an old proxy"}
_ENROLLED: Final = frozenset({Enrolment.AUDIT.value, Enrolment.ENFORCE.value})

Object = Mapping[str, Any]


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Roll."""
    return asyncio.run(_run(arguments, console))


async def _run(arguments: argparse.Namespace, console: Console) -> int:
    api = await live.connect(options.target(arguments))
    try:
        return await _roll(api, arguments, console)
    except errors.KubeError as error:
        raise live.NoCluster(str(error)) from error
    finally:
        await api.close()


async def _roll(api: client.Client, arguments: argparse.Namespace, console: Console) -> int:
    name: str = arguments.namespace
    how = await _injection(api, arguments)
    namespace = await live.one_namespace(api, name)
    if (namespace["metadata"].get("labels") or {}).get(LABEL_ENROLL) not in _ENROLLED:
        raise live.NoCluster(f"namespace {name} is not enrolled, so its pods get no proxies: see `ringfence enroll`")
    pods = await _lacking(api, name, how)
    _, left = await rollout.owners(api, name, pods)
    await _show(api, name, pods, how, console)
    if arguments.dry_run:
        console.print("nothing was changed: this was a dry run")
        return DONE
    restarter = rollout.Restarter(api, name, console, how)
    await restarter.restart(pods)
    if arguments.wait:
        return await _wait(api, arguments, how, console)
    return LEFT if left else DONE


async def _injection(api: client.Client, arguments: argparse.Namespace) -> Injection:
    """How pods get their proxy; raises NoCluster where they get none, or where that cannot be told."""
    remarks: list[str] = []
    found = await live.installed(api, options.target(arguments), remarks)
    if remarks:
        raise live.NoCluster(f"which proxy is the present one cannot be told: {remarks[0]}")
    if found.injection is None:
        raise live.NoCluster("pods get no proxies in this installation: set proxy.enabled in the chart first")
    return found.injection


async def _lacking(api: client.Client, name: str, how: Injection) -> list[Object]:
    """The running pods that have not the present proxy."""
    pods = await live.pages(api, resources.PODS, namespace=name)
    return [each for each in rollout.waiting(pods, how) if rollout.proxy_lacks(each, how)]


async def _show(api: client.Client, name: str, pods: list[Object], how: Injection, console: Console) -> None:
    if not pods:
        console.print(f"every pod of namespace {name} has the present proxy, {how.settings.image}")
    for lack, words in _WORDS.items():
        names = _names(each for each in pods if rollout.proxy_lacks(each, how) is lack)
        if names:
            console.print(f"pods {words}: {listing(names)}")
    owners, left = await rollout.owners(api, name, pods)
    for owner in owners:
        console.print(f"  {owner} is restarted by rollout")
    for each in left:
        console.warn(f"{each} cannot be restarted by rollout: make it again yourself")


async def _wait(api: client.Client, arguments: argparse.Namespace, how: Injection, console: Console) -> int:
    """Until no pod lacks the present proxy, telling what it waits for whenever that changes."""
    deadline = time.monotonic() + arguments.timeout
    told = ""
    while pods := await _lacking(api, arguments.namespace, how):
        waits = f"{len(pods)} pods without the present proxy: {listing(_names(pods))}"
        if waits != told:
            console.progress(f"waiting: {waits}")
            told = waits
        if time.monotonic() > deadline:
            console.error(f"after {arguments.timeout:.0f} s still waiting: {waits}")
            return LEFT
        await asyncio.sleep(PAUSE)
    console.print(Cell("done", Style.GOOD), f": every pod of namespace {arguments.namespace} has the present proxy")
    return DONE


def _names(pods: Iterable[Object]) -> tuple[str, ...]:
    return tuple(sorted(each["metadata"]["name"] for each in pods))
