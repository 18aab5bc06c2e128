"""kubectl and helm as somebody: an administrator, or a user who is impersonated."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from e2e.cluster.errors import ClusterError

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    error: str

    @property
    def ok(self) -> bool:
        """Whether it ended well."""
        return self.code == 0

    @property
    def message(self) -> str:
        """What it said to the person: the error, else the output, in one line."""
        return " ".join((self.error or self.out).split())


@dataclass(frozen=True, slots=True)
class Client:
    """One person's way into one cluster."""

    programs: Path
    """The directory of kubectl and helm."""
    kubeconfig: Path
    user: str = ""
    """Impersonated; the kubeconfig's own user when empty."""
    groups: tuple[str, ...] = ()

    def acting_as(self, user: str, *groups: str) -> "Client":
        """The same cluster as another user, who is in `system:authenticated` as everybody is."""
        return replace(self, user=user, groups=("system:authenticated", *groups))

    @property
    def environment(self) -> Mapping[str, str]:
        """What a program needs that finds the cluster by itself, such as ringfence."""
        path = os.pathsep.join([str(self.programs), os.environ.get("PATH", os.defpath)])
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": path}

    def attempt(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> Done:
        """kubectl, however it ends."""
        person = [f"--as={self.user}", *(f"--as-group={each}" for each in self.groups)] if self.user else []
        return call([str(self.programs / "kubectl"), *person, *arguments], self.environment, stdin, timeout)

    def run(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
        """kubectl's output. Raises ClusterError when it fails."""
        done = self.attempt(*arguments, stdin=stdin, timeout=timeout)
        if not done.ok:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.error.strip()}")
        return done.out

    def get(self, *arguments: str) -> Object:
        """An object or a List as JSON. Raises ClusterError when there is none."""
        value: Object = json.loads(self.run("get", *arguments, "--output=json"))
        return value

    def create(self, obj: Object, *flags: str) -> Done:
        """Creates one object, as `kubectl create -f`."""
        return self.attempt("create", *flags, "--filename=-", stdin=json.dumps(obj))

    def apply(self, objects: Sequence[Object]) -> str:
        """Server-side apply of these objects, in order. Raises ClusterError."""
        items = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        return self.run("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=items)

    def helm(self, *arguments: str, timeout: float = 300) -> str:
        """helm's output. Raises ClusterError when it fails."""
        done = self.attempt_helm(*arguments, timeout=timeout)
        if not done.ok:
            raise ClusterError(f"helm {' '.join(arguments)}: {done.error.strip()}")
        return done.out

    def attempt_helm(self, *arguments: str, timeout: float = 300) -> Done:
        """helm, however it ends."""
        return call([str(self.programs / "helm"), *arguments], self.environment, None, timeout)


def call(
    command: Sequence[str],
    environment: Mapping[str, str],
    stdin: str | None,
    timeout: float,
    directory: str | None = None,
) -> Done:
    """Runs a program to its end. One that takes longer than `timeout` seconds is ended and counts as failed."""
    try:
        done = subprocess.run(
            list(command),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env=dict(environment),
            timeout=timeout,
            cwd=directory,
        )
    except subprocess.TimeoutExpired:
        return Done(124, "", f"{command[0]} did not end within {timeout:.0f} s")
    return Done(done.returncode, done.stdout, done.stderr)


def until(condition: Callable[[], bool], what: str, within: float = 60, every: float = 0.25) -> float:
    """Waits until the condition holds; returns the seconds that it took. Raises ClusterError when time runs out."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > within:
            raise ClusterError(f"not within {within:.0f} s: {what}")
        time.sleep(every)
    return time.monotonic() - begin
