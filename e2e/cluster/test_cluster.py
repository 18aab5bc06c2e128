"""The cluster itself: what a user of Kubernetes takes for granted works, and taking it down leaves nothing.

A cluster of its own, so that no other scenario is disturbed and `down` can be tried.
"""

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster import cgroups, local
from e2e.cluster.command import run
from e2e.cluster.errors import ClusterError
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.layout import Layout
from e2e.cluster.local import LocalCluster

pytestmark = pytest.mark.node

_NAME = "selftest"
_WAIT = "--timeout=90s"


def _traces(layout: Layout) -> list[str]:
    """What there is on this machine of a cluster: each thing that has its name or its number."""
    number = layout.index
    interfaces = re.findall(rf"^\d+: (rfbr{number}|rfv{number}n\d+)[:@]", run("ip", "-oneline", "link"), re.MULTILINE)
    routes = [line for line in run("ip", "route").splitlines() if f"10.89.{number}." in line]
    groups = [str(path) for each in cgroups.hierarchies() for path in each.glob(f"rf-{_NAME}-*")]
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if f"/{_NAME}" in line]
    processes = [line for line in _command_lines() if f"cluster/{_NAME}/" in line]
    namespaces = [line for line in run("ip", "netns", "list").split() if line.startswith(f"{_NAME}-")]
    files = [str(layout.directory)] if layout.directory.exists() else []
    return [*interfaces, *routes, *groups, *mounts, *processes, *namespaces, *files]


def _command_lines() -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield (process / "cmdline").read_text().replace("\0", " ")


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A cluster with two nodes and, on each, a pod that answers on port 80."""
    local.stop(_NAME)
    started = local.start(_NAME, 2)
    try:
        _client(started).apply([_answerers(started)])
        _client(started).run("rollout", "status", "daemonset/answer", _WAIT)
        yield started
    finally:
        local.stop(_NAME)


def _answerers(cluster: LocalCluster) -> dict[str, object]:
    container = {
        "name": "answer",
        "image": f"{cluster.registry}/agnhost:dev",
        "args": ["netexec", "--http-port=80"],
        "ports": [{"containerPort": 80}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 80}, "periodSeconds": 1},
    }
    labels = {"app": "answer"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "answer", "namespace": "default"},
        "spec": spec,
    }


def _client(cluster: LocalCluster) -> Kubectl:
    return Kubectl(cluster.programs / "kubectl", cluster.kubeconfig)


def _pods(cluster: LocalCluster) -> list[tuple[str, str]]:
    template = r'-o=jsonpath={range .items[*]}{.metadata.name} {.status.podIP}{"\n"}{end}'
    listed = _client(cluster).run("get", "pod", "--selector=app=answer", template)
    return [(name, address) for name, address in map(str.split, listed.splitlines())]


def _eventually_connects(client: Kubectl, pod: str, target: str) -> None:
    """A Service is served a moment after it was made."""
    deadline = time.monotonic() + 15
    while not client.succeeds("exec", pod, "--", "/agnhost", "connect", target, "--timeout=3s"):
        assert time.monotonic() < deadline, f"{pod} does not reach {target}"


def test_every_part_runs_and_a_second_start_changes_nothing(cluster: LocalCluster) -> None:
    before = cluster.status()
    assert all(running for _, running in before)
    assert local.start(_NAME, None).status() == before


def test_pods_reach_each_other_across_nodes_and_logs_tell(cluster: LocalCluster) -> None:
    (first, first_address), (second, second_address) = _pods(cluster)
    assert first_address.rpartition(".")[0] != second_address.rpartition(".")[0]
    for pod, address in ((first, second_address), (second, first_address)):
        _client(cluster).run("exec", pod, "--", "/agnhost", "connect", f"{address}:80", "--timeout=3s")
    _client(cluster).run("exec", first, "--", "/agnhost", "connect", f"{second_address}:80", "--timeout=3s")
    assert "Started HTTP server on port 80" in _client(cluster).run("logs", second)


def test_services_and_names_work(cluster: LocalCluster) -> None:
    client = _client(cluster)
    client.run("expose", "pod", _pods(cluster)[0][0], "--name=answer", "--port=8080", "--target-port=80")
    for pod, _ in _pods(cluster):
        for target in ("answer:8080", "answer.default.svc.cluster.local:8080", "kubernetes.default:443"):
            _eventually_connects(client, pod, target)
    unknown = client.succeeds(
        "exec", _pods(cluster)[0][0], "--", "/agnhost", "connect", "no.such.name:80", "--timeout=2s"
    )
    assert not unknown


def test_an_image_comes_from_the_registry_by_its_digest(cluster: LocalCluster) -> None:
    digest = run(cluster.programs / "crane", "digest", "--insecure", f"{cluster.registry}/agnhost:dev").strip()
    image = f"{cluster.registry}/agnhost@{digest}"
    client = _client(cluster)
    client.run("run", "pinned", f"--image={image}", "--restart=Never", "--command", "--", "/agnhost", "--help")
    client.run("wait", "pod/pinned", "--for=jsonpath={.status.phase}=Succeeded", _WAIT)


def test_a_killed_part_comes_back_and_nothing_is_lost(cluster: LocalCluster) -> None:
    uids = _client(cluster).run("get", "pod", "--selector=app=answer", "-o=jsonpath={.items[*].metadata.uid}")
    for part in ("1/kube-apiserver", "1/etcd", "2/kubelet", "2/containerd"):
        cluster.kill(part)
    assert [part for part, running in cluster.status() if not running] == [
        "1/etcd",
        "1/kube-apiserver",
        "2/containerd",
        "2/kubelet",
    ]
    local.start(_NAME, None)
    assert all(running for _, running in cluster.status())
    assert _client(cluster).run("get", "pod", "--selector=app=answer", "-o=jsonpath={.items[*].metadata.uid}") == uids


def test_a_node_is_a_machine_of_its_own(cluster: LocalCluster) -> None:
    shown = run(*cluster.entering(2), "sh", "-c", "cat /proc/[0-9]*/comm")
    assert "kubelet" in shown
    assert "kube-apiserver" not in shown  # that one runs in the first node


def test_taking_it_down_leaves_nothing(cluster: LocalCluster) -> None:
    assert len(_traces(cluster.layout)) > 10
    assert local.stop(_NAME)
    assert _traces(cluster.layout) == []
    assert not local.stop(_NAME)


def test_a_start_that_fails_leaves_nothing(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    local.stop(_NAME)
    monkeypatch.setattr("e2e.cluster.versions.NODE_FEATURES", {"NoSuchFeature": True})
    with pytest.raises(ClusterError, match="kubelet ended while it was starting"):
        local.start(_NAME, 1)
    assert _traces(cluster.layout) == []
