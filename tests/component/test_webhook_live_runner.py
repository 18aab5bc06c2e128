"""Kubernetes' own live tests of Pod Security admission, against Ringfence instead: its plugin is off here.

They come from the Go module ``k8s.io/pod-security-admission`` (e2e/podsecurity). Every fixture is created as a dry run,
as a pod and as the template of a Deployment, in a namespace for each level and version; what should be refused must
be, with Kubernetes' own reason in the message or the warning.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from e2e import podsecurity
from tests.component import webhook_rig
from tests.component.webhook_rig import Rig

pytestmark = pytest.mark.component

#: Of both levels the first version, one where the annotations end, one with most forms of old, and the newest.
SPREAD = r"-1-(0|19|29|35)_"
ASKED = re.compile(r"asked about (\d+) objects")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    directory = tmp_path_factory.mktemp("live-runner")
    off = ["--disable-admission-plugins=PodSecurity"]
    with webhook_rig.rig("live-runner", directory, arguments=off) as made:
        yield made


def run(rig: Rig, pattern: str) -> tuple[int, int]:
    """Cases that passed and objects that were asked about; fails with what the runner said of those that failed."""
    command = [podsecurity.live(), "-test.v", "-test.timeout=20m", "-test.run", f"^TestPodSecurity$/{pattern}"]
    environment = os.environ | {"KUBECONFIG": str(rig.plane.kubeconfig)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, "\n".join(line for line in said.splitlines() if "--- PASS" not in line)[-20_000:]
    asked = ASKED.search(said)
    assert asked is not None, said
    assert "--- SKIP" not in said
    return said.count("    --- PASS"), int(asked[1])


@pytest.mark.timeout(900)
def test_a_spread_of_the_live_runner_passes(rig: Rig, summary: Callable[[str], None]) -> None:
    start = time.monotonic()
    cases, asked = run(rig, SPREAD)
    assert cases > 200
    summary(f"live runner of Kubernetes (a spread): {cases} cases, {asked} objects, {time.monotonic() - start:.0f} s")


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_the_whole_live_runner_passes(rig: Rig, summary: Callable[[str], None]) -> None:
    start = time.monotonic()
    cases, asked = run(rig, "")
    assert cases > 600
    summary(f"live runner of Kubernetes (all of it): {cases} cases, {asked} objects, {time.monotonic() - start:.0f} s")
