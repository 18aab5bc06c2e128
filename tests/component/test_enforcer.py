"""The enforcer as a process: a real API server on one side, real packets between network namespaces on the other."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import debian
from e2e.cluster.controlplane import ControlPlane
from e2e.enforcer import api, nft
from e2e.netpol.checks import Scene
from e2e.netpol.fabric import Fabric
from e2e.netpol.prober import Site

pytestmark = pytest.mark.component

ROOT = Path(__file__).parents[2]
IN_FORCE_SECONDS = 2.0
"""Far above the tens of milliseconds that it takes, since tests share the machine; the figure itself is printed."""
SETTLE_SECONDS = 20.0
"""For a process to start, or to find the API server again."""
DENY = {"podSelector": {}, "policyTypes": ["Ingress"]}
POLICIES = "/apis/networking.k8s.io/v1/namespaces/x/networkpolicies"
PODS = "/api/v1/namespaces/x/pods"


class Rig:
    """A scene of two pods, the API server that knows them, and the enforcer between the two."""

    def __init__(self, plane: ControlPlane, scene: Scene, results: Path) -> None:
        self.plane, self.scene, self.results = plane, scene, results
        self.server = api.server(plane.kubeconfig)
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        fabric = self.scene.fabric
        command = [sys.executable, "-m", "e2e.enforcer", "--kubeconfig", str(self.plane.kubeconfig)]
        command += [f"--pod-range={each}" for each in fabric.pod_ranges]
        command += [f"--netns={node.namespace.path}" for node in fabric.nodes.values()]
        return subprocess.Popen([*command, f"--cni-results={self.results}"], cwd=ROOT)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(10)

    def deny(self) -> None:
        manifest = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny"}}
        self.server.send("POST", POLICIES, {**manifest, "spec": DENY})

    def allow(self) -> None:
        self.server.send("DELETE", f"{POLICIES}/deny")

    def add_pod(self, name: str, address: str = "") -> Any:
        """Make a pod; with an address it is running as far as the API server knows."""
        spec = {"containers": [{"name": "c", "image": "none"}], "automountServiceAccountToken": False}
        made = self.server.send("POST", PODS, {"metadata": {"name": name}, "spec": spec})
        if address:
            patch = {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}
            path = f"{PODS}/{name}/status"
            self.server.send("PATCH", path, patch, "application/strategic-merge-patch+json")
        return made

    def eventually(self, what: Callable[[], bool], seconds: float = IN_FORCE_SECONDS) -> float:
        """Seconds until something holds; fails when it takes too long."""
        started = time.monotonic()
        while not what():
            assert time.monotonic() < started + seconds, f"{what} did not hold in {seconds} s"
            time.sleep(0.002)
        return time.monotonic() - started

    def settle(self) -> None:
        """Wait until the enforcer has loaded a table and knows the pods."""
        self.eventually(lambda: nft.TABLE in tables(self), SETTLE_SECONDS)
        self.eventually(self.opens, SETTLE_SECONDS)

    def shuts(self) -> float:
        """Seconds until no connection passes at once, nor with a little patience, as a busy machine may need."""
        began = time.monotonic()
        while True:
            took = self.eventually(lambda: not self.opens(), IN_FORCE_SECONDS - (time.monotonic() - began))
            if not self.opens(0.5):
                return took

    def opens(self, patience: float = 0.05) -> bool:
        """Whether a connection passes at once (a new one each time: one that waits would be retried by the kernel)."""
        stream = self.scene.connect(patience)
        if stream is None:
            return False
        stream.close()
        # Taken from the queue of the listener, which would be full after some hundred of these.
        self.scene.listener.accept()[0].close()
        return True


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    debian.ensure(("nft", "ip"))
    with ControlPlane("enforcer", arguments=["--disable-admission-plugins=ServiceAccount"]) as running:
        api.server(running.kubeconfig).send("POST", "/api/v1/namespaces", {"metadata": {"name": "x"}})
        yield running


@pytest.fixture
def rig(plane: ControlPlane, tmp_path: Path) -> Iterator[Rig]:
    with Fabric() as fabric:
        scene = Scene(fabric)
        made = Rig(plane, scene, tmp_path)
        try:
            for site in (scene.client, scene.server):
                made.add_pod(short(site), site.address)
            made.settle()
            yield made
        finally:
            if made.process.poll() is None:
                made.stop(signal.SIGKILL)
            scene.listener.close()
            for collection in (POLICIES, PODS):
                made.server.send("DELETE", collection, {"gracePeriodSeconds": 0})


def short(site: Site) -> str:
    return site.name.partition("/")[2]


def test_a_policy_is_in_force_at_once_and_gone_at_once(rig: Rig) -> None:
    for _ in range(3):
        rig.deny()
        closed = rig.shuts()
        rig.allow()
        opened = rig.eventually(rig.opens)
        print(f"in force after at most {closed * 1000:.0f} ms, gone after at most {opened * 1000:.0f} ms")


def test_a_new_pod_is_closed_until_it_is_known_and_known_before_its_status_says_so(rig: Rig) -> None:
    site = rig.scene.fabric.add_pod("x/late", "node-1")
    rig.scene.client = site
    uid = rig.add_pod("late")["metadata"]["uid"]
    time.sleep(0.2)
    assert not rig.opens()
    content = {"cniArgs": [["K8S_POD_UID", uid]], "result": {"ips": [{"address": f"{site.address}/24"}]}}
    (rig.results / "pods-1-eth0").write_text(json.dumps(content))
    rig.eventually(rig.opens)


def test_rules_stay_while_the_api_server_is_away_and_follow_when_it_is_back(rig: Rig) -> None:
    rig.deny()
    rig.shuts()
    rig.plane.stop_apiserver()
    time.sleep(0.5)
    assert not rig.opens()
    rig.plane.start_apiserver()
    rig.allow()
    rig.eventually(rig.opens, SETTLE_SECONDS)
    assert rig.process.poll() is None


def test_an_end_by_signal_takes_the_table_away(rig: Rig) -> None:
    rig.deny()
    rig.shuts()
    assert rig.stop() == 0
    assert rig.opens(0.5)
    assert nft.TABLE not in tables(rig)


def test_a_kill_leaves_the_rules_in_force_for_the_next_process(rig: Rig) -> None:
    rig.deny()
    rig.shuts()
    rig.stop(signal.SIGKILL)
    assert not rig.opens()
    rig.process = rig.start()
    rig.allow()
    rig.eventually(rig.opens, SETTLE_SECONDS)


def tables(rig: Rig) -> str:
    with rig.scene.fabric.nodes["node-1"].namespace.entered():
        return subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
