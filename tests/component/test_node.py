"""`ringfence run node` as a process: its own user's rights, three capabilities, real cgroups, real networks."""

import contextlib
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from ringfence.model import proxy

from e2e.cluster import debian, tools
from e2e.cluster.controlplane import ControlPlane
from e2e.demo import client as demo
from e2e.demo import install
from tests.component import test_rights
from tests.component.node_rig import Machine, Sandbox, eventually
from tests.component.redirect_rig import own_rules

pytestmark = [pytest.mark.component, pytest.mark.timeout(180)]

USER = proxy.FIRST_UID + 7


@pytest.fixture(scope="module", autouse=True)
def untouched() -> Iterator[None]:
    debian.ensure(("nft", "ip", "setpriv"))
    before = own_rules()
    yield
    assert own_rules() == before


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server with the rights of the chart."""
    audit = tmp_path_factory.mktemp("node") / "audit.log"
    arguments = ["--disable-admission-plugins=ServiceAccount"]
    with ControlPlane("node", audit_log=audit, arguments=arguments) as running:
        person = demo.Client(tools.ensure(tools.CONTROL, tools.HELM), running.kubeconfig)
        flags = (f"--namespace={install.NAMESPACE}", "--set=proxy.enabled=true", "--show-only=templates/node.yaml")
        person.run("apply", "-f", "-", stdin=person.helm("template", install.RELEASE, str(install.CHART), *flags))
        yield running


@pytest.fixture(scope="module")
def only_machine(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    made = Machine(plane, tmp_path_factory.mktemp("machine"))
    yield made
    made.remove()


@pytest.fixture
def machine(only_machine: Machine) -> Iterator[Machine]:
    """With a process that runs, and no pods."""
    only_machine.lines.clear()
    only_machine.start()
    yield only_machine
    only_machine.end()


@pytest.fixture
def space(machine: Machine, request: pytest.FixtureRequest) -> str:
    """An enforced namespace of the test's own."""
    name = request.node.name.split("[")[0].replace("_", "-")[5:60].strip("-")
    machine.namespace(name)
    return name


def test_pods_are_redirected_as_they_start(machine: Machine, space: str, summary: Callable[[str], None]) -> None:
    ages, looks = [], []
    for number in range(10):
        uid = machine.pod(space, f"web-{number}", user=USER + number)
        sandbox = machine.sandbox(uid)
        eventually(lambda sandbox=sandbox, number=number: f"skuid {USER + number}" in sandbox.table())
        (said,) = eventually(lambda number=number: machine.said(f"pod {space}/web-{number}: redirected"))
        assert said["strict"] is True
        assert said["ipv6"] is True
        ages.append(said["age"])
        begun = time.monotonic()
        sandbox.table()
        looks.append(time.monotonic() - begun)
    summary(
        f"node: redirect after the start of a pod's first process: median {statistics.median(ages) * 1000:.0f} ms, "
        f"most {max(ages) * 1000:.0f} ms (10 pods)"
    )
    # The goal is 200 ms; the machine of tests is shared, and where one look into a pod takes long, so does this.
    assert statistics.median(ages) < max(1.0, 10 * statistics.median(looks))
    eventually(lambda: machine.figure('ringfence_node_loads_total{outcome="new"}') == 10)
    eventually(lambda: machine.figure('ringfence_node_pods{state="held"}') == 10)
    eventually(lambda: machine.figure("ringfence_node_redirect_seconds_count") == 10)


def test_a_pod_that_the_api_tells_of_later(machine: Machine, space: str) -> None:
    """And one whose processes are there before it is known."""
    uid = machine.pod(space, "web", node="another-node")
    sandbox = machine.sandbox(uid)
    eventually(sandbox.ready)
    machine.pod(space, "other")
    eventually(lambda: machine.figure('ringfence_node_pods{state="waiting"}') == 1)
    assert sandbox.table() == ""


def test_what_is_flushed_is_back_at_once(machine: Machine, space: str) -> None:
    sandbox = machine.sandbox(machine.pod(space, "web"))
    right = eventually(sandbox.table)
    eventually(lambda: machine.said(f"pod {space}/web: redirected"))
    for count in (1, 2, 3):
        sandbox.nft("flush", "ruleset")
        eventually(lambda: sandbox.table() == right)
        eventually(lambda count=count: machine.figure('ringfence_node_loads_total{outcome="repaired"}') == count)
    said = eventually(lambda: machine.said(f"pod {space}/web: redirect repaired"))
    assert said[0]["level"] == "warning"


def test_the_mode_follows_the_namespace(machine: Machine, space: str) -> None:
    sandbox = machine.sandbox(machine.pod(space, "web"))
    eventually(lambda: "counter drop" in sandbox.table())
    machine.enrol(space, "audit")
    eventually(lambda: "counter accept" in sandbox.table())
    machine.enrol(space, "enforce")
    eventually(lambda: "counter drop" in sandbox.table())


