"""Which kind of cluster: kind where a Docker engine answers, since users know it, else this machine itself."""

import shutil
from pathlib import Path
from typing import Protocol

from e2e.cluster import kind, local
from e2e.cluster.command import attempt


class Cluster(Protocol):
    """What both kinds can do."""

    @property
    def kubeconfig(self) -> Path:
        """A cluster administrator's kubeconfig."""
        ...

    @property
    def programs(self) -> Path:
        """The directory of kubectl, helm and crane."""
        ...

    @property
    def registry(self) -> str:
        """What the names of images begin with."""
        ...

    @property
    def registry_inside(self) -> str:
        """The same registry by the address at which pods reach it; nodes know it by this name too."""
        ...

    @property
    def environment(self) -> dict[str, str]:
        """Facts for scripts and tests: the ranges of pods and Services, and an address outside of the cluster."""
        ...

    def status(self) -> list[tuple[str, bool]]:
        """Each part, and whether it runs."""
        ...

    def load(self, layout: Path, reference: str) -> str:
        """Puts an image (OCI layout or tar) into the registry under name:tag; returns its name with its digest."""
        ...

    def kill(self, part: str) -> None:
        """Ends one of the parts that `status` names, by force; `start` brings it back. Raises ClusterError."""
        ...

    def entering(self, number: int) -> tuple[str, ...]:
        """The command that runs what follows it inside a node."""
        ...


def docker_answers() -> bool:
    """Whether there is a Docker engine to run kind on."""
    return shutil.which("docker") is not None and attempt("docker", "info").returncode == 0


def start(name: str, nodes: int | None = None, *, dual: bool = False) -> Cluster:
    """Starts the cluster, or completes it; without `nodes`, as large as it is, or two. `dual` gives a new one IPv6
    beside IPv4. Raises ClusterError.
    """
    return kind.start(name, nodes, dual=dual) if docker_answers() else local.start(name, nodes, dual=dual)


def stop(name: str) -> bool:
    """Takes it down; False when there was none."""
    stopped = local.stop(name)
    return (docker_answers() and kind.stop(name)) or stopped


def find(name: str) -> Cluster | None:
    """The cluster of this name, running or not; None when there is none."""
    return local.find(name) or (kind.find(name) if docker_answers() else None)
