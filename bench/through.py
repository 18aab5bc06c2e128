"""What admission adds to a request: pods created as dry runs, through an API server of its own for each case.

Without a webhook, with the validating one alone (as others are measured), with both as they are installed, and with
the backstop policies too. Rounds of the four alternate.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from ringfence.kube import client, errors, resources
from ringfence.model.names import LABEL_ENROLL, LABEL_IDENTITY
from ringfence.model.world import Installation
from ringfence.translate import admission_policy, webhook_config

from bench import load, reviews, rig, servers
from bench.load import Figures, Question
from bench.reviews import Policies
from bench.servers import Running, Trust
from bench.table import Row
from e2e.cluster.controlplane import ControlPlane

CONCURRENCY: Final = (1, 8)
ROUNDS: Final = 9
SECONDS: Final = 0.8
POLICIES: Final = Policies(own=200, others=800)
_ALONE, _BOTH, _ALL = "validating", "webhooks", "all"
#: Each case, and by how many milliseconds the p50 at 1 may grow there (0: no goal).
_CASES: Final = {
    _ALONE: ("with the validating webhook alone", 2.0),
    _BOTH: ("with both webhooks", 0.0),
    _ALL: ("with both webhooks and the backstop", 4.0),
}

_PATH: Final = f"{resources.PODS.path(reviews.NAMESPACE)}?dryRun=All"
_WITHIN: Final = 60.0


@contextmanager
def plane(name: str, labels: Mapping[str, str]) -> Iterator[ControlPlane]:
    """An API server with the namespace of the pods and its ServiceAccount."""
    with ControlPlane(name) as running:

        async def fill(api: client.Client) -> None:
            metadata = {"name": reviews.NAMESPACE, "labels": dict(labels)}
            await rig.create(api, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
            account = {"name": "default", "namespace": reviews.NAMESPACE}
            await rig.create(api, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})

        _with_client(running, fill)
        yield running


def rows(trust: Trust) -> list[Row]:
    """Measure; takes about two minutes."""
    enrolled = {LABEL_ENROLL: "enforce"}
    with ExitStack() as stack:
        webhook = stack.enter_context(servers.ringfence(trust, POLICIES))
        planes = {name: stack.enter_context(plane(f"bench-{name}", enrolled)) for name in ("bare", *_CASES)}
        for name in _CASES:
            _with_client(planes[name], _installing(name, trust, webhook))
        found: dict[tuple[str, int], Figures] = {}
        questions = {name: Question(json.dumps(_pod(name)).encode(), b'"kind":"Pod"') for name in planes}
        reached = {name: _reached(each) for name, each in planes.items()}
        for clients in CONCURRENCY:
            for number in range(ROUNDS):
                rig.say(f"  through the API server, {clients} at once, round {number + 1} of {ROUNDS}")
                for name, server in reached.items():
                    measured = load.run(server, questions[name], clients, seconds=SECONDS)
                    found.setdefault((name, clients), Figures()).add(*measured)
    return list(_table(found))


def _table(found: dict[tuple[str, int], Figures]) -> Iterator[Row]:
    for clients in CONCURRENCY:
        base = found["bare", clients]
        yield Row(f"create pod as a dry run, {clients} at once, no webhook", _figures(base))
        for name, (what, goal) in _CASES.items():
            figures = found[name, clients]
            more = figures.quantile(0.5) - base.quantile(0.5)
            text = f"{_figures(figures)}: {more:+.2f} ms"
            if clients == 1 and goal:
                yield Row(f"    {what}", text, f"≤ {goal:+.0f} ms", more <= goal)
            else:
                yield Row(f"    {what}", text)


def _figures(figures: Figures) -> str:
    return (
        f"p50 {figures.quantile(0.5):.2f} ms, p99 {figures.quantile(0.99):.2f} ms, "
        f"API server {figures.cpu_per_thousand:.1f} CPU s a 1,000"
    )


def _pod(case: str = _ALL) -> dict[str, Any]:
    """As its author sends it: without managedFields, and without the label that the mutating webhook sets."""
    pod = reviews.pod()
    del pod["metadata"]["managedFields"]
    if case != _ALONE:
        del pod["metadata"]["labels"][LABEL_IDENTITY]
    return pod


def _installing(case: str, trust: Trust, webhook: Running) -> Callable[[client.Client], Awaitable[None]]:
    return lambda api: _install(api, case, trust, webhook)


async def _install(api: client.Client, case: str, trust: Trust, webhook: Running) -> None:
    """Write what the controller writes, as far as the case has it, and wait until it holds."""
    if case == _ALL:
        # Before the webhooks, which would refuse first.
        for obj in admission_policy.objects(Installation()):
            await rig.create(api, obj)
        forged = _pod()
        forged["metadata"]["labels"][LABEL_IDENTITY] = "payments"
        await _refused(api, forged, "ringfence-pods")
    endpoint = webhook_config.Endpoint(trust.ca.certificate, f"https://localhost:{webhook.port}")
    for obj in webhook_config.objects(Installation(), endpoint):
        if case != _ALONE or obj["kind"].startswith("Validating"):
            await rig.create(api, obj)
    bad = _pod(case)
    bad["spec"]["hostIPC"] = True
    await _refused(api, bad, "pods.ringfence.dev")


async def _refused(api: client.Client, pod: dict[str, Any], who: str) -> None:
    """Return once a pod is refused by ``who``; the API server tells nobody when something holds."""
    path, _, _ = _PATH.partition("?")
    deadline, answer = time.monotonic() + _WITHIN, "it was admitted"
    while who not in answer:
        if time.monotonic() > deadline:
            raise RuntimeError(f"not refused by {who} within {_WITHIN:.0f} s: {answer}")
        await asyncio.sleep(0.1)
        try:
            await api.request("POST", path, query={"dryRun": "All"}, body=pod)
        except errors.KubeError as error:
            answer = str(error)


def _with_client(running: ControlPlane, act: Callable[[client.Client], Awaitable[None]]) -> None:
    async def main() -> None:
        async with rig.connected(running.kubeconfig) as api:
            await act(api)

    asyncio.run(main())


def _reached(running: ControlPlane) -> Running:
    """The API server as the load generator sees it, as an administrator."""
    pki: Path = running.directory / "pki"
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    pid = json.loads((running.directory / "kube-apiserver.pid").read_text())["pid"]
    return Running(running.port, pid, context, _PATH, b"201")