@contextlib.contextmanager
def _monitored(sandbox: Sandbox) -> Iterator["subprocess.Popen[str]"]:
    """What changes in its network is the output of this."""
    command = ["nsenter", f"--net={sandbox.network}", "nft", "monitor"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as monitor:
        try:
            yield monitor
        finally:
            monitor.terminate()


def test_a_restart_touches_nothing_that_is_right(machine: Machine, space: str) -> None:
    held = [machine.sandbox(machine.pod(space, f"web-{number}")) for number in range(3)]
    right = [eventually(each.table) for each in held]
    eventually(lambda: machine.figure('ringfence_node_pods{state="held"}') == 3)
    with _monitored(held[0]) as monitor:
        assert machine.stop(signal.SIGKILL) == -signal.SIGKILL
        # While it is away, rules stay, and new pods wait.
        assert [each.table() for each in held] == right
        late = machine.sandbox(machine.pod(space, "late"))
        eventually(late.ready)
        assert late.table() == ""
        machine.start()
        eventually(late.table)
        eventually(lambda: machine.figure('ringfence_node_pods{state="held"}') == 4)
        assert machine.figure('ringfence_node_loads_total{outcome="kept"}') == 3
        assert machine.figure('ringfence_node_loads_total{outcome="new"}') == 1
        monitor.terminate()
        assert monitor.stdout is not None
        assert monitor.stdout.read() == ""
    assert [each.table() for each in held] == right


def test_what_was_broken_while_it_was_away_is_mended(machine: Machine, space: str) -> None:
    sandbox = machine.sandbox(machine.pod(space, "web"))
    right = eventually(sandbox.table)
    machine.stop(signal.SIGKILL)
    sandbox.nft("flush", "ruleset")
    machine.start()
    eventually(lambda: sandbox.table() == right)


def test_ending_leaves_what_running_pods_need(machine: Machine, space: str) -> None:
    sandbox = machine.sandbox(machine.pod(space, "web"))
    right = eventually(sandbox.table)
    assert machine.stop() == 0
    assert sandbox.table() == right
    eventually(lambda: machine.said("the redirects of pods that run stay"))


def test_a_pod_that_goes_leaves_nothing(machine: Machine, space: str) -> None:
    before = machine.descriptors()
    for number in range(3):
        uid = machine.pod(space, f"web-{number}")
        sandbox = machine.sandbox(uid)
        eventually(sandbox.table)
        eventually(lambda: machine.figure('ringfence_node_pods{state="held"}') == 1)
        sandbox.end()
        machine.delete(space, f"web-{number}")
        eventually(lambda: machine.figure('ringfence_node_pods{state="held"}') == 0)
    eventually(lambda: machine.descriptors() <= before + 1)


def test_a_new_sandbox_of_the_same_pod_is_redirected_too(machine: Machine, space: str) -> None:
    uid = machine.pod(space, "web")
    first = machine.sandbox(uid)
    eventually(first.table)
    first.end()
    second = machine.sandbox(uid)
    eventually(second.table)


def test_the_nodes_own_network_is_never_touched(machine: Machine, space: str) -> None:
    """Not for a pod that says it is on it, and not for a process that is in it."""
    machine.pod(space, "host", hostNetwork=True)
    eventually(
        lambda: machine.said(f"pod {space}/host gets no redirect, so it does not start: it is on the node's network")
    )
    machine.sandbox(machine.pod(space, "early"), own_network=False)
    for user in (None, 0, 65532):
        machine.sandbox(machine.pod(space, f"user-{user}".lower(), user=user))
    eventually(lambda: machine.figure('ringfence_node_pods{state="refused"}') == 4)
    eventually(lambda: len(machine.said("leave the container to Ringfence, which adds it")) == 3)
    assert machine.figure('ringfence_node_pods{state="held"}') == 0
    assert "inet ringfence" not in own_rules()


def test_without_its_capabilities_it_says_so_and_is_not_ready(only_machine: Machine) -> None:
    only_machine.lines.clear()
    only_machine.launch(capabilities="-all")
    try:
        eventually(lambda: only_machine.said("no rules can be loaded on this node: unshare: Operation not permitted"))
        assert "unshare: Operation not permitted" in only_machine.get("/readyz", status=503)
    finally:
        only_machine.end()


def test_it_is_repaired_while_the_api_server_is_away(machine: Machine, space: str, plane: ControlPlane) -> None:
    sandbox = machine.sandbox(machine.pod(space, "web"))
    waiting = machine.pod(space, "late")
    right = eventually(sandbox.table)
    eventually(lambda: machine.figure('ringfence_node_pods{state="waiting"}') == 1)
    plane.stop_apiserver()
    try:
        sandbox.nft("flush", "ruleset")
        eventually(lambda: sandbox.table() == right)
        # A pod that was known before starts as well.
        eventually(machine.sandbox(waiting).table)
    finally:
        plane.start_apiserver()


def test_it_uses_what_it_may_do(only_machine: Machine, plane: ControlPlane) -> None:
    """After all the others: what they made it ask for."""
    person = demo.Client(tools.ensure(tools.CONTROL, tools.HELM), Path("/nonexistent"))
    flags = (f"--namespace={install.NAMESPACE}", "--set=proxy.enabled=true")
    rendered = person.helm("template", install.RELEASE, str(install.CHART), *flags)
    chart = [each for each in yaml.safe_load_all(rendered) if each and "Role" in each["kind"]]
    audit = plane._audit_log
    assert audit is not None
    everything = test_rights._read(audit)["ringfence-node"]
    # An API server that starts knows no roles for a moment.
    granted = {each.right for each in everything if each.allowed}
    asked = [each for each in everything if each.allowed or each.right not in granted]
    test_rights._compare(test_rights._granted(chart, "ringfence-node"), asked)
    about = {
        line for line in audit.read_text().splitlines() if "ringfence-node:ringfence-node" in line and "/pods?" in line
    }
    assert about
    assert all("fieldSelector=spec.nodeName%3Dnode-of-tests" in line for line in about)
