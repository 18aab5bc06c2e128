"""Many identities created at once: until each is ready with its certificate in a Secret, and what that costs.

Beside it cert-manager with CA issuers, on an API server of the same kind, in turns. Both have every right and are
served without being queued; both watch what is theirs already when the first resource is created.
"""

import asyncio
import base64
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from ringfence.kube import client, resources
from ringfence.model.names import API_VERSION, LABEL_ENROLL
from ringfence.pki import store

from bench import cert_manager, following, rig, table
from e2e.cluster.controlplane import ControlPlane
from e2e.cluster.errors import ClusterError
from e2e.goprogram.build import BuildError

NAMESPACES = 10
IDENTITIES = 50
"""In each namespace."""
ROUNDS = 3
GOAL_WRITES = 3.0
GOAL_SHARE = 1 / 20
PUBLISHED = "417 s in its own design document of 2023 (version 1.11), with its limit of requests on the client's side"
_WITHIN = 900.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of one of the two.

    ``seconds`` from the first request that creates until the last was ready, ``created`` until all were created;
    ``requests`` by what they are for; processor seconds of the controller and of API server and etcd together;
    ``memory`` of the controller at its highest, in bytes.
    """

    seconds: float
    created: float
    requests: Counter[str]
    cpu: float
    plane_cpu: float
    memory: int

    @property
    def writes(self) -> int:
        """Requests that change something; who leads is not written for the identities' sake."""
        return sum(count for what, count in self.requests.items() if what not in {"reads", "leases"})


@dataclass(frozen=True, slots=True)
class Contestant:
    """Who is measured: what is created, which state is waited for, and whose requests are counted."""

    resource: resources.Resource
    make: Callable[[str, str], dict[str, Any]]
    there: Callable[[following.Status], bool]
    user: str


def identity(namespace: str, name: str) -> dict[str, Any]:
    """A ServiceIdentity that wants its certificate in a Secret."""
    metadata = {"name": name, "namespace": namespace}
    spec = {"certificate": {"secretName": f"{name}-identity"}}
    return {"apiVersion": API_VERSION, "kind": "ServiceIdentity", "metadata": metadata, "spec": spec}


OURS = Contestant(
    resources.SERVICE_IDENTITIES,
    identity,
    lambda status: status.ready and status.certificate is not None,
    rig.USER,
)
THEIRS = Contestant(cert_manager.CERTIFICATES, cert_manager.certificate, lambda status: status.ready, cert_manager.USER)


def rows() -> list[table.Row]:
    """The figures of both, in turns; without cert-manager where it cannot be built."""
    try:
        program, trouble = cert_manager.build(), ""
    except (BuildError, ClusterError) as error:
        program, trouble = None, str(error)
    ours: list[Trial] = []
    theirs: list[Trial] = []
    for number in range(ROUNDS):
        ours.append(asyncio.run(_ours(_namespaces())))
        rig.say(f"identities: round {number + 1} of {ROUNDS}: {ours[-1].seconds:.1f} s")
        if program is not None:
            theirs.append(asyncio.run(_theirs(program)))
            rig.say(f"cert-manager: round {number + 1} of {ROUNDS}: {theirs[-1].seconds:.1f} s")
    together = asyncio.run(_ours(["all"], NAMESPACES * IDENTITIES))
    found = _own_rows(ours, together)
    if program is None:
        return [*found, table.Row("cert-manager", f"not built: {trouble.splitlines()[0]}")]
    return [*found, *_their_rows(ours, theirs, program.version)]


def _own_rows(ours: Sequence[Trial], together: Trial) -> list[table.Row]:
    count = NAMESPACES * IDENTITIES
    last = ours[-1]
    writes = max(each.writes for each in ours) / count
    kopf = max(each.requests["writes of Kopf"] for each in ours)
    return [
        table.Row(
            f"{count} identities created at once in {NAMESPACES} namespaces: all Ready, certificates in Secrets",
            _seconds(ours),
        ),
        table.Row(
            "API writes an identity",
            f"{writes:.2f} ({rig.shares(last.requests, count)})",
            f"at most {GOAL_WRITES:.0f}",
            writes <= GOAL_WRITES,
        ),
        table.Row("API writes by Kopf's own state", f"{kopf}", "0", kopf == 0),
        _cost("", ours),
        table.Row(
            f"{count} identities created at once in one namespace",
            f"{together.seconds:.1f} s, {together.writes / count:.2f} writes an identity",
        ),
    ]


def _their_rows(ours: Sequence[Trial], theirs: Sequence[Trial], version: str) -> list[table.Row]:
    count = NAMESPACES * IDENTITIES
    last = theirs[-1]
    wall = _median(ours, "seconds") / _median(theirs, "seconds")
    work = statistics.median(each.cpu + each.plane_cpu for each in ours) / statistics.median(
        each.cpu + each.plane_cpu for each in theirs
    )
    name = f"cert-manager {version}"
    return [
        table.Row(f"{name}, CA issuers, the same number ({PUBLISHED})", _seconds(theirs)),
        table.Row(
            f"{name}: API writes a certificate", f"{last.writes / count:.2f} ({rig.shares(last.requests, count)})"
        ),
        _cost(f"{name}: ", theirs),
        table.Row("time of ours to cert-manager's, medians", _ratio(wall), _ratio(GOAL_SHARE), wall <= GOAL_SHARE),
        table.Row("processor time of ours to cert-manager's, with API server and etcd", _ratio(work)),
    ]


def _cost(whose: str, trials: Sequence[Trial]) -> table.Row:
    memory = max(each.memory for each in trials)
    return table.Row(
        f"{whose}processor time of the controller; of API server and etcd; highest memory of the controller",
        f"{_median(trials, 'cpu'):.1f} s; {_median(trials, 'plane_cpu'):.1f} s; {memory / 2**20:.0f} MiB",
    )


