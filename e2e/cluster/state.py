"""What is remembered of a cluster between two commands, and which number a new one gets."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.errors import ClusterError
from e2e.cluster.layout import MAX_CLUSTERS, MAX_NODES, Layout

_FILE = "cluster.json"


@dataclass(frozen=True, slots=True)
class Remembered:
    """One cluster's number, size and programs."""

    layout: Layout
    programs: Path
    """The directory of the programs that it was started with last."""

    def save(self) -> None:
        """Writes it into the cluster's directory, which is made when it is not there."""
        self.layout.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        layout = self.layout
        values = {
            "index": layout.index,
            "nodes": layout.node_count,
            "dual": layout.dual,
            "programs": str(self.programs),
        }
        (self.layout.directory / _FILE).write_text(json.dumps(values))


def load(directory: Path) -> Remembered | None:
    """What a cluster's directory says; None when there is no cluster in it."""
    try:
        value = json.loads((directory / _FILE).read_text())
    except OSError:
        return None
    layout = Layout(directory.name, value["index"], value["nodes"], directory, dual=value.get("dual", False))
    return Remembered(layout, Path(value["programs"]))


def plan(directory: Path, nodes: int, in_use: Callable[[int], bool], *, dual: bool = False) -> Layout:
    """A layout for a new cluster, with the lowest number that no other has. Raises ClusterError.

    `in_use` tells of a number whether something else on the machine has its names; `dual` asks for both families.
    """
    if not 1 <= nodes <= MAX_NODES:
        raise ClusterError(f"--nodes {nodes}: use 1 to {MAX_NODES}")
    taken = set(_indexes(directory.parent.glob("*")))
    free = (index for index in range(MAX_CLUSTERS) if index not in taken and not in_use(index))
    index = next(free, None)
    if index is None:
        raise ClusterError(f"all {MAX_CLUSTERS} cluster numbers of this machine are in use")
    return Layout(directory.name, index, nodes, directory, dual=dual)


def _indexes(directories: Iterable[Path]) -> Iterable[int]:
    for directory in directories:
        remembered = load(directory)
        if remembered is not None:
            yield remembered.layout.index
