import pytest

from e2e.netpol import cluster

UID = "f013c114-5449-4da1-b95d-861f633714ac"
SYSTEMD = (
    "/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{}.slice/cri-1.scope\n"
)


@pytest.mark.parametrize(
    ("cgroup", "result"),
    [
        (f"5:memory:/rf-one/kubepods/besteffort/pod{UID}/0123\n0::/", True),
        (f"5:memory:/rf-one/kubepods/besteffort/pod{UID}\n0::/\n", True),
        ("0::" + SYSTEMD.format(UID.replace("-", "_")), True),
        ("0::" + SYSTEMD.format(UID.replace("-", "_") + "0"), False),
        (f"0::/kubepods/pod{UID}0/0123\n", False),
        (f"0::/kubepods/notpod{UID}/0123\n", False),
        ("0::/user.slice\n", False),
    ],
)
def test_a_process_is_told_by_the_whole_part_of_its_path(cgroup: str, result: bool) -> None:
    assert cluster.is_of_pod(cgroup, UID) is result
