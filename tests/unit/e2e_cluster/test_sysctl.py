"""Kernel settings are put back as they were; tried on a directory that looks like /proc/sys."""

from pathlib import Path

import pytest

from e2e.cluster import sysctl


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    root = tmp_path / "sys"
    for name, value in {"fs/inotify/max_user_instances": "128", "vm/overcommit_memory": "0"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{value}\n")
    return root


def test_raised_while_a_cluster_runs_and_put_back_after(kernel: Path, tmp_path: Path) -> None:
    sysctl.raise_limits(tmp_path, kernel)
    assert (kernel / "fs/inotify/max_user_instances").read_text() == "1024"
    (kernel / "vm/overcommit_memory").write_text("1")  # as the kubelet does
    sysctl.raise_limits(tmp_path, kernel)  # a second start must not take the changed values for the old ones
    sysctl.restore(tmp_path, kernel)
    assert (kernel / "fs/inotify/max_user_instances").read_text() == "128"
    assert (kernel / "vm/overcommit_memory").read_text() == "0"


def test_nothing_remembered_is_nothing_to_restore(kernel: Path, tmp_path: Path) -> None:
    sysctl.restore(tmp_path, kernel)
    assert (kernel / "fs/inotify/max_user_instances").read_text() == "128\n"


def test_a_higher_limit_stays(kernel: Path, tmp_path: Path) -> None:
    (kernel / "fs/inotify/max_user_instances").write_text("8192")
    sysctl.raise_limits(tmp_path, kernel)
    assert (kernel / "fs/inotify/max_user_instances").read_text() == "8192"
