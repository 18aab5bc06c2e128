"""Programs under steady load, what they have counted, and the table of what disturbed them.

The namespace `mesh-load` has `store` (two pods), which `load` asks over HTTP and to which `hold` keeps TCP connections
open. `thief` has a proxy and no rule lets it in. `legacy`, in a namespace of its own, is older than the proxies: it may
call by the policy, but shows no identity, so only a Permissive transport lets it in.
"""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e.cluster import backend
from e2e.cluster.errors import ClusterError
from e2e.demo import mesh
from e2e.demo.client import Client, Object, until

LONG = bool(os.environ.get("RINGFENCE_SOAK"))
TABLE = os.environ.get("RINGFENCE_SOAK_TABLE", "")
"""A file that the table is written to as Markdown, beside the terminal; "" for none."""
RATE = 500 if LONG else 100
"""Requests a second of `load`; `thief` and `legacy` ask at a tenth."""
HELD = 8
"""Connections that are held open."""
LIFE = 20 if LONG else 10
"""Minutes that certificates last: proxyd is away for ten of the long form, and three quarters must cover that."""
AGE = LIFE * 60 / 4
"""Seconds after which a connection ends by age; Envoy moves it by a tenth."""

SPACE, BEFORE = "mesh-load", "mesh-before"
LOADER = Path(__file__).with_name("loader.py")


@dataclass(frozen=True, slots=True)
class Counts:
    """What a program has counted: ``aged`` and ``early`` are connections that ended at their age, and before."""

    good: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    aged: int = 0
    early: int = 0
    last: str = ""

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> "Counts":
        """From a line of the program."""
        return cls(said["good"], said["failed"], said["ended"]["aged"], said["ended"]["early"], said["last"])

    def plus(self, other: "Counts") -> "Counts":
        """Both together."""
        kinds = sorted(self.failed.keys() | other.failed.keys())
        failed = {kind: self.failed.get(kind, 0) + other.failed.get(kind, 0) for kind in kinds}
        last = max(self.last, other.last)
        return Counts(self.good + other.good, failed, self.aged + other.aged, self.early + other.early, last)

    def since(self, before: "Counts") -> "Counts":
        """What came after ``before``."""
        failed = {kind: count - before.failed.get(kind, 0) for kind, count in self.failed.items()}
        failed = {kind: count for kind, count in sorted(failed.items()) if count}
        return Counts(self.good - before.good, failed, self.aged - before.aged, self.early - before.early, self.last)


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one disturbance. ``passed``: answers that the policy denies."""

    what: str
    seconds: float
    asked: Counts
    held: Counts
    passed: int
    by: str = ""
    """What may end connections early: a policy, or the end of their pod."""

    @property
    def failed(self) -> dict[str, int]:
        """All that failed though the policy allows it, by kind."""
        found = self.asked.plus(self.held)
        early = {} if self.by else {"connection cut": found.early}
        return {kind: count for kind, count in {**found.failed, **early}.items() if count}

    def cells(self) -> list[str]:
        """For the table."""
        failed = ", ".join(f"{count} {kind}" for kind, count in self.failed.items())
        cut = f"{self.held.early} by {self.by}" if self.by else "0"
        numbers = [f"{self.seconds:.0f}", f"{self.asked.good:,}", f"{self.held.good:,}"]
        return [self.what, *numbers, failed or "0", str(self.passed), str(self.held.aged), cut]


HEADINGS = (
    "disturbance",
    "seconds",
    "requests answered",
    "answers on held connections",
    "failed",
    "passed that should not",
    "held connections ended by age",
    "ended early",
)


def markdown(rows: Iterable[Row]) -> str:
    """The table, with a last line that sums it up."""
    rows = list(rows)
    total = Row(
        "**all**",
        sum(each.seconds for each in rows),
        _sum(each.asked for each in rows),
        _sum(each.held for each in rows),
        sum(each.passed for each in rows),
    )
    sums = total.cells()
    failed = sum(sum(each.failed.values()) for each in rows)
    sums[4], sums[7] = str(failed), str(total.held.early)
    lines = [HEADINGS, ["---", *["---:"] * 7], *(each.cells() for each in rows), sums]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _sum(counts: Iterable[Counts]) -> Counts:
    found = Counts()
    for each in counts:
        found = found.plus(each)
    return found


@dataclass(slots=True)
class Loaded:
    """The programs while they run, and the counts of those of their pods that have ended."""

    cluster: backend.Cluster
    admin: Client
    image: str
    ended: dict[str, Counts] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def counts(self, name: str, space: str = SPACE) -> Counts:
        """All that the pods of a program have counted. Raises ClusterError when one says nothing for a minute."""
        found = self.ended.get(name, Counts())
        for pod in self.pods(name, space):
            found = found.plus(Counts.read(json.loads(self._said(space, pod))))
        return found

    def _said(self, space: str, pod: str) -> str:
        """The last line of a pod. One that has just been started has said nothing yet."""
        said = ""

        def speaks() -> bool:
            nonlocal said
            said = self._log(space, pod, "--tail=1").strip()
            return bool(said)

        until(speaks, f"{pod} says something", 60)
        return said

    def pods(self, name: str, space: str = SPACE) -> list[str]:
        """Those of a program that run and are not told to end."""
        items = self.admin.get("pods", f"--namespace={space}", f"--selector=app={name}")["items"]
        return [each["metadata"]["name"] for each in items if "deletionTimestamp" not in each["metadata"]]

    def restart(self, name: str, space: str = SPACE) -> None:
        """A rolling restart of a program that counts, after which nothing of its count is lost."""
        command = [str(self.admin.programs / "kubectl"), "logs", "--follow", "--tail=1", f"--namespace={space}"]
        following = [
            subprocess.Popen(
                [*command, "--container=speaker", pod],
                env=dict(self.admin.environment),
                stdout=subprocess.PIPE,
                bufsize=0,  # or what has been read with the first line would be missing in the rest
            )
            for pod in self.pods(name, space)
        ]
        for each in following:
            # It listens: what says nothing before its pod ends may have come too late to hear the end.
            if each.stdout is None or not each.stdout.readline():
                raise ClusterError(f"the log of a pod of {name} could not be read")
        self.admin.run("rollout", "restart", f"--namespace={space}", f"deployment/{name}")
        for each in following:
            try:
                lines, _ = each.communicate(timeout=180)
            except subprocess.TimeoutExpired:
                each.kill()
                raise ClusterError(f"a pod of {name} did not end within 180 s of its restart") from None
            said = json.loads(lines.splitlines()[-1])
            if not said["final"]:
                raise ClusterError(f"a pod of {name} was ended before it had counted to the end: {said}")
            self.ended[name] = self.ended.get(name, Counts()).plus(Counts.read(said))
        mesh.wait_running(self.admin, space, name)

    def _log(self, space: str, pod: str, *flags: str) -> str:
        return self.admin.run("logs", f"--namespace={space}", pod, "--container=speaker", *flags)


# --- what runs --------------------------------------------------------------------------------------------------------


def namespace(space: str) -> list[Object]:
    """Enforced, with the programs' source."""
    labels = {"ringfence.dev/enroll": "enforce"}
    source = {LOADER.name: LOADER.read_text()}
    metadata = {"name": "loader", "namespace": space}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space, "labels": labels}},
        mesh.program(space),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": source},
    ]


