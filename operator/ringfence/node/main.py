"""`ringfence run node`: put together, started, and ended with every redirect left in force."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ringfence import logs, metrics, plain_http
from ringfence.caches import Caches
from ringfence.kube import client, errors, resources, trim, watch
from ringfence.kube.clock import SystemClock
from ringfence.model import proxy
from ringfence.model.errors import RingfenceError
from ringfence.node import pods, processes
from ringfence.node.entering import Entrant, NotEntered
from ringfence.node.keeper import Keeper, Timing
from ringfence.node.processes import Finder
from ringfence.node.tree import Tree
from ringfence.settings import Settings

_log: Final = logging.getLogger(__name__)

#: How long the API server may be silent before readiness says so, in seconds.
_SILENCE: Final = 180.0
#: How often new kubelets' cgroups are looked for, in seconds; the first time takes one look.
_ROOTS: Final = 30.0


class CannotRun(RingfenceError):
    """The process is not where it must be; the message says how to mend it."""


@dataclass(frozen=True, slots=True)
class Options:
    """Which node (its name in the API), where to look for its processes, and with what to reach the API server.

    ``kubeconfig`` None means the pod's ServiceAccount, else kubectl's way.
    """

    node: str = ""
    proc: Path = processes.PROC
    cgroups: Path = processes.CGROUPS
    kubeconfig: Path | None = None
    timing: Timing = field(default_factory=Timing)


def run(settings: Settings, options: Options | None = None) -> int:
    """Hold the pods of the node until SIGTERM or SIGINT; the exit status."""
    logs.configure(settings.log_level, settings.log_format)
    options = options or Options(
        os.environ.get("NODE_NAME", ""), cgroups=Path(os.environ.get("NODE_CGROUPS", str(processes.CGROUPS)))
    )
    try:
        asyncio.run(serve(settings, options))
    except (errors.KubeError, CannotRun, OSError) as error:
        _log.error("cannot run: %s", error)
        return 1
    return 0


async def serve(settings: Settings, options: Options, stop: asyncio.Event | None = None) -> None:
    """Everything at once, until a signal or ``stop``. Raises CannotRun, KubeError or OSError when it cannot start."""
    _check_place(options)
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    finder = Finder(options.proc, options.cgroups)
    async with contextlib.AsyncExitStack() as stack:
        entrant = Entrant()
        stack.callback(entrant.close)
        kube = await client.Client.connect(
            options.kubeconfig, component="node", instance=settings.pod_name, observer=metrics.observe_request
        )
        stack.push_async_callback(kube.close)
        caches = _caches(kube, options.node)
        keeper = Keeper(entrant, finder, caches["pods"], caches["namespaces"], options.timing)
        stack.push_async_callback(keeper.close)
        caches["pods"].subscribe(keeper.pod_changed)
        caches["namespaces"].subscribe(keeper.namespace_changed)
        tree = Tree(options.cgroups, keeper.cgroup_made)
        tree.open()
        stack.callback(tree.close)
        able = _Ability(entrant)
        listener = plain_http.listen(settings.http_host, settings.http_port)
        await stack.enter_async_context(plain_http.serving(plain_http.app(_why_not_ready(caches, able)), listener))
        await stack.enter_async_context(caches.running())
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [group.create_task(able.find_out()), group.create_task(_cover(finder, tree))]
        _log.info("running", extra={"node": options.node, "port": listener.getsockname()[1]})
        await stop.wait()
        _log.info("ending; the redirects of pods that run stay")
        for task in tasks:
            task.cancel()


def _check_place(options: Options) -> None:
    if not options.node:
        raise CannotRun("the name of the node is not known: set NODE_NAME from spec.nodeName")
    if options.proc == processes.PROC and os.getpid() == 1:
        raise CannotRun("the node's processes cannot be seen: the pod must have hostPID: true and hostNetwork: true")


def _caches(kube: client.Client, node: str) -> Caches:
    """The pods of this node, and all namespaces by their labels."""
    selected = watch.Selection(fields=f"spec.nodeName={node}")
    return Caches(
        {
            "pods": watch.Reflector(kube, resources.PODS, selected, trim=pods.trim),
            "namespaces": watch.Reflector(kube, resources.NAMESPACES, trim=trim.metadata),
        }
    )


class _Ability:
    """Whether rules can be loaded here at all: tried in an empty namespace, again until it works."""

    def __init__(self, entrant: Entrant) -> None:
        self._entrant = entrant
        self.trouble = "has not tried to load rules yet"

    async def find_out(self) -> None:
        while self.trouble:
            try:
                for strict in (True, False):
                    await self._entrant.listing(proxy.FIRST_UID, strict=strict)
            except NotEntered as error:
                if self.trouble != str(error):
                    _log.error("no rules can be loaded on this node: %s", error)
                self.trouble = str(error)
                await asyncio.sleep(5)
            else:
                self.trouble = ""


async def _cover(finder: Finder, tree: Tree) -> None:
    """Find where the kubelet makes cgroups, also one that starts after us."""
    while True:
        found = finder.roots(fresh=True)
        for root in found:
            tree.cover(root)
        await asyncio.sleep(_ROOTS if found else 1.0)


def _why_not_ready(caches: Caches, able: _Ability) -> Callable[[], str]:
    clock = SystemClock()

    def why() -> str:
        if able.trouble:
            return able.trouble
        if not caches.synced:
            return "has not read the pods of this node yet"
        silent = caches.stale_for(clock.monotonic())
        return f"the API server has not been heard of for {silent:.0f} s" if silent > _SILENCE else ""

    return why
