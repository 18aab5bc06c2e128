"""What measurements of whole controllers have in common: an API server, a process under it, and what it cost.

The load comes from the measuring process, on the same cores. No node: pods are objects that nothing runs.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ringfence.api import v1alpha1
from ringfence.kube import client, errors, lease, resources

from e2e.cluster import kubeconfig, ports
from e2e.cluster.certificates import Authority
from e2e.cluster.controlplane import ControlPlane

OWN = "ringfence-system"
USER = f"system:serviceaccount:{OWN}:ringfence-controller"
_PARALLEL = 32
#: A log that is begun anew meanwhile would hide requests.
AUDIT_ARGUMENTS = ("--audit-log-maxsize=4000",)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the audit log has it; a watch counts once."""

    agent: str
    verb: str
    resource: str
    subresource: str

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.verb in {"list", "watch", "get"}


class Audit:
    """Who asked the API server for what, since ``mark``."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._start = 0

    def mark(self) -> None:
        """Count from here on."""
        self._start = self._file.stat().st_size

    def requests(self, user: str) -> Iterator[Request]:
        """What a user has asked for; without what was asked in that user's name by the measuring process."""
        with self._file.open("rb") as log:
            log.seek(self._start)
            for line in log:
                entry = json.loads(line)
                agent = entry.get("userAgent", "")
                counted = "ResponseStarted" if entry["verb"] == "watch" else "ResponseComplete"
                if (
                    entry["user"]["username"] != user
                    or agent.startswith("ringfence-bench")
                    or entry["stage"] != counted
                ):
                    continue
                what = entry.get("objectRef", {})
                yield Request(agent, entry["verb"], what.get("resource", ""), what.get("subresource", ""))


def user_config(plane: ControlPlane, place: Path, user: str, name: str) -> Path:
    """A kubeconfig of a user who has every right."""
    authority = Authority(plane.directory / "pki", "ca")
    pair = authority.issue(f"bench-{name}", user=user, groups=["system:masters"])
    return kubeconfig.write(
        place / f"{name}.kubeconfig",
        server=plane.server,
        authority=authority.pair.certificate,
        user=pair,
        name="bench",
    )


@contextmanager
def process(command: list[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs while the block does; what it writes goes to standard error."""
    variables = {**os.environ, **environment}
    variables.pop("KUBERNETES_SERVICE_HOST", None)
    child = subprocess.Popen(command, env=variables, stdout=sys.stderr)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@dataclass(frozen=True, slots=True)
class Controller:
    """The controller as a process, and the port of its figures."""

    process: subprocess.Popen[bytes]
    port: int


@contextmanager
def controller(config: Path, place: Path, settings: Mapping[str, Any] | None = None) -> Iterator[Controller]:
    """Ringfence's controller with Kopf and all; ``settings`` as its settings file has them."""
    (port,) = ports.free()
    file = place / "config.yaml"
    file.write_text(
        yaml.safe_dump({"httpHost": "127.0.0.1", "httpPort": port, "logLevel": "warning", **(settings or {})})
    )
    command = [sys.executable, "-m", "ringfence", "run", "controller", "--config", str(file)]
    with process(command, KUBECONFIG=str(config), POD_NAMESPACE=OWN, POD_NAME="bench") as child:
        yield Controller(child, port)


@asynccontextmanager
async def connected(config: Path) -> AsyncIterator[client.Client]:
    """A client of the measuring process."""
    api = await client.Client.connect(config, component="bench")
    try:
        yield api
    finally:
        await api.close()


async def install(api: client.Client) -> None:
    """What the chart brings before the controller: kinds, the own namespace, the Lease."""
    for crd in v1alpha1.crds():
        await create(api, crd)
    await create(api, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OWN}})
    # As the chart brings it, held by nobody: one that the controller has to make itself delays its first write.
    metadata = {"name": lease.NAME, "namespace": OWN}
    await create(api, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata})
    for resource in (resources.SERVICE_IDENTITIES, resources.SECURITY_POLICIES, resources.CLUSTER_SECURITY_POLICIES):
        await served(api, resource)


async def create(api: client.Client, obj: dict[str, Any], resource: resources.Resource | None = None) -> None:
    """Create an object; ``resource`` for kinds that Ringfence has no business with."""
    resource = resource or resources.of(obj["apiVersion"], obj["kind"])
    await api.request("POST", resource.path(obj["metadata"].get("namespace", "")), body=obj)


async def served(api: client.Client, resource: resources.Resource) -> None:
    """Return once the API server serves the kind."""
    for _ in range(200):
        try:
            await api.request("GET", resource.path())
        except (errors.NotFound, errors.Throttled):
            await asyncio.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{resource.plural} are not served")


async def all_of(act: Callable[[dict[str, Any]], Awaitable[None]], objects: Collection[dict[str, Any]]) -> None:
    """Do something with each object, a few at a time."""
    gate = asyncio.Semaphore(_PARALLEL)

    async def one(obj: dict[str, Any]) -> None:
        async with gate:
            await act(obj)

    await asyncio.gather(*(one(obj) for obj in objects))


def peak_memory(pid: int) -> int:
    """The highest resident memory of a process so far, in bytes."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) * 1024


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def plane_cpu_seconds(plane: ControlPlane) -> float:
    """The same of etcd and the API server together."""
    marks = [json.loads(mark.read_text()) for mark in plane.directory.glob("*.pid")]
    return sum(cpu_seconds(mark["pid"]) for mark in marks)


def shares(counted: Counter[str], of: int) -> str:
    """Counts for each of so many things, the most frequent first."""
    return ", ".join(f"{name} {count / of:.2f}" for name, count in counted.most_common())


def say(text: str) -> None:
    """Progress, for a person."""
    print(text, file=sys.stderr, flush=True)
