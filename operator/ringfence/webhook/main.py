"""The webhook process: put together, started, and ended without a broken answer."""

import asyncio
import logging
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop

from ringfence import api, logs
from ringfence.caches import Caches
from ringfence.caches import make as make_caches
from ringfence.kube import client, clock, errors, events, resources
from ringfence.model.names import FIELD_MANAGER
from ringfence.model.ports import Object
from ringfence.model.signatures import Wanted
from ringfence.policy import resolve
from ringfence.reconcile import gather, verdict_objects
from ringfence.settings import Settings
from ringfence.translate import admission_policy
from ringfence.webhook import listening
from ringfence.webhook.answering import Answering
from ringfence.webhook.app import App
from ringfence.webhook.cache import CachedView, NoPods
from ringfence.webhook.health import HealthApp, Readiness
from ringfence.webhook.live import Learner, Read
from ringfence.webhook.metrics import Metrics
from ringfence.webhook.notices import Notices
from ringfence.webhook.proving import Proving
from ringfence.webhook.tls import Certificate
from ringfence.webhook.view import Missing, Rules
from ringfence.webhook.wanting import Wants, Write

_log: Final = logging.getLogger(__name__)

#: What a decision may ask the API server for.
_READ: Final = {"Namespace": resources.NAMESPACES, "NetworkPolicy": resources.NETWORK_POLICIES, "Pod": resources.PODS}
_CACHES: Final = ("namespaces", "network_policies", "identities", "policies", "cluster_policies", "serving", "verdicts")


@dataclass(frozen=True, slots=True)
class Options:
    """Where to listen, and with what to reach the API server (None: as the pod's ServiceAccount, else kubectl's way).

    ``drain``: seconds of serving after SIGTERM, until the endpoints of the Service have forgotten this pod.
    """

    host: str = ""
    port: int = 9443
    kubeconfig: Path | None = None
    drain: float = 5.0


def run(settings: Settings, options: Options = Options()) -> int:
    """Serve until SIGTERM or SIGINT; the exit status."""
    logs.configure(settings.log_level, settings.log_format)
    try:
        uvloop.run(_serve(settings, options))
    except errors.KubeError as error:
        _log.error("cannot start: %s", error)
        return 1
    except ExceptionGroup:
        _log.exception("cannot go on")
        return 1
    return 0


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the process is made of."""

    caches: Caches
    view: CachedView
    certificate: Certificate
    readiness: Readiness
    app: App
    health: HealthApp
    notices: Notices
    wants: Wants
    proving: Proving


async def _serve(settings: Settings, options: Options) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    kube = await client.Client.connect(options.kubeconfig, component="webhook")
    try:
        parts = _put_together(settings, kube)
        doors = (
            listening.secure(parts.app, parts.certificate, options.host, options.port),
            listening.plain(parts.health, settings.http_host, settings.http_port),
        )
        async with parts.caches.running(), listening.serving(*doors):
            await _until(stop, parts)
            parts.readiness.draining = parts.app.draining = True
            _log.info("ending", extra={"drain": options.drain})
            await asyncio.sleep(options.drain)
    finally:
        await kube.close()


async def _until(stop: asyncio.Event, parts: _Parts) -> None:
    """Compile what there is once the caches are complete, then keep up with changes until told to stop."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in (_keep_up(parts), parts.notices.write(), parts.wants.run())]
        await stop.wait()
        for task in tasks:
            task.cancel()


async def _keep_up(parts: _Parts) -> None:
    await parts.caches.wait_synced()
    parts.view.compile_all()
    parts.proving.warm()
    listening.settle()
    parts.readiness.compiled = True
    _log.info("caches are complete and policies compiled", extra={"revision": parts.view.revision})
    await parts.view.keep_compiled()


def _put_together(settings: Settings, kube: client.Client) -> _Parts:
    caches = make_caches(kube, _CACHES, own_namespace=settings.installation.namespace)
    gatherer = gather.Gatherer(
        gather.Listers(
            namespaces=caches["namespaces"],
            identities=caches["identities"],
            policies=caches["policies"],
            cluster_policies=caches["cluster_policies"],
            pods=NoPods(),
            network_policies=caches["network_policies"],
        ),
        api.parse,
        lambda: settings.installation,
    )
    exempt = settings.exempt_namespaces
    view = CachedView(
        gatherer, caches["namespaces"], caches["network_policies"], resolve.resolve, exempt, caches["verdicts"]
    )
    certificate = Certificate()
    _subscribe(caches, view, certificate)
    metrics = Metrics()
    rules = Rules(
        controller=admission_policy.controller_user(settings.installation),
        exempt=exempt,
        default_enrolment=settings.default_enroll,
        proxy=settings.injection,
        jwks_hosts=settings.installation.jwks_hosts,
    )
    learner = Learner(_reader(kube), exempt)
    readiness = Readiness(caches, certificate)
    sink = events.KubeEvents(kube, clock.SystemClock(), instance=settings.pod_name, controller=events.WEBHOOK)
    notices = Notices(sink, metrics)
    wants = Wants(caches["verdicts"], _asker(kube), metrics)
    proving = Proving(gatherer)
    answering = Answering(view, rules, learner, metrics, tell=notices.offer, want=wants.offer)
    answering.proving = proving
    app = App(answering, metrics)
    health = HealthApp(readiness, view, certificate, metrics)
    return _Parts(caches, view, certificate, readiness, app, health, notices, wants, proving)


def _subscribe(caches: Caches, view: CachedView, certificate: Certificate) -> None:
    caches["namespaces"].subscribe(lambda _, name: view.changed(name))
    caches["identities"].subscribe(lambda namespace, _: view.changed(namespace))
    caches["policies"].subscribe(lambda namespace, _: view.changed(namespace))
    caches["cluster_policies"].subscribe(lambda _, __: view.changed(""))

    def certified(namespace: str, name: str) -> None:
        secret = caches["serving"].get(namespace, name)
        if secret is not None:
            certificate.take(secret)

    caches["serving"].subscribe(certified)


def _asker(kube: client.Client) -> Write:
    """Asks for an image by server-side apply, so that asking again is a change of the time and no more."""
    query = {"fieldManager": f"{FIELD_MANAGER}-webhook", "force": "true"}

    async def ask(wanted: Wanted) -> None:
        path = resources.IMAGE_VERDICTS.path(wanted.namespace, wanted.name)
        body = verdict_objects.request(wanted, time.time())
        await kube.request("PATCH", path, query=query, body=body, content_type=client.APPLY)

    return ask


def _reader(kube: client.Client) -> Read:
    async def read(missing: Missing, seconds: float) -> Object | None:
        path = _READ[missing.kind].path(missing.namespace, missing.name)
        try:
            found: Object = await kube.request("GET", path, timeout=seconds)
        except errors.NotFound:
            return None
        return found

    return read