def _seconds(trials: Sequence[Trial]) -> str:
    each = ", ".join(f"{trial.seconds:.1f}" for trial in trials)
    return f"{_median(trials, 'seconds'):.1f} s (of {each}; creating took {_median(trials, 'created'):.1f} s of it)"


def _median(trials: Sequence[Trial], what: str) -> float:
    return statistics.median(float(getattr(each, what)) for each in trials)


def _ratio(share: float) -> str:
    return f"1/{1 / share:.1f}"


def _namespaces() -> list[str]:
    return [f"team-{number}" for number in range(NAMESPACES)]


async def _ours(namespaces: Sequence[str], each: int = IDENTITIES) -> Trial:
    async with plane_of(rig.USER) as ground:
        await prepare(ground.api, namespaces)
        with rig.controller(ground.config, ground.place) as running:
            await at_rest(ground.api, namespaces)
            return await _trial(ground, OURS, running.process.pid, namespaces, each)


async def _theirs(program: cert_manager.Program) -> Trial:
    async with plane_of(cert_manager.USER) as ground:
        namespaces = _namespaces()
        await cert_manager.prepare(ground.api, program, namespaces, ground.place)
        with program.running(ground.config) as process:
            await cert_manager.issuers_ready(ground.api, len(namespaces))
            await asyncio.sleep(3)
            return await _trial(ground, THEIRS, process.pid, namespaces, IDENTITIES)


@dataclass(frozen=True, slots=True)
class Ground:
    """An API server of its own, a way in as the user who is measured, and the log of who asked for what."""

    plane: ControlPlane
    place: Path
    audit: rig.Audit
    config: Path
    api: client.Client


@asynccontextmanager
async def plane_of(user: str) -> AsyncIterator[Ground]:
    """A fresh API server while the block runs."""
    with tempfile.TemporaryDirectory(prefix="ringfence-bench-") as made:
        place = Path(made)
        log = place / "audit.log"
        with ControlPlane("bench", audit_log=log, arguments=rig.AUDIT_ARGUMENTS) as plane:
            config = rig.user_config(plane, place, user, "measured")
            async with rig.connected(config) as api:
                yield Ground(plane, place, rig.Audit(log), config, api)


async def prepare(api: client.Client, namespaces: Sequence[str]) -> None:
    """What the chart brings, and enrolled namespaces."""
    await rig.install(api)
    for name in namespaces:
        metadata = {"name": name, "labels": {LABEL_ENROLL: "enforce"}}
        await rig.create(api, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


async def at_rest(api: client.Client, namespaces: Sequence[str]) -> None:
    """Return once the controller has brought its trust to every namespace, and has had time for all else."""
    wanted = {*namespaces, rig.OWN}
    for _ in range(600):
        found = await api.request("GET", resources.CONFIG_MAPS.path())
        carried = {
            each["metadata"]["namespace"] for each in found["items"] if each["metadata"]["name"] == store.MARKER_NAME
        }
        if wanted <= carried:
            await asyncio.sleep(5)
            return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"no trust bundle within 60 s in {sorted(wanted - carried)}")


async def _trial(ground: Ground, who: Contestant, pid: int, namespaces: Sequence[str], each: int) -> Trial:
    api = ground.api
    objects = [who.make(namespace, f"service-{number}") for number in range(each) for namespace in namespaces]
    since = await following.version(api, who.resource)
    watching = asyncio.create_task(following.until(api, who.resource, since, len(objects), who.there, _WITHIN))
    await asyncio.sleep(0.5)
    ground.audit.mark()
    cpu, plane_cpu = rig.cpu_seconds(pid), rig.plane_cpu_seconds(ground.plane)
    started = time.monotonic()
    await rig.all_of(lambda obj: rig.create(api, obj, who.resource), objects)
    created = time.monotonic() - started
    seconds = await watching - started
    cpu, plane_cpu = rig.cpu_seconds(pid) - cpu, rig.plane_cpu_seconds(ground.plane) - plane_cpu
    await asyncio.sleep(3)
    await _certificates_are_there(
        api, {(obj["metadata"]["namespace"], f"{obj['metadata']['name']}-identity") for obj in objects}
    )
    requests = Counter(purpose(request) for request in ground.audit.requests(who.user))
    return Trial(seconds, created, requests, cpu, plane_cpu, rig.peak_memory(pid))


async def _certificates_are_there(api: client.Client, names: set[tuple[str, str]]) -> None:
    """Believe no status: look into the Secrets."""
    found = await api.request("GET", resources.SECRETS.path())
    secrets = {(each["metadata"]["namespace"], each["metadata"]["name"]): each["data"] for each in found["items"]}
    for name in names:
        data = secrets[name]
        leaf = x509.load_pem_x509_certificate(base64.b64decode(data["tls.crt"]))
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = alternative.get_values_for_type(x509.UniformResourceIdentifier)
        service = name[1].removesuffix("-identity")
        if uris != [f"spiffe://cluster.local/ns/{name[0]}/sa/{service}"] or not data["tls.key"] or not data["ca.crt"]:
            raise RuntimeError(f"the Secret {name} holds a certificate for {uris}")


def purpose(request: rig.Request) -> str:
    """What a request is for, as the tables name it."""
    if request.reads:
        return "reads"
    if request.agent.startswith("kopf"):
        return "writes of Kopf"
    return f"{request.resource}/{request.subresource}" if request.subresource else request.resource


if __name__ == "__main__":
    table.show("identities", rows())
