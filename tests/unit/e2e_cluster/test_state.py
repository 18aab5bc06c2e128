"""What is remembered of a cluster, and which number the next one gets."""

from pathlib import Path

import pytest

from e2e.cluster import state
from e2e.cluster.errors import ClusterError
from e2e.cluster.layout import MAX_CLUSTERS, Layout
from e2e.cluster.state import Remembered


def _nothing_in_use(_: int) -> bool:
    return False


@pytest.mark.parametrize("dual", [False, True])
def test_what_is_saved_is_loaded(tmp_path: Path, dual: bool) -> None:
    remembered = Remembered(Layout("one", 4, 2, tmp_path / "one", dual=dual), Path("/programs"))
    remembered.save()
    assert state.load(tmp_path / "one") == remembered


def test_no_cluster_is_none(tmp_path: Path) -> None:
    assert state.load(tmp_path / "none") is None


def test_the_lowest_free_number_is_taken(tmp_path: Path) -> None:
    for index in (0, 1, 3):
        Remembered(Layout(f"c{index}", index, 1, tmp_path / f"c{index}"), Path("/programs")).save()
    assert state.plan(tmp_path / "new", 1, _nothing_in_use).index == 2
    assert state.plan(tmp_path / "new", 1, lambda index: index == 2).index == 4


def test_no_free_number_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=f"all {MAX_CLUSTERS} cluster numbers"):
        state.plan(tmp_path / "new", 1, lambda _: True)


@pytest.mark.parametrize("nodes", [0, 10, -1])
def test_number_of_nodes_is_bounded(tmp_path: Path, nodes: int) -> None:
    with pytest.raises(ClusterError, match=r"use 1 to 9"):
        state.plan(tmp_path / "new", nodes, _nothing_in_use)