def loading(space: str, name: str, image: str, *arguments: str) -> list[Object]:
    """A program that loads another."""
    objects = mesh.service(space, name, image, *arguments)
    (deployment,) = (each for each in objects if each["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    pod["containers"][0]["command"] = [mesh.PYTHON, f"/program/{LOADER.name}", *arguments]
    pod["volumes"] = [{"name": "program", "configMap": {"name": "loader"}}]
    return objects


def asking(space: str, name: str, image: str, rate: float, *more: str) -> list[Object]:
    """One that asks `store`."""
    return loading(space, name, image, "ask", f"store.{SPACE}", "80", f"--rate={rate}", *more)


def holding(image: str) -> list[Object]:
    """The one that keeps connections open. What ends within a tenth of its age has ended by age."""
    more = (f"--connections={HELD}", f"--age={AGE * 0.88:.0f}")
    return loading(SPACE, "hold", image, "hold", f"store.{SPACE}", str(mesh.GREETING), *more)


def identity(name: str, renew_at: float = 0.25) -> Object:
    """An identity whose certificates last for LIFE."""
    return {
        "apiVersion": "ringfence.dev/v1alpha1",
        "kind": "ServiceIdentity",
        "metadata": {"name": name, "namespace": SPACE},
        "spec": {"certificate": {"ttl": f"{LIFE}m", "renewAt": renew_at}},
    }


def who_may(*more: str, permissive: bool = False) -> Object:
    """The policy of `store`; ``more`` identities may open TCP connections to it."""

    def peers(*names: str) -> list[Object]:
        return [{"identity": {"namespace": SPACE, "name": each}} for each in names]

    rules: list[Object] = [
        {"name": "asks", "from": peers("load"), "ports": [mesh.HTTP]},
        {"name": "holds", "from": peers("hold", *more), "ports": [mesh.GREETING]},
        {"name": "older", "from": [{"identity": {"namespace": BEFORE, "name": "legacy"}}], "ports": [mesh.HTTP]},
    ]
    transport: Object = {"transport": {"mtls": "Permissive"}} if permissive else {}
    return mesh.policy(SPACE, "store-callers", "store", rules, **transport)
