"""What `ringfence ca rotate` changes, and what it refuses to change."""

import asyncio
import sys

import pytest
from ringfence.cli import ca_cluster, ca_rotate
from ringfence.model.ca import CaState
from ringfence.pki import slots

from tests.unit.cli.ca_cluster_fake import SECRET, FakeCluster
from tests.unit.cli.ca_commands import (
    ACTIVATED,
    FORCED,
    PREPARED,
    Terminal,
    ringfence,
)
from tests.unit.pki.material import NOW, idle

pytestmark = pytest.mark.usefixtures("cheap")


def requested(fake: FakeCluster) -> str:
    found: str = fake.objects[SECRET]["metadata"]["annotations"].get(ca_cluster.ROTATE, "")
    return found


def test_a_rotation_is_one_annotation(fake: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    fake.installed()
    fake.ca(idle(), annotations={"kept": "yes"})
    status, said = ringfence(capsys, "rotate", "--yes")
    assert (status, requested(fake), fake.writes) == (0, "requested", [("PATCH", "ringfence-ca")])
    assert fake.objects[SECRET]["metadata"]["annotations"]["kept"] == "yes"
    assert "requested: the controller replaces the root" in said
    # A second one has nothing to ask for; a compromise has.
    assert ringfence(capsys, "rotate", "--yes")[0] == 1
    assert ringfence(capsys, "rotate", "--yes", "--compromised")[0] == 0
    assert requested(fake) == "compromised"
    status, said = ringfence(capsys, "rotate", "--yes", "--compromised")
    assert status == 1
    assert "a rotation after a compromise is under way or requested" in said


@pytest.mark.parametrize(
    ("state", "planned", "compromised"), [(PREPARED, 1, 0), (ACTIVATED, 1, 0), (FORCED, 1, 1)], ids=["p", "a", "f"]
)
def test_only_a_compromise_comes_on_top_of_a_rotation(
    state: CaState, planned: int, compromised: int, fake: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    fake.ca(state)
    assert ringfence(capsys, "rotate", "--yes")[0] == planned
    assert fake.writes == []
    assert ringfence(capsys, "rotate", "--yes", "--compromised")[0] == compromised


@pytest.mark.parametrize(("answer", "expected"), [("yes\n", 0), ("y\n", 1), ("\n", 1), ("", 1)])
def test_on_a_terminal_it_asks(
    answer: str,
    expected: int,
    fake: FakeCluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake.installed()
    fake.ca(idle())
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert ringfence(capsys, "rotate")[0] == expected
    assert len(fake.writes) == 1 - expected


def test_a_ca_that_changed_meanwhile_is_not_asked(fake: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    fake.installed()
    fake.ca(idle())
    fake.hurry = lambda: fake.ca(PREPARED)
    status, said = ringfence(capsys, "rotate", "--yes")
    assert status == 2
    assert "somebody else changed the CA at the same moment" in said


def test_waiting_tells_each_phase_once_and_ends_with_the_old_root(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    fake.ca(idle())
    done = slots.retire(slots.activate(PREPARED, NOW, NOW + 1), NOW + 2)
    phases = iter([idle(), idle(), PREPARED, PREPARED, ACTIVATED, done])

    async def sleep(_: float) -> None:
        state = next(phases)
        fake.ca(state, annotations={ca_cluster.ROTATE: "requested"} if state == idle() else {})

    monkeypatch.setattr(asyncio, "sleep", sleep)
    status, said = ringfence(capsys, "rotate", "--yes", "--wait")
    assert status == 0
    told = [line.partition(":")[0] for line in said.splitlines() if line.startswith(("Idle", "Prepared", "Activated"))]
    assert told == ["Idle", "Prepared", "Activated"]
    assert "signs and the old one is gone" in said


def test_waiting_has_an_end(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ca_rotate, "PAUSE", 0.01)
    fake.installed()
    fake.ca(idle())
    status, said = ringfence(capsys, "rotate", "--yes", "--wait", "--timeout", "0.05")
    assert status == 1
    assert "the controller has not begun yet (does it run?)" in said
