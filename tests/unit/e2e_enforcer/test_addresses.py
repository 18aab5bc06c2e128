import json
import os
import threading
from ipaddress import ip_address
from pathlib import Path

from e2e.enforcer import addresses


def result(directory: Path, name: str, uid: str, *listed: str, age: int = 0) -> Path:
    path = directory / f"{name}-eth0"
    content = {"cniArgs": [["K8S_POD_UID", uid]], "result": {"ips": [{"address": each} for each in listed]}}
    path.write_text(json.dumps(content))
    os.utime(path, (1000 - age, 1000 - age))
    return path


def test_the_newest_sandbox_of_a_pod_counts(tmp_path: Path) -> None:
    result(tmp_path, "b", "uid-1", "10.0.0.2/24", "fd00::2/64")
    result(tmp_path, "c", "uid-1", "10.0.0.1/24", age=10)
    assert addresses.read(tmp_path) == {"uid-1": (ip_address("10.0.0.2"), ip_address("fd00::2"))}


def test_half_a_file_and_other_networks_are_passed_over(tmp_path: Path) -> None:
    result(tmp_path, "good", "uid-1", "10.0.0.1/24")
    (tmp_path / "half-eth0").write_text('{"cniArgs": [["K8S')
    (tmp_path / "bare-eth0").write_text("{}")
    (tmp_path / "loopback-lo").write_text("{}")
    assert list(addresses.read(tmp_path)) == ["uid-1"]


def test_a_change_of_the_directory_is_noticed(tmp_path: Path) -> None:
    changed = threading.Event()
    watcher = addresses.Watcher(changed.set, tmp_path / "made-when-needed")
    watcher.start()
    path = result(tmp_path / "made-when-needed", "a", "uid-1", "10.0.0.1/24")
    assert changed.wait(5)
    assert watcher.known() == {"uid-1": (ip_address("10.0.0.1"),)}
    changed.clear()
    path.unlink()
    assert changed.wait(5)
    assert watcher.known() == {}
