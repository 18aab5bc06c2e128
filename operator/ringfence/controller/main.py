"""`ringfence run controller`: put together by wiring, started and ended here."""

import asyncio
import contextlib
import logging
import signal
from pathlib import Path

from ringfence import logs, plain_http, wiring
from ringfence.controller import core, front
from ringfence.kube.errors import KubeError
from ringfence.settings import Settings

_log = logging.getLogger(__name__)


def run(settings: Settings, kubeconfig: Path | None = None) -> int:
    """Run until SIGTERM or SIGINT; the exit code. ``kubeconfig`` None means the pod's ServiceAccount."""
    logs.configure(settings.log_level, settings.log_format)
    try:
        return asyncio.run(serve(settings, kubeconfig))
    except KubeError as error:
        _log.error("%s", error)
        return 1
    except OSError as error:
        _log.error("cannot serve /healthz: %s", error)
        return 1


async def serve(settings: Settings, kubeconfig: Path | None) -> int:
    """Everything at once, until a signal; a defect in any part ends the process with its traceback."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        elector = await stack.enter_async_context(wiring.elector(settings, kubeconfig))
        operator = await stack.enter_async_context(wiring.operator(settings, kubeconfig, guard=elector.guard))
        heart = core.Core(operator, elector)
        listener = plain_http.listen(settings.http_host, settings.http_port)
        await stack.enter_async_context(plain_http.serving(plain_http.app(heart.why_not_ready), listener))
        kopf = _front(operator, heart, loop)
        kopf.start()
        stack.push_async_callback(asyncio.to_thread, kopf.stop)
        # Last in, first out: work ends and the Lease is handed back before anything else is waited for.
        await stack.enter_async_context(core.running(heart))
        _log.info("running on port %d", listener.getsockname()[1])
        await stop.wait()
        _log.info("stopping")
    return 0


def _front(operator: wiring.Operator, heart: core.Core, loop: asyncio.AbstractEventLoop) -> front.Front:
    """Kopf, in its own thread, with both ways between the loops."""

    def witness(sighting: core.Sighting) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending
            loop.call_soon_threadsafe(heart.witness, sighting)

    return front.Front(
        lambda: asyncio.run_coroutine_threadsafe(operator.api.credentials(), loop).result(timeout=10), witness
    )
