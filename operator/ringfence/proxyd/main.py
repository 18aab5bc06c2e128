"""`ringfence run proxyd`: started and ended here."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ringfence import logs, plain_http
from ringfence.kube import client
from ringfence.kube.errors import KubeError
from ringfence.model.proxy import PROXYD_PORT
from ringfence.proxyd import assembly, metrics, server
from ringfence.proxyd.assembly import Parts
from ringfence.settings import Settings

_log = logging.getLogger(__name__)

#: Seconds without a word from the API server after which a replica asks for no new proxies.
STALE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """Where to listen, and with what to reach the API server (None: as the pod's ServiceAccount, else kubectl's way).

    ``grace``: seconds that streams get when the process ends.
    """

    address: str = f"[::]:{PROXYD_PORT}"
    kubeconfig: Path | None = None
    grace: float = 2.0


def run(settings: Settings, options: Options = Options()) -> int:
    """Serve until SIGTERM or SIGINT; the exit status."""
    logs.configure(settings.log_level, settings.log_format)
    try:
        asyncio.run(_until_told(settings, options))
    except (KubeError, OSError) as error:
        _log.error("cannot start: %s", error)
        return 1
    return 0


async def _until_told(settings: Settings, options: Options) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(settings, options) as (_, port):
        _log.info("serving proxies on port %d", port)
        await stop.wait()
        _log.info("ending")


@contextlib.asynccontextmanager
async def serving(
    settings: Settings,
    options: Options,
    *,
    compiler: assembly.Compiler | None = None,
    limits: server.Limits = server.USUAL,
) -> AsyncIterator[tuple[Parts, int]]:
    """Everything at once while the block runs; the parts and the port."""
    async with contextlib.AsyncExitStack() as stack:
        kube = await client.Client.connect(options.kubeconfig, component="proxyd", instance=settings.pod_name)
        stack.push_async_callback(kube.close)
        parts = assembly.put_together(settings, kube, compiler or _compiler())
        health = Readiness(parts)
        listener = plain_http.listen(settings.http_host, settings.http_port)
        await stack.enter_async_context(plain_http.serving(plain_http.app(health.why_not_ready), listener))
        await stack.enter_async_context(parts.caches.running())
        await parts.caches.wait_synced()
        parts.authority.refresh()
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [group.create_task(each) for each in (parts.classes.run(), parts.fleet.run(), parts.reporter.run())]
        stack.callback(lambda: [task.cancel() for task in tasks])
        await parts.certificate.there()
        parts.classes.changed("")
        port = await stack.enter_async_context(
            server.serving(
                parts.fleet,
                options.address,
                parts.certificate.credentials(),
                limits=limits,
                grace=options.grace,
            )
        )
        health.serving = True
        yield parts, port
        health.serving = False


def _compiler() -> assembly.Compiler:
    from ringfence.proxyd.compiler import EnvoyCompiler  # noqa: PLC0415

    return EnvoyCompiler()


class Readiness:
    """Says what stands in the way."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.serving = False

    def why_not_ready(self) -> str:
        """What is missing, for a person; "" when proxies may come."""
        parts = self._parts
        metrics.CERTIFICATE_ENDS.set(parts.certificate.ends)
        waiting = [name for name, each in parts.caches.reflectors.items() if not each.synced]
        if waiting:
            return f"first lists are not complete: {', '.join(waiting)} {parts.caches.troubles() or ''}".strip()
        stale = parts.caches.stale_for(time.monotonic())
        if stale > STALE_SECONDS:
            return f"nothing heard of the API server for {stale:.0f} s: {parts.caches.troubles()}"
        if parts.certificate.ends <= time.time():
            return "there is no serving certificate that is valid now"
        if parts.authority.problem:
            return f"nothing can be signed: {parts.authority.problem}"
        return "" if self.serving and parts.classes.ready else "starting"
