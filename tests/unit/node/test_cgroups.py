"""Paths of cgroups as kubelets make them, and as somebody would who wants to be taken for another pod."""

from pathlib import Path

import pytest
from ringfence.node import cgroups

UID = "6f1f9d9b-5a2e-4a55-9f63-0d9b1f0f7c11"
OTHER = "00000000-5a2e-4a55-9f63-0d9b1f0f7c11"
FLAT = UID.replace("-", "_")


@pytest.mark.parametrize(
    "path",
    [
        f"/kubepods/besteffort/pod{UID}/3a5f",
        f"/kubepods/pod{UID}",
        f"/rf-node-1/kubepods/burstable/pod{UID}/3a5f/nested",
        f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{FLAT}.slice/cri-containerd-3a5f.scope",
        f"/kubepods.slice/kubepods-pod{FLAT}.slice/crio-3a5f.scope/container",
        f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{FLAT}.slice/x",
        # As a process in a cgroup namespace of its own sees another's.
        f"/../../kubepods-burstable-pod{FLAT}.slice/cri-containerd-3a5f.scope",
        f"/../pod{UID}/3a5f",
        # A container may make cgroups below its own: the first component says whose they are.
        f"/kubepods/besteffort/pod{UID}/3a5f/pod{OTHER}",
        f"/kubepods/pod{UID}/3a5f/kubepods-besteffort-pod{OTHER.replace('-', '_')}.slice",
    ],
)
def test_a_cgroup_of_a_pod(path: str) -> None:
    assert cgroups.pod_of(path) == UID


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/system.slice/containerd.service",
        f"/kubepods/pod{UID}x/3a5f",
        f"/kubepods/xpod{UID}/3a5f",
        f"/kubepods/pod{UID[:-1]}/3a5f",
        f"/kubepods/pod{UID.upper()}/3a5f",
        f"/kubepods/pod{FLAT}/3a5f",
        f"/kubepods.slice/kubepods-pod{UID}.slice/3a5f",
        f"/kubepods.slice/pod{FLAT}.slice/3a5f",
        f"/kubepods/{UID}",
        f"/kubepods/pod{UID}\n/3a5f",
        "/kubepods/pod/3a5f",
    ],
)
def test_a_cgroup_of_no_pod(path: str) -> None:
    assert cgroups.pod_of(path) is None


@pytest.mark.parametrize(
    ("text", "uid"),
    [
        (f"0::/kubepods.slice/kubepods-pod{FLAT}.slice/cri-containerd-3a5f.scope\n", UID),
        (f"9:name=systemd:/kubepods/pod{UID}/3a5f\n4:memory:/kubepods/pod{UID}/3a5f\n0::/\n", UID),
        (f"2:cpu,cpuacct:/kubepods/pod{UID}/3a5f\n", UID),
        ("9:name=systemd:/\n0::/\n", None),
        ("", None),
        ("rubbish\n", None),
        # Hierarchies that disagree: whoever made that is not to be guessed at.
        (f"9:pids:/kubepods/pod{UID}/3a5f\n4:memory:/kubepods/pod{OTHER}/3a5f\n", None),
    ],
)
def test_whose_a_process_is(text: str, uid: str | None) -> None:
    assert cgroups.pod_of_process(text) == uid


@pytest.mark.parametrize("name", ["kubepods", "kubepods.slice", "kubelet-kubepods.slice"])
def test_where_a_kubelet_keeps_its_pods(tmp_path: Path, name: str) -> None:
    (tmp_path / "cgroup.controllers").touch()
    (tmp_path / "a" / "b" / name / "besteffort").mkdir(parents=True)
    (tmp_path / "too" / "deep" / "to" / "be" / name).mkdir(parents=True)
    assert cgroups.roots(tmp_path) == (tmp_path / "a" / "b" / name,)


def test_no_kubepods_is_no_root_and_a_pod_cannot_make_one(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    assert cgroups.roots(tmp_path) == ()
    (tmp_path / f"pod{UID}" / "kubepods").mkdir(parents=True)
    assert cgroups.roots(tmp_path) == ()
    assert cgroups.roots(tmp_path / "missing") == ()


def test_version_1_has_the_same_in_each_hierarchy(tmp_path: Path) -> None:
    for controller in ("pids", "memory", "unified"):
        (tmp_path / controller / "node" / "kubepods").mkdir(parents=True)
    assert cgroups.roots(tmp_path) == (tmp_path / "memory" / "node" / "kubepods",)


@pytest.mark.parametrize(
    ("root", "group"),
    [
        ("kubepods", f"besteffort/pod{UID}"),
        ("kubepods", f"burstable/pod{UID}"),
        ("kubepods", f"pod{UID}"),
        ("kubepods.slice", f"kubepods-pod{FLAT}.slice"),
        ("kubepods.slice", f"kubepods-burstable.slice/kubepods-burstable-pod{FLAT}.slice"),
        ("kubelet-kubepods.slice", f"kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{FLAT}.slice"),
    ],
)
def test_where_the_cgroup_of_a_pod_may_be(tmp_path: Path, root: str, group: str) -> None:
    assert tmp_path / root / group in set(cgroups.candidates(tmp_path / root, UID))
    for each in cgroups.candidates(tmp_path / root, UID):
        assert cgroups.pod_of(str(each.relative_to(tmp_path))) == UID


def test_processes_are_those_in_a_cgroup_and_below(tmp_path: Path) -> None:
    (tmp_path / "c1" / "deep").mkdir(parents=True)
    (tmp_path / "c2").mkdir()
    (tmp_path / "cgroup.procs").write_text("")
    (tmp_path / "c1" / "cgroup.procs").write_text("12\n13\n")
    (tmp_path / "c1" / "deep" / "cgroup.procs").write_text("14\n")
    # Of another pid namespace: not to be seen from here.
    (tmp_path / "c2" / "cgroup.procs").write_text("0\n")
    assert list(cgroups.processes(tmp_path)) == [12, 13, 14]
    assert list(cgroups.processes(tmp_path / "gone")) == []
