"""From a pod's UID to its network, and never to anybody else's."""

import os
from pathlib import Path

import pytest
from ringfence.node.processes import Finder

from tests.unit.node.machine import Machine

UID = "6f1f9d9b-5a2e-4a55-9f63-0d9b1f0f7c11"
OTHER = "00000000-5a2e-4a55-9f63-0d9b1f0f7c11"
GROUP = f"/kubepods/besteffort/pod{UID}"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def found(finder: Finder, machine: Machine, uid: str = UID) -> str | None:
    """Name of the network found."""
    network = finder.find(uid)
    if network is None:
        return None
    with network:
        (name,) = [
            each.name.removeprefix("network-")
            for each in machine.home.glob("network-*")
            if os.path.samestat(each.stat(), os.fstat(network.descriptor))
        ]
    return name


def test_the_network_of_the_pods_process(machine: Machine) -> None:
    finder = machine.build()
    assert finder.find(UID) is None
    machine.process(20, "other", f"/kubepods/besteffort/pod{OTHER}/c")
    assert finder.find(UID) is None
    machine.process(30, "pod", f"{GROUP}/c", started=990.0)
    assert found(finder, machine) == "pod"
    network = finder.find(UID)
    assert network is not None
    with network:
        assert network.age == pytest.approx(10.5, abs=0.02)


def test_the_oldest_process_decides(machine: Machine) -> None:
    """It is the sandbox's; a program that can make network namespaces comes later."""
    finder = machine.build()
    machine.process(10, "nested", f"{GROUP}/program", started=992.0)
    machine.process(50, "pod", f"{GROUP}/sandbox", started=991.0)
    assert found(finder, machine) == "pod"


def test_the_nodes_network_is_never_given_out(machine: Machine) -> None:
    finder = machine.build()
    # A runtime's first process is in the pod's cgroup before it is in the pod's network.
    machine.process(30, "node", f"{GROUP}/sandbox")
    assert finder.find(UID) is None
    machine.process(31, "pod", f"{GROUP}/sandbox", started=991.0)
    assert found(finder, machine) == "pod"


def test_the_network_of_this_process_is_never_given_out(machine: Machine) -> None:
    finder = machine.build()
    machine.process(30, "pod", f"{GROUP}/sandbox")
    (machine.proc / "30" / "ns" / "net").unlink()
    (machine.proc / "30" / "ns" / "net").symlink_to("/proc/self/ns/net")
    assert finder.find(UID) is None


def test_a_process_id_that_is_another_pods_now(machine: Machine) -> None:
    finder = machine.build()
    machine.process(30, "other", f"{GROUP}/c")
    machine.moved(30, f"/kubepods/besteffort/pod{OTHER}/c")
    assert finder.find(UID) is None
    machine.moved(30, "/")
    assert finder.find(UID) is None


def test_a_cgroup_that_calls_itself_another_pods(machine: Machine) -> None:
    finder = machine.build()
    machine.process(30, "other", f"/kubepods/besteffort/pod{OTHER}/c/pod{UID}")
    assert finder.find(UID) is None
    assert found(finder, machine, OTHER) == "other"


def test_processes_that_end_meanwhile_are_passed_over(machine: Machine) -> None:
    finder = machine.build()
    machine.process(30, "pod", f"{GROUP}/c")
    with (machine.mount / GROUP.lstrip("/") / "c" / "cgroup.procs").open("a") as listed:
        listed.write("31\n")
    assert found(finder, machine) == "pod"


@pytest.mark.parametrize("name", ["a b", "x) S 1 (y", "((", ")"])
def test_names_of_processes_do_not_confuse(machine: Machine, name: str) -> None:
    finder = machine.build()
    machine.process(30, "pod", f"{GROUP}/c", started=980.0, name=name)
    network = finder.find(UID)
    assert network is not None
    with network:
        assert network.age == pytest.approx(20.5, abs=0.02)


def test_without_known_cgroups_all_processes_are_looked_at(machine: Machine) -> None:
    finder = machine.build()
    machine.root.rmdir()
    machine.process(30, "pod", f"/elsewhere/kept/far/below/all/pod{UID}/c")
    machine.process(40, "other", f"/elsewhere/kept/far/below/all/pod{OTHER}/c")
    assert found(finder, machine) == "pod"


def test_a_first_process_that_cannot_be_looked_at_is_no_hindrance(machine: Machine) -> None:
    machine.build()
    (machine.proc / "1" / "ns" / "net").unlink()
    finder = Finder(machine.proc, machine.mount)
    machine.process(30, "pod", f"{GROUP}/c")
    assert found(finder, machine) == "pod"
