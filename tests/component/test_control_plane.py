"""The API server that all other component tests stand on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from e2e.cluster import controlplane, paths, process, tools
from e2e.cluster.controlplane import ControlPlane
from e2e.cluster.errors import ClusterError
from e2e.cluster.kubectl import Kubectl

pytestmark = pytest.mark.component


def _kubectl(running: ControlPlane) -> Kubectl:
    return Kubectl(tools.ensure(tools.CONTROL) / "kubectl", running.kubeconfig)


def test_data_survives_the_api_server_and_the_port_stays() -> None:
    with ControlPlane("survives") as running:
        port = running.port
        _kubectl(running).run("create", "namespace", "kept")
        running.stop_apiserver()
        assert not _kubectl(running).succeeds("get", "namespace", "kept", "--request-timeout=1s")
        running.start_apiserver()
        assert running.port == port
        assert _kubectl(running).succeeds("get", "namespace", "kept")


def test_two_at_once_do_not_see_each_other() -> None:
    with ControlPlane("pair") as one, ControlPlane("pair") as other:
        assert one.port != other.port
        _kubectl(one).run("create", "namespace", "only-here")
        assert not _kubectl(other).succeeds("get", "namespace", "only-here")


def test_requests_can_be_counted_and_controllers_chosen(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    with ControlPlane("counted", audit_log=log, controllers=["serviceaccount-controller"]) as running:
        client = _kubectl(running)
        client.run("create", "namespace", "new")
        deadline = time.monotonic() + 20
        while not client.succeeds("get", "serviceaccount", "default", "--namespace=new"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
    created = [line for line in lines if line["verb"] == "create" and line.get("objectRef", {}).get("name") == "new"]
    assert [line["responseStatus"]["code"] for line in created] == [201]


def test_the_features_that_sign_for_pods_are_on() -> None:
    with ControlPlane("features") as running:
        found = _kubectl(running).run("api-resources", "--api-group=certificates.k8s.io", "--output=name").split()
    assert {"podcertificaterequests.certificates.k8s.io", "clustertrustbundles.certificates.k8s.io"} <= set(found)


def test_a_bad_argument_is_reported_with_the_log_and_leaves_nothing() -> None:
    running = ControlPlane("bad", arguments=["--no-such-flag"])
    with pytest.raises(ClusterError, match="unknown flag: --no-such-flag"):
        running.start()
    assert not running.directory.exists()


def test_one_whose_owner_was_killed_is_swept_away() -> None:
    program = (
        "import time\n"
        "from e2e.cluster.controlplane import ControlPlane\n"
        "with ControlPlane('orphan') as running:\n"
        "    print(running.directory, flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=paths.REPOSITORY, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        directory = Path(owner.stdout.readline().strip())
        marks = sorted(directory.glob("*.pid"))
        orphans = [json.loads(mark.read_text()) for mark in marks]
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
    assert [process.start_time(each["pid"]) for each in orphans] == [each["start"] for each in orphans]
    controlplane.sweep()
    assert [process.start_time(each["pid"]) for each in orphans] == [None, None]
    assert not directory.exists()
